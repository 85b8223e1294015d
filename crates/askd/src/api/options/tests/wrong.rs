//! What is refused: the field at fault, and what is said of it.

use super::*;

#[track_caller]
fn refused(table: &[(&str, Value, &str)]) {
    for (field, value, expected) in table {
        let (named, said) = complaint(json!({"prompt": "x", *field: value}));
        assert!(named.starts_with(field) && said.starts_with(expected), "{field} {value}: {named}: {said}");
    }
}

#[test]
fn tools_and_rules_about_them() {
    refused(&[
        ("tools", json!("Read"), "tools must be a list"),
        ("tools", json!(null), "tools must be a list"),
        ("tools", json!(["Read", 1]), "tools[1] must be a string"),
        (
            "tools",
            json!(["Bash(ls)"]),
            "tools[0] `Bash(ls)` must be a tool's name; rules belong into allowed_tools or disallowed_tools",
        ),
        ("tools", json!(["Read", "*"]), "tools[1] `*` must be a tool's name"),
        ("tools", json!(["-p"]), "tools[0] `-p` must be a tool's name"),
        ("tools", json!(["mcp__"]), "tools[0] `mcp__` must be a tool's name"),
        ("tools", json!([""]), "tools[0] `` must be a tool's name"),
        ("tools", json!(["Read", "bash"]), "tools[1] `bash` is no tool of the CLI; did you mean `Bash`?"),
        ("tools", json!(["Read", "Bsah"]), "tools[1] `Bsah` is no tool of the CLI; did you mean `Bash`?"),
        ("tools", json!(["Fly"]), "tools has no tool that the CLI is known to have"),
        ("tools", json!(vec!["Read"; 201]), "tools has 201 names; at most 200 are allowed"),
        ("disallowed_tools", json!(5), "disallowed_tools must be a list of strings or one string"),
        ("disallowed_tools", json!(["Bash", "Bash()"]), "disallowed_tools[1] `Bash()` is dropped"),
        ("disallowed_tools", json!(["bash"]), "disallowed_tools[0] `bash` never matches"),
        ("disallowed_tools", json!(["Bash(x"]), "disallowed_tools[0] `Bash(x` must end with"),
        ("disallowed_tools", json!(["Read", "a\nb"]), "disallowed_tools[1] must have 1 to 1000 characters"),
        ("disallowed_tools", json!(["x".repeat(1_001)]), "disallowed_tools[0] must have 1 to 1000 characters"),
        ("disallowed_tools", json!(["Bsah"]), "disallowed_tools[0] `Bsah` is no tool of the CLI; did you mean `Bash`?"),
        ("allowed_tools", json!(["Read", "bash"]), "allowed_tools[1] `bash` never matches: the tool is called `Bash`"),
        ("allowed_tools", json!(["Bash("]), "allowed_tools[0] `Bash(` must end with"),
        ("allowed_tools", json!("Read, Bash()"), "allowed_tools[1] `Bash()` is dropped: the parentheses are empty"),
        ("allowed_tools", json!(["Bash(git log:*"]), "allowed_tools[0] `Bash(git log:*` must end with"),
        ("allowed_tools", json!(["Write(a)"]), "allowed_tools[0] `Write(a)` never matches: write `Edit(a)`"),
        (
            "allowed_tools",
            json!(["WebFecth(domain:x.y)"]),
            "allowed_tools[0] `WebFecth(domain:x.y)` is no tool of the CLI",
        ),
        ("allowed_tools", json!(["*"]), "allowed_tools[0] `*` is dropped"),
        ("disallowed_tools", json!(vec!["Bash"; 201]), "disallowed_tools has 201 rules; at most 200"),
    ]);
}

#[test]
fn words_numbers_and_models() {
    refused(&[
        ("effort", json!("HIGH"), "effort must be one of low, medium, high, xhigh, max"),
        ("effort", json!(3), "effort must be a string"),
        ("profile", json!("safe"), "profile must be one of default, bare, restricted"),
        ("fallback_model", json!([]), "fallback_model must not be empty"),
        ("fallback_model", json!(["opus", 1]), "fallback_model must be a list of strings or one string"),
        ("fallback_model", json!(["a", "b", "c", "d"]), "fallback_model has 4 models; at most 3"),
        ("fallback_model", json!(["a", "b", "a"]), "fallback_model[2] names the same model"),
        ("idle_timeout_seconds", json!(0), "idle_timeout_seconds must be at least 1"),
        ("queue_timeout_seconds", json!(1.5), "queue_timeout_seconds must be a whole number"),
        ("append_system_prompt", json!(["x"]), "append_system_prompt must be a string"),
        ("append_system_prompt", json!("x".repeat(50_001)), "append_system_prompt has 50001 characters"),
        ("fork_session", json!("yes"), "fork_session must be true or false"),
        ("add_dirs", json!("lib"), "add_dirs must be a list"),
        ("add_dirs", json!(["lib", "../x"]), "add_dirs[1] must not contain `..`"),
        ("add_dirs", json!([5]), "add_dirs[0] must be a path, or an object with a path"),
        (
            "add_dirs",
            json!([{"path": "a", "mode": "rw"}]),
            "add_dirs[0] has no field `mode`; the fields are path, writable",
        ),
    ]);
}

