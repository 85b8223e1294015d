//! Uploads: the room that they claim, their parts, the runs that need them, and how they go.

use askd::store::Store;
use askd::store::prune::{Pruned, Retention};
use askd::store::submit::{Submit, Submitted, Withdraw};
use askd::store::uploads::{
    AbandonUpload, AddPart, BeginUpload, Begun, Cleared, CompleteUpload, DeleteUpload, Deleted, LEAST, Needed,
    UploadFilter, UploadRow,
};
use futures_util::future::join_all;

use crate::both_engines;
use crate::place::{Place, claimed, finish, stored, submit};

both_engines! {
    an_upload_is_there_when_it_is_complete_and_its_bytes_are_its_parts,
    what_takes_part_in_an_upload_that_has_gone_is_not_stored,
    a_key_and_the_store_have_room_for_so_many_bytes,
    of_many_that_begin_at_once_no_more_have_room_than_may,
    uploads_of_two_servers_share_the_room,
    a_page_goes_on_where_the_last_one_ended,
    a_run_keeps_what_it_needs_until_its_end,
    a_run_is_refused_that_needs_what_it_cannot_have,
    a_refused_run_leaves_its_idempotency_key_free,
    what_is_over_goes_part_by_part,
    a_run_that_is_submitted_while_its_upload_goes_gets_all_of_it_or_is_refused,
}

/// Times in these tests: everything is begun at 1000, and ends at 9000.
const END: i64 = 9_000;

fn row(id: &str, size: u64) -> UploadRow {
    UploadRow {
        id: id.to_owned(),
        key_id: "key_1".to_owned(),
        media_type: "image/png".to_owned(),
        name: Some("a 'picture'.png".to_owned()),
        size,
        sha256: String::new(),
        created_at: 1_000,
        expires_at: END,
    }
}

fn begin(id: &str, size: u64) -> BeginUpload {
    BeginUpload { upload: row(id, size), most_of_key: 1 << 30, most: 1 << 30 }
}

fn part(id: &str, part: u64, bytes: &[u8]) -> AddPart {
    AddPart { upload_id: id.to_owned(), part, bytes: bytes.to_vec() }
}

fn complete(id: &str, size: u64) -> CompleteUpload {
    CompleteUpload { id: id.to_owned(), size, sha256: format!("hash of {id}"), expires_at: END }
}

fn delete(id: &str) -> DeleteUpload {
    DeleteUpload { id: id.to_owned(), key_id: Some("key_1".to_owned()), now: 2_000 }
}

/// An upload of a few bytes in so many parts.
async fn uploaded(store: &Store, id: &str, parts: u64) -> UploadRow {
    assert_eq!(store.write(begin(id, parts)).await, Ok(Begun::Room));
    for number in 0..parts {
        assert_eq!(store.write(part(id, number, &[7])).await, Ok(true));
    }
    store.write(complete(id, parts)).await.unwrap().unwrap()
}

fn needing(run: &str, uploads: &[&str]) -> Submit {
    let ids = uploads.iter().map(|id| (*id).to_owned()).collect();
    Submit { uploads: Needed { ids, key_id: Some("key_1".to_owned()) }, ..submit(run, 1_000) }
}

fn no_upload(id: &str) -> Submitted {
    Submitted::NoUpload { upload_id: id.to_owned() }
}

async fn an_upload_is_there_when_it_is_complete_and_its_bytes_are_its_parts(place: Place) {
    let store = place.open().await;
    assert_eq!(store.write(begin("upl_1", 6)).await, Ok(Begun::Room));
    assert_eq!(store.write(part("upl_1", 0, &[0, 1, 255])).await, Ok(true));
    assert_eq!(store.write(part("upl_1", 1, &[7])).await, Ok(true));
    assert_eq!(store.write(part("upl_1", 1, &[7])).await, Ok(true), "its answer was lost");
    assert_eq!(store.upload("upl_1", 2_000).await, Ok(None), "it still comes in");
    assert_eq!(store.kept_upload("upl_1").await, Ok(None));
    let expected = UploadRow { size: 4, sha256: "hash of upl_1".to_owned(), ..row("upl_1", 0) };
    assert_eq!(store.write(complete("upl_1", 4)).await, Ok(Some(expected.clone())));
    assert_eq!(store.write(complete("upl_1", 4)).await, Ok(Some(expected.clone())), "its answer was lost");
    assert_eq!(store.upload("upl_1", END - 1).await, Ok(Some(expected.clone())));
    assert_eq!(store.upload("upl_1", END).await, Ok(None), "its time is over");
    assert_eq!(store.kept_upload("upl_1").await, Ok(Some(expected)));
    assert_eq!(store.upload_part("upl_1", 0).await, Ok(Some(vec![0, 1, 255])));
    assert_eq!(store.upload_part("upl_1", 1).await, Ok(Some(vec![7])));
    assert_eq!(store.upload_part("upl_1", 2).await, Ok(None));
    store.close().await;
}

