//! Who did what: one list of what was recorded, what was refused, and of changes of the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use askd::ambient::Ambient;
use askd::audit::{Action, Actor, Audit, Event};
use askd::store::Store;
use askd::store::audit::{AuditFilter, AuditRow, Insert};
use askd::store::config::{ChangeRow, Record};
use askd::store::prune::{Pruned, Retention};
use jiff::Timestamp;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::both_engines;
use crate::place::Place;

both_engines! {
    everything_that_was_done_is_in_one_list_the_newest_first,
    what_was_done_to_one_thing_and_what_was_refused_is_found,
    a_page_follows_the_other_without_gap_or_repetition,
    a_flood_of_refusals_is_counted,
    old_words_are_forgotten,
    what_was_spent_long_ago_is_forgotten_by_the_day,
}

const START: i64 = 1_800_000_000_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn row(id: &str, at: i64, key: &str, action: &str) -> AuditRow {
    AuditRow {
        id: id.to_owned(),
        created_at: at,
        key_id: Some(key.to_owned()),
        address: Some("192.0.2.7".to_owned()),
        request_id: Some("req_1".to_owned()),
        action: action.to_owned(),
        subject: Some("key_9".to_owned()),
        outcome: "done".to_owned(),
        detail: "{\"name\":\"ci\"}".to_owned(),
    }
}

fn change(id: &str, at: i64, workspace: &str, state: &str) -> ChangeRow {
    ChangeRow {
        id: id.to_owned(),
        owner: "server_1".to_owned(),
        batch: None,
        workspace: workspace.to_owned(),
        kind: "rules".to_owned(),
        name: "style".to_owned(),
        action: "updated".to_owned(),
        state: state.to_owned(),
        before: None,
        after: None,
        key_id: Some("key_1".to_owned()),
        address: None,
        request_id: Some("req_2".to_owned()),
        created_at: at,
    }
}

/// Rows `aud_1` to `aud_3`, and changes of which two were made.
async fn fill(store: &Store) {
    for row in [
        row("aud_1", 1_000, "admin", "key.created"),
        row("aud_2", 2_000, "key_1", "run.cancelled"),
        row("aud_3", 4_000, "admin", "key.revoked"),
    ] {
        // Once more, as after a commit whose answer was lost.
        for _ in 0..2 {
            store.write(Insert(row.clone())).await.unwrap();
        }
    }
    let changes = vec![
        change("cfg_1", 3_000, "", "done"),
        change("cfg_2", 4_000, "shop", "done"),
        change("cfg_3", 5_000, "", "pending"),
        change("cfg_4", 6_000, "", "abandoned"),
    ];
    store.write(Record { changes, contents: Vec::new(), now: 1_000 }).await.unwrap();
}

async fn ids(store: &Store, filter: AuditFilter) -> Vec<String> {
    let filter = AuditFilter { limit: 10, ..filter };
    store.audit(&filter).await.unwrap().into_iter().map(|row| row.id).collect()
}

async fn what_was_done_to_one_thing_and_what_was_refused_is_found(place: Place) {
    let store = place.open().await;
    fill(&store).await;
    let refused = AuditRow {
        subject: Some("GET /v1/keys/key_9/x".to_owned()),
        outcome: "denied".to_owned(),
        ..row("aud_4", 7_000, "key_1", "request.refused")
    };
    store.write(Insert(refused)).await.unwrap();
    for (subject, outcome, action, found) in [
        (Some("key_9"), None, None, &["aud_4", "aud_3", "aud_2", "aud_1"][..]),
        (Some("key_9"), Some("denied"), None, &["aud_4"]),
        (Some("key_9"), Some("done"), Some("key.created"), &["aud_1"]),
        (Some("rules/style in shop"), None, None, &["cfg_2"]),
        (Some("rules/style"), Some("done"), Some("config.changed"), &["cfg_1"]),
        (Some("rules/style"), Some("denied"), Some("config.changed"), &[]),
        (Some("key%"), None, None, &[]),
        (Some("key?9"), None, None, &[]),
        (Some("ke__9"), None, None, &[]),
        (None, Some("denied"), None, &["aud_4"]),
        (None, Some("done"), Some("config.changed"), &["cfg_2", "cfg_1"]),
    ] {
        let [subject, outcome, action] = [subject, outcome, action].map(|word| word.map(str::to_owned));
        let filter = AuditFilter { subject, outcome, action, ..AuditFilter::default() };
        assert_eq!(ids(&store, filter.clone()).await, found, "{filter:?}");
    }
    store.close().await;
}

