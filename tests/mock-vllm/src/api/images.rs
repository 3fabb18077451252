//! `/v1/images/generations` and `/v1/images/edits`: always the same dot. What it is said to show tells of the request.

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::form::{Form, heard};
use super::plan::served_model;
use super::reply::{Answer, AnswerContent, JSON, json};
use crate::engine::{Engine, Outcome, now_seconds};

/// A PNG of one dot, in Base64.
const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[derive(Debug, Deserialize)]
struct Request {
    prompt: String,
    model: Option<String>,
    n: Option<u32>,
}

/// The answer to a request for images.
pub(crate) fn generation(
    engine: &Engine,
    _: Option<&str>,
    body: &[u8],
) -> Result<Answer, ApiError> {
    let request: Request = serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    served_model(engine, request.model)?;
    images(request.n.unwrap_or(1), &request.prompt)
}

/// The answer to a request for other images.
pub(crate) fn edit(engine: &Engine, _: Option<&str>, form: &Form) -> Result<Answer, ApiError> {
    served_model(engine, form.text("model"))?;
    let image = heard(form.file(&["image", "image[]"])?);
    let prompt = form.text("prompt").unwrap_or_default();
    let count = form.text("n").and_then(|n| n.parse().ok());
    images(count.unwrap_or(1), &format!("{prompt}: {image}"))
}

fn images(count: u32, prompt: &str) -> Result<Answer, ApiError> {
    if !(1..=10).contains(&count) {
        return Err(ApiError::invalid("n", count, "n must be between 1 and 10."));
    }
    let image = json!({"b64_json": DOT, "revised_prompt": prompt});
    let images: Vec<Value> = (0..count).map(|_| image.clone()).collect();
    let body = json!({"created": now_seconds(), "data": images});
    Ok(Answer {
        prompt_tokens: 0,
        completion_tokens: 0,
        steps: 0,
        outcome: Outcome::Stopped,
        content: AnswerContent::Whole(json(&body), JSON),
    })
}
