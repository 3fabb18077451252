//! Prometheus metrics of the proxy, the fleet and jobs.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use diogenes_core::fleet::ModelView;
use diogenes_core::name::ModelName;
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::jobs::JobMetrics;
use crate::proxy::{RECOVERIES, Speed, Usage};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByModel {
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    model: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    model: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    model: String,
    kind: &'static str,
}

/// Every metric, and the registry that prints them.
pub struct Metrics {
    registry: Registry,
    requests: Family<ByStatus, Counter>,
    in_flight: Family<ByModel, Gauge>,
    held: Family<ByModel, Counter>,
    cold_start: Family<ByModel, Histogram, Buckets>,
    duration: Family<ByModel, Histogram, Buckets>,
    first_byte: Family<ByModel, Histogram, Buckets>,
    tokens: Family<ByKind, Counter>,
    broken: Family<ByKind, Counter>,
    recoveries: Family<ByKind, Counter>,
    replicas: Family<ByState, Gauge<i64, AtomicI64>>,
    dropped_spans: Counter,
    jobs: Arc<JobMetrics>,
}

/// The states of a slot.
const STATES: [&str; 5] = ["launching", "booting", "ready", "draining", "terminating"];
/// How an answer can break.
const BROKEN: [&str; 7] = [
    "cut",
    "deadline",
    "stalled",
    "malformed",
    "upstream_unreachable",
    "upstream_malformed",
    "upstream_stalled",
];

/// Seconds, from a millisecond to a long generation.
#[derive(Clone)]
pub(crate) struct Buckets(pub(crate) &'static [f64]);

const LATENCY: Buckets = Buckets(&[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0,
]);
const BOOT: Buckets =
    Buckets(&[0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 900.0]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("diogenes"),
            requests: Family::default(),
            in_flight: Family::default(),
            held: Family::default(),
            cold_start: Family::new_with_constructor(BOOT),
            duration: Family::new_with_constructor(LATENCY),
            first_byte: Family::new_with_constructor(LATENCY),
            tokens: Family::default(),
            broken: Family::default(),
            recoveries: Family::default(),
            replicas: Family::default(),
            dropped_spans: Counter::default(),
            jobs: Arc::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "requests",
            "Inference requests by final status",
            metrics.requests.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Inference requests in progress, including held ones",
            metrics.in_flight.clone(),
        );
        registry.register(
            "held_requests",
            "Requests that had to wait for a replica",
            metrics.held.clone(),
        );
        registry.register_with_unit(
            "cold_start",
            "How long held requests waited until a replica was ready",
            Unit::Seconds,
            metrics.cold_start.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the request to the last byte of the answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register_with_unit(
            "time_to_first_byte",
            "From the request to the first byte of the replica's answer",
            Unit::Seconds,
            metrics.first_byte.clone(),
        );
        registry.register(
            "tokens",
            "Tokens as the replicas report them, by kind",
            metrics.tokens.clone(),
        );
        registry.register(
            "broken_answers",
            "Responses that ended early, by kind",
            metrics.broken.clone(),
        );
        registry.register(
            "recoveries",
            "Cut streams of routes that recover them, by outcome",
            metrics.recoveries.clone(),
        );
        registry.register("replicas", "Slots of a model by state", metrics.replicas.clone());
        registry.register(
            "telemetry_dropped_spans",
            "Spans that were to be exported and were not",
            metrics.dropped_spans.clone(),
        );
        metrics.jobs.register(registry);
        metrics
    }
}

impl Metrics {
    /// The metrics in the OpenMetrics text format.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The metrics of jobs, which are printed with these.
    pub fn jobs(&self) -> &Arc<JobMetrics> {
        &self.jobs
    }

    /// Counts the spans that were not exported.
    pub(crate) fn dropped_spans(&self) -> &Counter {
        &self.dropped_spans
    }

