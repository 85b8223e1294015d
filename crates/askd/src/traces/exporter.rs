//! Brings spans to the collector, batch by batch. Only this waits for it.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use tokio::sync::mpsc::Receiver;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Counts;
use super::client::Client;

/// Spans of one batch: with texts of the greatest length it has some megabytes.
const BATCH: usize = 512;

/// How long a first span waits for others.
const GATHER: Duration = Duration::from_millis(500);

/// Between two attempts with the same batch: the first pause, each further one is twice as long, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How long the last spans are waited for at most: whoever stops a server waits as well.
const LAST_PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(super) struct Exporter {
    client: Client,
    resource: ResourceAttributesWithSchema,
    /// The log says that the collector takes none.
    is_away: bool,
    /// So many of the spans dropped were told of in the log.
    told: u64,
    /// Spans of the batch that is on its way.
    under_way: u64,
}

impl Exporter {
    pub(super) fn new(client: Client, given: &[(String, String)]) -> Self {
        // Not from the environment, whose `OTEL_…` variables are the CLI's.
        let own = [("service.name", "askd"), ("service.version", env!("CARGO_PKG_VERSION"))];
        let own = own.map(|(name, value)| KeyValue::new(name, value));
        let given = given.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
        // Of two with one name the last counts.
        let resource = Resource::builder_empty().with_attributes(own).with_attributes(given).build();
        Self { client, resource: (&resource).into(), is_away: false, told: 0, under_way: 0 }
    }

    /// Until `finish`; then what is left, be it under way or waiting, within the time of one batch, [`LAST_PATIENCE`] at most,
    /// or until `at_once`.
    pub(super) async fn work(
        mut self,
        mut waiting: Receiver<SpanData>,
        counts: &Counts,
        finish: &CancellationToken,
        at_once: &CancellationToken,
    ) {
        let patience = self.client.timeout.min(LAST_PATIENCE);
        let too_long = async {
            finish.cancelled().await;
            tracing::info!(within = ?patience, "the last spans go to the collector of traces");
            tokio::select! {
                () = sleep(patience) => {}
                () = at_once.cancelled() => {}
            }
        };
        tokio::select! {
            // First: where nothing is left nothing is waited for.
            biased;
            () = self.bring(&mut waiting, counts, finish) => {}
            () = too_long => {}
        }
        counts.dropped.inc_by(self.under_way + waiting.len() as u64);
        let dropped = self.untold(counts);
        if dropped > 0 {
            tracing::warn!(dropped, "spans are lost: the collector of traces did not take them, or not in time");
        }
    }

    /// Until `finish`, and then whatever there is.
    async fn bring(&mut self, waiting: &mut Receiver<SpanData>, counts: &Counts, finish: &CancellationToken) {
        while !finish.is_cancelled() {
            let mut batch = Vec::new();
            tokio::select! {
                _ = waiting.recv_many(&mut batch, BATCH) => {}
                () = finish.cancelled() => {}
            }
            tokio::select! {
                () = fill(waiting, &mut batch) => {}
                () = sleep(GATHER) => {}
                () = finish.cancelled() => {}
            }
            self.deliver(batch, counts, finish).await;
        }
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH
                && let Ok(span) = waiting.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            self.deliver(batch, counts, finish).await;
        }
    }

    /// Sends a batch until it is taken or refused for good. After `finish` there is one attempt.
    async fn deliver(&mut self, spans: Vec<SpanData>, counts: &Counts, finish: &CancellationToken) {
        if spans.is_empty() {
            return;
        }
        self.under_way = spans.len() as u64;
        let batch = self.encode(spans);
        let mut pause = FIRST_PAUSE;
        loop {
            let refused = match self.client.send(batch.clone()).await {
                Ok(rejected) => {
                    let rejected = rejected.min(self.under_way);
                    counts.exported.inc_by(self.under_way - rejected);
                    counts.dropped.inc_by(rejected);
                    self.back(counts);
                    break;
                }
                Err(refused) => refused,
            };
            self.away(&refused.why);
            let Some(wish) = refused.again.filter(|_| !finish.is_cancelled()) else {
                counts.dropped.inc_by(self.under_way);
                break;
            };
            tokio::select! {
                () = sleep(wish.clamp(pause, LONGEST_PAUSE)) => {}
                () = finish.cancelled() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.under_way = 0;
    }

    fn encode(&self, spans: Vec<SpanData>) -> Bytes {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    /// Said once for each time that it is away.
    fn away(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_away, true) {
            tracing::warn!(why, "the collector of traces takes no spans; what finds no room to wait is dropped");
        }
    }

    fn back(&mut self, counts: &Counts) {
        if std::mem::take(&mut self.is_away) {
            let dropped = self.untold(counts);
            tracing::info!(dropped, "the collector of traces takes spans again");
        }
    }

    /// Spans dropped that the log says nothing of yet, and from now on does.
    fn untold(&mut self, counts: &Counts) -> u64 {
        let all = counts.dropped();
        all - std::mem::replace(&mut self.told, all)
    }
}

/// Waits until the batch is full.
async fn fill(waiting: &mut Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        if waiting.recv_many(batch, room).await == 0 {
            // Nobody will send any more; whoever waits has a limit.
            std::future::pending::<()>().await;
        }
    }
}