#[test]
fn agents() {
    let agent = |field: &str, value: Value| {
        let mut agent = json!({"description": "d", "prompt": "p"});
        agent[field] = value;
        json!({ "a": agent })
    };
    let many: Map<_, _> = (0..21).map(|n| (format!("a{n}"), json!({"description": "d", "prompt": "p"}))).collect();
    refused(&[
        ("agents", json!([]), "agents must be an object"),
        ("agents", Value::Object(many), "agents has 21 agents; at most 20"),
        ("agents", json!({"a": "x"}), "agents.a must be an object"),
        ("agents", json!({"a": {"prompt": "p"}}), "agents.a.description is missing"),
        ("agents", json!({"a": {"description": "d"}}), "agents.a.prompt is missing"),
        (
            "agents",
            json!({"A b": {"description": "d", "prompt": "p"}}),
            "agents.A b has a name that must be kebab-case",
        ),
        ("agents", json!({"-p": {"description": "d", "prompt": "p"}}), "agents.-p has a name that must be kebab-case"),
        ("agents", json!({"a\n": {}}), "agents.a has a name"),
        ("agents", agent("description", json!(" ")), "agents.a.description must not be empty"),
        ("agents", agent("description", json!("x".repeat(5_001))), "agents.a.description has 5001 characters"),
        ("agents", agent("prompt", json!("")), "agents.a.prompt must not be empty"),
        ("agents", agent("prompt", json!("x".repeat(50_001))), "agents.a.prompt has 50001 characters"),
        ("agents", agent("tools", json!("Read")), "agents.a.tools must be a list of strings"),
        ("agents", agent("tools", json!(["Read", "bash"])), "agents.a.tools[1] `bash` never matches"),
        ("agents", agent("tools", json!(["Bash(ls)"])), "agents.a.tools[0] `Bash(ls)` gives all of `Bash`"),
        ("agents", agent("tools", json!(["Read", "Bsah"])), "agents.a.tools[1] `Bsah` is no tool of the CLI"),
        ("agents", agent("disallowed_tools", json!(["Wirte"])), "agents.a.disallowed_tools[0] `Wirte` is no tool"),
        ("agents", agent("tools", json!(["Read", ""])), "agents.a.tools[1] must not be empty"),
        ("agents", agent("disallowed_tools", json!(["Bash()"])), "agents.a.disallowed_tools[0] `Bash()` is dropped"),
        ("agents", agent("model", json!(5)), "agents.a.model must be a string"),
        ("agents", agent("effort", json!("huge")), "agents.a.effort must be one of low"),
        ("agents", agent("effort", json!(5)), "agents.a.effort must be a string"),
        ("agents", agent("max_turns", json!(0)), "agents.a.max_turns must be a whole number from 1 to 50"),
        ("agents", agent("permission_mode", json!("all")), "agents.a.permission_mode must be one of default"),
        ("agents", agent("skills", json!([1])), "agents.a.skills[0] must be a string"),
        ("agents", agent("background", json!("true")), "agents.a.background must be true or false"),
        (
            "agents",
            agent("hooks", json!({})),
            "agents.a has no field `hooks`; the fields are description, prompt, tools",
        ),
        ("agents", agent("mcp_servers", json!([])), "agents.a has no field `mcp_servers`"),
        ("agents", agent("mcpServers", json!([])), "agents.a has no field `mcpServers`"),
        ("agents", agent("maxTurns", json!(1)), "agents.a has no field `maxTurns`; it is called `max_turns` here"),
        ("agents", agent("initialPrompt", json!("x")), "agents.a has no field `initialPrompt`"),
        ("agents", agent("memory", json!("user")), "agents.a has no field `memory`"),
        (
            "agents",
            agent("permissionMode", json!("plan")),
            "agents.a has no field `permissionMode`; it is called `permission_mode`",
        ),
    ]);
}

