//! What a key may do: every route, with a key that has its scope and with one that has all others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use askd::api::scopes::{Need, ROUTES};
use askd::keys::Scope;
use askd::settings::choices::Docs;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Holder, TestServerBuilder};

/// A path that fits a route.
fn path_of(route: &str) -> String {
    route
        .replace("/config/{kind}/{name}", "/config/agents/nobody")
        .replace("/config/{kind}/{*name}", "/config/agents/nobody")
        .replace("/config/{kind}", "/config/claude-md")
        .replace("/v1/config/history/{id}", "/v1/config/history/cfg_00000000-0000-7000-8000-000000000000")
        .replace("/v1/keys/{id}", "/v1/keys/key_00000000-0000-7000-8000-000000000000")
        .replace("{id}", "run_00000000-0000-7000-8000-000000000000")
        .replace("{server}", "nobody")
        .replace("{name}", "nobody")
        .replace("{*path}", "a/b")
        .replace("{file}", "start.js")
}

async fn send(holder: &Holder, method: &str, path: &str) -> Answer {
    let request = holder.sending(Method::from_bytes(method.as_bytes()).unwrap(), path);
    Answer::by(request.json(&json!({}))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_takes_its_scope_and_no_other_will_do() {
    let server = TestServerBuilder::fake().start().await;
    for scope in Scope::ALL.into_iter().filter(|scope| *scope != Scope::Admin) {
        let others = Scope::ALL.into_iter().filter(|other| ![scope, Scope::Admin].contains(other));
        let others: Vec<_> = others.map(Scope::as_str).collect();
        let with = server.holder(&json!({"name": "with", "scopes": [scope.as_str()]})).await;
        let without = server.holder(&json!({"name": "without", "scopes": others})).await;
        for (method, route, need) in ROUTES {
            let path = path_of(route);
            let needed = *need == Need::Scope(scope);
            if needed {
                let refused = send(&without, method, &path).await;
                assert_eq!(refused.status, 403, "{method} {path} without {scope:?}: {refused:?}");
                assert!(refused.message().contains(scope.as_str()), "{refused:?}");
            }
            // Whatever becomes of the request, it is not for want of this scope.
            let answer = send(&with, method, &path).await;
            let refused = answer.status == 403 && answer.message().contains("this needs the scope");
            let passes = needed || *need == Need::Key;
            // A route may want more when it has seen what it is about, and says what.
            let wants_more = refused && needed && !answer.message().contains(scope.as_str());
            assert_eq!(!refused || wants_more, passes, "{method} {path} with {scope:?}: {answer:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_the_audit_are_for_admins_who_may_do_everything() {
    let server = TestServerBuilder::fake().start().await;
    let all: Vec<_> = Scope::ALL.into_iter().filter(|scope| *scope != Scope::Admin).map(Scope::as_str).collect();
    let user = server.holder(&json!({"name": "user", "scopes": all})).await;
    let admin = server.holder(&json!({"name": "admin too", "scopes": ["admin"]})).await;
    for (method, route, need) in ROUTES {
        let path = path_of(route);
        let answer = send(&admin, method, &path).await;
        assert!(![401, 403].contains(&answer.status), "{method} {path}: {answer:?}");
        if *need == Need::Scope(Scope::Admin) {
            let answer = send(&user, method, &path).await;
            assert_eq!(answer.status, 403, "{method} {path}: {answer:?}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_answers_without_a_key_and_a_wrong_method_is_told_to_keys_only() {
    // The documentation is open on loopback otherwise.
    let server = TestServerBuilder::fake().set(|settings| settings.server.docs = Docs::Key).start().await;
    for (method, route, _) in ROUTES {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = server.client.request(method, server.url(&path_of(route))).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{route}");
    }
    let nothing = server.holder(&json!({"name": "x", "scopes": ["approvals"]})).await;
    assert_eq!(send(&nothing, "DELETE", "/v1/runs").await.status, 405);
    assert_eq!(send(&nothing, "GET", "/v1/nothing").await.status, 404);
    server.stop().await;
}

/// The first argument of a call and the rest, up to its closing parenthesis.
fn call(text: &str) -> (&str, &str) {
    let mut depth = 1_usize;
    let end = text.char_indices().find(|(_, character)| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    text[..end.unwrap().0].trim().split_once(',').unwrap()
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            sources(&entry.path(), found);
        } else {
            found.push(fs::read_to_string(entry.path()).unwrap());
        }
    }
}

#[test]
fn the_table_has_every_route_of_the_code_and_no_other() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = vec![fs::read_to_string(src.join("api.rs")).unwrap()];
    sources(&src.join("api"), &mut texts);
    let mut coded = BTreeSet::new();
    for text in &texts {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        // Handlers say what their route is; `routes!` makes one of it.
        for annotation in code.split("#[utoipa::path(").skip(1) {
            let (method, rest) = annotation.split_once(',').unwrap();
            let path = rest.trim().strip_prefix("path = \"").and_then(|rest| rest.split('"').next()).expect("a path");
            coded.insert((method.trim().to_uppercase(), path.to_owned()));
        }
        for rest in code.split(".route(").skip(1).chain(code.split(".untold(").skip(1)) {
            let (path, methods) = call(rest);
            let quoted = path.trim().strip_prefix('"').and_then(|path| path.strip_suffix('"'));
            let Some(path) = quoted else {
                assert!(text.contains("pub(in crate::api) struct Routes"), "a path in quotes: {path}");
                continue;
            };
            for method in ["get", "post", "put", "patch", "delete"] {
                let call = format!("{method}(");
                let before = |at: usize| methods[..at].chars().next_back();
                let is_call = |at: usize| !before(at).is_some_and(|it| it.is_alphanumeric() || it == '_' || it == ':');
                if methods.match_indices(&call).any(|(at, _)| is_call(at)) {
                    coded.insert((method.to_uppercase(), path.to_owned()));
                }
            }
        }
    }
    let open = ["/health", "/livez", "/readyz", "/startupz"];
    coded.retain(|(_, path)| !open.contains(&path.as_str()));
    let listed: BTreeSet<_> =
        ROUTES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(listed.len(), ROUTES.len(), "a route stands in the table twice");
    assert_eq!(coded, listed, "the routes of the code (left) and those of api/scopes.rs (right) differ");
}
