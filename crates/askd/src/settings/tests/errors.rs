//! Every error says what is wrong, where it was written and what to do.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::Surroundings;
use crate::settings::groups::Cgroup;
use crate::settings::{IsolationPolicy, Settings, WriteRoot, table};

/// A wrong value in the environment and the beginning of what is said of it.
#[track_caller]
fn refused(name: &str, value: &str, expected: &str) {
    let problem = Surroundings::new().env(name, value).problem();
    assert!(problem.contains(&format!("from environment variable `{name}`: {value:?} ")), "{problem}");
    assert!(problem.contains(expected), "{problem}");
    assert!(problem.contains("\n  hint: "), "{problem}");
}

#[test]
fn an_address_that_may_hold_credentials_is_refused_without_showing_it() {
    for value in ["http://me:sesame@h", "grpc://me:sesame@h", "http://me:ses ame@h", "http://h/?token=sesame"] {
        let problem = Surroundings::new().env("ASKD_OTLP_ENDPOINT", value).problem();
        assert!(problem.contains("from environment variable `ASKD_OTLP_ENDPOINT`: "), "{problem}");
        assert!(!problem.contains("ame"), "{problem}");
    }
    refused("ASKD_OTLP_ENDPOINT", "127.0.0.1:4318", "does not begin with http:// or https://");
}

#[test]
fn an_error_reads_like_this() {
    let at = Surroundings::new().env("MAX_CONCURRENT", "0").toml("\nqueue_timout = 5\nlisten = 3000\n");
    let at = at.flag("log_format", "yaml");
    let errors = Settings::load(&at.sources).unwrap_err().to_string();
    assert_eq!(
        errors,
        "the settings are not valid:\n\
         - `listen` from `askd.toml` line 3 key `listen`: \"3000\" is not an address with a port\n  \
           hint: give an IP address and a port, such as `127.0.0.1:3000` or `[::1]:3000`\n\
         - `max_concurrent` from environment variable `MAX_CONCURRENT`: \"0\" is below the smallest value, 1\n  \
           hint: give a whole number from 1 to 1000\n\
         - `log_format` from flag `--log-format`: \"yaml\" is not one of the known words\n  \
           hint: give one of `auto`, `human`, `json`\n\
         - `queue_timout` from `askd.toml` line 2 key `queue_timout`: there is no such setting\n  \
           hint: did you mean `queue_timeout`?"
    );
}

#[test]
fn numbers_are_whole_not_negative_and_within_their_range() {
    refused("MAX_CONCURRENT", "0", "is below the smallest value, 1");
    refused("MAX_CONCURRENT", "1001", "is above the largest value, 1000");
    for text in ["-1", "+1", "1.5", "three", " 3", "99999999999999999999999"] {
        refused("MAX_CONCURRENT", text, "is not a whole number");
    }
}

#[test]
fn durations_and_sizes_are_checked_in_the_same_way() {
    refused("QUEUE_TIMEOUT", "0", "is below the smallest value, 1ms");
    refused("QUEUE_TIMEOUT", "-5", "is not a duration");
    refused("ASKD_IDLE_TIMEOUT", "10 minutes", "is not a duration");
    refused("ASKD_IDLE_TIMEOUT", "9999h", "is above the largest value, 720h");
    refused("ASKD_IDLE_TIMEOUT", "99999999999999999h", "is not a duration");
    refused("ASKD_API_KEY_HELPER_TTL", "5", "is below the smallest value, 1s");
    refused("ASKD_MAX_LINE", "0", "is below the smallest value, 1KiB");
    refused("ASKD_MAX_LINE", "64MB", "is not a size");
}

