//! `/tokenize` and `/detokenize`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::request::{Message, Prompt, Template};
use super::routes::Shared;
use crate::tokens;

#[derive(Debug, Deserialize)]
pub(super) struct Request {
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
    add_generation_prompt: Option<bool>,
    continue_final_message: Option<bool>,
}

/// The tokens of a text, or of a conversation as the template writes it.
pub(super) async fn tokenize(State(engine): Shared, Json(request): Json<Request>) -> Response {
    let tokens = match (request.messages, request.prompt) {
        (Some(messages), _) => {
            let (asks, continues) = (request.add_generation_prompt, request.continue_final_message);
            match Template::new(asks, continues, true) {
                Ok(template) => Prompt::conversation(messages, template).ids.unwrap_or_default(),
                Err(error) => return error.into_response(),
            }
        }
        (None, prompt) => tokens::encode(&prompt.unwrap_or_default()),
    };
    let longest = engine.args.max_model_len;
    Json(json!({"count": tokens.len(), "max_model_len": longest, "tokens": tokens})).into_response()
}

#[derive(Debug, Deserialize)]
pub(super) struct Tokens {
    tokens: Vec<u32>,
}

/// The text of tokens.
pub(super) async fn detokenize(Json(request): Json<Tokens>) -> Response {
    Json(json!({"prompt": tokens::decode(&request.tokens)})).into_response()
}