    /// Drops what was counted of a model that is gone.
    pub(crate) fn forget(&self, model: &ModelName) {
        let name = model.to_string();
        let by_model = ByModel { model: name.clone() };
        self.in_flight.remove(&by_model);
        self.held.remove(&by_model);
        self.cold_start.remove(&by_model);
        self.duration.remove(&by_model);
        self.first_byte.remove(&by_model);
        for status in 100..600 {
            self.requests.remove(&ByStatus { model: name.clone(), status });
        }
        for kind in ["prompt", "completion"] {
            self.tokens.remove(&ByKind { model: name.clone(), kind });
        }
        for kind in BROKEN {
            self.broken.remove(&ByKind { model: name.clone(), kind });
        }
        for kind in RECOVERIES {
            self.recoveries.remove(&ByKind { model: name.clone(), kind });
        }
        for state in STATES {
            self.replicas.remove(&ByState { model: name.clone(), state });
        }
    }

    /// The metrics of one model, looked up once.
    pub(crate) fn for_model(&self, model: &ModelName) -> ModelMetrics {
        let name = model.to_string();
        let by_model = ByModel { model: name.clone() };
        let kind = |kind| ByKind { model: name.clone(), kind };
        ModelMetrics {
            speed: Speed::default(),
            ok: self.requests.get_or_create_owned(&ByStatus { model: name.clone(), status: 200 }),
            requests: self.requests.clone(),
            in_flight: self.in_flight.get_or_create_owned(&by_model),
            held: self.held.get_or_create_owned(&by_model),
            cold_start: self.cold_start.get_or_create_owned(&by_model),
            duration: self.duration.get_or_create_owned(&by_model),
            first_byte: self.first_byte.get_or_create_owned(&by_model),
            prompt_tokens: self.tokens.get_or_create_owned(&kind("prompt")),
            completion_tokens: self.tokens.get_or_create_owned(&kind("completion")),
            broken: self.broken.clone(),
            recoveries: self.recoveries.clone(),
            replicas: self.replicas.clone(),
            name,
        }
    }
}

/// The metrics of one model: plain counters, without a look into a map on the hot path.
pub(crate) struct ModelMetrics {
    /// What strategies go by.
    pub(crate) speed: Speed,
    name: String,
    ok: Counter,
    requests: Family<ByStatus, Counter>,
    in_flight: Gauge,
    held: Counter,
    cold_start: Histogram,
    duration: Histogram,
    first_byte: Histogram,
    prompt_tokens: Counter,
    completion_tokens: Counter,
    broken: Family<ByKind, Counter>,
    recoveries: Family<ByKind, Counter>,
    replicas: Family<ByState, Gauge<i64, AtomicI64>>,
}

impl ModelMetrics {
    pub(crate) fn begin(&self) {
        self.in_flight.inc();
    }

    /// A request that has begun counts for another model from here on.
    pub(crate) fn hand_over(&self, to: &Self) {
        self.in_flight.dec();
        to.in_flight.inc();
    }

    pub(crate) fn end(&self, status: StatusCode, took: Duration, usage: Option<Usage>) {
        self.in_flight.dec();
        if status == StatusCode::OK {
            self.ok.inc();
        } else {
            let labels = ByStatus { model: self.name.clone(), status: status.as_u16() };
            self.requests.get_or_create(&labels).inc();
        }
        self.duration.observe(took.as_secs_f64());
        if let Some(usage) = usage {
            self.prompt_tokens.inc_by(usage.prompt);
            self.completion_tokens.inc_by(usage.completion);
        }
    }

    /// The tokens of prompts and of answers so far.
    #[cfg(test)]
    pub(crate) fn tokens(&self) -> (u64, u64) {
        (self.prompt_tokens.get(), self.completion_tokens.get())
    }

    pub(crate) fn first_byte(&self, after: Duration) {
        self.first_byte.observe(after.as_secs_f64());
    }

    pub(crate) fn held_request(&self) {
        self.held.inc();
    }

    pub(crate) fn woke_after(&self, waited: Duration) {
        self.cold_start.observe(waited.as_secs_f64());
    }

    pub(crate) fn broken(&self, kind: &'static str) {
        self.broken.get_or_create(&ByKind { model: self.name.clone(), kind }).inc();
    }

    /// A cut stream was recovered, or was not for this reason.
    pub(crate) fn recovery(&self, kind: &'static str) {
        self.recoveries.get_or_create(&ByKind { model: self.name.clone(), kind }).inc();
    }

    pub(crate) fn observe(&self, view: &ModelView) {
        for state in STATES {
            let count = view.slots.iter().filter(|slot| slot.state.name() == state).count();
            self.replicas
                .get_or_create(&ByState { model: self.name.clone(), state })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