#[test]
fn the_way_to_what_is_wrong_is_told_whole() {
    for (field, value, way) in [
        ("agents", json!({"rev": {"description": "d", "prompt": "p", "maxTurns": 1}}), "agents.rev.maxTurns"),
        ("agents", json!({"rev": {"description": "d", "prompt": "p", "tools": ["bash"]}}), "agents.rev.tools[0]"),
        ("add_dirs", json!([{"path": "a", "mode": "rw"}]), "add_dirs[0].mode"),
        ("env", json!({"A": "x", "PATH": "x"}), "env.PATH"),
        ("max_budget_usd", json!(1e-9), "max_budget_usd"),
    ] {
        assert_eq!(complaint(json!({"prompt": "x", field: value})).0, way);
    }
    let block = json!([{"type": "text", "text": "x", "cache_control": {}}]);
    assert_eq!(complaint(json!({ "content": block })).0, "content[0].cache_control");
    let (_, said) = complaint(json!({"prompt": "x", "max_budget_usd": 1e-9}));
    assert_eq!(said, "max_budget_usd must be from 0.000001 to 1000000000, in US dollars");
}

#[test]
fn servers() {
    let server = |server: Value| json!({ "s": server });
    let many: Map<_, _> = (0..21).map(|n| (format!("s{n}"), json!({"command": "x"}))).collect();
    refused(&[
        ("mcp_servers", json!([]), "mcp_servers must be an object"),
        ("mcp_servers", Value::Object(many), "mcp_servers has 21 servers; at most 20"),
        ("mcp_servers", server(json!("x")), "mcp_servers.s must be an object"),
        ("mcp_servers", server(json!({})), "mcp_servers.s.command is missing"),
        ("mcp_servers", server(json!({"command": ""})), "mcp_servers.s.command must not be empty"),
        ("mcp_servers", server(json!({"command": "x", "arg": []})), "mcp_servers.s.arg is no key that the CLI knows"),
        ("mcp_servers", server(json!({"command": "x", "env": {"A": 1}})), "mcp_servers.s.env.A must be a text"),
        ("mcp_servers", server(json!({"url": "https://example.com"})), "mcp_servers.s.type is missing"),
        ("mcp_servers", server(json!({"type": "sdk"})), "mcp_servers.s.type must be `stdio`, `http`"),
        ("mcp_servers", server(json!({"type": "http", "url": "file:///x"})), "mcp_servers.s.url must be a whole URL"),
        ("mcp_servers", json!({"": {"command": "x"}}), "mcp_servers. must have a name"),
        ("mcp_servers", json!({"two words": {"command": "x"}}), "mcp_servers.two words should consist of"),
        ("mcp_servers", json!({"a__b": {"command": "x"}}), "mcp_servers.a__b should consist of"),
        ("mcp_servers", json!({"__proto__": {"command": "x"}}), "mcp_servers.__proto__ should consist of"),
        ("mcp_servers", json!({"workspace": {"command": "x"}}), "mcp_servers.workspace is a name that the CLI keeps"),
        (
            "mcp_servers",
            json!({"ide": {"command": "x"}}),
            "mcp_servers.ide is a name of which the CLI passes on no tools",
        ),
        ("mcp_servers", json!({"x".repeat(41): {"command": "x"}}), "mcp_servers.xxxx"),
        (
            "mcp_servers",
            server(json!({"command": "x", "env": {"A": "${AWS_SECRET_ACCESS_KEY}"}})),
            "mcp_servers.s.env has `${`: the CLI would put in variables of the server's",
        ),
        ("mcp_servers", server(json!({"command": "x", "args": ["a", "b${X:-y}"]})), "mcp_servers.s.args has `${`"),
        ("mcp_servers", server(json!({"type": "http", "url": "https://${HOST}/"})), "mcp_servers.s.url has `${`"),
    ]);
}

