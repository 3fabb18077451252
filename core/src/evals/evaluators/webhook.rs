//! Services that score answers.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::case::Case;
use super::scored::Scored;
use super::spec::{EvaluatorProblem, read_params};

/// Asks an HTTP service for a score.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    url: String,
}

/// What a service answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    score: f64,
    #[serde(default)]
    passed: Option<bool>,
    #[serde(default)]
    explanation: String,
}

impl Webhook {
    pub(super) fn new(params: &Map<String, Value>) -> Result<Self, EvaluatorProblem> {
        let webhook: Self = read_params(params)?;
        let is_web = |url: url::Url| matches!(url.scheme(), "http" | "https");
        if url::Url::parse(&webhook.url).is_ok_and(is_web) {
            return Ok(webhook);
        }
        Err(EvaluatorProblem::new("params.url", "must be a URL of http or https"))
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it is sent.
    pub fn request(&self, case: &Case<'_>, evaluator: &str, run: &str, example: &str) -> Value {
        json!({
            "evaluator": evaluator,
            "run_id": run,
            "example_id": example,
            "input": case.input,
            "expected_output": case.expected,
            "actual_output": case.answer,
        })
    }

    /// Reads what it answers. `passed` counts where it is there, otherwise the threshold decides.
    pub fn read(&self, status: u16, body: &[u8], threshold: f64) -> Scored {
        if status != 200 {
            return Scored::unmeasured(format!("the webhook answered with status {status}"));
        }
        let reply: Reply = match serde_json::from_slice(body) {
            Ok(reply) => reply,
            Err(error) => {
                return Scored::unmeasured(format!(
                    "the webhook must answer `{{\"score\": 0.5, \"explanation\": \"…\"}}`: {error}"
                ));
            }
        };
        match Scored::graded(reply.score, threshold, reply.explanation) {
            Scored::Measured { score, passed, explanation, details } => {
                let passed = reply.passed.unwrap_or(passed);
                Scored::Measured { score, passed, explanation, details }
            }
            unmeasured @ Scored::Unmeasured { .. } => unmeasured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_answers_is_a_score_or_unmeasured() {
        let params = json!({"url": "https://example.com/score"});
        let webhook = Webhook::new(params.as_object().unwrap()).unwrap();
        let read = |status, body: &str| webhook.read(status, body.as_bytes(), 0.5);
        assert_eq!(read(200, "{\"score\": 0.7}").passed(), Some(true));
        assert_eq!(read(200, "{\"score\": 0.7, \"passed\": false}").passed(), Some(false));
        for (status, body) in [
            (500, "{\"score\": 1}"),
            (200, ""),
            (200, "{\"score\": 2}"),
            (200, "{\"score\": null}"),
            (200, "{\"score\": \"1\"}"),
            (200, "{\"score\": 1, \"more\": 1}"),
        ] {
            assert_eq!(read(status, body).score(), None, "{status} {body}");
        }
    }
}
