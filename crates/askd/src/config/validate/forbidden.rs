//! Settings that no caller may add or change, whatever their key: the operator sets them in the file.
//!
//! Hooks and MCP servers are programs, too, and are what people want to manage: those have a permission. What is here runs
//! beside the credentials for the model, or says where these go, or what code the CLI itself loads.

use serde_json::{Map, Value};

use crate::config::json::{Json, MAX_PROBLEMS, Path};
use crate::config::problem::Problem;
use crate::settings::child_env;

/// Keys, and why. `*` is any one member or item.
const KEYS: [(&str, &[&str]); 5] = [
    (
        // Started by the CLI itself, some of them to give it a credential.
        "names a program that the CLI starts",
        &[
            "apiKeyHelper",
            "awsAuthRefresh",
            "awsCredentialExport",
            "fileSuggestion",
            "gcpAuthRefresh",
            "otelHeadersHelper",
            "policyHelper",
            "processWrapper",
            "proxyAuthHelper",
            "spellcheck.checker",
            "statusLine",
            "subagentStatusLine",
        ],
    ),
    // Another program in the place of the sandbox is no sandbox.
    (
        "names a program that the CLI's sandbox is made of",
        &["sandbox.bwrapPath", "sandbox.ripgrep", "sandbox.socatPath"],
    ),
    // Where the traffic and the credentials of the run go, and who is believed on the way.
    (
        "says where traffic or credentials go",
        &[
            "forceLoginGatewayUrl",
            "gatewayInternalNetworks",
            "sandbox.credentials.allowPlaintextInject",
            "sandbox.credentials.envVars.*.injectHosts",
            "sandbox.credentials.files.*.injectHosts",
            "sandbox.network.httpProxyPort",
            "sandbox.network.socksProxyPort",
            "sandbox.network.tlsTerminate",
        ],
    ),
    // Sources of plugins may be commands, and have helpers for their headers.
    ("names places that code is loaded from", &["additionalMarketplaces", "extraKnownMarketplaces"]),
    ("names other machines and commands for them", &["sshConfigs", "sshHostCommands"]),
];