async fn what_takes_part_in_an_upload_that_has_gone_is_not_stored(place: Place) {
    let store = place.open().await;
    assert_eq!(store.write(part("upl_none", 0, &[7])).await, Ok(false));
    assert_eq!(store.write(complete("upl_none", 1)).await, Ok(None));
    assert_eq!(store.write(begin("upl_1", 2)).await, Ok(Begun::Room));
    assert_eq!(store.write(part("upl_1", 0, &[7])).await, Ok(true));
    let abandon = AbandonUpload { id: "upl_1".to_owned() };
    assert_eq!(store.write(abandon.clone()).await, Ok(()));
    assert_eq!(store.write(part("upl_1", 1, &[7])).await, Ok(false));
    assert_eq!(store.write(complete("upl_1", 1)).await, Ok(None));
    assert_eq!(store.clear_uploads(0).await, Ok(Cleared { uploads: 1, parts: 1 }));
    assert_eq!(store.upload_part("upl_1", 0).await, Ok(None));
    let kept = uploaded(&store, "upl_2", 1).await;
    assert_eq!(store.write(AbandonUpload { id: "upl_2".to_owned() }).await, Ok(()), "it was complete by then");
    assert_eq!(store.upload("upl_2", 2_000).await, Ok(Some(kept)));
    store.close().await;
}

async fn a_key_and_the_store_have_room_for_so_many_bytes(place: Place) {
    let store = place.open().await;
    let bounded = |id: &str, key: &str, size: u64| {
        let upload = UploadRow { key_id: key.to_owned(), ..row(id, size) };
        BeginUpload { upload, most_of_key: 4 * LEAST, most: 6 * LEAST }
    };
    assert_eq!(store.write(bounded("upl_1", "key_1", 2 * LEAST)).await, Ok(Begun::Room));
    assert_eq!(store.write(bounded("upl_1", "key_1", 2 * LEAST)).await, Ok(Begun::Room), "it counts once");
    assert_eq!(store.write(bounded("upl_2", "key_1", 2 * LEAST + 1)).await, Ok(Begun::KeyFull { used: 2 * LEAST }));
    // However small it is, it counts for something.
    assert_eq!(store.write(bounded("upl_2", "key_1", 1)).await, Ok(Begun::Room));
    assert_eq!(store.write(bounded("upl_3", "key_1", 1)).await, Ok(Begun::Room));
    assert_eq!(store.write(bounded("upl_4", "key_1", 1)).await, Ok(Begun::KeyFull { used: 4 * LEAST }));
    assert_eq!(store.write(bounded("upl_5", "key_2", 2 * LEAST + 1)).await, Ok(Begun::Full));
    assert_eq!(store.write(bounded("upl_5", "key_2", 2 * LEAST)).await, Ok(Begun::Room));
    // What came was less than was set aside.
    assert!(store.write(complete("upl_1", 10)).await.unwrap().is_some());
    assert_eq!(store.write(bounded("upl_6", "key_2", 1)).await, Ok(Begun::Room));
    // What goes has given its room back, before its parts are gone.
    assert_eq!(store.write(delete("upl_1")).await, Ok(Deleted::Done));
    assert_eq!(store.write(bounded("upl_7", "key_1", LEAST)).await, Ok(Begun::Room));
    store.close().await;
}

