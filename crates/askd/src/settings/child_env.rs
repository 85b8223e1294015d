//! The environment of the CLI: an allow-list of exact names.
//!
//! No prefixes. A prefix lets through what nobody has looked at: `ANTHROPIC_*` or `AWS_*` would hand
//! an agent whatever else the operator keeps under such a name, and Kubernetes adds variables of its
//! own (`CLAUDE_CODE_*_SERVICE_*`).

use super::table;

/// A variable that is passed to the CLI when the server has it.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// Its exact name.
    pub name: &'static str,
    /// Whether its value is never printed and may come from a file (`NAME_FILE`).
    pub secret: bool,
    /// What it is for.
    pub doc: &'static str,
}

const fn plain(name: &'static str, doc: &'static str) -> Passed {
    Passed { name, secret: false, doc }
}

const fn secret(name: &'static str, doc: &'static str) -> Passed {
    Passed { name, secret: true, doc }
}

/// Every variable that is passed to the CLI as it is, besides those of `ASKD_CHILD_ENV`.
///
/// `ANTHROPIC_API_KEY`, `ANTHROPIC_AUTH_TOKEN` and `CLAUDE_CODE_OAUTH_TOKEN` are settings instead:
/// the server decides in which way the CLI gets them.
pub const PASSED: &[Passed] = &[
    plain("PATH", "where programs are found"),
    plain("LANG", "language and encoding"),
    plain("LC_ALL", "language and encoding, over `LANG`"),
    plain("TZ", "time zone"),
    plain("TERM", "kind of terminal"),
    // Proxies: a URL can hold a password.
    secret("HTTP_PROXY", "proxy for plain HTTP"),
    secret("HTTPS_PROXY", "proxy for HTTPS"),
    secret("ALL_PROXY", "proxy for everything else"),
    plain("NO_PROXY", "hosts that are reached without a proxy"),
    secret("http_proxy", "the same, as some tools read it"),
    secret("https_proxy", "the same, as some tools read it"),
    secret("all_proxy", "the same, as some tools read it"),
    plain("no_proxy", "the same, as some tools read it"),
    // Certificates.
    plain("NODE_EXTRA_CA_CERTS", "further certificate authorities, for the CLI"),
    plain("SSL_CERT_FILE", "certificate authorities, for other tools"),
    plain("SSL_CERT_DIR", "folder of certificate authorities, for other tools"),
    plain("CLAUDE_CODE_CERT_STORE", "which certificate stores the CLI trusts"),
    plain("CLAUDE_CODE_CLIENT_CERT", "client certificate, a file"),
    plain("CLAUDE_CODE_CLIENT_KEY", "key of the client certificate, a file"),
    secret("CLAUDE_CODE_CLIENT_KEY_PASSPHRASE", "passphrase of that key"),
    // Routing: where requests to the model go.
    plain("ANTHROPIC_BASE_URL", "address of the Messages API or of a gateway"),
    secret("ANTHROPIC_CUSTOM_HEADERS", "further request headers, one a line; often a gateway's key"),
    plain("ENABLE_TOOL_SEARCH", "tool search behind a gateway"),
    plain("ANTHROPIC_BEDROCK_BASE_URL", "address of Amazon Bedrock"),
    plain("ANTHROPIC_VERTEX_BASE_URL", "address of Google Vertex AI"),
    plain("ANTHROPIC_FOUNDRY_BASE_URL", "address of Microsoft Foundry"),
    plain("ANTHROPIC_AWS_BASE_URL", "address of Claude on AWS"),
    plain("ANTHROPIC_DEFAULT_SONNET_MODEL", "what `sonnet` means at this provider"),
    plain("ANTHROPIC_DEFAULT_OPUS_MODEL", "what `opus` means at this provider"),
    plain("ANTHROPIC_DEFAULT_HAIKU_MODEL", "what `haiku` means at this provider"),
    // Choice of the provider.
    plain("CLAUDE_CODE_USE_BEDROCK", "work with Amazon Bedrock"),
    plain("CLAUDE_CODE_USE_VERTEX", "work with Google Vertex AI"),
    plain("CLAUDE_CODE_USE_FOUNDRY", "work with Microsoft Foundry"),
    plain("CLAUDE_CODE_USE_ANTHROPIC_AWS", "work with Claude on AWS"),
    plain("CLAUDE_CODE_USE_MANTLE", "work with Bedrock's Mantle"),
    plain("CLAUDE_CODE_SKIP_BEDROCK_AUTH", "a gateway signs for Bedrock"),
    plain("CLAUDE_CODE_SKIP_VERTEX_AUTH", "a gateway signs for Vertex AI"),
    plain("CLAUDE_CODE_SKIP_FOUNDRY_AUTH", "a gateway signs for Foundry"),
    // Identity at Anthropic without a key.
    plain("ANTHROPIC_PROFILE", "profile of a federated identity"),
    plain("ANTHROPIC_FEDERATION_RULE_ID", "rule of a federated identity"),
    plain("ANTHROPIC_ORGANIZATION_ID", "organisation of a federated identity"),
    // Amazon.
    plain("AWS_REGION", "region"),
    plain("AWS_DEFAULT_REGION", "region, if there is no `AWS_REGION`"),
    plain("AWS_PROFILE", "profile in the files below"),
    plain("AWS_CONFIG_FILE", "configuration; a run's home has none of its own"),
    plain("AWS_SHARED_CREDENTIALS_FILE", "credentials; a run's home has none of its own"),
    plain("AWS_ACCESS_KEY_ID", "access key's id"),
    secret("AWS_SECRET_ACCESS_KEY", "access key"),
    secret("AWS_SESSION_TOKEN", "token of temporary credentials"),
    secret("AWS_BEARER_TOKEN_BEDROCK", "API key of Bedrock"),
    plain("AWS_ROLE_ARN", "role to assume with a web identity"),
    plain("AWS_ROLE_SESSION_NAME", "name of that session"),
    plain("AWS_WEB_IDENTITY_TOKEN_FILE", "token of the web identity, a file"),
    plain("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "credentials of an ECS task"),
    plain("AWS_CONTAINER_CREDENTIALS_FULL_URI", "credentials of an EKS pod"),
    plain("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token for that address, a file"),
    plain("AWS_EC2_METADATA_DISABLED", "do not ask the machine for credentials"),
    // Google.
    plain("GOOGLE_APPLICATION_CREDENTIALS", "credentials, a file"),
    plain("GOOGLE_CLOUD_PROJECT", "project"),
    plain("CLOUD_ML_REGION", "region of Vertex AI"),
    plain("ANTHROPIC_VERTEX_PROJECT_ID", "project of Vertex AI"),
    // Microsoft.
    plain("ANTHROPIC_FOUNDRY_RESOURCE", "resource of Foundry"),
    secret("ANTHROPIC_FOUNDRY_API_KEY", "API key of Foundry"),
    plain("AZURE_TENANT_ID", "tenant"),
    plain("AZURE_CLIENT_ID", "client"),
    secret("AZURE_CLIENT_SECRET", "the client's secret"),
    plain("AZURE_FEDERATED_TOKEN_FILE", "token of a workload identity, a file"),
    plain("AZURE_AUTHORITY_HOST", "address of the login service"),
];

/// Those of [`PASSED`] whose value is the path of a file or folder that the CLI or its tools read.
pub const FILES: &[&str] = &[
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CLAUDE_CODE_CLIENT_CERT",
    "CLAUDE_CODE_CLIENT_KEY",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_FEDERATED_TOKEN_FILE",
];

/// Names and beginnings of names that `ASKD_CHILD_ENV` must not hold, with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("ASKD_", "is one of the server's own settings"),
    ("ANTHROPIC_", "decides where requests and credentials go; only names on askd's own list pass"),
    ("CLAUDE", "changes how the CLI works; only names on askd's own list pass"),
    ("LD_", "makes every program load foreign code"),
    ("DYLD_", "makes every program load foreign code"),
];

