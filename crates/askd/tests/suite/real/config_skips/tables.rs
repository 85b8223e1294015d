//! The documents.

/// A document that the CLI does not take as it is meant, and where `check` says so.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) line: u32,
    pub(super) field: Option<&'static str>,
}

const fn case(name: &'static str, line: u32, field: &'static str, text: &'static str) -> Case {
    Case { name, text, line, field: if field.is_empty() { None } else { Some(field) } }
}

/// Not known to the CLI at all. Those that have a name are called like their files.
pub(super) const SKIPPED_AGENTS: &[Case] = &[
    case("no-frontmatter", 1, "name", "You review.\n"),
    case("no-name", 1, "name", "---\ndescription: d\n---\nText\n"),
    case("empty-name", 3, "name", "---\ndescription: d\nname: \"\"\n---\nText\n"),
    case("list-name", 2, "name", "---\nname: [list-name]\ndescription: d\n---\nText\n"),
    case("octal-name", 2, "name", "---\nname: 017\ndescription: d\n---\nText\n"),
    case("no-description", 1, "description", "---\nname: no-description\n---\nText\n"),
    case("empty-description", 3, "description", "---\nname: empty-description\ndescription: ''\n---\nText\n"),
    case("number-description", 3, "description", "---\nname: number-description\ndescription: 5\n---\nText\n"),
    case("octal-description", 3, "description", "---\nname: octal-description\ndescription: 017\n---\nText\n"),
    case("list-description", 3, "description", "---\nname: list-description\ndescription: [d]\n---\nText\n"),
    case("dash", 2, "name", "---\nname: -dash\ndescription: d\n---\nText\n"),
    case("colon", 2, "name", "---\nname: a:colon\ndescription: d\n---\nText\n"),
    case("not-yaml", 4, "", "---\nname: not-yaml\ndescription: d\nfoo\n---\nText\n"),
    case("misplaced", 2, "", "\n---\nname: misplaced\ndescription: d\n---\nText\n"),
    case("indented", 1, "", " ---\nname: indented\ndescription: d\n---\nText\n"),
    case("not-closed", 1, "", "---\nname: not-closed\ndescription: d\n"),
    case("hooks-number", 4, "hooks", "---\nname: hooks-number\ndescription: d\nhooks: 5\n---\nText\n"),
    case(
        "hook-of-no-type",
        6,
        "hooks.PreToolUse[0].hooks[0].type",
        "---\nname: hook-of-no-type\ndescription: d\nhooks:\n  PreToolUse: \n  - hooks: [{type: nope}]\n---\nText\n",
    ),
];

/// Known to the CLI, and fine.
pub(super) const AGENTS: &[(&str, &str)] = &[
    ("plain", "---\nname: plain\ndescription: Use it when needed\n---\nText\n"),
    ("with-mark", "\u{feff}---\nname: with-mark\ndescription: d\n---\nText\n"),
    ("windows", "---\r\nname: windows\r\ndescription: d\r\n---\r\nText\r\n"),
    ("lines", "---\nname: lines\ndescription: |\n  two\n  lines\n---\nText\n"),
    ("quoted", "---\n\"name\": 'quoted'\ndescription: \"a: b # c\"\n---\nText\n"),
    ("flow", "---\n{name: flow, description: d}\n---\nText\n"),
    ("date", "---\nname: date\ndescription: 2024-01-01\n---\nText\n"),
    ("yes", "---\nname: 'yes'\ndescription: yes\n---\nText\n"),
    ("blank", "---\nname: blank\ndescription: ' '\n---\n"),
    ("UPPER x.y/z", "---\nname: UPPER x.y/z\ndescription: d\n---\nText\n"),
    (
        "keys",
        "---\nname: keys\ndescription: d\ntools: Read, Grep\ndisallowedTools: [Bash]\nmodel: Sonnet\nmaxTurns: \"5\"\n\
         effort: High\npermissionMode: plan\nskills: a b\nbackground: \"true\"\ncolor: red\nunknown: [1]\n---\nText\n",
    ),
    (
        "hooked",
        "---\nname: hooked\ndescription: d\nhooks: {Stop: [{hooks: [{type: command, command: 'true'}]}]}\n---\nText\n",
    ),
];

