//! Edits of parts: files of a skill, entries of the MCP servers.

use serde_json::{Value, json};

use super::*;
use crate::config::mcp_file::{entry, entry_etag};

/// As many as change one document at the same moment.
const WRITERS: usize = 50;

fn servers() -> DocumentId {
    DocumentId::new(Kind::McpServers, None).unwrap()
}

fn server(name: &str, entry: Value, condition: Condition) -> Edit {
    Edit::PutMcpServer { name: name.to_owned(), entry, condition }
}

async fn all<T: Send + 'static>(tasks: impl Iterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks: tokio::task::JoinSet<T> = tasks.collect();
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_of_different_files_of_a_skill_all_succeed() {
    let place = Place::new().await;
    let config = place.config();
    let id = DocumentId::new(Kind::Skill, Some("pdf")).unwrap();
    let main = "---\nname: pdf\ndescription: Reads PDF files.\n---\nRead them.\n".to_owned();
    config.edit(&Scope::User, &id, Edit::PutSkillText(main), &Condition::None, &by()).await.unwrap();
    let one = |number: usize| {
        let (config, id) = (config.clone(), id.clone());
        async move {
            let file = SkillFile { bytes: number.to_string().into_bytes(), executable: false };
            let edit = Edit::PutSkillFile { path: format!("{number}.txt"), file, condition: Condition::IfAbsent };
            config.edit(&Scope::User, &id, edit, &Condition::None, &by()).await.unwrap()
        }
    };
    let written = all((0..WRITERS).map(one)).await;
    assert!(written.iter().all(|written| matches!(written.part, Some(Outcome::Created(_)))));
    for number in 0..WRITERS {
        assert_eq!(place.read(&format!("skills/pdf/{number}.txt")), number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_of_different_servers_all_succeed() {
    let place = Place::new().await;
    let config = place.config();
    let one = |number: usize| {
        let config = config.clone();
        async move {
            let edit = server(&format!("s{number}"), json!({"command": "c"}), Condition::IfAbsent);
            config.edit(&Scope::User, &servers(), edit, &Condition::None, &by()).await.unwrap()
        }
    };
    let written = all((0..WRITERS).map(one)).await;
    assert!(written.iter().all(|written| matches!(written.part, Some(Outcome::Created(_)))));
    let text = place.read(".mcp.json");
    assert!((0..WRITERS).all(|number| entry(&text, &format!("s{number}")).unwrap().is_some()));
}

#[tokio::test]
async fn a_condition_on_an_entry_is_about_the_entry_alone() {
    let place = Place::new().await;
    let config = place.config();
    let edit = async |edit: Edit| config.edit(&Scope::User, &servers(), edit, &Condition::None, &by()).await;
    let (one, two) = (json!({"command": "one"}), json!({"command": "two"}));
    edit(server("a", one.clone(), Condition::IfAbsent)).await.unwrap();
    edit(server("b", one.clone(), Condition::None)).await.unwrap();
    let tag = Condition::IfMatch(vec![entry_etag(&one)]);
    assert!(matches!(edit(server("a", two.clone(), tag.clone())).await.unwrap().part, Some(Outcome::Updated(_))));
    let lost = edit(server("a", one.clone(), tag)).await.unwrap_err();
    let now = Some(entry_etag(&two));
    assert!(matches!(lost, ConfigError::Precondition { current, .. } if current == now), "{lost}");
    let same = edit(server("a", two, Condition::None)).await.unwrap();
    assert!(matches!((same.part, same.change), (Some(Outcome::Unchanged(_)), None)));
    let remove = || Edit::RemoveMcpServer { name: "a".to_owned(), condition: Condition::None };
    assert_eq!(edit(remove()).await.unwrap().part, Some(Outcome::Removed));
    assert_eq!(edit(remove()).await.unwrap_err(), ConfigError::NotFound);
    assert!(entry(&place.read(".mcp.json"), "b").unwrap().is_some());
}

#[tokio::test]
async fn a_file_of_servers_that_cannot_be_read_is_not_overwritten_by_one_entry() {
    let place = Place::new().await;
    let config = place.config();
    for bytes in [&b"{"[..], b"[]", b"\xff"] {
        fs::write(place.path(".mcp.json"), bytes).unwrap();
        let edit = server("a", json!({"command": "c"}), Condition::None);
        let error = config.edit(&Scope::User, &servers(), edit, &Condition::None, &by()).await.unwrap_err();
        assert!(matches!(error, ConfigError::Conflict(_)), "{error}");
        assert_eq!(fs::read(place.path(".mcp.json")).unwrap(), bytes);
    }
}

#[tokio::test]
async fn two_agents_of_one_name_are_refused() {
    let place = Place::new().await;
    let config = place.config();
    let agent = |name: &str| text(&format!("---\nname: {name}\ndescription: Reviews.\n---\nReview.\n"));
    let id = |file: &str| DocumentId::new(Kind::Agent, Some(file)).unwrap();
    let put = async |file: &str, name: &str| {
        config.edit(&Scope::User, &id(file), Edit::Put(agent(name)), &Condition::None, &by()).await
    };
    put("one", "reviewer").await.unwrap();
    let error = put("two", "reviewer").await.unwrap_err();
    assert!(matches!(&error, ConfigError::Conflict(text) if text.contains("agents/one")), "{error}");
    put("two", "critic").await.unwrap();
    put("one", "reviewer").await.unwrap();
    let both = vec![(id("one"), agent("same")), (id("three"), agent("same"))];
    let import = config.replace(&Scope::User, both, Import::Merge, false, &Condition::None, &by()).await;
    let error = import.unwrap_err();
    assert!(matches!(&error, ConfigError::Invalid(report) if report.errors[0].message.contains("agents/")), "{error}");
    // By hand they come all the same.
    place.write("agents/four.md", "---\nname: critic\ndescription: d\n---\nText\n");
    let problems = config.problems(&Scope::User).await.unwrap();
    let warned = problems.iter().find(|(named, _)| *named == Some(id("two"))).unwrap();
    assert!(warned.1.warnings.iter().any(|warning| warning.message.contains("agents/four")), "{problems:?}");
}
