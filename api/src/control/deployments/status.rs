use std::time::Duration;

use diogenes_core::deployments::{
    Decision, Event, Evidence, Metric, MetricEvidence, SideMeasures, Standing, Status, Verdict,
};
use diogenes_core::money::Dollars;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::bodies::RolloutBody;

/// How a deployment stands at this moment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeploymentStatusBody {
    pub id: String,
    pub status: Status,
    /// What it waits for, or why it has ended.
    pub status_message: String,
    pub rollout: RolloutBody,
    /// What was measured of the new version.
    pub current_metrics: MetricsBody,
    /// What was measured of the version before it.
    pub baseline_metrics: MetricsBody,
    pub evidence: EvidenceBody,
}

/// What was measured of one version. What nothing was measured of is null.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MetricsBody {
    /// Without the wait for a replica; of streams, until their first content.
    pub avg_latency_ms: Option<f64>,
    /// Right to a fifth, as the percentiles below.
    pub latency_p50_ms: Option<f64>,
    pub latency_p95_ms: Option<f64>,
    /// The share of the requests that failed, 0 to 1; mistakes of callers are not counted.
    pub error_rate: Option<f64>,
    /// Null: nothing scores the answers of a deployment.
    pub quality_score: Option<f64>,
    pub request_count: u64,
    /// The users, conversations or lone requests since the present share began.
    pub unit_count: u64,
    /// What a request costs on average, where it has a price.
    pub cost_per_request_usd: Option<String>,
}

/// What the facts say.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EvidenceBody {
    pub verdict: Verdict,
    /// What is missing for the next step; null where there is enough.
    pub missing: Option<String>,
    /// The evidence at which the new version counts as worse, or as no worse.
    pub alarm_at: f64,
    /// From when on an answer is slow; null until it is known.
    pub slow_above_ms: Option<f64>,
    pub metrics: Vec<MetricEvidenceBody>,
}

/// What one metric says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MetricEvidenceBody {
    pub metric: Metric,
    /// Bad users or conversations that met the new version.
    pub candidate: u64,
    /// Those that met the version before it.
    pub baseline: u64,
    /// How much speaks for "worse"; 1 for nothing.
    pub worse: f64,
    /// How much speaks for "bad less than twice as often".
    pub no_worse: f64,
}

impl From<Standing> for DeploymentStatusBody {
    fn from(standing: Standing) -> Self {
        let Standing { deployment, facts, evidence, next } = standing;
        let units = facts.units_at(deployment.epoch());
        let message = match (next, deployment.end()) {
            (_, Some(end)) => end.reason.clone(),
            (Decision::Wait { what, .. }, None) => format!("waits for {what}"),
            (Decision::Do(event), None) => soon(&event).into(),
        };
        Self {
            id: deployment.id.to_string(),
            status: deployment.status(),
            status_message: message,
            rollout: (&deployment).into(),
            current_metrics: metrics(&facts.candidate, units.candidate),
            baseline_metrics: metrics(&facts.live, units.live),
            evidence: EvidenceBody::of(evidence, deployment.slow_above),
        }
    }
}

/// What is about to happen.
fn soon(event: &Event) -> &'static str {
    match event {
        Event::Started => "is about to start",
        Event::Widened { .. } => "is about to get a larger share",
        Event::Completed { .. } => "is about to be completed",
        Event::RolledBack { .. } => "is about to be rolled back",
        Event::GatesFailed { .. } | Event::Failed { .. } | Event::Cancelled { .. } => {
            "is about to be ended"
        }
        Event::Approved(_) | Event::SlowKnown { .. } | Event::Paused(_) | Event::Resumed => {
            "is under way"
        }
    }
}

fn metrics(side: &SideMeasures, units: u64) -> MetricsBody {
    MetricsBody {
        avg_latency_ms: side.latency.mean().map(millis),
        latency_p50_ms: side.latency.quantile(0.5).map(millis),
        latency_p95_ms: side.latency.quantile(0.95).map(millis),
        error_rate: side.error_rate(),
        quality_score: None,
        request_count: side.requests,
        unit_count: units,
        cost_per_request_usd: side.cost_per_request().map(|cost| Dollars(cost).decimal()),
    }
}

impl EvidenceBody {
    fn of(evidence: Evidence, slow_above: Option<Duration>) -> Self {
        let of_metric = |it: MetricEvidence| MetricEvidenceBody {
            metric: it.metric,
            candidate: it.candidate,
            baseline: it.live,
            worse: it.worse,
            no_worse: it.no_worse,
        };
        Self {
            verdict: evidence.verdict,
            missing: evidence.missing,
            alarm_at: evidence.alarm_at,
            slow_above_ms: slow_above.map(millis),
            metrics: evidence.metrics.into_iter().map(of_metric).collect(),
        }
    }
}

/// To a tenth of a millisecond.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
