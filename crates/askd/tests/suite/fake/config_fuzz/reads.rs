//! What is read at the end of a story.

use askd::config::archive::{self, Format};
use askd::config::document::Content;
use askd::config::kind::Kind;
use askd::config::limits::Limits;
use askd::config::scope::Scope;
use serde_json::Value;

use super::draw::Act;
use super::model::Key;
use super::send::{Sent, encoded};
use super::{WORKSPACE, World};

/// What reading is reported as.
const READING: Act = Act::Restore { back: 0, when: super::draw::When::Always };

impl World {
    /// Lists, documents and exports say what the model says.
    pub(crate) async fn check_reads(&mut self) {
        for scope in [Scope::User, Scope::Workspace(WORKSPACE.into())] {
            let query = scope.workspace().map_or(String::new(), |name| format!("&workspace={name}"));
            for kind in Kind::ALL {
                if kind.is_single() || (scope != Scope::User && !kind.is_in_workspaces()) {
                    continue;
                }
                let list = self.get(&format!("/v1/config/{}?limit=200{query}", kind.as_str())).await;
                if !self.model.has_traps {
                    let names: Vec<_> =
                        list["data"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
                    let keys = self.model.documents.keys().filter(|key| key.0 == scope && key.1.kind() == kind);
                    let expected: Vec<_> = keys.map(|key| key.1.name().unwrap()).collect();
                    assert_eq!(names, expected, "{scope} {kind:?}");
                }
            }
            self.get(&format!("/v1/config?{}", query.trim_start_matches('&'))).await;
            self.check_export(&scope, &query).await;
        }
        for (key, content) in self.model.documents.clone() {
            self.check_document(&key, &content).await;
        }
        self.get("/config/agents?limit=200").await;
    }

    async fn check_document(&self, key: &Key, content: &Content) {
        let (scope, id) = key;
        let query = scope.workspace().map_or(String::new(), |name| format!("?workspace={name}"));
        let name = id.name().map_or(String::new(), |name| format!("/{}", encoded(name, false)));
        let path = format!("/v1/config/{}{name}{query}", id.kind().as_str());
        let answer = self.send(&READING, Sent::get(&path)).await.unwrap();
        if self.model.has_traps && !answer.is_good() {
            return;
        }
        assert!(answer.is_good(), "{path}: {}", answer.json);
        assert_eq!(answer.json["content"].as_str(), content.text(), "{path}");
        let etag = content.etag().to_string();
        assert_eq!((answer.json["etag"].as_str(), answer.etag()), (Some(&*etag), Some(&*etag)), "{path}");
        let again = Sent::get(&path).with(Some(("if-none-match", format!("\"{etag}\""))));
        assert_eq!(self.send(&READING, again).await.unwrap().status, 304, "{path}");
        if let Content::Skill(skill) = content {
            for (file, expected) in &skill.files {
                let name = id.name().unwrap();
                let path = format!("/v1/config/skills/{name}/files/{}{query}", encoded(file, false));
                let answer = self.send(&READING, Sent::get(&path)).await.unwrap();
                assert!(answer.is_good() && answer.bytes == expected.bytes, "{path}: {answer:?}");
                assert_eq!(answer.headers["x-askd-executable"], expected.executable.to_string(), "{path}");
            }
        }
    }

    async fn check_export(&self, scope: &Scope, query: &str) {
        let (format, word) =
            if self.model.documents.len().is_multiple_of(2) { (Format::Tar, "tar") } else { (Format::Zip, "zip") };
        let answer = self.send(&READING, Sent::get(format!("/v1/config/export?format={word}{query}"))).await.unwrap();
        if self.model.has_traps {
            return;
        }
        assert!(answer.is_good(), "{}", answer.json);
        let documents = archive::read(format, scope, &answer.bytes, &Limits::new(64 << 20)).unwrap();
        let all = self.model.documents.iter().filter(|(key, _)| key.0 == *scope);
        let expected: Vec<_> = all.map(|(key, content)| (key.1.clone(), content.clone())).collect();
        assert_eq!(documents, expected, "{scope}");
    }

    /// Every acknowledged change is in the history with what it left, and so is what was written by hand and then changed.
    pub(crate) async fn check_history(&self) {
        for (id, content) in &self.model.changes {
            let change = self.get(&format!("/v1/config/history/{id}")).await;
            assert_eq!(change["state"], "done", "{change}");
            let etag = content.as_ref().map(|content| content.etag().to_string());
            assert_eq!(change["after"].as_str(), etag.as_deref(), "{change}");
            if let Some(Content::Text(text)) = content {
                assert_eq!(change["content"].as_str(), Some(&**text), "{change}");
            }
            let diff = format!("/v1/config/history/{id}/diff");
            self.send(&READING, Sent::get(diff)).await.unwrap();
        }
        for ((scope, id), etag) in &self.model.noticed {
            let workspace = scope.workspace().map_or(String::new(), |name| format!("&workspace={name}"));
            let name = id.name().map_or(String::new(), |name| format!("&name={}", encoded(name, false)));
            let path = format!("/v1/config/history?limit=200&kind={}{name}{workspace}", id.kind().as_str());
            let history = self.get(&path).await;
            let etag = etag.to_string();
            let is_kept = |change: &Value| change["after"].as_str() == Some(&etag);
            assert!(
                history["data"].as_array().unwrap().iter().any(is_kept),
                "what was written by hand is lost: {path}"
            );
        }
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.send(&READING, Sent::get(path)).await.unwrap();
        assert!(answer.is_good() || self.model.has_traps, "{path}: {}", answer.json);
        answer.json
    }
}
