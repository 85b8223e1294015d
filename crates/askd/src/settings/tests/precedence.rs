//! Which value wins, and how each kind of value is written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Surroundings;
use claude::permission_mode::PermissionMode;

use crate::settings::{LogFormat, Origin, ProjectConfig, Settings, Sources, add_flags, table};

#[test]
fn the_defaults_are_those_of_the_node_server_and_of_the_documentation() {
    let settings = Surroundings::new().settings();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(settings.server.max_body, 2 << 20);
    assert_eq!(settings.limits.max_concurrent, 3);
    assert_eq!(settings.limits.queue_timeout, Duration::from_secs(30));
    assert_eq!(settings.deadlines.process_timeout, Duration::from_mins(15));
    assert_eq!(settings.deadlines.max_run_time, Duration::from_hours(24));
    assert_eq!(settings.paths.config_dir, Path::new("/home/node/.claude"));
    assert_eq!(settings.paths.workspace_dir, Path::new("/workspace"));
    assert_eq!(settings.paths.claude_bin, Path::new("claude"));
    assert_eq!(settings.permissions.default_mode, PermissionMode::AcceptEdits);
    assert_eq!(settings.permissions.project_config, ProjectConfig::Auto);
    assert!(!settings.permissions.allow_bypass && !settings.permissions.allow_root);
    assert_eq!(settings.output.max_output, 1 << 30);
    assert_eq!(settings.logging.format, LogFormat::Auto);
    assert!(settings.credentials.is_empty());
    assert!(settings.models.allows("opus") && !settings.models.allows("claude-x"));
}

#[test]
fn flags_win_over_variables_variables_over_the_file_the_file_over_the_default() {
    let mut at = Surroundings::new();
    let seen = |at: &Surroundings| {
        let loaded = at.load();
        (loaded.settings.limits.max_concurrent, loaded.origin("max_concurrent").clone())
    };
    assert_eq!(seen(&at), (3, Origin::Default));
    at = at.toml("# ours\nmax_concurrent = 4\n");
    let file = Origin::File { file: "askd.toml".into(), line: 2, key: "max_concurrent".into() };
    assert_eq!(seen(&at), (4, file));
    at = at.env("MAX_CONCURRENT", "5");
    assert_eq!(seen(&at), (5, Origin::Environment("MAX_CONCURRENT".into())));
    at = at.flag("max_concurrent", "6");
    assert_eq!(seen(&at), (6, Origin::Flag("max-concurrent".into())));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let at = Surroundings::new().env("MAX_CONCURRENT", "").env("ANTHROPIC_API_KEY", "").env("ASKD_NONSENSE", "");
    assert_eq!(at.settings().limits.max_concurrent, 3);
    assert!(at.settings().credentials.is_empty());
}

#[test]
fn askd_config_names_the_file_and_the_flag_wins_over_it() {
    let mut at = Surroundings::new().file("a.toml", "max_concurrent = 7").env("ASKD_CONFIG", "a.toml");
    assert_eq!(at.settings().limits.max_concurrent, 7);
    at = at.toml("max_concurrent = 8");
    assert_eq!(at.settings().limits.max_concurrent, 8);
}

#[test]
fn every_setting_that_is_no_secret_has_a_flag() {
    let command = add_flags(clap::Command::new("askd"));
    let words = ["askd", "--max-concurrent=9", "--idle-timeout", "20s", "--allow-bypass", "--legacy-lenient=0"];
    let matches = command.clone().try_get_matches_from(words).unwrap();
    let mut at = Surroundings::new();
    at.sources = Sources::new(&matches, at.sources.env.clone(), at.sources.current_dir.clone());
    let settings = at.settings();
    assert_eq!(settings.limits.max_concurrent, 9);
    assert_eq!(settings.deadlines.idle, Duration::from_secs(20));
    assert!(settings.permissions.allow_bypass && !settings.server.legacy_lenient);

    let flags: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    for setting in table::all() {
        let flag = setting.key.replace('_', "-");
        assert_eq!(flags.contains(&flag.as_str()), !setting.is_secret(), "{flag}");
    }
    command.debug_assert();
}

#[test]
fn a_negative_flag_reaches_our_own_message() {
    let words = ["askd", "--max-concurrent", "-5"];
    let matches = add_flags(clap::Command::new("askd")).try_get_matches_from(words).unwrap();
    let mut at = Surroundings::new();
    at.sources = Sources::new(&matches, at.sources.env.clone(), at.sources.current_dir.clone());
    assert!(at.problem().contains("flag `--max-concurrent`"), "{}", at.problem());
}