#[test]
fn words_addresses_filters_and_models_are_checked() {
    refused("ASKD_ALLOW_ROOT", "maybe", "is not a yes or no");
    refused("ASKD_LISTEN", "localhost:3000", "is not an address with a port");
    refused("ASKD_LISTEN", "127.0.0.1:99999", "is not an address with a port");
    refused("ASKD_PROJECT_CONFIG", "on", "give one of `auto`, `trusted`, `off`");
    refused("ASKD_LOG", "askd=loud", "is not a log filter");
    refused("ASKD_DEFAULT_MODEL", "--version", "is not a model id");
    refused("ASKD_MODELS", "claude-x,-p", "holds \"-p\", which is not a model id");
    refused("ASKD_TRUSTED_PROJECTS", "a,../b", "which is empty or contains `..`");
    refused("WORKSPACE_DIR", "/work\u{fffd}", "is not valid UTF-8");
}

#[test]
fn folders_users_and_words_of_isolation_are_checked() {
    refused("ASKD_ISOLATION", "on", "give one of `required`, `best_effort`, `off`");
    refused("ASKD_WRITE_ROOT", "/", "give one of `workspace`, `root`");
    for name in ["ASKD_HIDDEN_FOLDERS", "ASKD_READABLE_FOLDERS", "ASKD_WRITABLE_FOLDERS"] {
        for (value, item) in [("/srv,data", "data"), ("/", "/"), ("/srv/../etc", "/srv/../etc")] {
            refused(name, value, &format!("holds {item:?}, which is no absolute path of a folder"));
        }
    }
    for value in ["yes", "groups/askd", "/", "/sys/../etc"] {
        refused("ASKD_CGROUP", value, "give `auto`, `off` or the absolute path of a cgroup's folder");
    }
    for value in
        ["-1", "1000:", ":1", "1000:1:1", "4294967295", "99999999999", "a b", "-u", "a:b,", "a:b c", "a:-b", "1a"]
    {
        refused("ASKD_RUN_AS", value, "is not a user's name or id");
    }
}

#[test]
fn hosts_origins_networks_and_rates_are_checked() {
    for (value, what) in [
        ("*", "is a pattern"),
        ("localhost,*.example.com", "is a pattern"),
        ("https://askd.example.com", "is a URL"),
        ("::1", "is an IPv6 address without brackets"),
        ("askd.example.com:99999", "is not a host"),
    ] {
        refused("ASKD_ALLOWED_HOSTS", value, &format!(", which {what}"));
    }
    for (value, what) in [
        ("*", "is a pattern"),
        ("null", "is the origin of anybody"),
        ("app.example.com", "has no scheme"),
        ("https://app.example.com/", "has a path"),
    ] {
        refused("ASKD_ALLOWED_ORIGINS", value, &format!("holds {value:?}, which {what}"));
    }
    refused(
        "ASKD_TRUSTED_PROXIES",
        "10.0.0.0/8,proxy",
        "holds \"proxy\", which is neither an IP address nor a network",
    );
    refused("ASKD_FORWARDED_HEADER", "X-Real-IP", "give one of `x-forwarded-for`, `forwarded`");
    for name in ["ASKD_RATE_ASK", "ASKD_RATE_CONFIG", "ASKD_RATE_RUNS", "ASKD_RATE_V1", "ASKD_RATE_FAILURES"] {
        refused(name, "1000001", "give a whole number from 0 to 1000000");
    }
}

#[test]
fn the_front_is_closed_to_pages_and_proxies_and_has_its_limits_by_default() {
    let network = Surroundings::new().settings().network;
    assert!(
        network.allowed_hosts.is_empty() && network.allowed_origins.is_empty() && network.trusted_proxies.is_empty()
    );
    let rates = network.rates;
    let rates = [rates.ask, rates.config, rates.runs, rates.v1, rates.failures].map(|rate| rate.map_or(0, u32::from));
    assert_eq!(rates, [60, 60, 120, 1200, 20]);
    let off = Surroundings::new().env("ASKD_RATE_ASK", "0").settings().network.rates;
    assert_eq!(off.ask, None);
}

