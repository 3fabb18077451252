use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::evaluators::{Scored, beginning};
use super::run::{EVAL_LIFE, EvalId, EvalRun};
use super::tally::{EvaluatorTally, Tally};
use crate::Timestamp;
use crate::batches::Bill;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::hex;
use crate::ports::{Key, Query, Table};
use crate::tenancy::ProjectId;

/// The most of an input, an expected output and an answer that is kept, in bytes of its JSON.
const MAX_TEXT: usize = 48 * 1024;
/// The most of all verdicts that is kept, in bytes of their JSON. With the texts it fits into a record.
const MAX_VERDICTS: usize = 64 * 1024;
/// The longest name of a cluster and the longest finish reason, in bytes.
const MAX_NAME: usize = 256;

/// What came of one example, asked once. A run has one at most for each example and repeat: whoever goes on with it
/// leaves those alone that are there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalResult {
    pub project: ProjectId,
    pub run: EvalId,
    /// The position of the example in the snapshot, from 0.
    pub position: u32,
    /// Which of its repeats, from 0.
    #[serde(default)]
    pub repeat: u32,
    pub example: String,
    pub input: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// What the subject answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// What each evaluator says, in the order of the run's.
    pub verdicts: Vec<Scored>,
    /// How long the subject took, in milliseconds.
    #[serde(default)]
    pub latency_ms: u64,
    /// Why the subject stopped, in the words of its API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    #[serde(default)]
    pub bill: Bill,
    #[serde(default)]
    pub judge_bill: Bill,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether texts were too long to be kept whole. The evaluators saw all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_shortened: bool,
    pub until: Timestamp,
}

/// Where a result stands, over all evaluators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Passed,
    Failed,
    Unmeasured,
}

impl EvalResult {
    fn partition(project: &ProjectId, run: &EvalId) -> String {
        format!("EVALRESULTS#{project}#{run}")
    }

    /// Where a result stands in the store.
    pub fn key_of(project: &ProjectId, run: &EvalId, position: u32, repeat: u32) -> Key {
        Key::new(Self::partition(project, run), format!("{position:08}#{repeat:03}"))
    }

    /// Lists the results of a run in the order of its examples.
    pub fn all_of(run: &EvalRun) -> Query {
        Query::new(Table::Main, Self::partition(&run.project, &run.id), "")
    }

    /// Failed where an evaluator fails it, even if another one cannot tell.
    pub fn standing(&self) -> Standing {
        let is =
            |wanted: Option<bool>| self.verdicts.iter().any(|scored| scored.passed() == wanted);
        if is(Some(false)) {
            Standing::Failed
        } else if is(None) || self.verdicts.is_empty() {
            Standing::Unmeasured
        } else {
            Standing::Passed
        }
    }

    /// When results of a run are forgotten.
    pub fn kept_until(run: &EvalRun) -> Timestamp {
        later(run.created_at, EVAL_LIFE)
    }

    /// It with texts that fit into a record.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let mut is_shortened = false;
        let mut shorten = |value: Value| {
            let (fitting, is_cut) = fitting(value);
            is_shortened |= is_cut;
            fitting
        };
        self.input = shorten(std::mem::take(&mut self.input));
        self.expected = self.expected.take().map(&mut shorten);
        self.answer = self.answer.take().map(|answer| match shorten(Value::String(answer)) {
            Value::String(text) => text,
            other => other.to_string(),
        });
        self.is_shortened = is_shortened;
        self.cluster = self.cluster.take().map(short_cluster);
        self.finish_reason = self.finish_reason.take().map(|reason| beginning(&reason, MAX_NAME));
        let each = MAX_VERDICTS / self.verdicts.len().max(1);
        self.verdicts = self.verdicts.into_iter().map(|scored| scored.within(each)).collect();
        self
    }
}