#[test]
fn lists_are_separated_by_commas_or_are_arrays() {
    let at = Surroundings::new().env("ASKD_MODELS", "claude-x-1, claude-y-2[1m],");
    assert_eq!(at.settings().models.allowed, ["claude-x-1", "claude-y-2[1m]"]);
    assert!(at.settings().models.allows("claude-x-1"));
    let at = Surroundings::new().toml("models = [\n  'claude-x-1',\n]\nchild_env = 'GH_TOKEN'");
    assert_eq!(at.settings().models.allowed, ["claude-x-1"]);
    let at = at.flag("models", "");
    assert!(at.settings().models.allowed.is_empty(), "an empty flag empties the list");
}

#[test]
fn the_file_takes_plain_toml_types() {
    let text = "allow_bypass = true\nqueue_length = 0\nqueue_timeout = 1500\nmax_body = '2MiB'\n";
    let settings = Surroundings::new().toml(text).settings();
    assert!(settings.permissions.allow_bypass);
    assert_eq!(settings.limits.queue_length, 0);
    assert_eq!(settings.limits.queue_timeout, Duration::from_millis(1_500));
    assert_eq!(settings.server.max_body, 2 << 20);
}

#[test]
fn relative_paths_start_where_they_are_written() {
    let at = Surroundings::new().env("WORKSPACE_DIR", "./work").env("ASKD_CLAUDE_BIN", "bin/claude");
    std::fs::create_dir(at.folder.path().join("etc")).unwrap();
    let mut at = at.file("etc/askd.toml", "config_dir = 'claude'");
    at.sources.file = Some(PathBuf::from("etc/askd.toml"));
    let (root, paths) = (at.folder.path(), at.settings().paths);
    assert_eq!(paths.workspace_dir, root.join("work"));
    assert_eq!(paths.claude_bin, root.join("bin/claude"));
    assert_eq!(paths.config_dir, root.join("etc/claude"));
}

#[test]
fn trusted_projects_start_at_the_workspace_folder() {
    let at = Surroundings::new().env("ASKD_PROJECT_CONFIG", "trusted").env("ASKD_TRUSTED_PROJECTS", "shop,/srv/web");
    let trusted = at.settings().permissions.trusted_projects;
    assert_eq!(trusted, [Path::new("/workspace/shop"), Path::new("/srv/web")]);
}

#[test]
fn the_data_folder_follows_xdg() {
    let at = Surroundings::new();
    assert_eq!(at.settings().paths.data_dir, Path::new("/home/somebody/.local/share/askd"));
    let at = at.env("XDG_DATA_HOME", "/var/data");
    assert_eq!(at.settings().paths.data_dir, Path::new("/var/data/askd"));
    assert_eq!(*at.load().origin("data_dir"), Origin::Environment("XDG_DATA_HOME".into()));
    let at = at.env("XDG_DATA_HOME", "relative/is/ignored");
    assert_eq!(at.settings().paths.data_dir, Path::new("/home/somebody/.local/share/askd"));
    let at = at.env("ASKD_DATA_DIR", "/data");
    assert_eq!(at.settings().paths.data_dir, Path::new("/data"));
}

#[test]
fn the_cli_gets_variables_by_exact_name_only() {
    let at = Surroundings::new()
        .env("PATH", "/bin")
        .env("https_proxy", "http://proxy:8080")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_OTHER", "no")
        .env("ANTHROPIC_API_KEY", "goes another way")
        .env("LD_PRELOAD", "no")
        .env("NPM_TOKEN", "no")
        .env("GH_TOKEN", "yes")
        .env("ASKD_CHILD_ENV", "GH_TOKEN,GH_TOKEN,NOT_SET");
    let loaded = at.load();
    let names: Vec<&str> = loaded.settings.child.environment.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["PATH", "https_proxy", "AWS_REGION", "GH_TOKEN"]);
    assert_eq!(loaded.warnings, ["`ASKD_CHILD_ENV` names `NOT_SET`, which is not set"]);
}

#[test]
fn the_settings_for_tests_listen_on_any_port_below_the_given_folder() {
    let settings = Settings::for_testing(Path::new("/tmp/x"));
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:0");
    assert_eq!(settings.paths.data_dir, Path::new("/tmp/x/data"));
    assert_eq!(settings.paths.workspace_dir, Path::new("/tmp/x/workspace"));
    assert_eq!(settings.paths.config_dir, Path::new("/tmp/x/config"));
}

#[test]
fn the_cli_is_looked_up_on_the_path_of_the_server() {
    use std::os::unix::fs::PermissionsExt as _;

    let at = Surroundings::new().file("claude", "#!/bin/sh").file("other", "not a program");
    let folder = at.folder.path().to_owned();
    std::fs::set_permissions(folder.join("claude"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let at = at.env("PATH", &format!("relative:/none:{}", folder.display()));
    let child = at.settings().child;
    assert_eq!(child.find_program(Path::new("claude")), Some(folder.join("claude")));
    assert_eq!(child.find_program(&folder.join("claude")), Some(folder.join("claude")));
    assert_eq!(child.find_program(Path::new("other")), None);
    assert_eq!(child.find_program(&folder.join("other")), None);
}
