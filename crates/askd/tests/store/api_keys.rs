//! API keys: made, shown once, checked, replaced and revoked, on both engines.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use askd::ambient::Ambient;
use askd::audit::{Actor, Audit};
use askd::keys::change::{ChangeError, KeyPatch, NewKey, RunsOfRevoked};
use askd::keys::entry::Entry;
use askd::keys::manager::Checked;
use askd::keys::{Invalid, Key, Keys, Policy, Scope, Scopes};
use askd::settings::{InForce, Settings};
use askd::store::Store;
use askd::store::audit::{AuditFilter, AuditRow};
use askd::store::keys::{Changed, Create, KeyRow, NoteUses, Revoke, Rotate, Update, Use};
use askd::store::prune::{Pruned, Retention};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use jiff::Timestamp;
use sea_orm::{ConnectionTrait as _, Statement};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::both_engines;
use crate::place::{Place, eventually, finish, stored, submit};

both_engines! {
    a_key_counts_from_the_moment_it_is_made_and_its_secret_is_nowhere,
    what_is_not_a_key_s_secret_is_unknown,
    a_change_counts_at_once_also_on_another_server,
    a_key_that_is_replaced_counts_a_while_longer_and_never_three_of_them,
    a_revoked_key_counts_no_more_and_stays_so,
    a_key_ends_at_its_time_and_can_be_renewed,
    wrong_parts_are_refused_by_name,
    keys_come_in_pages_the_newest_first,
    the_last_use_is_noted_and_never_put_back,
    every_change_has_one_word_in_the_audit_however_often_it_is_tried,
    a_change_of_what_was_seen_otherwise_is_none,
    a_key_that_lasts_longer_now_is_not_forgotten_by_those_who_saw_it_end,
    what_is_being_stored_when_nobody_waits_any_more_is_stored_later,
    a_key_of_a_later_server_is_seen_and_revoked_and_holds_up_nobody,
    a_key_that_counts_no_more_or_is_no_admin_changes_no_other,
    there_are_no_more_keys_than_may_be,
    keys_that_count_no_more_are_forgotten_when_their_runs_have_ended,
    without_a_store_nobody_is_let_in_and_nobody_is_called_unknown,
    many_servers_rotate_one_key_at_once,
}

/// Keys over a store, with a clock of the test's own.
struct Desk {
    store: Store,
    keys: Keys,
    audit: Audit,
    clock: Arc<AtomicI64>,
}

/// What becomes of runs is of no interest here.
const KEEP: RunsOfRevoked = RunsOfRevoked::Keep;

const START: i64 = 1_800_000_000_000;

impl Desk {
    async fn open(place: &Place) -> Self {
        Self::beside(place, Arc::new(AtomicI64::new(START))).await
    }

    async fn beside(place: &Place, clock: Arc<AtomicI64>) -> Self {
        let store = place.open().await;
        let now = Arc::clone(&clock);
        let now = move || Timestamp::from_millisecond(now.load(Ordering::Relaxed)).unwrap();
        let ambient = Ambient::new(now, Uuid::new_v4);
        let audit = Audit::new(store.clone(), ambient.clone());
        let settings = InForce::new(Settings::for_testing(place.folder.path()));
        let keys = Keys::new(store.clone(), ambient, audit.clone(), settings);
        Self { store, keys, audit, clock }
    }

    fn later(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    fn in_seconds(&self, seconds: i64) -> Timestamp {
        Timestamp::from_millisecond(self.clock.load(Ordering::Relaxed) + seconds * 1000).unwrap()
    }

    async fn make(&self, new: NewKey) -> (Key, String) {
        let made = self.keys.create(new, &actor()).await.unwrap();
        (made.key, made.token.expose_secret().to_owned())
    }

    /// What a token is, in one word.
    async fn word(&self, token: &str) -> &'static str {
        match self.keys.check(token).await.unwrap() {
            Checked::Valid(_) => "valid",
            Checked::Invalid { why: Invalid::Revoked, .. } => "revoked",
            Checked::Invalid { why: Invalid::Expired, .. } => "expired",
            Checked::Unknown => "unknown",
        }
    }