async fn of_many_that_begin_at_once_no_more_have_room_than_may(place: Place) {
    let store = place.open().await;
    let many = (0..40).map(|number| {
        let begin = begin(&format!("upl_{number}"), LEAST);
        store.write(BeginUpload { most_of_key: 10 * LEAST, ..begin })
    });
    let begun = join_all(many).await;
    assert_eq!(begun.iter().filter(|begun| **begun == Ok(Begun::Room)).count(), 10, "{begun:?}");
    store.close().await;
}

async fn uploads_of_two_servers_share_the_room(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    let many = (0..30).map(|number| {
        let store = if number % 2 == 0 { &one } else { &other };
        store.write(BeginUpload { most_of_key: 8 * LEAST, ..begin(&format!("upl_{number}"), LEAST) })
    });
    let begun = join_all(many).await;
    assert_eq!(begun.iter().filter(|begun| **begun == Ok(Begun::Room)).count(), 8, "{begun:?}");
    one.close().await;
    other.close().await;
}

async fn a_page_goes_on_where_the_last_one_ended(place: Place) {
    let store = place.open().await;
    for (id, key, created_at) in
        [("upl_1", "key_1", 5), ("upl_2", "key_2", 6), ("upl_3", "key_1", 6), ("upl_4", "key_1", 7)]
    {
        let upload = UploadRow { key_id: key.to_owned(), created_at, ..row(id, 1) };
        assert_eq!(store.write(BeginUpload { upload, ..begin(id, 1) }).await, Ok(Begun::Room));
        assert!(store.write(complete(id, 1)).await.unwrap().is_some());
    }
    assert_eq!(store.write(begin("upl_coming", 1)).await, Ok(Begun::Room));
    let list = async |filter: UploadFilter| -> Vec<String> {
        let found = store.uploads(&UploadFilter { now: 2_000, ..filter }).await.unwrap();
        found.into_iter().map(|upload| upload.id).collect()
    };
    let of = |key: &str, limit| UploadFilter { key_id: Some(key.to_owned()), limit, ..UploadFilter::default() };
    assert_eq!(list(of("key_1", 2)).await, ["upl_4", "upl_3"]);
    let rest = UploadFilter { before: Some((6, "upl_3".to_owned())), ..of("key_1", 9) };
    assert_eq!(list(rest).await, ["upl_1"]);
    assert_eq!(list(of("key_2", 9)).await, ["upl_2"]);
    assert_eq!(list(UploadFilter { limit: 9, ..UploadFilter::default() }).await, ["upl_4", "upl_3", "upl_2", "upl_1"]);
    assert_eq!(store.uploads(&UploadFilter { now: END, limit: 9, ..UploadFilter::default() }).await, Ok(vec![]));
    store.close().await;
}

async fn a_run_keeps_what_it_needs_until_its_end(place: Place) {
    let store = place.open().await;
    uploaded(&store, "upl_1", 2).await;
    uploaded(&store, "upl_2", 1).await;
    // Named twice, it is needed once.
    assert_eq!(store.write(needing("run_1", &["upl_2", "upl_1", "upl_2"])).await, Ok(Submitted::New));
    assert_eq!(store.write(needing("run_2", &["upl_1"])).await, Ok(Submitted::New));
    assert_eq!(store.write(needing("run_1", &["upl_2", "upl_1", "upl_2"])).await, Ok(Submitted::New), "asked again");
    assert_eq!(store.write(delete("upl_1")).await, Ok(Deleted::InUse));
    let old = Retention { now: END + 1, ..Retention::default() };
    assert_eq!(store.prune(&old).await, Ok(Pruned::default()));
    assert!(store.kept_upload("upl_2").await.unwrap().is_some(), "its time is over, and it stays");
    stored(&store, finish("run_1", 2, 3_000)).await;
    assert_eq!(store.write(delete("upl_1")).await, Ok(Deleted::InUse), "of the other run");
    assert_eq!(store.prune(&old).await, Ok(Pruned { uploads: 1, parts: 1, ..Pruned::default() }));
    assert_eq!(store.kept_upload("upl_2").await, Ok(None));
    assert_eq!(store.write(Withdraw { run_id: "run_2".into() }).await, Ok(true));
    assert_eq!(store.write(delete("upl_1")).await, Ok(Deleted::Done));
    assert_eq!(store.write(delete("upl_1")).await, Ok(Deleted::Unknown));
    store.close().await;
}