#[test]
fn variables() {
    let many: Map<_, _> = (0..51).map(|n| (format!("A{n}"), json!(""))).collect();
    refused(&[
        ("env", json!(["A=b"]), "env must be an object"),
        ("env", Value::Object(many), "env has 51 variables; at most 50"),
        ("env", json!({"A": 1}), "env.A must be a string"),
        ("env", json!({"A": "x\0y"}), "env.A must not have a NUL"),
        ("env", json!({"A": "x".repeat((32 << 10) + 1)}), "env.A has 32769 bytes; at most 32768"),
        ("env", json!({"A B": ""}), "env.A B cannot be set by a request: it is not the name"),
        ("env", json!({"": ""}), "env. cannot be set by a request: it is not the name"),
    ]);
    for name in [
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_NEW",
        "CLAUDE_CODE_SIMPLE",
        "CLAUDECODE",
        "API_KEY",
        "HTTP_PROXY",
        "https_proxy",
        "All_Proxy",
        "NO_PROXY",
        "FTP_PROXY",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "DYLD_INSERT_LIBRARIES",
        "NODE_OPTIONS",
        "NODE_EXTRA_CA_CERTS",
        "BUN_OPTIONS",
        "BUN_CONFIG_VERBOSE_FETCH",
        "BASH_ENV",
        "ENV",
        "IFS",
        "SHELL",
        "PATH",
        "HOME",
        "TMPDIR",
        "XDG_CONFIG_HOME",
        "GIT_SSH_COMMAND",
        "PYTHONPATH",
        "PERL5OPT",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AZURE_CLIENT_SECRET",
        "VERTEX_REGION_X",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "SSL_CERT_FILE",
        "SSLKEYLOGFILE",
        "MCP_TIMEOUT",
        "API_TIMEOUT_MS",
        "DISABLE_AUTOUPDATER",
        "ENABLE_TOOL_SEARCH",
        "MAX_THINKING_TOKENS",
        "IS_SANDBOX",
        "USE_STAGING_OAUTH",
        "ASKD_LOG",
        "ASKD_RUN_ID",
        "MAX_CONCURRENT",
        "WORKSPACE_DIR",
        "RES_OPTIONS",
    ] {
        let (field, said) = complaint(json!({"prompt": "x", "env": {name: "v"}}));
        assert_eq!(field, format!("env.{name}"));
        assert!(said.starts_with(&format!("env.{name} cannot be set by a request: it ")), "{said}");
    }
}

#[test]
fn what_contradicts_itself_names_the_second_field() {
    let session = "00000000-0000-0000-0000-000000000007";
    let text = json!([{"type": "text", "text": "t"}]);
    let gif = json!([{"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": "R0lGODlhAQABAAAAAA=="}}]);
    for (body, field, expected) in [
        (json!({}), "prompt", "prompt is missing"),
        (json!({"prompt": "x", "content": text}), "content", "content cannot be given together with prompt"),
        (json!({"prompt": "x", "fork_session": true}), "fork_session", "fork_session needs session_id"),
        (json!({"content": gif, "expand": true}), "expand", "expand needs a text as the last block"),
        (json!({"prompt": "x", "agent": "a", "profile": "bare"}), "profile", "profile bare leaves out the agents"),
        (json!({"prompt": "x", "agent": "a", "profile": "restricted"}), "profile", "profile restricted leaves out"),
        (
            json!({"prompt": "x", "tools": [], "allowed_tools": ["Read"]}),
            "allowed_tools",
            "allowed_tools has `Read`, for a tool that tools does not have",
        ),
        (
            json!({"prompt": "x", "tools": ["Read"], "mcp_servers": {"s": {"command": "x"}}}),
            "mcp_servers",
            "mcp_servers has `s`, of which tools has nothing; add mcp__s to tools",
        ),
        (
            json!({"prompt": "x", "add_dirs": ["a"], "additional_folders": ["b"]}),
            "add_dirs",
            "add_dirs is another name of additional_folders",
        ),
        (json!({"prompt": "x", "session_id": session, "resume": session}), "resume", "resume is another name"),
    ] {
        let (named, said) = complaint(body.clone());
        assert_eq!((named.as_str(), said.starts_with(expected)), (field, true), "{body}: {said}");
    }
    assert!(parse(json!({"content": text, "expand": true})).is_ok());
    assert!(parse(json!({"prompt": "x", "fork_session": false})).is_ok());
}

#[test]
fn no_text_has_the_value_of_a_secret() {
    for body in [
        json!({"mcp_servers": {"s": {"command": "x", "env": {"A": "top-secret${X}"}}}}),
        json!({"mcp_servers": {"s": {"type": "top-secret", "command": "x"}}}),
        json!({"mcp_servers": {"s": {"type": "http", "url": "top-secret"}}}),
        json!({"mcp_servers": {"s": {"command": ["top-secret"]}}}),
        json!({"env": {"A": "top-secret\0"}}),
        json!({"env": {"PATH": "top-secret"}}),
    ] {
        let mut request = json!({"prompt": "x"});
        request.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        assert!(!complaint(request).1.contains("top-secret"), "{body}");
    }
}