    async fn audited(&self) -> Vec<AuditRow> {
        self.audit.list(&AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap()
    }
}

fn actor() -> Actor {
    Actor { key_id: Some("admin".into()), address: Some([192, 0, 2, 7].into()), request_id: "req_1".into() }
}

fn new_key(name: &str) -> NewKey {
    let scopes = [Scope::Ask, Scope::RunsRead].into_iter().collect();
    NewKey { name: name.to_owned(), scopes, policy: Policy::default(), expires_at: None }
}

fn policy(json: &str) -> Policy {
    serde_json::from_str(json).unwrap()
}

async fn a_key_counts_from_the_moment_it_is_made_and_its_secret_is_nowhere(place: Place) {
    let desk = Desk::open(&place).await;
    let policy = policy(r#"{"models":["haiku"],"tools":["Read"],"max_usd_per_run":0.1,"max_usd_per_day":1.5}"#);
    let expires_at = Some(desk.in_seconds(60));
    let (key, token) = desk.make(NewKey { policy: policy.clone(), expires_at, ..new_key("ci") }).await;
    assert_eq!((key.name.as_str(), &key.policy, key.expires_at), ("ci", &policy, expires_at));
    assert_eq!(key.created_by.as_str(), "admin");
    assert!(key.scopes.has(Scope::Ask) && !key.scopes.has(Scope::Admin));
    let Checked::Valid(checked) = desk.keys.check(&token).await.unwrap() else { panic!("the key does not count") };
    assert_eq!(*checked, key, "what is read is what was made");
    assert_eq!(desk.keys.find(key.id.as_str()).await.unwrap().as_deref(), Some(&key));
    let (_, secret) = token.rsplit_once('_').unwrap();
    let (row, secrets) = desk.store.key_with_secrets(key.id.as_str()).await.unwrap().unwrap();
    assert_eq!(secrets.len(), 1);
    let kept = format!("{row:?} {secrets:?} {:?}", desk.audited().await);
    assert!(!kept.contains(secret), "{kept}");
    desk.store.close().await;
}

async fn what_is_not_a_key_s_secret_is_unknown(place: Place) {
    let desk = Desk::open(&place).await;
    let (_, token) = desk.make(new_key("one")).await;
    let (_, other) = desk.make(new_key("other")).await;
    let (id, secret) = token.rsplit_once('_').unwrap();
    let (_, other_secret) = other.rsplit_once('_').unwrap();
    let flipped = |place: usize| {
        let mut digits = secret.as_bytes().to_vec();
        digits[place] = if digits[place] == b'0' { b'1' } else { b'0' };
        format!("{id}_{}", String::from_utf8(digits).unwrap())
    };
    let unknown_id = format!("askd_{}_{secret}", Uuid::new_v4().simple());
    for wrong in
        [flipped(0), flipped(63), format!("{id}_{other_secret}"), unknown_id, format!("{id}_{}", "0".repeat(64))]
    {
        assert_eq!(desk.word(&wrong).await, "unknown", "{wrong}");
    }
    assert_eq!(desk.word(&token).await, "valid");
    desk.store.close().await;
}

async fn a_change_counts_at_once_also_on_another_server(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, token) = desk.make(new_key("ci")).await;
    // SQLite has one server.
    let other = if place.is_postgres() { Desk::beside(&place, Arc::clone(&desk.clock)).await } else { desk.twin() };
    let patch = KeyPatch {
        name: Some("build".into()),
        policy: Some(policy(r#"{"workspaces":["shop"]}"#)),
        ..KeyPatch::default()
    };
    let updated = desk.keys.update(key.id.as_str(), patch, &actor()).await.unwrap();
    let workspaces = Some(vec!["shop".to_owned()]);
    assert_eq!((updated.name.as_str(), &updated.policy.workspaces), ("build", &workspaces));
    assert_eq!(updated.scopes, key.scopes, "what the patch does not name stays");
    let Checked::Valid(seen) = other.keys.check(&token).await.unwrap() else { panic!("the key does not count") };
    assert_eq!(*seen, updated);
    let narrower = KeyPatch { scopes: Some([Scope::RunsRead].into_iter().collect()), ..KeyPatch::default() };
    desk.keys.update(key.id.as_str(), narrower, &actor()).await.unwrap();
    let Checked::Valid(seen) = other.keys.check(&token).await.unwrap() else { panic!("the key does not count") };
    assert!(!seen.scopes.has(Scope::Ask));
    assert_eq!(seen.policy.workspaces, workspaces);
    desk.keys.revoke(key.id.as_str(), KEEP, &actor()).await.unwrap();
    assert_eq!(other.word(&token).await, "revoked");
    desk.store.close().await;
    other.store.close().await;
}

impl Desk {
    fn twin(&self) -> Self {
        let (store, keys, audit) = (self.store.clone(), self.keys.clone(), self.audit.clone());
        Self { store, keys, audit, clock: Arc::clone(&self.clock) }
    }

    async fn rotate(&self, key: &Key, overlap: u64) -> String {
        let made = self.keys.rotate(key.id.as_str(), Duration::from_secs(overlap), &actor()).await.unwrap();
        assert_eq!(made.key.id, key.id);
        made.token.expose_secret().to_owned()
    }
}

async fn a_key_that_is_replaced_counts_a_while_longer_and_never_three_of_them(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, first) = desk.make(new_key("ci")).await;
    let second = desk.rotate(&key, 60).await;
    assert_eq!((desk.word(&first).await, desk.word(&second).await), ("valid", "valid"));
    desk.later(59);
    assert_eq!((desk.word(&first).await, desk.word(&second).await), ("valid", "valid"));
    desk.later(1);
    assert_eq!((desk.word(&first).await, desk.word(&second).await), ("unknown", "valid"));
    let third = desk.rotate(&key, 60).await;
    let fourth = desk.rotate(&key, 60).await;
    let words = [desk.word(&second).await, desk.word(&third).await, desk.word(&fourth).await];
    assert_eq!(words, ["unknown", "valid", "valid"], "one that was replaced earlier counts no more");
    let fifth = desk.rotate(&key, 0).await;
    let words = [desk.word(&third).await, desk.word(&fourth).await, desk.word(&fifth).await];
    assert_eq!(words, ["unknown", "unknown", "valid"], "without an overlap the new one counts alone");
    desk.keys.revoke(key.id.as_str(), KEEP, &actor()).await.unwrap();
    assert_eq!(desk.word(&fifth).await, "revoked");
    desk.store.close().await;
}

async fn a_revoked_key_counts_no_more_and_stays_so(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, token) = desk.make(new_key("ci")).await;
    let id = key.id.as_str();
    let revoked = desk.keys.revoke(id, KEEP, &actor()).await.unwrap();
    assert_eq!(revoked.key().unwrap().revoked_at, Some(desk.in_seconds(0)));
    desk.later(5);
    assert_eq!(desk.keys.revoke(id, KEEP, &actor()).await.unwrap(), revoked, "a second time changes nothing");
    let patch = KeyPatch { expires_at: Some(None), ..KeyPatch::default() };
    assert!(matches!(desk.keys.update(id, patch, &actor()).await, Err(ChangeError::Revoked)));
    assert!(matches!(desk.keys.rotate(id, Duration::ZERO, &actor()).await, Err(ChangeError::Revoked)));
    assert_eq!(desk.word(&token).await, "revoked");
    let (id, _) = token.rsplit_once('_').unwrap();
    assert_eq!(desk.word(&format!("{id}_{}", "0".repeat(64))).await, "unknown", "only its holder is told");
    desk.store.close().await;
}

async fn a_key_ends_at_its_time_and_can_be_renewed(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, token) = desk.make(NewKey { expires_at: Some(desk.in_seconds(60)), ..new_key("ci") }).await;
    desk.later(60);
    assert_eq!(desk.word(&token).await, "expired");
    let until = |at| KeyPatch { expires_at: Some(at), ..KeyPatch::default() };
    desk.keys.update(key.id.as_str(), until(Some(desk.in_seconds(60))), &actor()).await.unwrap();
    assert_eq!(desk.word(&token).await, "valid");
    desk.later(60);
    assert_eq!(desk.word(&token).await, "expired");
    desk.keys.update(key.id.as_str(), until(None), &actor()).await.unwrap();
    desk.later(1_000_000);
    assert_eq!(desk.word(&token).await, "valid");
    desk.store.close().await;
}

