//! How near two texts are, by their embeddings.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::case::Case;
use super::scored::Scored;
use super::spec::{EvaluatorProblem, read_params};
use super::text::nothing_expected;
use crate::name::ModelName;

/// Asks a model for the embeddings of answer and expected output.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Similarity {
    model: ModelName,
}

impl Similarity {
    pub(super) fn new(params: &Map<String, Value>) -> Result<Self, EvaluatorProblem> {
        read_params(params)
    }

    pub fn model(&self) -> &str {
        self.model.as_str()
    }

    /// The body of the request for embeddings; or what there is to say without one.
    ///
    /// # Errors
    /// Where nothing is expected, or nothing was answered.
    pub fn request(&self, case: &Case<'_>) -> Result<Value, Scored> {
        let expected = match case.expected {
            None => return Err(nothing_expected()),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        if case.answer.trim().is_empty() {
            return Err(Scored::graded(0.0, 1.0, "the answer is empty"));
        }
        Ok(json!({"model": self.model, "input": [expected, case.answer]}))
    }

    /// Reads the answer: the cosine, and 0 for texts that point away from each other.
    pub fn read(&self, answer: &[u8], threshold: f64) -> Scored {
        match similarity_of(answer) {
            Some(cosine) => Scored::graded(cosine, threshold, format!("cosine {cosine:.3}")),
            None => Scored::unmeasured(format!("model `{}` gave no embeddings", self.model)),
        }
    }
}

/// How near the two texts are whose embeddings this answer has: the cosine of the angle between them, 0 for those that
/// point away from each other. `None` where there are not two, or one has no direction.
pub fn similarity_of(answer: &[u8]) -> Option<f64> {
    let embeddings: Embeddings = serde_json::from_slice(answer).ok()?;
    match &embeddings.data[..] {
        [one, other] => cosine(&one.embedding, &other.embedding),
        _ => None,
    }
}

#[derive(Deserialize)]
struct Embeddings {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    embedding: Vec<f64>,
}

fn cosine(a: &[f64], b: &[f64]) -> Option<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    let is_measured = a.len() == b.len() && lengths.is_finite() && lengths > 0.0;
    is_measured.then(|| (dot(a, b) / lengths).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_is_that_of_the_angle() {
        let is = |a: &[f64], b: &[f64], wanted: f64| {
            let found = cosine(a, b).unwrap();
            assert!((found - wanted).abs() < 1e-9, "{found} {wanted}");
        };
        is(&[1.0, 0.0], &[2.0, 0.0], 1.0);
        is(&[1.0, 0.0], &[1.0, 1.0], 0.5f64.sqrt());
        is(&[1.0, 0.0], &[-1.0, 0.0], 0.0);
        for (a, b) in [(&[0.0][..], &[1.0][..]), (&[1.0], &[1.0, 2.0]), (&[], &[])] {
            assert_eq!(cosine(a, b), None);
        }
    }
}