#[test]
fn a_server_that_any_name_leads_to_and_a_proxy_that_is_everybody_bring_warnings() {
    let beyond = Surroundings::new().env("ASKD_LISTEN", "0.0.0.0:3000");
    let warnings = beyond.load().warnings;
    assert!(matches!(&warnings[..], [only] if only.starts_with("`ASKD_ALLOWED_HOSTS` is empty")), "{warnings:?}");
    let named = Surroundings::new().env("ASKD_LISTEN", "[::]:3000").env("ASKD_ALLOWED_HOSTS", "askd.example.com");
    assert_eq!(named.load().warnings, [""; 0]);
    assert_eq!(Surroundings::new().env("ASKD_LISTEN", "[::1]:3000").load().warnings, [""; 0]);
    let warnings = Surroundings::new().env("ASKD_TRUSTED_PROXIES", "10.0.0.1, ::/0").load().warnings;
    assert!(
        matches!(&warnings[..], [only] if only.starts_with("`ASKD_TRUSTED_PROXIES` holds everybody")),
        "{warnings:?}"
    );
}

#[test]
fn isolation_is_what_the_machine_allows_unless_the_operator_says_more() {
    let settings = Surroundings::new().settings().isolation;
    assert_eq!((settings.policy, settings.write_root), (IsolationPolicy::BestEffort, WriteRoot::Workspace));
    assert_eq!((settings.cgroup, settings.hidden_folders), (Cgroup::Auto, Vec::new()));
    let at = Surroundings::new().toml("hidden_folders = ['/srv/a', '/srv/b']\ncgroup = '/sys/fs/cgroup/askd'");
    let settings = at.settings();
    assert_eq!(settings.isolation.hidden_folders, [Path::new("/srv/a"), Path::new("/srv/b")]);
    assert_eq!(settings.isolation.cgroup, Cgroup::Folder("/sys/fs/cgroup/askd".into()));
    assert_eq!(settings.paths.home.as_deref(), Some(Path::new("/home/somebody")));
}

#[test]
fn users_are_names_or_numbers() {
    for value in [
        "nobody",
        "www-data",
        "0",
        "1000",
        "1000:0",
        "J.Doe",
        "svc$",
        "CORP\\jane",
        "jane@corp",
        "a:b",
        "a:b,44",
        "1000:x",
    ] {
        let run_as = Surroundings::new().env("ASKD_RUN_AS", value).settings().permissions.run_as;
        assert_eq!(run_as.as_deref(), Some(value));
    }
}

#[test]
fn variables_that_would_take_over_the_cli_are_not_passed_on() {
    refused(
        "ASKD_CHILD_ENV",
        "GH_TOKEN,LD_PRELOAD",
        "holds \"LD_PRELOAD\", which makes every program load foreign code",
    );
    refused("ASKD_CHILD_ENV", "API_KEY", "take \"API_KEY\" out of the list");
}

#[test]
fn an_empty_flag_or_key_is_an_error_unlike_an_empty_variable() {
    assert!(Surroundings::new().flag("listen", "").problem().contains("flag `--listen`: \"\" is empty"));
    assert!(Surroundings::new().toml("config_dir = ''").problem().contains("line 1 key `config_dir`: \"\" is empty"));
}

#[test]
fn the_wrong_type_in_the_file_is_named() {
    for text in ["{ a = 1 }", "2026-01-01", "[{ a = 1 }]"] {
        let problem = Surroundings::new().toml(&format!("max_concurrent = {text}")).problem();
        assert!(problem.contains("has the wrong type"), "{problem}");
    }
    let problem = Surroundings::new().toml("max_concurrent = 1.5").problem();
    assert!(problem.contains("\"1.5\" is not a whole number"), "{problem}");
    let problem = Surroundings::new().toml("max_concurrent = [1, 2]").problem();
    assert!(problem.contains("is a list where one value is expected"), "{problem}");
}