/// Known to the CLI and refused all the same, with the reason.
pub(super) const STRICTER_AGENTS: &[(&str, &str, &str)] = &[
    ("repaired", "---\nname: repaired\ndescription: a: b\n---\nText\n", "what the CLI repairs it reads in its own way"),
    ("repaired2", "---\nname: repaired2\ndescription: [\n---\nText\n", "what the CLI repairs it reads in its own way"),
    ("twice", "---\nname: x\nname: twice\ndescription: d\n---\nText\n", "which of the two holds is a guess"),
    ("alias", "---\nname: alias\nx: &a d\ndescription: *a\n---\nText\n", "aliases can expand without end"),
    (
        "dashes",
        "---\nname: dashes\ndescription: a---b\n---\nText\n",
        "all below is lost, and nothing here says whether it matters",
    ),
    ("stop-hook", "---\nname: stop-hook\ndescription: d\nhooks: {Stop: x}\n---\nText\n", "the hook is lost"),
    ("model-number", "---\nname: model-number\ndescription: d\nmodel: 5\n---\nText\n", "the key is lost"),
    ("turns", "---\nname: turns\ndescription: d\nmaxTurns: 0\n---\nText\n", "the key is lost"),
    ("mode", "---\nname: mode\ndescription: d\npermissionMode: PLAN\n---\nText\n", "the key is lost"),
    ("servers", "---\nname: servers\ndescription: d\nmcpServers: {a: {command: x}}\n---\nText\n", "the key is lost"),
    ("latin", "---\nname: latin\ndescription: a\u{85}b\n---\nText\n", "parsers take it for a line break or not"),
];

/// The first restricts as is meant; of the others the CLI drops what restricts.
pub(super) const UNRESTRICTED_AGENTS: &[Case] = &[
    case("restricted", 0, "", "---\nname: restricted\ndescription: d\ndisallowedTools: Bash\n---\nText\n"),
    case("number", 4, "disallowedTools", "---\nname: number\ndescription: d\ndisallowedTools: 5\n---\nText\n"),
    case(
        "mapping",
        4,
        "disallowedTools",
        "---\nname: mapping\ndescription: d\ndisallowedTools: {Bash: 1}\n---\nText\n",
    ),
    case(
        "nested",
        4,
        "disallowedTools[0]",
        "---\nname: nested\ndescription: d\ndisallowedTools: [[Bash]]\n---\nText\n",
    ),
    case(
        "wrong-case",
        4,
        "disallowedTools",
        "---\nname: wrong-case\ndescription: d\ndisallowedTools: bash\n---\nText\n",
    ),
    case(
        "wrong-key",
        4,
        "disallowed-tools",
        "---\nname: wrong-key\ndescription: d\ndisallowed-tools: Bash\n---\nText\n",
    ),
    case("allowed", 4, "allowedTools", "---\nname: allowed\ndescription: d\nallowedTools: Read\n---\nText\n"),
    case("cut", 3, "", "---\nname: cut\ndescription: a---b\ndisallowedTools: Bash\n---\nText\n"),
    case("cut-comment", 4, "", "---\nname: cut-comment\ndescription: d\n# -----\ntools: Read\n---\nText\n"),
];

/// Each was to be hidden from models, and the CLI tells them of it.
pub(super) const LISTED_SKILLS: &[Case] = &[
    case("word", 3, "disable-model-invocation", "---\ndescription: d\ndisable-model-invocation: nope\n---\nText\n"),
    case("list", 3, "disable-model-invocation", "---\ndescription: d\ndisable-model-invocation: [true]\n---\nText\n"),
    case("key", 3, "disable_model_invocation", "---\ndescription: d\ndisable_model_invocation: true\n---\nText\n"),
    case("cut-short", 2, "", "---\ndescription: d --- e\ndisable-model-invocation: true\n---\nText\n"),
    case("paths-number", 3, "paths", "---\ndescription: d\npaths: 5\n---\nText\n"),
    case("paths-mapping", 3, "paths", "---\ndescription: d\npaths: {a: nope}\n---\nText\n"),
];

/// Known to the CLI, and fine.
pub(super) const SKILLS: &[(&str, &str)] = &[
    ("bare", "Text\n"),
    ("number", "---\ndescription: 5\n---\nText\n"),
    ("hidden", "---\ndescription: d\ndisable-model-invocation: yes\n---\nText\n"),
    ("hint", "---\ndescription: d\nargument-hint: [file]\narguments: a b\n---\nText\n"),
    ("granted", "---\ndescription: d\nallowed-tools: Bash(git add:*), Read\n---\nText\n"),
    ("granted-list", "---\ndescription: d\nallowed-tools: [Bash, 'Read']\ndisallowed-tools: Write\n---\nText\n"),
    (
        "forked",
        "---\ndescription: d\ncontext: fork\nagent: Explore\nmodel: inherit\neffort: low\nshell: bash\n---\nText\n",
    ),
    (
        "portable",
        "---\nname: portable\ndescription: d\nlicense: MIT\ncompatibility: any\nmetadata: {a: 1}\n---\nText\n",
    ),
];