async fn wrong_parts_are_refused_by_name(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, _) = desk.make(new_key("ci")).await;
    let of = |result: Result<_, ChangeError>| match result {
        Err(ChangeError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    for (new, field) in [
        (new_key(""), "name"),
        (new_key(&"x".repeat(101)), "name"),
        (new_key("a\nb"), "name"),
        (NewKey { scopes: Scopes::default(), ..new_key("ci") }, "scopes"),
        (NewKey { expires_at: Some(desk.in_seconds(0)), ..new_key("ci") }, "expires_at"),
        (NewKey { policy: policy(r#"{"models":["unheard-of"]}"#), ..new_key("ci") }, "policy.models"),
    ] {
        assert_eq!(of(desk.keys.create(new.clone(), &actor()).await.map(|made| made.key)), field);
        let patch = KeyPatch {
            name: Some(new.name),
            scopes: Some(new.scopes),
            policy: Some(new.policy),
            expires_at: Some(new.expires_at),
        };
        assert_eq!(of(desk.keys.update(key.id.as_str(), patch, &actor()).await), field);
    }
    let unknown = format!("key_{}", Uuid::new_v4());
    for id in [unknown.as_str(), "key_1", ""] {
        assert!(matches!(desk.keys.revoke(id, KEEP, &actor()).await, Err(ChangeError::Unknown(_))), "{id}");
        let changed = desk.keys.update(id, KeyPatch::default(), &actor()).await;
        assert!(matches!(changed, Err(ChangeError::Unknown(_))), "{id}");
        assert_eq!(desk.keys.find(id).await, Ok(None));
    }
    assert!(matches!(desk.keys.rotate("admin", Duration::ZERO, &actor()).await, Err(ChangeError::Admin)));
    assert!(desk.keys.find("admin").await.unwrap().is_some_and(|key| key.sees_all()));
    let longest = new_key(&"ä".repeat(100));
    assert_eq!(desk.make(longest).await.0.name.chars().count(), 100);
    desk.store.close().await;
}

async fn keys_come_in_pages_the_newest_first(place: Place) {
    let desk = Desk::open(&place).await;
    for number in 0..5 {
        // Two at the same moment.
        if number % 2 == 0 {
            desk.later(1);
        }
        desk.make(new_key(&format!("{number}"))).await;
    }
    let mut listed: Vec<Key> = Vec::new();
    loop {
        let before = listed.last().map(|key| (key.created_at.as_millisecond(), key.id.to_string()));
        let page = desk.keys.list(before, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        listed.extend(page.iter().filter_map(Entry::key).map(|key| Key::clone(key)));
    }
    let mut names: Vec<_> = listed.iter().map(|key| key.name.as_str()).collect();
    assert!(listed.is_sorted_by(|one, next| one.created_at >= next.created_at));
    names.sort_unstable();
    assert_eq!(names, ["0", "1", "2", "3", "4"]);
    desk.store.close().await;
}

async fn the_last_use_is_noted_and_never_put_back(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, _) = desk.make(new_key("ci")).await;
    let address: IpAddr = "2001:db8::7".parse().unwrap();
    desk.keys.note_use(&key.id, Some(address));
    desk.keys.note_use(&desk.keys.admin().id, Some(address));
    assert_eq!(desk.keys.find(key.id.as_str()).await.unwrap().unwrap().last_used, None);
    let noted_at = desk.in_seconds(0);
    desk.later(59);
    desk.keys.note_use(&key.id, Some(address));
    desk.keys.keep_uses().await;
    let seen = async || desk.keys.find(key.id.as_str()).await.unwrap().unwrap().last_used.clone().unwrap();
    assert_eq!((seen().await.at, seen().await.address.as_deref()), (noted_at, Some("2001:db8::7")));
    let earlier = Use { id: key.id.to_string(), at: START - 1, address: None };
    let of_nobody = Use { id: "key_gone".into(), at: START + 9, address: None };
    desk.store.write(NoteUses(vec![earlier, of_nobody])).await.unwrap();
    assert_eq!(seen().await.at, noted_at);
    desk.store.close().await;
}

async fn every_change_has_one_word_in_the_audit_however_often_it_is_tried(place: Place) {
    let desk = Desk::open(&place).await;
    let row = |action: &str| AuditRow {
        id: format!("aud_{action}"),
        created_at: START,
        key_id: Some("admin".into()),
        address: None,
        request_id: Some("req_1".into()),
        action: action.into(),
        subject: Some("key_1".into()),
        outcome: "done".into(),
        detail: "{}".into(),
    };
    // Twice each, as after a commit whose answer was lost.
    for _ in 0..2 {
        let create = Create { key: key_row("key_1"), hash: "h1".into(), most: 1, audit: row("created") };
        assert_eq!(desk.store.write(create).await, Ok(true));
    }
    for _ in 0..2 {
        let audit = row("rotated");
        let rotate = Rotate { id: "key_1".into(), hash: "h2".into(), now: START, until: START + 9, audit };
        desk.store.write(rotate).await.unwrap();
    }
    let (_, mut secrets) = desk.store.key_with_secrets("key_1").await.unwrap().unwrap();
    secrets.sort_by(|one, other| one.hash.cmp(&other.hash));
    let secrets: Vec<_> = secrets.into_iter().map(|secret| (secret.hash, secret.expires_at)).collect();
    assert_eq!(secrets, [("h1".to_owned(), Some(START + 9)), ("h2".to_owned(), None)]);
    for now in [START + 1, START + 2] {
        let revoke = Revoke { id: "key_1".into(), now, audit: AuditRow { id: format!("aud_{now}"), ..row("revoked") } };
        assert_eq!(desk.store.write(revoke).await.unwrap().unwrap().revoked_at, Some(START + 1));
    }
    let mut actions: Vec<_> = desk.audited().await.into_iter().map(|row| row.action).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["created", "revoked", "rotated"]);
    desk.store.close().await;
}

fn key_row(id: &str) -> KeyRow {
    KeyRow {
        id: id.to_owned(),
        name: "ci".to_owned(),
        scopes: "ask runs:read".to_owned(),
        policy: r#"{"models":["haiku"]}"#.to_owned(),
        created_at: START,
        created_by: "admin".to_owned(),
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        last_used_address: None,
        replaced_until: None,
    }
}

async fn a_change_of_what_was_seen_otherwise_is_none(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, _) = desk.make(new_key("ci")).await;
    let id = key.id.as_str();
    let named = |name: &str| KeyPatch { name: Some(name.into()), ..KeyPatch::default() };
    let as_made = |now: &Key| now.name == "ci";
    desk.keys.update_if(id, named("one"), Some(as_made), &actor()).await.unwrap();
    let late = desk.keys.update_if(id, named("other"), Some(as_made), &actor()).await;
    assert!(matches!(late, Err(ChangeError::Changed)), "{late:?}");
    // Between the look and the change somebody else was faster.
    let (seen, _) = desk.store.key_with_secrets(id).await.unwrap().unwrap();
    let audit = AuditRow { id: "aud_1".into(), ..desk.audited().await.remove(0) };
    let update = |name: &str| Update {
        id: id.to_owned(),
        seen: Some(seen.clone()),
        name: Some(name.to_owned()),
        scopes: None,
        policy: None,
        expires_at: None,
        audit: AuditRow { id: format!("aud_{name}"), ..audit.clone() },
    };
    for _ in 0..2 {
        // The second time is after a commit whose answer was lost.
        let done = desk.store.write(update("fast")).await.unwrap();
        assert!(matches!(done, Changed::Done(ref now) if now.name == "fast"), "{done:?}");
    }
    assert_eq!(desk.store.write(update("slow")).await, Ok(Changed::Otherwise));
    assert_eq!(desk.keys.find(id).await.unwrap().unwrap().name, "fast");
    desk.store.close().await;
}

async fn a_key_that_lasts_longer_now_is_not_forgotten_by_those_who_saw_it_end(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, _) = desk.make(NewKey { expires_at: Some(desk.in_seconds(1)), ..new_key("ci") }).await;
    let retention = Retention { api_keys_before: START + 5_000, ..Retention::default() };
    if place.is_postgres() {
        // The removal has seen the key end, and waits for the row.
        let connection = place.connect().await;
        connection.execute_unprepared("BEGIN; UPDATE keys SET expires_at = NULL").await.unwrap();
        let watching = place.connect().await;
        let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let query = || Statement::from_string(watching.get_database_backend(), waits);
        let renewal = async {
            let is_waiting = async || watching.query_one_raw(query()).await.unwrap().is_some();
            eventually("the removal waits for the row", is_waiting).await;
            connection.execute_unprepared("COMMIT").await.unwrap();
        };
        let (pruned, ()) = tokio::join!(desk.store.prune(&retention), renewal);
        assert_eq!(pruned, Ok(Pruned::default()));
        connection.close().await.unwrap();
        watching.close().await.unwrap();
    } else {
        let patch = KeyPatch { expires_at: Some(None), ..KeyPatch::default() };
        desk.keys.update(key.id.as_str(), patch, &actor()).await.unwrap();
        assert_eq!(desk.store.prune(&retention).await, Ok(Pruned::default()));
    }
    assert!(desk.keys.find(key.id.as_str()).await.unwrap().is_some());
    desk.store.close().await;
}

async fn what_is_being_stored_when_nobody_waits_any_more_is_stored_later(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, _) = desk.make(new_key("ci")).await;
    desk.keys.note_use(&key.id, None);
    // A drain that comes in the middle of it: polled once, and dropped.
    assert!(desk.keys.keep_uses().now_or_never().is_none());
    let forgotten = "UPDATE keys SET last_used_at = NULL";
    let connection = place.connect().await;
    desk.store.key(key.id.as_str()).await.unwrap();
    connection.execute_unprepared(forgotten).await.unwrap();
    connection.close().await.unwrap();
    desk.keys.keep_uses().await;
    assert!(desk.keys.find(key.id.as_str()).await.unwrap().unwrap().last_used.is_some());
    desk.store.close().await;
}

