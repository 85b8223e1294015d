//! From checked values to the typed [`Settings`].

use std::path::PathBuf;

use super::Settings;
use claude::permission_mode::PermissionMode;

use super::choices::{
    ConfigChanges, Docs, ForwardedHeader, IsolationPolicy, LogFormat, ProjectConfig, SqliteSynchronous, WriteRoot,
};
use super::groups::{
    Auth, Cgroup, Child, Configuration, Credentials, Deadlines, Health, Isolation, Limits, Logging, Metrics, Models,
    Network, Output, Paths, Permissions, RunLimits, Server, Stopping, Store, Traces, Uploads,
};
use super::load::Passed;
use super::network::{AllowedHost, Origin, Rates, network as one_network};
use super::otlp::{Collector, attributes, headers};
use super::secret_key::SecretKey;
use super::values::Values;

impl Settings {
    pub(super) fn from_values(v: &Values, environment: &[Passed]) -> Self {
        let environment = environment.iter().map(|passed| (passed.name.clone(), passed.value.clone()));
        Self {
            server: server(v),
            network: network(v),
            auth: Auth {
                api_key: v.secret("api_key"),
                config_changes: v.word("config_changes", ConfigChanges::from_word),
            },
            credentials: credentials(v),
            paths: Paths {
                config_dir: v.path("config_dir"),
                workspace_dir: v.path("workspace_dir"),
                data_dir: v.path("data_dir"),
                claude_bin: v.path("claude_bin"),
                private_files: Vec::new(),
                home: None,
                session_retention: v.duration("session_retention"),
                sessions_max_size: v.size("sessions_max_size"),
                max_config: v.size("max_config"),
                max_session: v.size("max_session"),
            },
            store: store(v),
            uploads: Uploads {
                max_size: v.size("max_upload"),
                max_of_key: v.size("max_uploads_per_key"),
                max_of_all: v.size("max_uploads"),
                retention: v.duration("upload_retention"),
                max_content: v.size("max_content"),
            },
            configuration: Configuration {
                versions: v.integer("config_versions"),
                audit_retention: v.duration("audit_retention"),
            },
            limits: Limits {
                max_concurrent: v.count("max_concurrent"),
                queue_length: v.count("queue_length"),
                queue_timeout: v.duration("queue_timeout"),
                run_queue_timeout: v.duration("run_queue_timeout"),
                budget_margin: v.usd("budget_margin"),
                schema_repairs: u32::try_from(v.integer("schema_repairs")).unwrap_or(u32::MAX),
            },
            health: Health {
                cli_start_failures: u32::try_from(v.integer("cli_start_failures")).unwrap_or(u32::MAX),
                cli_check_every: v.duration("cli_check_every"),
                ready_when_full: v.bool("ready_when_full"),
            },
            deadlines: Deadlines {
                process_timeout: v.duration("process_timeout"),
                max_run_time: v.duration("max_run_time"),
                first_output: v.duration("first_output_timeout"),
                idle: v.duration("idle_timeout"),
                result_grace: v.duration("result_grace"),
            },
            permissions: permissions(v),
            isolation: isolation(v),
            run_limits: run_limits(v),
            models: Models { allowed: v.list("models"), default: v.optional_text("default_model") },
            child: Child { environment: environment.collect() },
            output: Output {
                max_line: v.bytes("max_line"),
                max_output: v.size("max_output"),
                ring_bytes: v.bytes("ring_bytes"),
                pending_bytes: v.bytes("pending_bytes"),
                stderr_tail: v.bytes("stderr_tail"),
            },
            stopping: Stopping {
                soft: v.duration("stop_soft"),
                eof: v.duration("stop_eof"),
                term: v.duration("stop_term"),
                kill: v.duration("stop_kill"),
                drain_delay: v.duration("drain_delay"),
                shutdown_grace: v.duration("shutdown_grace"),
            },
            metrics: metrics(v),
            logging: Logging { filter: v.text("log"), format: v.word("log_format", LogFormat::from_word) },
            traces: traces(v),
        }
    }
}

fn server(v: &Values) -> Server {
    Server {
        listen: v.address("listen"),
        max_connections: v.count("max_connections"),
        max_requests_per_key: requests_per_key(v),
        header_timeout: v.duration("header_timeout"),
        write_timeout: v.duration("write_timeout"),
        last_byte_timeout: v.duration("last_byte_timeout"),
        heartbeat: v.duration("heartbeat"),
        max_body: v.bytes("max_body"),
        max_config_body: v.bytes("max_config_body"),
        body_timeout: v.duration("body_timeout"),
        max_headers: v.bytes("max_headers"),
        max_header_count: v.count("max_header_count"),
        max_wait: v.duration("max_wait"),
        legacy_lenient: v.bool("legacy_lenient"),
        docs: v.word("docs", Docs::from_word),
        tls: None,
    }
}

