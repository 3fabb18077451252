//! What Prometheus hears of jobs, and whoever else reports on attempts.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::since;
use diogenes_core::jobs::{Job, JobKind, JobOutcome, JobState, LEASE, QueueDepth};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use crate::metrics::Buckets;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    kind: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByQueue {
    queue: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    queue: String,
    state: &'static str,
}

/// The metrics of a worker, and of the queues that its server knows.
pub struct JobMetrics {
    running: Family<ByKind, Gauge>,
    attempts: Family<ByOutcome, Counter>,
    wait: Family<ByKind, Histogram, Buckets>,
    duration: Family<ByKind, Histogram, Buckets>,
    jobs: Family<ByState, Gauge>,
    oldest: Family<ByQueue, Gauge<f64, AtomicU64>>,
    /// The attempts that have ended since they were last taken, where somebody takes them.
    records: Option<Mutex<Vec<AttemptRecord>>>,
}

/// An attempt that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    pub kind: JobKind,
    pub end: AttemptEnd,
    /// From the time at which it could begin to its beginning.
    pub wait: Duration,
    /// From its beginning to its end.
    pub duration: Duration,
}

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptEnd {
    Completed,
    Failed,
    /// It goes on once something is there.
    Snoozed,
    /// Another worker goes on.
    Released,
    Cancelled,
}

impl AttemptEnd {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Snoozed => "snoozed",
            Self::Released => "released",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<&JobOutcome> for AttemptEnd {
    fn from(outcome: &JobOutcome) -> Self {
        match outcome {
            JobOutcome::Completed { .. } => Self::Completed,
            JobOutcome::Failed { .. } | JobOutcome::Postponed { .. } => Self::Failed,
            JobOutcome::Snoozed { .. } => Self::Snoozed,
            JobOutcome::Released => Self::Released,
            JobOutcome::Cancelled => Self::Cancelled,
        }
    }
}

/// Seconds, from what a free worker needs to a night.
const TIMES: Buckets =
    Buckets(&[0.005, 0.05, 0.25, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0]);

impl Default for JobMetrics {
    fn default() -> Self {
        Self {
            running: Family::default(),
            attempts: Family::default(),
            wait: Family::new_with_constructor(TIMES),
            duration: Family::new_with_constructor(TIMES),
            jobs: Family::default(),
            oldest: Family::default(),
            records: None,
        }
    }
}

impl JobMetrics {
    /// Metrics whose attempts somebody takes again and again.
    pub fn recording() -> Self {
        Self { records: Some(Mutex::default()), ..Self::default() }
    }

    /// The attempts that have ended since the last call.
    pub fn take(&self) -> Vec<AttemptRecord> {
        let records = self.records.as_ref();
        let records = records.map(|all| all.lock().unwrap_or_else(PoisonError::into_inner));
        records.map(|mut all| std::mem::take(&mut *all)).unwrap_or_default()
    }

    /// The metrics of a worker in the text format of OpenMetrics.
    pub fn encode(&self) -> String {
        let mut registry = Registry::with_prefix("diogenes");
        self.register_worker(&mut registry);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &registry);
        text
    }

