use std::collections::{BTreeMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::gateway::record::{RequestRecord, RequestSink};
use diogenes_core::ports::Clock;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::delivery::{self, Delivery, Patience};
use super::metrics::Aggregates;
use super::otlp::Resource;
use super::settings::TelemetrySettings;
use super::spans::{self, Traces};
use crate::metrics::Metrics;

/// The requests that have been handed over and not been looked at, at most.
const HANDED_OVER: usize = 8192;
/// How long requests gather before they are looked at. To wake a task for each would cost more
/// than all the rest.
const GATHER: Duration = Duration::from_millis(20);
/// The spans that are sent at once, about.
const BATCH: u64 = 512;
/// How long spans are tried to be sent.
const PATIENCE: Patience = Patience::For(Duration::from_mins(1));
/// How long the end may take.
const CLOSING: Duration = Duration::from_secs(3);
/// How often drops are told.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// The export of telemetry, under way.
#[derive(Debug)]
pub struct Exporter {
    closing: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Sends what is left, for a few seconds at most.
    pub async fn close(mut self) {
        // A task that has crashed is past hearing.
        let _ = self.closing.send(());
        if tokio::time::timeout(CLOSING, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!(
                "the telemetry of the last requests could not be exported within {} seconds",
                CLOSING.as_secs()
            );
        }
    }
}

/// Begins to export telemetry; returns who takes requests.
///
/// # Errors
/// When there can be no client for the collector.
pub fn start(
    settings: &TelemetrySettings,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<dyn RequestSink>, Exporter), reqwest::Error> {
    let client = delivery::client(settings)?;
    let to = |signal| Arc::new(Delivery::new(client.clone(), signal, settings, clock.clone()));
    let dropped = metrics.dropped_spans().clone();
    let intake = Arc::new(Intake {
        records: Mutex::default(),
        arrived: Notify::new(),
        dropped: dropped.clone(),
    });
    let (closing, closed) = oneshot::channel();
    let worker = Worker {
        intake: intake.clone(),
        waiting: VecDeque::new(),
        spans: 0,
        max_waiting: settings.max_waiting.max(1),
        aggregates: Aggregates::new(clock.now()),
        resource: settings.resource.clone(),
        traces: to("traces"),
        metrics: to("metrics"),
        clock: clock.clone(),
        told: Told { of: dropped.get(), at: None },
        dropped,
    };
    let (spans, metrics) = (ticks(settings.spans_every), ticks(settings.metrics_every));
    let task = tokio::spawn(worker.run(closed, spans, metrics));
    Ok((intake, Exporter { closing, task }))
}

fn ticks(every: Duration) -> Interval {
    let every = every.max(Duration::from_millis(1));
    let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Where requests are handed over.
struct Intake {
    #[expect(clippy::vec_box, reason = "a record is large, and moved on from here")]
    records: Mutex<Vec<Box<RequestRecord>>>,
    /// Told once there is one.
    arrived: Notify,
    dropped: Counter,
}

impl RequestSink for Intake {
    fn take(&self, record: Box<RequestRecord>) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= HANDED_OVER {
            self.dropped.inc_by(spans_of(&record));
            return;
        }
        records.push(record);
        let is_first = records.len() == 1;
        drop(records);
        if is_first {
            self.arrived.notify_one();
        }
    }
}

/// What is sent of a request in spans.
fn spans_of(record: &RequestRecord) -> u64 {
    if record.trace.is_sampled { spans::count(record) } else { 0 }
}

/// The task that does the work.
struct Worker {
    intake: Arc<Intake>,
    /// Requests whose spans are yet to be sent.
    waiting: VecDeque<Box<RequestRecord>>,
    /// How many spans they have.
    spans: u64,
    max_waiting: usize,
    aggregates: Aggregates,
    resource: BTreeMap<String, String>,
    traces: Arc<Delivery>,
    metrics: Arc<Delivery>,
    clock: Arc<dyn Clock>,
    dropped: Counter,
    told: Told,
}

/// The drops that have been logged.
struct Told {
    of: u64,
    at: Option<Instant>,
}

/// Something on its way; in the end, how many spans were lost.
type Flight = Pin<Box<dyn Future<Output = u64> + Send>>;

impl Worker {
    async fn run(
        mut self,
        mut closed: oneshot::Receiver<()>,
        mut spans_due: Interval,
        mut metrics_due: Interval,
    ) {
        let (mut traces, mut metrics): (Option<Flight>, Option<Flight>) = (None, None);
        let mut gathered = pin!(tokio::time::sleep(Duration::ZERO));
        let mut gathers = false;
        loop {
            if traces.is_none() && self.spans >= BATCH {
                traces = self.batch(PATIENCE);
            }
            tokio::select! {
                () = self.intake.arrived.notified(), if !gathers => {
                    gathers = true;
                    gathered.as_mut().reset(Instant::now() + GATHER);
                }
                () = &mut gathered, if gathers => {
                    gathers = false;
                    self.take_all();
                }
                lost = landing(&mut traces) => {
                    traces = None;
                    self.dropped.inc_by(lost);
                }
                _ = landing(&mut metrics) => metrics = None,
                _ = spans_due.tick() => {
                    if traces.is_none() {
                        traces = self.batch(PATIENCE);
                    }
                }
                _ = metrics_due.tick() => {
                    if metrics.is_none() {
                        metrics = self.sum_up();
                    }
                }
                _ = &mut closed => break,
            }
            self.tell_of_drops();
        }
        self.finish(traces, metrics).await;
    }

    fn take_all(&mut self) {
        let records = {
            let mut records = self.intake.records.lock().unwrap_or_else(PoisonError::into_inner);
            let room = Vec::with_capacity(records.len());
            std::mem::replace(&mut *records, room)
        };
        for record in records {
            self.take(record);
        }
    }

    /// Counts a request, and keeps it if its spans are to be sent and there is room.
    fn take(&mut self, record: Box<RequestRecord>) {
        self.aggregates.note(&record);
        let spans = spans_of(&record);
        if spans == 0 {
            return;
        }
        if self.waiting.len() >= self.max_waiting {
            self.dropped.inc_by(spans);
            return;
        }
        self.spans += spans;
        self.waiting.push_back(record);
    }

    /// Sends the spans that wait longest.
    fn batch(&mut self, patience: Patience) -> Option<Flight> {
        let (mut records, mut spans) = (Vec::new(), 0);
        while spans < BATCH
            && let Some(record) = self.waiting.pop_front()
        {
            spans += spans_of(&record);
            records.push(record);
        }
        if records.is_empty() {
            return None;
        }
        self.spans = self.spans.saturating_sub(spans);
        let resource = Resource::new(&self.resource);
        let body = json(&Traces::new(resource, records.iter().map(|record| &**record)))?;
        let delivery = self.traces.clone();
        Some(Box::pin(async move { delivery.send(body, patience).await.unwrap_or(spans) }))
    }

    /// Sends the metrics. Those that do not arrive are a part of the next ones.
    fn sum_up(&self) -> Option<Flight> {
        let resource = Resource::new(&self.resource);
        let body = json(&self.aggregates.exported(resource, self.clock.now())?)?;
        let delivery = self.metrics.clone();
        Some(Box::pin(async move { delivery.send(body, Patience::Once).await.unwrap_or_default() }))
    }

    /// Sends what is left.
    async fn finish(mut self, traces: Option<Flight>, metrics: Option<Flight>) {
        self.take_all();
        let last = self.sum_up();
        let metrics = async {
            for flight in [metrics, last].into_iter().flatten() {
                flight.await;
            }
        };
        let traces = async {
            let mut next = traces.or_else(|| self.batch(Patience::Once));
            while let Some(flight) = next {
                self.dropped.inc_by(flight.await);
                next = self.batch(Patience::Once);
            }
        };
        futures_util::future::join(traces, metrics).await;
        self.tell_of_drops();
    }

    fn tell_of_drops(&mut self) {
        let dropped = self.dropped.get();
        let is_due = self.told.at.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if dropped > self.told.of && is_due {
            let lost = dropped - self.told.of;
            tracing::warn!(
                spans = lost,
                "{lost} spans were not exported and are lost; `diogenes_telemetry_dropped_spans_total` counts them"
            );
            self.told = Told { of: dropped, at: Some(Instant::now()) };
        }
    }
}

/// Waits for something on its way, if there is.
async fn landing(flight: &mut Option<Flight>) -> u64 {
    match flight {
        Some(flight) => flight.await,
        None => std::future::pending().await,
    }
}

fn json(request: &impl Serialize) -> Option<Bytes> {
    match serde_json::to_vec(request) {
        Ok(json) => Some(json.into()),
        Err(error) => {
            tracing::error!(%error, "telemetry could not be written as JSON");
            None
        }
    }
}

#[cfg(test)]
mod tests;
