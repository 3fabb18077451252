use std::time::Duration;

use super::facts::Metric;
use crate::gateway::record::RequestRecord;
use crate::ports::Amount;

/// What a request says of the version that it was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub has_failed: bool,
    /// How long the answer took, or the first part of a stream, without the wait for a replica; none
    /// where there was none.
    pub latency: Option<Duration>,
    pub cost: Option<Amount>,
}

/// What is told of requests whose version is to blame though their status is a caller's fault: the
/// values that callers send fit one version and not the other, or it names a model that is not there.
/// Mistakes of callers meet both sides alike, so that the test is not misled.
const OF_THE_VERSION: [&str; 2] = ["prompt_not_rendered", "model_not_found"];

/// That no replica was ready says nothing of the version.
const OF_THE_FLEET: &str = "model_warming";

impl Outcome {
    /// None where the request tells nothing: its caller has made a mistake or has gone away.
    pub fn of(record: &RequestRecord) -> Option<Self> {
        let code = record.error.as_deref().unwrap_or_default();
        if code == OF_THE_FLEET {
            return None;
        }
        let has_failed = match record.status {
            500.. => true,
            // The answer broke off behind its head.
            200..=299 => !code.is_empty(),
            _ if OF_THE_VERSION.contains(&code) => true,
            _ => return None,
        };
        let held = record.held.map_or(Duration::ZERO, |held| held.took);
        let took = record.first_content.unwrap_or(record.took);
        let latency = (!has_failed).then(|| took.saturating_sub(held));
        Some(Self { has_failed, latency, cost: record.cost })
    }

    /// In what it is bad, where an answer is slow that takes longer than `slow_above`.
    pub(super) fn is_bad(&self, metric: Metric, slow_above: Option<Duration>) -> bool {
        match metric {
            Metric::Errors => self.has_failed,
            Metric::Latency => {
                self.latency.zip(slow_above).is_some_and(|(latency, above)| latency > above)
            }
        }
    }
}
