//! `/v1/config/export` and `/v1/config/import`: all of a scope as one file.

use std::io::{Cursor, Read as _, Write as _};

use serde_json::{Value, json};

use crate::harness::{Answer, TestServer, TestServerBuilder};

const SKILL: &str = "---\nname: s\ndescription: d\n---\nx\n";

async fn filled() -> TestServer {
    let server = TestServerBuilder::fake().file("workspace/shop/README", "x").start().await;
    let files = json!([{"path": "run.sh", "content": "echo 1", "executable": true}, {"path": "b.bin", "content_base64": "AP8="}]);
    for (path, body) in [
        ("rules/team/a", json!({"content": "A rule.\n"})),
        ("claude-md", json!({"content": "# Hi\n"})),
        ("settings", json!({"content": {"permissions": {"deny": ["WebFetch"]}}})),
        ("skills/s", json!({"content": SKILL, "files": files})),
    ] {
        let put = server.put(&format!("/v1/config/{path}"), &body).await;
        assert_eq!(put.status, 201, "{put:?}");
    }
    server
}

async fn export(server: &TestServer, query: &str) -> Vec<u8> {
    let response = server.getting(&format!("/v1/config/export{query}")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.bytes().await.unwrap().to_vec()
}

async fn import(server: &TestServer, query: &str, kind: &str, archive: Vec<u8>) -> Answer {
    let request = server.posting(&format!("/v1/config/import{query}")).header("content-type", kind).body(archive);
    Answer::by(request).await
}

const TAR: &str = "application/x-tar";
const ZIP: &str = "application/zip";

/// An archive of regular files.
fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        // Past the crate's own checks: the other side has none.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        archive.append(&header, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_imported_elsewhere_as_it_was() {
    let (server, other) = (filled().await, TestServerBuilder::fake().start().await);
    let tag = server.get("/v1/config").await.etag().to_owned();
    for (query, kind) in [("?format=tar", TAR), ("?format=zip", ZIP)] {
        let archive = export(&server, query).await;
        assert_eq!(archive, export(&server, query).await, "the same documents give the same bytes");
        let imported = import(&other, "?mode=replace", kind, archive).await;
        assert_eq!(imported.status, 200, "{imported:?}");
        assert_eq!(other.get("/v1/config").await.etag(), tag);
        let run = other.getting("/v1/config/skills/s/files/run.sh").send().await.unwrap();
        assert_eq!(run.headers()["x-askd-executable"], "true");
    }
    let head = server.getting("/v1/config/export").send().await.unwrap();
    assert_eq!(head.headers()["content-disposition"], "attachment; filename=\"askd-config.tar\"");
    server.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_one_that_every_tool_reads() {
    let server = filled().await;
    let mut tar = tar::Archive::new(Cursor::new(export(&server, "").await));
    let names: Vec<_> =
        tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
    let files: Vec<_> = names.iter().filter(|name| !name.ends_with('/')).collect();
    assert_eq!(
        files,
        ["CLAUDE.md", "rules/team/a.md", "settings.json", "skills/s/SKILL.md", "skills/s/b.bin", "skills/s/run.sh"]
    );
    let mut zip = zip::ZipArchive::new(Cursor::new(export(&server, "?format=zip").await)).unwrap();
    let mut text = String::new();
    zip.by_name("rules/team/a.md").unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "A rule.\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_leaves_what_it_does_not_bring_and_replace_removes_it() {
    let server = filled().await;
    let archive = tar_of(&[("CLAUDE.md", "# New\n"), ("rules/b.md", "B."), ("rules/team/a.md", "A rule.\n")]);
    let mut dry = import(&server, "?dry_run=true&mode=replace", TAR, archive.clone()).await;
    dry.body["etag"] = Value::Null;
    insta::assert_snapshot!(dry.body, @r#"{"created":["rules/b"],"dry_run":true,"etag":null,"removed":["skills/s","settings"],"type":"config_import","unchanged":1,"updated":["claude-md"],"warnings":[],"workspace":null}"#);
    assert_eq!(server.get("/v1/config/claude-md").await.body["content"], "# Hi\n", "nothing was done");

    let merged = import(&server, "", TAR, archive.clone()).await;
    assert_eq!(
        (&merged.body["created"], &merged.body["updated"], &merged.body["removed"], &merged.body["unchanged"]),
        (&json!(["rules/b"]), &json!(["claude-md"]), &json!([]), &json!(1)),
        "{merged:?}"
    );
    assert_eq!(server.get("/v1/config/settings").await.status, 200);
    let replaced = import(&server, "?mode=replace", TAR, archive).await;
    assert_eq!(replaced.body["removed"], json!(["skills/s", "settings"]), "{replaced:?}");
    assert_eq!(server.get("/v1/config/settings").await.status, 404);
    let history = server.get("/v1/config/history?kind=claude-md").await.body;
    assert_eq!(history["data"][0]["action"], "imported");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_of_hooks_that_runs_will_not_have_are_told_as_where_settings_are_put() {
    let server = TestServerBuilder::fake().file("workspace/shop/README", "x").start().await;
    let settings = r#"{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "~/.claude/hooks/gone.sh"}]}]}}"#;
    let archive = tar_of(&[("settings.json", settings), ("CLAUDE.md", "# Hi\n")]);
    // What is brought and what is there already.
    for query in ["?dry_run=true", "", ""] {
        let imported = import(&server, query, TAR, archive.clone()).await;
        assert_eq!(imported.status, 200, "{imported:?}");
        let told = imported.body["warnings"].as_array().unwrap();
        assert_eq!(told.len(), 1, "{imported:?}");
        assert_eq!((&told[0]["file"], &told[0]["field"]), (&json!("settings.json"), &json!("hooks")), "{imported:?}");
        assert!(told[0]["message"].as_str().unwrap().contains("CONFIG_DIR has no `hooks/gone.sh`"), "{imported:?}");
    }
    let put = server.put("/v1/config/settings", &json!({"content": settings})).await;
    assert!(put.body["warnings"].to_string().contains("`hooks/gone.sh`"), "{put:?}");
    server.folders.write("config/hooks/gone.sh", "exit 0");
    let imported = import(&server, "", TAR, archive).await;
    assert!(imported.body["warnings"].to_string().contains("chmod +x"), "{imported:?}");
    // A workspace has no scripts of its own in a run's home.
    let archive = tar_of(&[(".claude/settings.json", settings)]);
    let imported = import(&server, "?workspace=shop", TAR, archive).await;
    assert!(imported.status == 200 && !imported.body["warnings"].to_string().contains("gone.sh"), "{imported:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_taken_or_nothing_and_a_condition_is_on_the_whole() {
    let server = filled().await;
    let tag = server.get("/v1/config").await.etag().to_owned();
    let half_bad = tar_of(&[("rules/new.md", "New."), ("agents/bad.md", "no frontmatter")]);
    let refused = import(&server, "", TAR, half_bad).await;
    assert_eq!((refused.status, refused.kind()), (400, "invalid_request_error"), "{refused:?}");
    let file = refused.body["error"]["problems"][0]["file"].as_str().unwrap_or_default();
    assert!(file.contains("agents/bad"), "{refused:?}");
    assert_eq!(server.get("/v1/config").await.etag(), tag);

    let good = tar_of(&[("rules/new.md", "New.")]);
    let send = async |condition: &str| {
        let request = server.posting("/v1/config/import").header("content-type", TAR).header("if-match", condition);
        Answer::by(request.body(good.clone())).await
    };
    assert_eq!(send("\"other\"").await.status, 412);
    assert_eq!(send(&tag).await.status, 200);
    assert_eq!(send(&tag).await.status, 412, "it is another whole now");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspaces_configuration_is_in_its_own_places() {
    let server = filled().await;
    let archive = tar_of(&[("CLAUDE.md", "# Shop\n"), (".claude/rules/a.md", "A.")]);
    let imported = import(&server, "?workspace=shop", TAR, archive).await;
    assert_eq!(imported.status, 200, "{imported:?}");
    assert_eq!(server.folders.list("workspace/shop"), [".claude", "CLAUDE.md", "README"]);
    let elsewhere = import(&server, "", TAR, tar_of(&[(".claude/rules/a.md", "A.")])).await;
    assert_eq!(elsewhere.status, 400, "{elsewhere:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_mistakes_with_archives_are_told_with_what_to_do() {
    let server = filled().await;
    let zip = export(&server, "?format=zip").await;
    let foreign = |path: &str| tar_of(&[("CLAUDE.md", "x"), (path, "x")]);
    for (kind, archive, message, hint) in [
        (TAR, b"\x1f\x8b\x08\0\xff".to_vec(), "this is gzip", "gunzip it first"),
        (TAR, zip, "this is a zip", "application/zip"),
        (ZIP, tar_of(&[("CLAUDE.md", "x")]), "this is a tar", "application/x-tar"),
        (TAR, b"--boundary\r\ncontent-disposition: form-data".to_vec(), "this is a form", "--data-binary"),
        (TAR, Vec::new(), "the body is empty", "--data-binary"),
        (TAR, b"\xff\xfe".repeat(600), "damaged", "--data-binary"),
        (TAR, foreign("history.jsonl"), "history.jsonl", "pack only what is configuration"),
        (TAR, foreign(".claude/CLAUDE.md"), ".claude/CLAUDE.md", "there is no `.claude` here"),
    ] {
        let refused = import(&server, "", kind, archive).await;
        let error = &refused.body["error"];
        let (said, advice) = (error["message"].as_str().unwrap(), error["hint"].as_str().unwrap());
        assert!(refused.status == 400 && said.contains(message) && advice.contains(hint), "{refused:?}");
        assert!(said.is_ascii(), "bytes of the body are not shown: {said}");
    }
    let none = import(&server, "?mode=replace", TAR, tar_of(&[(".DS_Store", "x")])).await;
    assert!(none.status == 400 && none.message().contains("no document"), "{none:?}");
    assert_eq!(server.get("/v1/config/settings").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_what_lies_there_is_imported_again_and_says_what_is_wrong_with_it() {
    let server = TestServerBuilder::fake()
        .file("config/rules/mounted/..data/real.md", "Behind a link.")
        .file("config/agents/bad.md", "no frontmatter")
        .file("config/rules/Loud Name.md", "x")
        .start()
        .await;
    let link = server.folders.root().join("config/rules/linked.md");
    std::os::unix::fs::symlink("mounted/..data/real.md", link).unwrap();
    let response = server.getting("/v1/config/export").send().await.unwrap();
    let warnings: Vec<_> =
        response.headers().get_all("x-askd-warning").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    let said = |part: &str| warnings.iter().any(|warning| warning.contains(part));
    assert!(said("rules/Loud Name.md: is left out") && said("agents/bad.md: is not valid"), "{warnings:?}");
    let archive = response.bytes().await.unwrap().to_vec();
    let again = import(&server, "?mode=replace", TAR, archive.clone()).await;
    assert_eq!((again.status, &again.body["removed"]), (200, &json!([])), "{again:?}");
    assert!(again.body["warnings"][0]["file"].as_str().unwrap().contains("agents/bad.md"), "{again:?}");

    let other = TestServerBuilder::fake().start().await;
    let refused = import(&other, "", TAR, archive).await;
    let hint = refused.body["error"]["hint"].as_str().unwrap_or_default();
    assert!(refused.status == 400 && hint.contains("leave out `agents/bad.md`"), "{refused:?}");
    server.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_archives_are_refused_and_leave_nothing() {
    let server = filled().await;
    let tag = server.get("/v1/config").await.etag().to_owned();
    let outside = server.folders.list("");
    let mut link = tar::Builder::new(Vec::new());
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(0);
        link.append_link(&mut header, "rules/link.md", "../../secret").unwrap();
    }
    let mut bomb = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let packed = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for name in 0..100 {
        bomb.start_file(format!("skills/s/{name}"), packed).unwrap();
        bomb.write_all(&vec![0; 1 << 20]).unwrap();
    }
    for (what, kind, archive) in [
        ("traversal", TAR, tar_of(&[("../escaped.md", "x")])),
        ("traversal inside", TAR, tar_of(&[("skills/s/../../../escaped", "x")])),
        ("absolute", TAR, tar_of(&[("/tmp/askd-escaped.md", "x")])),
        ("twice", TAR, tar_of(&[("rules/a.md", "x"), ("rules/a.md", "y")])),
        ("case", TAR, tar_of(&[("rules/a.md", "x"), ("rules/A.md", "y")])),
        ("foreign file", TAR, tar_of(&[(".credentials.json", "{}")])),
        ("links", TAR, link.into_inner().unwrap()),
        ("bomb", ZIP, bomb.finish().unwrap().into_inner()),
        ("no archive", TAR, b"this is no archive".repeat(100)),
        ("no archive", ZIP, b"this is no archive".to_vec()),
        ("empty", ZIP, Vec::new()),
    ] {
        let refused = import(&server, "?mode=replace", kind, archive).await;
        assert!(matches!(refused.status, 400 | 413), "{what}: {refused:?}");
    }
    assert_eq!(import(&server, "", "text/plain", Vec::new()).await.status, 415);
    for (query, param) in [("?mode=some", "mode"), ("?dry_run=maybe", "dry_run"), ("?colour=red", "colour")] {
        let wrong = import(&server, query, TAR, tar_of(&[])).await;
        assert_eq!((wrong.status, wrong.param()), (400, param), "{wrong:?}");
    }
    assert_eq!(server.get("/v1/config/export?format=rar").await.param(), "format");
    assert_eq!((server.get("/v1/config").await.etag(), server.folders.list("")), (&*tag, outside));
    server.stop().await;
}