async fn a_key_of_a_later_server_is_seen_and_revoked_and_holds_up_nobody(place: Place) {
    let desk = Desk::open(&place).await;
    let (later, token) = desk.make(new_key("later")).await;
    desk.make(new_key("usual")).await;
    let connection = place.connect().await;
    let sql = r#"UPDATE keys SET policy = '{"of_a_later_askd":1}' WHERE name = 'later'"#;
    connection.execute_unprepared(sql).await.unwrap();
    connection.close().await.unwrap();
    let id = later.id.as_str();
    assert!(desk.keys.check(&token).await.is_err() && desk.keys.find(id).await.is_err());
    let listed = desk.keys.list(None, 10).await.unwrap();
    assert_eq!(listed.iter().filter(|entry| entry.key().is_some()).count(), 1);
    let Some(Entry::Unreadable(seen)) = desk.keys.look(id).await.unwrap() else { panic!("it can be read") };
    assert_eq!((seen.name.as_str(), seen.revoked_at), ("later", None));
    let patch = KeyPatch { name: Some("x".into()), ..KeyPatch::default() };
    assert!(matches!(desk.keys.update(id, patch, &actor()).await, Err(ChangeError::Unreadable)));
    assert!(matches!(desk.keys.rotate(id, Duration::ZERO, &actor()).await, Err(ChangeError::Unreadable)));
    let revoked = desk.keys.revoke(id, RunsOfRevoked::Cancel, &actor()).await.unwrap();
    assert_eq!(revoked.invalid_at(desk.in_seconds(0)), Some(Invalid::Revoked));
    let detail = desk.audited().await.into_iter().find(|row| row.action == "key.revoked").unwrap().detail;
    assert_eq!(detail, r#"{"runs":"cancel"}"#);
    desk.store.close().await;
}

async fn a_key_that_counts_no_more_or_is_no_admin_changes_no_other(place: Place) {
    let desk = Desk::open(&place).await;
    let scopes = |scopes: &[Scope]| scopes.iter().copied().collect::<Scopes>();
    let (target, _) = desk.make(new_key("target")).await;
    let (admin, _) = desk.make(NewKey { scopes: scopes(&[Scope::Ask, Scope::Admin]), ..new_key("admin") }).await;
    let expires_at = Some(desk.in_seconds(60));
    let (short, _) = desk.make(NewKey { scopes: Scopes::ALL, expires_at, ..new_key("short") }).await;
    let (user, _) = desk.make(new_key("user")).await;
    let by = |key: &Key| Actor { key_id: Some(key.id.to_string()), ..actor() };
    for key in [&admin, &short] {
        desk.keys.create(new_key("made"), &by(key)).await.unwrap();
    }
    desk.later(60);
    desk.keys.revoke(admin.id.as_str(), RunsOfRevoked::Keep, &by(&admin)).await.unwrap();
    let before = (desk.keys.list(None, 100).await.unwrap().len(), desk.audited().await.len());
    let id = target.id.as_str();
    for key in [&admin, &short, &user] {
        let by = by(key);
        let refused = [
            desk.keys.create(new_key("x"), &by).await.map(drop),
            desk.keys.update(id, KeyPatch { name: Some("x".into()), ..KeyPatch::default() }, &by).await.map(drop),
            desk.keys.rotate(id, Duration::ZERO, &by).await.map(drop),
            desk.keys.revoke(id, RunsOfRevoked::Keep, &by).await.map(drop),
        ];
        assert!(refused.iter().all(|refused| matches!(refused, Err(ChangeError::Actor))), "{refused:?}");
    }
    assert_eq!((desk.keys.list(None, 100).await.unwrap().len(), desk.audited().await.len()), before);
    assert_eq!(desk.keys.find(id).await.unwrap().as_deref(), Some(&target));
    desk.store.close().await;
}

async fn there_are_no_more_keys_than_may_be(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, _) = desk.make(new_key("one")).await;
    let audit = desk.audited().await.remove(0);
    let create = |id: &str, most| Create { key: key_row(id), hash: "h".into(), most, audit: audit.clone() };
    assert_eq!(desk.store.write(create("key_2", 1)).await, Ok(false));
    assert_eq!(desk.store.key("key_2").await, Ok(None));
    // A revoked one is kept, and counts here.
    desk.keys.revoke(key.id.as_str(), KEEP, &actor()).await.unwrap();
    assert_eq!(desk.store.write(create("key_2", 1)).await, Ok(false));
    assert_eq!(desk.store.write(create("key_2", 2)).await, Ok(true));
    desk.store.close().await;
}