    /// Has a registry print all of them.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.register_worker(registry);
        let (jobs, oldest) = (self.jobs.clone(), self.oldest.clone());
        registry.register("queue_jobs", "Jobs that have not ended, by queue and state", jobs);
        registry.register_with_unit(
            "queue_oldest",
            "For how long the oldest job of a queue could have begun",
            Unit::Seconds,
            oldest,
        );
    }

    fn register_worker(&self, registry: &mut Registry) {
        let (running, attempts) = (self.running.clone(), self.attempts.clone());
        registry.register("jobs_running", "Jobs that this worker has", running);
        registry.register("job_attempts", "Attempts that have ended", attempts);
        registry.register_with_unit(
            "job_wait",
            "From the time at which an attempt could begin to its beginning",
            Unit::Seconds,
            self.wait.clone(),
        );
        registry.register_with_unit(
            "job_duration",
            "From the beginning of an attempt to its end",
            Unit::Seconds,
            self.duration.clone(),
        );
    }

    /// An attempt begins; it runs until what this returns is dropped.
    pub(super) fn begin(&self, job: &Job) -> Begun<'_> {
        let kind = ByKind { kind: job.kind.to_string() };
        let running = self.running.get_or_create_owned(&kind);
        running.inc();
        let mut wait = Duration::ZERO;
        if let JobState::Running { lease_until, .. } = &job.state {
            // It was claimed one lease before that one ends.
            wait = since(job.run_at, *lease_until).saturating_sub(LEASE);
            self.wait.get_or_create(&kind).observe(wait.as_secs_f64());
        }
        let duration = self.duration.get_or_create_owned(&kind);
        let kind = job.kind.clone();
        Begun { metrics: self, kind, running, duration, wait, at: Instant::now() }
    }

    /// How much there is to do in a queue.
    pub(crate) fn observe(&self, depth: &QueueDepth, now: Timestamp) {
        let queue = depth.queue.name.to_string();
        let states = [
            ("available", depth.available),
            ("waiting", depth.waiting),
            ("running", depth.running),
        ];
        for (state, count) in states {
            let gauge = self.jobs.get_or_create_owned(&ByState { queue: queue.clone(), state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let oldest = depth.oldest.map_or(Duration::ZERO, |at| since(at, now));
        self.oldest.get_or_create(&ByQueue { queue }).set(oldest.as_secs_f64());
    }
}

/// An attempt that runs.
pub(super) struct Begun<'a> {
    metrics: &'a JobMetrics,
    kind: JobKind,
    running: Gauge,
    duration: Histogram,
    wait: Duration,
    at: Instant,
}

impl Begun<'_> {
    /// It has come to an end of its own.
    pub(super) fn ended(&self, outcome: &JobOutcome) {
        let end = AttemptEnd::from(outcome);
        let label = ByOutcome { kind: self.kind.to_string(), outcome: end.as_str() };
        self.metrics.attempts.get_or_create(&label).inc();
        if let Some(records) = &self.metrics.records {
            let (kind, wait, duration) = (self.kind.clone(), self.wait, self.at.elapsed());
            let record = AttemptRecord { kind, end, wait, duration };
            records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.running.dec();
        self.duration.observe(self.at.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use diogenes_core::jobs::{Creator, Jobs, NewJob, Queue};
    use diogenes_core::keys::KeyId;
    use diogenes_core::tenancy::{Allowed, ProjectId, Subject};
    use diogenes_core::testing::{CountingWake, ManualClock, MemoryStore, SeededEntropy};

    use super::*;

    async fn claimed(waits: Duration) -> Job {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let (entropy, wake) = (Arc::new(SeededEntropy::new(1)), Arc::new(CountingWake::default()));
        let jobs = Jobs::new(store, clock.clone(), entropy, wake);
        let creator = Creator::new(&Subject::new("a@b.c"), &KeyId::from_caller("k"));
        let kind = JobKind::known("http");
        let new = NewJob::new(ProjectId::default(), kind, serde_json::Value::Null, creator);
        let queue = new.queue.clone();
        jobs.create(&Allowed::operator(), new).await.unwrap();
        clock.advance(waits);
        let claims = jobs.claim(&queue, "w", 1).await.unwrap();
        claims[0].job().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_while_they_run_and_when_they_end() {
        let metrics = JobMetrics::recording();
        let job = claimed(Duration::from_secs(3)).await;
        let begun = metrics.begin(&job);
        assert!(metrics.encode().contains("diogenes_jobs_running{kind=\"http\"} 1"));
        tokio::time::advance(Duration::from_secs(7)).await;
        begun.ended(&JobOutcome::Completed { result: None });
        drop(begun);
        let record = AttemptRecord {
            kind: job.kind.clone(),
            end: AttemptEnd::Completed,
            wait: Duration::from_secs(3),
            duration: Duration::from_secs(7),
        };
        assert_eq!((metrics.take(), metrics.take()), (vec![record], Vec::new()));
        let text = metrics.encode();
        for line in [
            "diogenes_jobs_running{kind=\"http\"} 0",
            "diogenes_job_attempts_total{kind=\"http\",outcome=\"completed\"} 1",
            "diogenes_job_wait_seconds_sum{kind=\"http\"} 3.0",
            "diogenes_job_duration_seconds_sum{kind=\"http\"} 7.0",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn queues_are_told_by_state() {
        let (metrics, now) =
            (JobMetrics::default(), Timestamp::UNIX_EPOCH + Duration::from_secs(9));
        let queue = Queue::new("batch".parse().unwrap());
        let oldest = Some(Timestamp::UNIX_EPOCH);
        let depth = QueueDepth { queue, available: 2, waiting: 3, running: 4, oldest };
        metrics.observe(&depth, now);
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "queue_jobs{queue=\"batch\",state=\"available\"} 2",
            "queue_jobs{queue=\"batch\",state=\"waiting\"} 3",
            "queue_jobs{queue=\"batch\",state=\"running\"} 4",
            "queue_oldest_seconds{queue=\"batch\"} 9.0",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