/// What is set, or a quarter of the connections: no three keys together can then keep all others out.
fn requests_per_key(v: &Values) -> usize {
    let set = v.optional_integer("max_requests_per_key").and_then(|most| usize::try_from(most).ok());
    set.unwrap_or_else(|| (v.count("max_connections") / 4).max(1))
}

fn network(v: &Values) -> Network {
    // The items have been checked by their kinds, so none is left out.
    Network {
        allowed_hosts: v.list("allowed_hosts").iter().filter_map(|item| AllowedHost::read(item).ok()).collect(),
        allowed_origins: v.list("allowed_origins").iter().filter_map(|item| Origin::read(item).ok()).collect(),
        trusted_proxies: v.list("trusted_proxies").iter().filter_map(|item| one_network(item).ok()).collect(),
        forwarded_header: v.word("forwarded_header", ForwardedHeader::from_word),
        rates: Rates {
            ask: v.rate("rate_ask"),
            config: v.rate("rate_config"),
            runs: v.rate("rate_runs"),
            v1: v.rate("rate_v1"),
            failures: v.rate("rate_failures"),
        },
    }
}

fn store(v: &Values) -> Store {
    let run_retention = v.duration("run_retention");
    Store {
        database_url: v.optional_secret("database_url"),
        sqlite_synchronous: v.word("sqlite_synchronous", SqliteSynchronous::from_word),
        timeout: v.duration("store_timeout"),
        lease: v.duration("lease"),
        run_retention,
        // Whoever lowers the one alone has said enough; what is written and contradicts is reported by `checks`.
        event_retention: v.duration("event_retention").min(run_retention),
        // It has been read once by `checks`.
        secret_key: v.optional_secret("secret_key").and_then(|written| SecretKey::read(&written).ok()),
    }
}

fn traces(v: &Values) -> Traces {
    // What is written has been checked by its kind, and the headers by `checks`.
    Traces {
        collector: v.optional_text("otlp_endpoint").and_then(|text| Collector::read(&text).ok()),
        headers: v.optional_secret("otlp_headers").and_then(|written| headers(&written).ok()).unwrap_or_default(),
        ca: v.get("otlp_ca").map(|_| v.path("otlp_ca")),
        timeout: v.duration("otlp_timeout"),
        sample: v.ratio("trace_sample"),
        queue: v.count("trace_queue"),
        run_spans: v.count("trace_run_spans"),
        content: v.bool("trace_content"),
        resource: v.optional_text("trace_resource").and_then(|text| attributes(&text).ok()).unwrap_or_default(),
    }
}

fn metrics(v: &Values) -> Metrics {
    Metrics {
        listen: v.get("metrics_listen").map(|_| v.address("metrics_listen")),
        max_connections: v.count("metrics_max_connections"),
        max_models: v.count("metrics_max_models"),
        max_keys: v.count("metrics_max_keys"),
    }
}

fn credentials(v: &Values) -> Credentials {
    Credentials {
        anthropic_api_key: v.optional_secret("anthropic_api_key"),
        anthropic_auth_token: v.optional_secret("anthropic_auth_token"),
        claude_code_oauth_token: v.optional_secret("claude_code_oauth_token"),
        api_key_helper: v.optional_text("api_key_helper"),
        api_key_helper_ttl: v.duration("api_key_helper_ttl"),
    }
}

fn permissions(v: &Values) -> Permissions {
    let workspace = v.path("workspace_dir");
    let folders = v.list("trusted_projects").into_iter().map(|folder| workspace.join(folder));
    Permissions {
        default_mode: v.word("default_permission_mode", PermissionMode::from_word),
        allow_bypass: v.bool("allow_bypass"),
        allow_root: v.bool("allow_root"),
        run_as: v.optional_text("run_as"),
        project_config: v.word("project_config", ProjectConfig::from_word),
        trusted_projects: folders.collect(),
    }
}

fn isolation(v: &Values) -> Isolation {
    let folders = |key| v.list(key).into_iter().map(PathBuf::from).collect();
    Isolation {
        policy: v.word("isolation", IsolationPolicy::from_word),
        bwrap_bin: v.path("bwrap_bin"),
        hidden_folders: folders("hidden_folders"),
        readable_folders: folders("readable_folders"),
        writable_folders: folders("writable_folders"),
        write_root: v.word("write_root", WriteRoot::from_word),
        cgroup: match v.text("cgroup").as_str() {
            "auto" => Cgroup::Auto,
            "off" => Cgroup::Off,
            folder => Cgroup::Folder(folder.into()),
        },
    }
}

fn run_limits(v: &Values) -> RunLimits {
    RunLimits {
        memory: v.size("max_memory"),
        processes: v.integer("max_processes"),
        open_files: v.integer("max_open_files"),
        home: v.size("max_home"),
        home_files: v.integer("max_home_files"),
        cpu_percent: v.optional_integer("max_cpu_percent").map(|percent| u32::try_from(percent).unwrap_or(u32::MAX)),
        min_free_disk: v.size("min_free_disk"),
    }
}