#[test]
fn a_file_that_cannot_be_read_or_is_not_toml_is_an_error_with_its_origin() {
    let problem = Surroundings::new().env("ASKD_CONFIG", "none.toml").problem();
    assert!(
        problem.starts_with("`config` from environment variable `ASKD_CONFIG`: \"none.toml\" cannot be read: "),
        "{problem}"
    );
    let at = Surroundings::new().toml("max_concurrent = 4\napi_key_file = sesame\n");
    let problems = at.problems().iter().map(ToString::to_string).collect::<String>();
    assert!(problems.starts_with("`config` from `askd.toml` line 2: is not TOML: "), "{problems}");
    assert!(!problems.contains("sesame"), "the line may hold a secret: {problems}");
}

#[test]
fn an_unknown_key_gets_a_suggestion_where_there_is_one() {
    for (text, expected) in [
        ("max_concurent = 4", "did you mean `max_concurrent`?"),
        ("max-concurrent = 4", "did you mean `max_concurrent`?"),
        ("MAX_CONCURRENT = 4", "did you mean `max_concurrent`?"),
        ("api_key_fil = 'x'", "did you mean `api_key_file`?"),
        ("[server]\nlisten = 'x'", "list the keys of the settings file"),
        ("favourite_colour = 'blue'", "list the keys of the settings file"),
    ] {
        let problem = Surroundings::new().toml(text).problem();
        assert!(problem.contains("there is no such setting"), "{problem}");
        assert!(problem.contains("line 1 key") && problem.contains(expected), "{problem}");
    }
}

#[test]
fn an_unknown_askd_variable_gets_a_suggestion_and_its_value_is_not_shown() {
    for (name, expected) in [
        ("ASKD_LISTN", "did you mean `ASKD_LISTEN`?"),
        ("ASKD_MAX_CONCURRENT", "did you mean `MAX_CONCURRENT`?"),
        ("ASKD_API_KEY", "did you mean `API_KEY`?"),
        ("ASKD_METRICS_LISTENER_ADDRESS", "remove it"),
    ] {
        let problem = Surroundings::new().env(name, "sesame").problem();
        assert!(problem.contains(&format!("`{name}`: there is no such setting")), "{problem}");
        assert!(problem.contains(expected) && !problem.contains("sesame"), "{problem}");
    }
}

#[test]
fn variables_of_others_are_ignored_and_so_are_those_that_kubernetes_makes() {
    Surroundings::new().env("MAX_CONCURENT", "x").env("askd_listen", "x").load();
    Surroundings::new()
        .env("ASKD_SERVICE_HOST", "10.0.0.1")
        .env("ASKD_SERVICE_PORT", "3000")
        .env("ASKD_SERVICE_PORT_HTTP", "3000")
        .env("ASKD_PORT", "tcp://10.0.0.1:3000")
        .env("ASKD_PORT_3000_TCP", "tcp://10.0.0.1:3000")
        .env("ASKD_PORT_3000_TCP_ADDR", "10.0.0.1")
        .env("ASKD_METRICS_SERVICE_HOST", "10.0.0.1")
        .load();
    let problem = Surroundings::new().env("ASKD_PORT", "3000").problem();
    assert!(problem.contains("there is no such setting"), "a person wrote this: {problem}");
}

#[test]
fn bypass_as_the_default_needs_the_operators_consent() {
    let at = Surroundings::new().env("ASKD_DEFAULT_PERMISSION_MODE", "bypassPermissions");
    let problem = at.problem();
    assert!(problem.contains("`ASKD_DEFAULT_PERMISSION_MODE`: \"bypassPermissions\" is not allowed"), "{problem}");
    assert!(problem.contains("set ASKD_ALLOW_BYPASS=1"), "{problem}");
    at.env("ASKD_ALLOW_BYPASS", "1").load();
}

#[test]
fn the_default_model_must_be_allowed() {
    let at = Surroundings::new().env("ASKD_DEFAULT_MODEL", "claude-x-1");
    assert!(at.problem().contains("is not one of the allowed models"), "{}", at.problem());
    at.env("ASKD_MODELS", "claude-x-1").load();
    Surroundings::new().env("ASKD_DEFAULT_MODEL", "haiku").load();
}