async fn a_run_is_refused_that_needs_what_it_cannot_have(place: Place) {
    let store = place.open().await;
    uploaded(&store, "upl_1", 1).await;
    assert_eq!(store.write(begin("upl_coming", 1)).await, Ok(Begun::Room));
    let refused = async |submit: Submit| {
        let id = submit.run.id.clone();
        let submitted = store.write(submit).await.unwrap();
        assert_eq!(store.run(&id).await, Ok(None), "nothing of it is stored");
        submitted
    };
    assert_eq!(refused(needing("run_1", &["upl_1", "upl_none"])).await, no_upload("upl_none"));
    assert_eq!(refused(needing("run_1", &["upl_coming"])).await, no_upload("upl_coming"));
    let mut late = needing("run_1", &["upl_1"]);
    late.run.created_at = END;
    assert_eq!(refused(late).await, no_upload("upl_1"));
    let mut of_others = needing("run_1", &["upl_1"]);
    of_others.uploads.key_id = Some("key_2".to_owned());
    assert_eq!(refused(of_others).await, no_upload("upl_1"));
    let mut of_who_sees_all = needing("run_1", &["upl_1"]);
    of_who_sees_all.uploads.key_id = None;
    assert_eq!(store.write(of_who_sees_all).await, Ok(Submitted::New));
    let of_another = DeleteUpload { key_id: Some("key_2".to_owned()), ..delete("upl_1") };
    assert_eq!(store.write(of_another).await, Ok(Deleted::Unknown));
    store.close().await;
}

async fn a_refused_run_leaves_its_idempotency_key_free(place: Place) {
    let store = place.open().await;
    let claimed = |run: &str| Submit { uploads: needing(run, &["upl_1"]).uploads, ..claimed(run, 1_000, "a") };
    assert_eq!(store.write(claimed("run_1")).await, Ok(no_upload("upl_1")));
    uploaded(&store, "upl_1", 1).await;
    assert_eq!(store.write(claimed("run_2")).await, Ok(Submitted::New));
    store.close().await;
}

async fn what_is_over_goes_part_by_part(place: Place) {
    let store = place.open().await;
    uploaded(&store, "upl_large", 100).await;
    uploaded(&store, "upl_small", 1).await;
    assert_eq!(store.write(begin("upl_coming", 5)).await, Ok(Begun::Room));
    assert_eq!(store.write(part("upl_coming", 0, &[7])).await, Ok(true));
    uploaded(&store, "upl_deleted", 40).await;
    assert_eq!(store.write(delete("upl_deleted")).await, Ok(Deleted::Done));
    assert_eq!(store.clear_uploads(2_000).await, Ok(Cleared { uploads: 1, parts: 40 }));
    assert_eq!(store.upload_part("upl_deleted", 39).await, Ok(None));
    let old = |now| Retention { now, ..Retention::default() };
    assert_eq!(store.prune(&old(END - 1)).await, Ok(Pruned::default()));
    assert_eq!(store.prune(&old(END)).await, Ok(Pruned { uploads: 3, parts: 102, ..Pruned::default() }));
    assert_eq!(store.write(complete("upl_coming", 1)).await, Ok(None));
    store.close().await;
}

async fn a_run_that_is_submitted_while_its_upload_goes_gets_all_of_it_or_is_refused(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    for number in 0..20 {
        let (id, run) = (format!("upl_{number}"), format!("run_{number}"));
        uploaded(&one, &id, 3).await;
        let (submitted, deleted) = tokio::join!(one.write(needing(&run, &[&id])), other.write(delete(&id)));
        match (submitted.unwrap(), deleted.unwrap()) {
            (Submitted::New, Deleted::InUse) => assert!(one.kept_upload(&id).await.unwrap().is_some()),
            (Submitted::NoUpload { .. }, Deleted::Done) => assert_eq!(one.run(&run).await, Ok(None)),
            both => panic!("{both:?}"),
        }
        other.clear_uploads(END).await.unwrap();
    }
    one.close().await;
    other.close().await;
}