const REFUSED_EXACTLY: &[(&str, &str)] = &[
    ("NODE_OPTIONS", "makes the CLI load foreign code"),
    ("BASH_ENV", "makes every shell run a file first"),
    ("ENV", "makes every shell run a file first"),
    ("HOME", "is set by askd for each run"),
    ("TRACEPARENT", "is set by askd for each run that is traced"),
    ("TRACESTATE", "is set by askd for each run that is traced"),
];

/// Whether `ASKD_CHILD_ENV` may hold this name; else why not, as the end of "…, which …".
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !name.starts_with(first) || !name.chars().all(|c| first(c) || c.is_ascii_digit()) {
        return Err("is not the name of an environment variable");
    }
    if PASSED.iter().any(|passed| passed.name == name) {
        return Err("is passed to the CLI anyway");
    }
    let setting = table::all()
        .find(|setting| setting.env == name || setting.file_variable().is_some_and(|variable| variable == name));
    if let Some(setting) = setting {
        return Err(if setting.is_secret() {
            "is a credential of the server and never reaches an agent this way"
        } else {
            "is one of the server's own settings"
        });
    }
    let exact = REFUSED_EXACTLY.iter().find(|(refused, _)| *refused == name);
    let found = exact.or_else(|| REFUSED.iter().find(|(refused, _)| name.starts_with(refused)));
    found.map_or(Ok(()), |(_, reason)| Err(*reason))
}