#[test]
fn a_usual_run_must_not_be_longer_than_the_longest() {
    let problem = Surroundings::new().env("ASKD_MAX_RUN_TIME", "24").problem();
    assert!(problem.contains("`ASKD_MAX_RUN_TIME`: \"24ms\" is below PROCESS_TIMEOUT, 15m"), "{problem}");
    let problem = Surroundings::new().env("PROCESS_TIMEOUT", "25h").problem();
    assert!(problem.contains("`PROCESS_TIMEOUT`: \"25h\" is above ASKD_MAX_RUN_TIME, 24h"), "{problem}");
}

#[test]
fn events_go_with_their_run_at_the_latest() {
    let problem = Surroundings::new().env("ASKD_EVENT_RETENTION", "800h").problem();
    assert!(problem.contains("`ASKD_EVENT_RETENTION`: \"800h\" is above ASKD_RUN_RETENTION, 720h"), "{problem}");
    let store = Surroundings::new().env("ASKD_RUN_RETENTION", "24h").settings().store;
    assert_eq!((store.run_retention, store.event_retention), (Duration::from_hours(24), Duration::from_hours(24)));
}

#[test]
fn there_must_be_a_key_and_a_place_for_data() {
    let mut at = Surroundings::new();
    at.sources.env.clear();
    let problems = at.problems();
    assert!(problems[0].to_string().starts_with("`api_key`: is required and not set"), "{}", problems[0]);
    assert!(problems[0].hint.contains("API_KEY_FILE"));
    assert!(problems[1].to_string().starts_with("`data_dir`: is not set, and neither is"), "{}", problems[1]);
}

#[test]
fn a_long_value_is_cut() {
    let problem = Surroundings::new().env("ASKD_LISTEN", &"x".repeat(500)).problem();
    assert!(problem.contains("x\"… is not an address") && problem.len() < 300, "{problem}");
}

proptest! {
    #[test]
    fn whatever_is_written_either_loads_or_is_reported_under_its_own_name(
        at in 0..table::all().count(),
        text in "\\PC{1,12}|-?[0-9]{1,30}(ms|s|h|GiB)?",
    ) {
        let setting = table::all().nth(at).unwrap();
        let surroundings = Surroundings::new().env(setting.env, &text);
        if let Err(errors) = Settings::load(&surroundings.sources) {
            prop_assert_eq!(errors.problems().len(), 1, "{}", errors);
            prop_assert_eq!(errors.problems()[0].setting.as_str(), setting.key);
            let hidden = setting.kind.may_hold_a_secret(&text);
            prop_assert_eq!(errors.problems()[0].value.is_none(), hidden, "{}", errors);
        }
    }
}

#[test]
fn a_share_of_traces_is_a_number_from_0_to_1_however_it_is_written() {
    assert!((Surroundings::new().toml("trace_sample = 0.25").settings().traces.sample - 0.25).abs() < 1e-9);
    assert!((Surroundings::new().env("ASKD_TRACE_SAMPLE", "1").settings().traces.sample - 1.0).abs() < 1e-9);
    for wrong in ["1.5", "-1", "nan", "all"] {
        let problem = Surroundings::new().env("ASKD_TRACE_SAMPLE", wrong).problem();
        assert!(problem.contains("ASKD_TRACE_SAMPLE") && problem.contains("from 0 to 1"), "{problem}");
    }
}

#[test]
fn a_collector_is_an_address_and_its_headers_are_never_shown() {
    let problem = Surroundings::new().env("ASKD_OTLP_ENDPOINT", "127.0.0.1:4318").problem();
    assert!(problem.contains("does not begin with http:// or https://"), "{problem}");
    let problem = Surroundings::new().env("ASKD_OTLP_HEADERS", "authorization: secret").problem();
    assert!(problem.contains("name=value") && !problem.contains("secret"), "{problem}");
}
