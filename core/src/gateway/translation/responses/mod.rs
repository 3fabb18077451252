//! OpenAI's Responses, served by a target of Chat Completions: the request, the whole answer and
//! the stream. The documentation of [`super`] says what is left out.

mod echo;
mod events;
mod item;
mod request;
mod response;
mod status;
mod stream;

pub use echo::ResponsesEcho;
pub use stream::ChatToResponses;

use self::item::Output;
use self::response::Response;
use self::status::Status;
use super::answer::{BadAnswer, ChatAnswer, ChatCall, Stop};
use super::fields::Untranslatable;
use super::request::{ChatTarget, body_of, write};
use super::stream::{Closing, Opening};

/// Translates the body of a request for a response into that of a Chat Completions request.
///
/// A streamed request asks for usage, which a response always tells.
///
/// # Errors
/// A field that is missing, malformed, or has no counterpart at the target.
pub fn responses_to_chat(body: &[u8], target: ChatTarget) -> Result<String, Untranslatable> {
    let request = request::read(&body_of(body)?)?;
    write(&request::write(&request, target)?)
}

/// Translates a whole `chat.completion` into a `response`.
///
/// `id` makes the ids of the response and its items unique, as the id of the request does;
/// `created` is in seconds since the epoch.
///
/// Arguments of a call are passed on as the model wrote them, for the client to judge; none at all
/// are `{}`. An answer that reached its limit or was filtered is `incomplete`, and so is its last
/// item. Usage is null unless both the tokens of the prompt and those of the answer are known;
/// details of it that are not known are 0, as the API has no other word for it.
///
/// # Errors
/// See [`BadAnswer`].
pub fn completion_to_response(
    body: &[u8],
    echo: &ResponsesEcho,
    id: &str,
    created: i64,
) -> Result<String, BadAnswer> {
    let answer = ChatAnswer::read(body)?;
    let mut output = Output::new(id);
    for (opening, closing, text) in [
        (Opening::Thinking, Closing::Thinking, &answer.reasoning),
        (Opening::Text, Closing::Text, &answer.content),
        (Opening::Refusal, Closing::Refusal, &answer.refusal),
    ] {
        if let Some(text) = text {
            output.push(echo, &opening, text, &closing);
        }
    }
    let is_cut = answer.stop == Stop::Limit;
    for (place, ChatCall { id, name, arguments }) in answer.calls.iter().enumerate() {
        let opening = Opening::Call { place, id: id.as_deref(), name };
        output.push(echo, &opening, arguments, &Closing::Call { name, arguments, is_cut });
    }
    let status = Status::of(&answer.stop);
    output.end(&status);
    let model = if answer.model.is_empty() { &echo.model } else { &answer.model };
    let usage = answer.usage;
    let response = Response { id, created, model, status, output: &output, usage, echo };
    serde_json::to_string(&response)
        .map_err(|source| BadAnswer::Malformed { expected: "chat completion", source })
}

#[cfg(test)]
mod tests;
