//! `/v1/embeddings`: unit vectors that depend on the text alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::completion::Prompts;
use super::error::ApiError;
use super::plan::{Usage, served_model};
use super::reply::{Answer, AnswerContent, JSON, json};
use crate::engine::{Engine, Outcome, now_seconds};
use crate::text::{hash, mix};

/// The longest vector a request may ask for.
const MAX_DIMENSIONS: u32 = 16_384;

#[derive(Debug, Deserialize)]
struct Request {
    input: Prompts,
    model: Option<String>,
    #[serde(default)]
    encoding_format: Encoding,
    dimensions: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    /// Little-endian 32-bit floats; what OpenAI's Python client asks for.
    Base64,
}

/// The answer to an embedding request.
pub(crate) fn answer(
    engine: &Engine,
    client_id: Option<&str>,
    body: &[u8],
) -> Result<Answer, ApiError> {
    let request: Request = serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    let model = served_model(engine, request.model)?;
    let dimensions = request.dimensions.unwrap_or(engine.args.embedding_dimensions);
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        let message =
            format_args!("dimensions must be between 1 and {MAX_DIMENSIONS}, got {dimensions}.")
                .to_string();
        return Err(ApiError::invalid("dimensions", dimensions, message));
    }
    let prompts = request.input.into_vec();
    let prompt_tokens =
        prompts.iter().fold(0, |sum: u32, prompt| sum.saturating_add(prompt.tokens));
    let data = prompts.iter().enumerate().map(|(index, prompt)| {
        let vector = embed(&prompt.question, dimensions);
        let embedding = match request.encoding_format {
            Encoding::Float => json!(vector),
            Encoding::Base64 => json!(
                STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
            ),
        };
        json!({"index": index, "object": "embedding", "embedding": embedding})
    });
    let body = json!({
        "id": engine.request_id("embd-", client_id), "object": "list", "created": now_seconds(), "model": model,
        "data": data.collect::<Vec<Value>>(), "usage": Usage::new(prompt_tokens, 0),
    });
    Ok(Answer {
        prompt_tokens,
        completion_tokens: 0,
        steps: 0,
        outcome: Outcome::Stopped,
        content: AnswerContent::Whole(json(&body), JSON),
    })
}

/// A vector of length 1. A longer one starts with other numbers only by its scale.
fn embed(text: &str, dimensions: u32) -> Vec<f32> {
    let mut random = hash(text.as_bytes());
    let numbers: Vec<f64> = std::iter::repeat_with(|| {
        random = mix(random);
        (random >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    })
    .take(dimensions as usize)
    .collect();
    let norm = numbers.iter().map(|x| x * x).sum::<f64>().sqrt();
    #[expect(clippy::cast_possible_truncation, reason = "embeddings are 32-bit floats")]
    numbers.into_iter().map(|x| (x / norm) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_length_one_and_depend_on_the_text() {
        let vector = embed("hello", 256);
        let norm: f32 = vector.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
        assert_eq!(vector, embed("hello", 256));
        assert_ne!(vector, embed("hullo", 256));
    }
}