/// Meant for `src/a.ts`, and not read together with it.
pub(super) const UNMATCHED_RULES: &[Case] = &[
    case("class", 2, "paths", "---\npaths: 'src/[ab.ts'\n---\n"),
    case("negated-class", 2, "paths", "---\npaths: 'src/[!x].ts'\n---\n"),
    case("named-class", 2, "paths", "---\npaths: 'src/[[:alpha:]].ts'\n---\n"),
    case("empty-class", 2, "paths", "---\npaths: 'src/[].ts'\n---\n"),
    case("backwards", 2, "paths", "---\npaths: 'src/[z-a].ts'\n---\n"),
    case("brace", 4, "paths[1]", "---\npaths:\n  - nope/**\n  - 'src/*.{ts'\n---\n"),
    case("range", 2, "paths", "---\npaths: 'src/{a..c}.ts'\n---\n"),
    case("group", 2, "paths", "---\npaths: 'src/@(a|b).ts'\n---\n"),
    case("dot", 2, "paths", "---\npaths: './src/**'\n---\n"),
    case("up", 2, "paths", "---\npaths: '../*/src/**'\n---\n"),
    case("inner-dots", 2, "paths", "---\npaths: 'src/../src/**'\n---\n"),
    case("home", 2, "paths", "---\npaths: '~/**'\n---\n"),
    case("windows", 2, "paths", "---\npaths: 'src\\a.ts'\n---\n"),
    case("slashes", 2, "paths", "---\npaths: 'src//a.ts'\n---\n"),
    case("comment", 2, "paths", "---\npaths: '#src/**'\n---\n"),
    case("excluded", 2, "paths", "---\npaths: '!nope/**'\n---\n"),
    case("line-break", 2, "paths", "---\npaths: |\n  nope/**\n  src/**\n---\n"),
    case("not-yaml", 2, "", "---\npaths: [src/**\n---\n"),
];

/// Meant for `nope/**`, and read at once in every run.
pub(super) const UNCONDITIONAL_RULES: &[Case] = &[
    case("number", 2, "paths", "---\npaths: 5\n---\n"),
    case("mapping", 2, "paths", "---\npaths: {a: nope/**}\n---\n"),
    case("numbers", 2, "paths[0]", "---\npaths: [5]\n---\n"),
    case("globs", 2, "globs", "---\nglobs: nope/**\n---\n"),
    case("upper", 2, "Paths", "---\nPaths: nope/**\n---\n"),
    case("cut", 2, "", "---\ndescription: a---b\npaths: nope/**\n---\n"),
    case("not-closed", 1, "", "---\npaths: nope/**\n"),
    case("misplaced", 2, "", "\n---\npaths: nope/**\n---\n"),
    case("stars", 3, "", "---\npaths:\n  - **/*.nope\n---\n"),
];

/// Read together with `src/a.ts`, and fine.
pub(super) const RULES: &[(&str, &str)] = &[
    ("always", ""),
    ("list", "---\npaths: [\"src/**/*.ts\"]\n---\n"),
    ("text", "---\npaths: src/**/*.ts\n---\n"),
    ("commas", "---\npaths: nope/**, src/*.{js,ts}\n---\n"),
    ("commas-in-list", "---\npaths:\n  - nope/**, a.ts\n---\n"),
    ("braces", "---\npaths: 'src/*.{t{s,sx},js}'\n---\n"),
    ("name", "---\npaths: '*.ts'\n---\n"),
    ("folder", "---\npaths: src/\n---\n"),
    ("rooted", "---\npaths: /src/**\n---\n"),
    ("letters", "---\npaths: 'src/[a-c].ts'\n---\n"),
    ("case", "---\npaths: SRC/**\n---\n"),
    ("excluding", "---\npaths: [\"src/**\", \"!**/*.py\"]\n---\n"),
    ("question", "---\npaths: 'src/?.ts'\n---\n"),
    ("hundreds", "---\npaths: '{a,b,c,d,e,f,g,h,i,j}{,1,2,3,4,5,6,7,8,9}{,1,2,3,4,5,6,7,8,9}.ts'\n---\n"),
];