/// The longest name that a request may give to a variable, in bytes.
const MAX_NAME: usize = 128;

/// Beginnings of names, in capitals, by which the CLI itself is switched and that no other list has (checked with 2.1.330).
const SWITCHES: &[&str] = &[
    "API_FORCE_IDLE_TIMEOUT",
    "API_TIMEOUT",
    "CCR_",
    "DEMO_VERSION",
    "DISABLE_",
    "ENABLE_",
    "FALLBACK_FOR_ALL",
    "FORCE_AUTOUPDATE",
    "FORCE_PROMPT",
    "IS_DEMO",
    "IS_SANDBOX",
    "MAX_MCP",
    "MAX_STRUCTURED",
    "MAX_THINKING",
    "MCP_",
    "SESSION_INGRESS",
    "SLASH_COMMAND",
    "SRT_",
    "TASK_MAX",
    "USE_",
];

/// What is askd's in the environment of a run, besides what begins with the server's own names.
const OF_THE_RUN: &[&str] = &["LOGNAME", "OLDPWD", "PWD", "TEMP", "TERM", "TMP", "USER"];

/// Why a request may not set a variable of this name, as the end of "it …"; `None`: for all that this list knows it may.
pub fn flaw_in_request(name: &str) -> Option<&'static str> {
    if name.len() > MAX_NAME {
        return Some("is longer than 128 bytes");
    }
    if PASSED.iter().any(|passed| passed.name.eq_ignore_ascii_case(name)) {
        return Some("is the operator's to set");
    }
    if let Err(why) = check_name(name) {
        return Some(why);
    }
    let name = name.to_ascii_uppercase();
    if OF_THE_RUN.contains(&name.as_str()) {
        return Some("is set by the server for each run");
    }
    SWITCHES.iter().any(|begin| name.starts_with(begin)).then_some("changes how the CLI works")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_may_be_passed_on() {
        for name in ["GH_TOKEN", "npm_config_registry", "_X1"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_take_over_the_cli_or_leak_a_credential_are_refused() {
        for name in [
            "ANTHROPIC_MODEL",
            "CLAUDE_CONFIG_DIR",
            "CLAUDECODE",
            "LD_PRELOAD",
            "DYLD_INSERT_LIBRARIES",
            "NODE_OPTIONS",
            "BASH_ENV",
            "ENV",
            "PATH",
            "HOME",
            "ASKD_LOG",
            "ASKD_NEW",
            "API_KEY",
            "API_KEY_FILE",
            "ANTHROPIC_API_KEY",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_request_may_set_ordinary_names_and_none_that_switches_the_cli() {
        for name in ["GH_TOKEN", "DATABASE_URL", "MAX_ITEMS", "SESSION_SECRET", "TASK_ID", "FORCE_COLOR", "CI", "_x"] {
            assert_eq!(flaw_in_request(name), None, "{name}");
        }
        for name in [
            "AWS_REGION",
            "https_PROXY",
            "Term",
            "pwd",
            "MCP_TIMEOUT",
            "api_timeout_ms",
            "IS_SANDBOX",
            "ENABLE_LSP_TOOL",
            "ASKD_LOG",
            "MAX_CONCURRENT",
            "CLAUDE_CODE_SIMPLE",
            "A B",
            "",
        ] {
            assert!(flaw_in_request(name).is_some(), "{name}");
        }
        assert!(flaw_in_request(&"A".repeat(129)).is_some());
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for name in ["", "1X", "A B", "A=B", "A-B", "GH_*", "Ä"] {
            assert_eq!(check_name(name), Err("is not the name of an environment variable"), "{name:?}");
        }
    }

    #[test]
    fn the_variables_that_name_files_are_passed() {
        for name in FILES {
            assert!(PASSED.iter().any(|passed| passed.name == *name && !passed.secret), "{name}");
        }
    }

    #[test]
    fn no_name_is_listed_twice_or_is_also_a_setting() {
        for (at, passed) in PASSED.iter().enumerate() {
            assert!(PASSED[at + 1..].iter().all(|other| other.name != passed.name), "{}", passed.name);
            assert!(table::all().all(|setting| setting.env != passed.name), "{}", passed.name);
        }
    }
}