/// Beginnings of names in `env`, in capitals. The variables reach the CLI as well as all it starts.
const VARIABLES: [(&str, &[&str]); 4] = [
    // The provider, its credentials, and the CLI's own switches.
    (
        "says where traffic or credentials go",
        &[
            "ANTHROPIC_",
            "API_KEY",
            "ASKD_",
            "AWS_",
            "AZURE_",
            "BEDROCK_",
            "CLAUDE_",
            "CLAUDECODE",
            "CLOUDSDK_",
            "CLOUD_ML_",
            "CURL_",
            "FOUNDRY_",
            "GCE_METADATA_",
            "GCLOUD_",
            "GOOGLE_",
            "GRPC_",
            "HOSTALIASES",
            "KUBECONFIG",
            "OTEL_",
            "REQUESTS_CA_BUNDLE",
            "RES_OPTIONS",
            "SSL_",
            "SSLKEYLOGFILE",
            "VERTEX_",
        ],
    ),
    // Loaders, interpreters and shells load code that these name before they do what they are started for. Launchers (`uvx`,
    // `npx`, `dnx`) fetch from where these say what they then start, an operator's MCP server for one.
    (
        "can load code into processes",
        &[
            "ASDF_",
            "BASHOPTS",
            "BASH_",
            "BUNDLE_",
            "BUN_",
            "CARGO_",
            "CLASSPATH",
            "CORECLR_",
            "COREPACK_",
            "COR_",
            "DENO_",
            "DOTNET_",
            "DYLD_",
            "ENV",
            "FPATH",
            "GCONV_PATH",
            "GEM_",
            "GIO_",
            "GLIBC_",
            "GOENV",
            "GOFLAGS",
            "GOINSECURE",
            "GONO",
            "GOPRIVATE",
            "GOPROXY",
            "GOROOT",
            "GOSUMDB",
            "GOTOOLCHAIN",
            "GRADLE_OPTS",
            "GTK_",
            "IFS",
            "JAVA_TOOL_OPTIONS",
            "JDK_JAVA_OPTIONS",
            "JULIA_",
            "LD_",
            "LUA_",
            "MAKEFILES",
            "MAKEFLAGS",
            "MAVEN_OPTS",
            "MISE_",
            "NODE_",
            "NPM_CONFIG_",
            "OPENSSL_CONF",
            "PERL",
            "PHPRC",
            "PHP_INI_SCAN_DIR",
            "PIPX_",
            "PIP_",
            "PNPM_",
            "POETRY_",
            "PROMPT_COMMAND",
            "PS4",
            "PYTHON",
            "RIPGREP_CONFIG_PATH",
            "RUBY",
            "RUSTFLAGS",
            "RUSTUP_",
            "R_",
            "SHELLOPTS",
            "TAR_OPTIONS",
            "UV_",
            "YARN_",
            "ZDOTDIR",
            "_JAVA_OPTIONS",
        ],
    ),
    // Which program is meant by a name, and what programs start on their own account.
    (
        "says which programs are started",
        &[
            "BROWSER",
            "DOCKER_",
            "EDITOR",
            "EXINIT",
            "GIT_",
            "HOME",
            "LESSCLOSE",
            "LESSOPEN",
            "MANPAGER",
            "PAGER",
            "PATH",
            "RSYNC_RSH",
            "RUSTC_",
            "SHELL",
            "SSH_",
            "SUDO_",
            "SYSTEMD_",
            "TMPDIR",
            "USE_BUILTIN_RIPGREP",
            "VIMINIT",
            "VISUAL",
            "XDG_",
        ],
    ),
    ("is askd's, which sets it for each run that is traced", &["TRACEPARENT", "TRACESTATE"]),
];

/// Names of which the beginning would be too much, and which nothing but the programs of a run goes by: whose commit it is, and
/// how a program is built. The CLI works alike with each `NODE_ENV` (checked with 2.1.261, 2.1.276 and 2.1.330).
const HARMLESS: [&str; 7] = [
    "GIT_AUTHOR_DATE",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_DATE",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
    "NODE_ENV",
];

/// Names of which all that begin so would be too many.
const WHOLE: [&str; 9] = ["ENV", "HOME", "IFS", "PATH", "PS4", "PAGER", "EDITOR", "SHELL", "FPATH"];

/// What of `new` no caller may set, unless `old` says the same. A text that is no JSON says nothing, and is refused elsewhere.
pub fn forbidden(old: Option<&str>, new: &str) -> Vec<Problem> {
    let Ok(new) = Json::object(new) else { return Vec::new() };
    let old = old.and_then(|old| Json::object(old).ok().map(|old| old.value().clone())).unwrap_or_default();
    let mut found = Vec::new();
    let mut changed = |path: Path, value: &Value, was: &Value, why: &str| {
        if value != was {
            let message = format!("{why}, which only the operator may do: set it in the file on the server");
            found.push(new.problem(&path, message));
        }
    };
    for (why, keys) in KEYS {
        for key in keys {
            let steps: Vec<_> = key.split('.').collect();
            each(new.value(), &old, &steps, &Path::default(), &mut |path, value, was| changed(path, value, was, why));
        }
    }
    let variables = |settings: &Value| settings["env"].as_object().cloned().unwrap_or_else(Map::new);
    let before = variables(&old);
    for (name, value) in variables(new.value()) {
        if let Some(why) = why_not(&name) {
            changed(Path::from(["env"]).key(&name), &value, before.get(&name).unwrap_or(&Value::Null), why);
        }
    }
    found.sort_by_key(|problem| problem.line);
    found.truncate(MAX_PROBLEMS);
    found
}