async fn keys_that_count_no_more_are_forgotten_when_their_runs_have_ended(place: Place) {
    let desk = Desk::open(&place).await;
    let (counts, _) = desk.make(new_key("counts")).await;
    let (expired, _) = desk.make(NewKey { expires_at: Some(desk.in_seconds(1)), ..new_key("expired") }).await;
    let (revoked, token) = desk.make(new_key("revoked")).await;
    let (busy, _) = desk.make(new_key("busy")).await;
    for key in [&revoked, &busy] {
        desk.keys.revoke(key.id.as_str(), KEEP, &actor()).await.unwrap();
    }
    let mut run = submit("run_1", START);
    run.run.key_id = busy.id.to_string();
    desk.store.write(run).await.unwrap();
    let retention = Retention { api_keys_before: START + 5_000, ..Retention::default() };
    let prune = async || desk.store.prune(&retention).await.unwrap();
    assert_eq!(prune().await, Pruned { api_keys: 2, ..Pruned::default() }, "the audit says longer what they were");
    let left = |keys: Vec<Entry>| keys.iter().map(|key| key.id().to_owned()).collect::<Vec<_>>();
    let mut expected = vec![counts.id.to_string(), busy.id.to_string()];
    expected.sort();
    let mut there = left(desk.keys.list(None, 10).await.unwrap());
    there.sort();
    assert_eq!(there, expected);
    assert_eq!(desk.keys.find(expired.id.as_str()).await, Ok(None));
    assert_eq!(desk.word(&token).await, "unknown");
    stored(&desk.store, finish("run_1", 2, START + 1)).await;
    assert_eq!(prune().await, Pruned { api_keys: 1, ..Pruned::default() });
    assert_eq!(left(desk.keys.list(None, 10).await.unwrap()), [counts.id.to_string()]);
    desk.store.close().await;
}

