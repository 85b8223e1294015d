use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Duration, Instant, sleep};
use uuid::Uuid;

use super::*;
use crate::settings::Settings;

fn traces(change: impl FnOnce(&mut groups::Traces)) -> Traces {
    Traces::for_testing(change)
}

#[test]
fn without_a_collector_nothing_is_recorded_and_what_was_brought_is_passed_on() {
    let traces = traces(|settings| settings.collector = None);
    assert!(traces.begin(None, "a", SpanKind::Server).place().is_none());
    let brought = Place::from_json(
        r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=1","ours":false}"#,
    );
    let brought = brought.unwrap();
    let span = traces.begin(Some(brought.context()), "a", SpanKind::Server);
    assert!(!span.is_recorded());
    assert_eq!(span.place(), Some(&brought));
}

#[test]
fn a_span_below_another_has_its_trace_and_its_callers_decision() {
    let traces = traces(|settings| settings.sample = 0.0);
    for sampled in ["00", "01"] {
        let parent = format!(r#"{{"traceparent":"00-{}-{}-{sampled}","ours":false}}"#, "12".repeat(16), "34".repeat(8));
        let parent = Place::from_json(&parent).unwrap();
        let span = traces.begin(Some(parent.context()), "a", SpanKind::Server);
        let place = span.place().unwrap();
        assert_eq!(place.trace_id(), "12".repeat(16));
        assert_ne!(place.span_id().unwrap(), "34".repeat(8));
        assert_eq!(span.is_recorded(), sampled == "01");
        assert!(place.traceparent().ends_with(sampled));
    }
    assert!(!traces.begin(None, "a", SpanKind::Server).is_recorded());
}

#[test]
fn of_many_traces_the_share_is_recorded_that_was_asked_for() {
    let traces = traces(|settings| settings.sample = 0.25);
    let recorded = (0..4000).filter(|_| traces.begin(None, "a", SpanKind::Server).is_recorded()).count();
    assert!((800..1200).contains(&recorded), "{recorded} of 4000");
}

#[test]
fn a_span_that_finds_no_room_is_dropped_and_counted() {
    let traces = traces(|settings| settings.queue = 3);
    for _ in 0..10 {
        traces.begin(None, "a", SpanKind::Server).end();
    }
    assert_eq!((traces.counts().dropped(), traces.counts().exported()), (7, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_a_collector_no_longer_than_for_one_batch_or_half_a_minute_also_if_one_was_under_way() {
    for (timeout, second_signal, expected) in [(10, None, 10), (10, Some(3), 3), (3600, None, 30)] {
        // It takes connections and never answers.
        let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", collector.local_addr().unwrap());
        let traces = traces(|settings| {
            settings.collector = Some(crate::settings::otlp::Collector::read(&url).unwrap());
            settings.timeout = Duration::from_secs(timeout);
        });
        let (finish, at_once) = (CancellationToken::new(), CancellationToken::new());
        let stopping = async {
            traces.begin(None, "under way", SpanKind::Server).end();
            sleep(Duration::from_secs(5)).await;
            traces.begin(None, "waiting", SpanKind::Server).end();
            finish.cancel();
            if let Some(seconds) = second_signal {
                sleep(Duration::from_secs(seconds)).await;
                at_once.cancel();
            }
            Instant::now()
        };
        let ended = async {
            traces.export(&finish, &at_once).await;
            Instant::now()
        };
        let (told, ended) = tokio::join!(stopping, ended);
        let begun = told - Duration::from_secs(second_signal.unwrap_or_default());
        let took = ended - begun + Duration::from_millis(500);
        assert_eq!(took.as_secs(), expected, "{second_signal:?}");
        assert_eq!(traces.counts().dropped(), 2);
    }
}

/// Sends a batch to a collector that answers with these bytes, and then keeps the connection open.
async fn answered_with(bytes: &str, patience: Duration) -> Result<u64, client::Refused> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    let collector = crate::settings::otlp::Collector::read(&collector).unwrap();
    let settings = Settings::for_testing(std::path::Path::new("/nowhere")).traces;
    let client = Client::new(&collector, &groups::Traces { timeout: patience, ..settings }).unwrap();
    let answering = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 4096];
        assert_ne!(stream.read(&mut asked).await.unwrap(), 0);
        // The client may have seen enough of it.
        drop(stream.write_all(bytes.as_bytes()).await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        sent = client.send("a batch".into()) => sent,
        () = answering => unreachable!("it keeps the connection"),
    }
}

#[tokio::test]
async fn what_a_collector_answers_is_judged_by_its_status_whether_or_not_the_rest_of_it_ever_comes() {
    let unfinished = |status: &str| format!("HTTP/1.1 {status}\r\ncontent-length: 10\r\nretry-after: 7\r\n\r\n{{");
    let (soon, late) = (Duration::from_secs(3), Duration::from_hours(1));
    assert_eq!(answered_with(&unfinished("200 OK"), soon).await, Ok(0), "it has them");
    let again = async |answer: &str| answered_with(answer, late).await.unwrap_err().again;
    assert_eq!(again(&unfinished("400 Bad Request")).await, None);
    assert_eq!(again(&unfinished("503 Service Unavailable")).await, Some(Duration::from_secs(7)));
    let too_large = format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "x".repeat(1 << 20));
    for answer in [&*too_large, "no HTTP at all\r\n\r\n"] {
        assert_eq!(again(answer).await, None, "it would be the same again");
    }
}

#[test]
fn no_id_is_nothing_and_no_two_are_the_same() {
    let settings = Settings::for_testing(std::path::Path::new("/nowhere")).traces;
    let collector = crate::settings::otlp::Collector::read("http://127.0.0.1:1").unwrap();
    let settings = groups::Traces { collector: Some(collector), ..settings };
    let nothing =
        Traces::new(&settings, "anthropic", Ambient::new(Timestamp::now, Uuid::nil), &Metrics::default()).unwrap();
    let place = nothing.begin(None, "a", SpanKind::Server).place().unwrap().clone();
    assert!(place.context().is_valid());
    let count = AtomicU64::new(0);
    let random = move || Uuid::from_u128(u128::from(count.fetch_add(1, Ordering::Relaxed)) << 100);
    let traces =
        Traces::new(&settings, "anthropic", Ambient::new(Timestamp::now, random), &Metrics::default()).unwrap();
    let places = [traces.begin(None, "a", SpanKind::Server), traces.begin(None, "a", SpanKind::Server)];
    assert_ne!(places[0].place(), places[1].place());
}

#[test]
fn a_span_ends_no_earlier_than_it_begins() {
    let traces = traces(|_| {});
    let span = traces.begin(None, "a", SpanKind::Server).since(Timestamp::from_second(100).unwrap());
    span.end_at(Timestamp::from_second(50).unwrap());
    let span = &traces.waiting()[0];
    assert_eq!(span.start_time, span.end_time);
}