/// Calls `look` with all that the keys lead to, and with what was there before.
fn each(value: &Value, was: &Value, keys: &[&str], path: &Path, look: &mut impl FnMut(Path, &Value, &Value)) {
    let Some((key, rest)) = keys.split_first() else { return look(path.clone(), value, was) };
    match (*key, value) {
        ("*", Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                each(item, &was[index], rest, &path.index(index), look);
            }
        }
        (key, Value::Object(members)) => {
            for (name, member) in members.iter().filter(|(name, _)| key == "*" || *name == key) {
                each(member, &was[name], rest, &path.key(name), look);
            }
        }
        _ => {}
    }
}

/// Why a request may not set a variable of this name for the programs of its run; follows the name.
pub fn variable_flaw(name: &str) -> Option<&'static str> {
    child_env::flaw_in_request(name).or_else(|| why_not(name))
}

/// Why a variable may not be set.
fn why_not(name: &str) -> Option<&'static str> {
    if HARMLESS.contains(&name) {
        return None;
    }
    let name = name.trim().to_ascii_uppercase();
    if name.ends_with("_PROXY") {
        return Some("says where traffic or credentials go");
    }
    let is_meant = |begin: &&str| if WHOLE.contains(begin) { name == **begin } else { name.starts_with(*begin) };
    VARIABLES.iter().find(|(_, begins)| begins.iter().any(is_meant)).map(|(why, _)| *why)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn told(old: Option<&str>, new: &str) -> Vec<String> {
        forbidden(old, new).into_iter().map(|problem| problem.field.unwrap()).collect()
    }

    #[test]
    fn programs_routes_and_loaders_are_the_operators() {
        let text = r#"{
            "apiKeyHelper": "x", "statusLine": {"type": "command", "command": "x"}, "sandbox": {"ripgrep": {"command": "x"}, "enabled": true},
            "env": {"LD_PRELOAD": "x", "https_proxy": "x", "ANTHROPIC_BASE_URL": "x", "PATH": "x", "PATHOLOGY": "x", "ENV": "x",
                "ENVIRONMENT": "x", "NODE_ENV": "x", "GIT_AUTHOR_NAME": "x", "node_options": "x", "GIT_SSH_COMMAND": "x", "FOO": "x", "Bash_Env": "x"},
            "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x"}]}]}, "model": "opus"
        }"#;
        let expected = [
            "apiKeyHelper",
            "statusLine",
            "sandbox.ripgrep",
            "env.ANTHROPIC_BASE_URL",
            "env.ENV",
            "env.LD_PRELOAD",
            "env.PATH",
            "env.https_proxy",
            "env.Bash_Env",
            "env.GIT_SSH_COMMAND",
            "env.node_options",
        ];
        assert_eq!(told(None, text), expected);
        assert_eq!(told(Some(text), text), [""; 0], "what the operator has set may stay");
    }

    #[test]
    fn what_is_there_may_stay_or_go_and_not_change() {
        let old = r#"{"apiKeyHelper": "a", "env": {"PATH": "/bin"}, "extraKnownMarketplaces": {"a": {}}}"#;
        assert_eq!(told(Some(old), "{}"), [""; 0]);
        assert_eq!(
            told(Some(old), r#"{"model": "opus", "env": {"PATH": "/bin", "A": "b"}, "apiKeyHelper": "a"}"#),
            [""; 0]
        );
        assert_eq!(told(Some(old), r#"{"env": {"PATH": "/tmp"}, "apiKeyHelper": "b"}"#), ["apiKeyHelper", "env.PATH"]);
        assert_eq!(told(Some(old), r#"{"extraKnownMarketplaces": {"a": {}, "b": {}}}"#), ["extraKnownMarketplaces"]);
        assert_eq!(told(Some("no json"), r#"{"apiKeyHelper": "a"}"#), ["apiKeyHelper"]);
        assert_eq!(told(None, "no json"), [""; 0]);
    }

    #[test]
    fn a_list_inside_is_looked_at_item_by_item() {
        let text = r#"{"sandbox": {"credentials": {"files": [{"path": "a", "mode": "mask"}, {"path": "b", "mode": "mask", "injectHosts": ["x"]}]}}}"#;
        assert_eq!(told(None, text), ["sandbox.credentials.files[1].injectHosts"]);
    }

    #[test]
    fn a_line_leads_to_each() {
        let found = forbidden(None, "{\n\"model\": \"opus\",\n\"env\": {\n\"PATH\": \"x\"}}");
        assert_eq!(
            found.first().unwrap().to_string(),
            "line 4: `env.PATH`: says which programs are started, which only the operator may do: set it in the file on the server"
        );
    }

    /// Parts of names that hint at a program or at a route.
    const HINTS: [&str; 21] = [
        "binary", "bwrap", "checker", "command", "exec", "export", "file", "gateway", "header", "helper", "host",
        "path", "program", "proxy", "refresh", "ripgrep", "script", "shell", "socat", "url", "wrapper",
    ];

    /// Keys that have such a name and were looked at. What begins with them is judged with them.
    const HARMLESS: [&str; 33] = [
        // Restrictions, by the name or address of something that is configured elsewhere.
        "allowedHttpHookUrls",
        "allowedMarketplaces",
        "allowedMcpServers",
        "blockedMarketplaces",
        "deniedMcpServers",
        "sandbox.credentials.envVars",
        "sandbox.credentials.files",
        "sandbox.excludedCommands",
        "sandbox.filesystem",
        "strictKnownMarketplaces",
        // Switches and words of a list.
        "attribution.sessionUrl",
        "autoMode.classifyAllShell",
        "defaultShell",
        "disableCommandPluginSources",
        "disableSkillShellExecution",
        "disableWindowsBashCommandSplit",
        "fileCheckpointingEnabled",
        "forceRemoteSettingsRefresh",
        "permissions.blockReadsExemptPaths",
        "permissions.allow",
        "respondToBashCommands",
        "sandbox.allowUnsandboxedCommands",
        "sandbox.enableWeakerNestedSandbox",
        // Texts that are shown.
        "modelPicker",
        "footerLinksRegexes",
        "prUrlTemplate",
        "spinnerTipsOverride.tipsFile",
        // Files of the workspace.
        "worktree",
        // Programs that people want to manage: whoever writes settings has the permission for what executes.
        "hooks",
        "managedMcpServers",
        "pluginConfigs",
        "permissions.additionalDirectories",
        "autoMemoryDirectory",
    ];

    #[test]
    fn every_key_of_the_cli_that_sounds_like_a_program_or_a_route_has_been_judged() {
        let schema = serde_json::from_str(include_str!("../settings.schema.json")).unwrap();
        let mut sounding = BTreeSet::new();
        collect(&schema, "", &mut sounding);
        assert!(sounding.contains("apiKeyHelper") && sounding.len() > 40, "{sounding:?}");
        let covers =
            |key: &str, name: &str| name == key || name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        let judged = KEYS.iter().flat_map(|(_, keys)| keys.iter()).chain(&HARMLESS);
        let judged: Vec<_> = judged.copied().collect();
        let unknown: Vec<_> =
            sounding.iter().filter(|name| !judged.iter().any(|key| covers(key, name))).cloned().collect();
        assert_eq!(unknown, [""; 0], "new keys of the CLI: add them to KEYS or, with a reason, to HARMLESS");
    }

    fn collect(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            if HINTS.iter().any(|hint| name.to_lowercase().contains(hint)) {
                found.insert(path.clone());
            }
            collect(member, &path, found);
        }
        for keyword in ["items", "additionalProperties"] {
            if schema[keyword].is_object() {
                collect(&schema[keyword], &format!("{path}.*"), found);
            }
        }
        for form in schema["anyOf"].as_array().into_iter().flatten() {
            collect(form, path, found);
        }
    }
}