async fn without_a_store_nobody_is_let_in_and_nobody_is_called_unknown(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, token) = desk.make(new_key("ci")).await;
    desk.keys.note_use(&key.id, None);
    // Half a policy is none.
    let connection = place.connect().await;
    connection.execute_unprepared(r#"UPDATE keys SET policy = '{"of_a_later_askd":1}'"#).await.unwrap();
    assert!(desk.keys.check(&token).await.is_err());
    connection.execute_unprepared("DROP TABLE key_secrets").await.unwrap();
    connection.close().await.unwrap();
    assert!(desk.keys.check(&token).await.is_err());
    let malformed = desk.keys.check("askd_no_token").await;
    assert!(matches!(malformed, Ok(Checked::Unknown)), "the store is not asked for what cannot be a token");
    assert!(desk.keys.find("admin").await.unwrap().is_some());
    desk.store.close().await;
    // What cannot be stored is kept for later, and is no panic.
    desk.keys.keep_uses().await;
}

async fn many_servers_rotate_one_key_at_once(place: Place) {
    let desk = Desk::open(&place).await;
    let (key, _) = desk.make(new_key("ci")).await;
    let mut desks = vec![desk.twin()];
    for _ in 0..3 {
        desks.push(if place.is_postgres() { Desk::beside(&place, Arc::clone(&desk.clock)).await } else { desk.twin() });
    }
    let tokens = join_all((0..20).map(|number| desks[number % desks.len()].rotate(&key, 60))).await;
    let words = join_all(tokens.iter().map(|token| desk.word(token))).await;
    assert_eq!(words.iter().filter(|word| **word == "valid").count(), 2, "the newest, and the one before it");
    let (_, secrets) = desk.store.key_with_secrets(key.id.as_str()).await.unwrap().unwrap();
    assert_eq!(secrets.iter().filter(|secret| secret.expires_at.is_none()).count(), 1);
    for desk in desks {
        desk.store.close().await;
    }
}