impl Tally {
    /// Adds one result.
    pub fn add(&mut self, result: &EvalResult) {
        self.completed = self.completed.saturating_add(1);
        *(match result.standing() {
            Standing::Passed => &mut self.passed,
            Standing::Failed => &mut self.failed,
            Standing::Unmeasured => &mut self.unmeasured,
        }) += 1;
        self.errors += u32::from(result.error.is_some());
        if self.evaluators.len() < result.verdicts.len() {
            self.evaluators.resize(result.verdicts.len(), EvaluatorTally::default());
        }
        for (tally, verdict) in self.evaluators.iter_mut().zip(&result.verdicts) {
            match verdict {
                Scored::Measured { score, passed, .. } => {
                    tally.measured += 1;
                    tally.passed += u32::from(*passed);
                    tally.score += score;
                }
                Scored::Unmeasured { .. } => tally.unmeasured += 1,
            }
        }
        self.bill = self.bill.plus(result.bill);
        self.judge_bill = self.judge_bill.plus(result.judge_bill);
        if result.error.is_none() {
            self.latency_ms = self.latency_ms.saturating_add(result.latency_ms);
        }
    }
}

/// A value whose JSON is not too long, or a text of its beginning.
fn fitting(value: Value) -> (Value, bool) {
    let text = match &value {
        // The length of JSON is at most six times that of the text.
        Value::String(text) if text.len() * 6 <= MAX_TEXT => return (value, false),
        value => value.to_string(),
    };
    if text.len() <= MAX_TEXT {
        return (value, false);
    }
    let text = match value {
        Value::String(text) => text,
        _ => text,
    };
    // Of a text that is all escapes a sixth fits.
    (Value::String(beginning(&text, MAX_TEXT / 6)), true)
}

/// The name of a cluster, which no other cluster shares even where it is cut.
fn short_cluster(name: String) -> String {
    if name.len() <= MAX_NAME {
        return name;
    }
    let digest = hex(&Sha256::digest(&name));
    format!("{} {}", beginning(&name, MAX_NAME / 2), &digest[..16])
}

impl Entity for EvalResult {
    const KIND: &'static str = "result of an eval";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.run, self.position, self.repeat)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evals::evaluators::MOST_EVALUATORS;
    use crate::ports::{MAX_DOCUMENT_BYTES, document_bytes};

    #[test]
    fn the_largest_result_fits_into_a_record() {
        let long = "\u{1}".repeat(100_000);
        let details = json!(vec![long.clone(); 5]);
        let scored = Scored::is(false, long.clone()).with_details(details);
        let cluster = |end: &str| short_cluster(format!("{long}{end}"));
        let result = EvalResult {
            project: ProjectId::default(),
            run: EvalId::from_caller(&format!("eval_{}", "0".repeat(32))).unwrap(),
            position: 0,
            repeat: 0,
            example: "e".repeat(64),
            input: json!(long),
            expected: Some(json!({"a": long})),
            answer: Some(long.clone()),
            tags: BTreeSet::new(),
            cluster: Some(long.clone()),
            verdicts: vec![scored; MOST_EVALUATORS],
            latency_ms: 0,
            finish_reason: None,
            bill: Bill::default(),
            judge_bill: Bill::default(),
            error: None,
            is_shortened: false,
            until: Timestamp::UNIX_EPOCH,
        };
        let result = result.shortened();
        assert!(result.is_shortened);
        let document = serde_json::to_value(&result).unwrap();
        assert!(document_bytes(&document) <= MAX_DOCUMENT_BYTES);
        assert_ne!(cluster("a"), cluster("b"));
    }

    #[test]
    fn a_text_that_is_too_long_is_told_as_such() {
        let long = "\u{1}".repeat(100_000);
        for (value, is_cut) in [
            (json!("a"), false),
            (json!({"a": "b"}), false),
            (json!(long), true),
            (json!({"a": long}), true),
            (json!("ä".repeat(10_000)), false),
        ] {
            let (fitting, cut) = fitting(value);
            assert_eq!(cut, is_cut);
            assert!(fitting.to_string().len() <= MAX_TEXT + 10);
        }
    }
}