async fn everything_that_was_done_is_in_one_list_the_newest_first(place: Place) {
    let store = place.open().await;
    fill(&store).await;
    let all = AuditFilter { limit: 10, ..AuditFilter::default() };
    let rows = store.audit(&all).await.unwrap();
    let listed: Vec<_> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(listed, ["cfg_2", "aud_3", "cfg_1", "aud_2", "aud_1"], "what did not happen is not among it");
    assert_eq!(rows[4], row("aud_1", 1_000, "admin", "key.created"));
    let of_config = AuditRow { detail: String::new(), ..rows[0].clone() };
    assert_eq!(
        of_config,
        AuditRow {
            id: "cfg_2".into(),
            created_at: 4_000,
            key_id: Some("key_1".into()),
            address: None,
            request_id: Some("req_2".into()),
            action: "config.changed".into(),
            subject: Some("rules/style in shop".into()),
            outcome: "done".into(),
            detail: String::new(),
        }
    );
    let detail: Value = serde_json::from_str(&rows[0].detail).unwrap();
    let expected = json!({"change": "updated", "workspace": "shop", "kind": "rules", "name": "style", "batch": null});
    assert_eq!(detail, expected);
    assert_eq!(rows[2].subject.as_deref(), Some("rules/style"));

    let text = |text: &str| Some(text.to_owned());
    let of_key = AuditFilter { key: text("key_1"), ..AuditFilter::default() };
    assert_eq!(ids(&store, of_key.clone()).await, ["cfg_2", "cfg_1", "aud_2"]);
    assert_eq!(ids(&store, AuditFilter { action: text("run.cancelled"), ..of_key.clone() }).await, ["aud_2"]);
    assert_eq!(ids(&store, AuditFilter { action: text("config.changed"), ..of_key }).await, ["cfg_2", "cfg_1"]);
    assert_eq!(ids(&store, AuditFilter { action: text("key.updated"), ..AuditFilter::default() }).await, [""; 0]);
    let between = AuditFilter { after: Some(1_000), before: Some(4_000), ..AuditFilter::default() };
    assert_eq!(ids(&store, between).await, ["cfg_1", "aud_2"]);
    assert!(store.audit(&AuditFilter::default()).await.unwrap().is_empty(), "its limit is 0");
    store.close().await;
}

async fn a_page_follows_the_other_without_gap_or_repetition(place: Place) {
    let store = place.open().await;
    fill(&store).await;
    for limit in 1..=6 {
        let (mut listed, mut page) = (Vec::new(), None);
        loop {
            let rows = store.audit(&AuditFilter { page, limit, ..AuditFilter::default() }).await.unwrap();
            assert!(rows.len() as u64 <= limit);
            let Some(last) = rows.last() else { break };
            page = Some((last.created_at, last.id.clone()));
            listed.extend(rows.into_iter().map(|row| row.id));
        }
        assert_eq!(listed, ["cfg_2", "aud_3", "cfg_1", "aud_2", "aud_1"], "in pages of {limit}");
    }
    store.close().await;
}

async fn a_flood_of_refusals_is_counted(place: Place) {
    let store = place.open().await;
    let clock = Arc::new(AtomicI64::new(START));
    let now = Arc::clone(&clock);
    let now = move || Timestamp::from_millisecond(now.load(Ordering::Relaxed)).unwrap();
    let audit = Audit::new(store.clone(), Ambient::new(now, Uuid::new_v4));
    let actor = |key: Option<&str>| Actor {
        key_id: key.map(str::to_owned),
        address: Some([192, 0, 2, 7].into()),
        request_id: "req_1".into(),
    };
    let refusal = |route: &str| Event {
        action: Action::RequestRefused,
        subject: Some(route.to_owned()),
        detail: json!({"why": "scope"}),
    };
    for _ in 0..1_000 {
        audit.refused(&actor(Some("key_1")), refusal("POST /ask"));
    }
    audit.refused(&actor(None), refusal("GET /v1/runs"));
    clock.fetch_add(60_000, Ordering::Relaxed);
    audit.refused(&actor(Some("key_1")), refusal("POST /ask"));
    for _ in 0..30 {
        audit.refused(&actor(Some("key_2")), refusal("POST /ask"));
    }
    audit.settle(true).await;

    let of = async |key: &str| {
        let filter = AuditFilter { key: Some(key.to_owned()), limit: 100, ..AuditFilter::default() };
        let rows = store.audit(&filter).await.unwrap();
        assert!(rows.iter().all(|row| (row.action.as_str(), row.outcome.as_str()) == ("request.refused", "denied")));
        let (counts, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.subject.is_none());
        (rows.len(), counts.into_iter().map(|row| row.detail).collect::<Vec<_>>())
    };
    assert_eq!(of("key_1").await, (21, vec!["{\"left_out\":980}".to_owned()]));
    assert_eq!(of("key_2").await, (20, vec!["{\"left_out\":10}".to_owned()]));
    let everything = store.audit(&AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap();
    assert_eq!(everything.iter().filter(|row| row.key_id.is_none()).count(), 1, "a flood hides nobody");
    store.close().await;
}

async fn old_words_are_forgotten(place: Place) {
    let store = place.open().await;
    fill(&store).await;
    let retention = Retention { audit_before: 4_000, config_before: 4_000, ..Retention::default() };
    let pruned = store.prune(&retention).await.unwrap();
    assert_eq!(pruned, Pruned { audit: 2, config_changes: 1, ..Pruned::default() });
    assert_eq!(ids(&store, AuditFilter::default()).await, ["cfg_2", "aud_3"]);
    store.close().await;
}

async fn what_was_spent_long_ago_is_forgotten_by_the_day(place: Place) {
    let store = place.open().await;
    let connection = place.connect().await;
    let today = START / DAY_MS;
    for ago in [0, 7, 8, 400, 401] {
        let day = today - ago;
        for sql in [
            format!("INSERT INTO budget_days VALUES ('key_1', {day}, 1, 0)"),
            format!("INSERT INTO usage_days VALUES ('key_1', {day}, 'shop', 1, 1), ('key_1', {day}, '', 1, 1)"),
        ] {
            connection.execute_unprepared(&sql).await.unwrap();
        }
    }
    let pruned = store.prune(&Retention { now: START, ..Retention::default() }).await.unwrap();
    assert_eq!(pruned, Pruned { days: 3 + 2, ..Pruned::default() });
    assert_eq!(store.prune(&Retention { now: START, ..Retention::default() }).await, Ok(Pruned::default()));
    connection.close().await.unwrap();
    store.close().await;
}
