#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is used")]

mod answer;
mod conversation;
mod fold;
mod parameters;
mod properties;
mod refusals;
mod stream;
mod tools;

use serde_json::{Value, json};

use super::*;
use crate::gateway::translation::BadEvent;
use crate::gateway::translation::stream::tests::{events_of, text_of};

const ENGINE: ChatTarget = ChatTarget::Engine { reasoning_parser: true };

/// A request with more fields than it needs.
fn request(fields: Value) -> Value {
    let mut body = json!({"model": "m", "input": "hi"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn chat_for(body: &Value, target: ChatTarget) -> Result<Value, Untranslatable> {
    responses_to_chat(body.to_string().as_bytes(), target)
        .map(|chat| serde_json::from_str(&chat).unwrap())
}

/// The Chat Completions request that an engine gets.
fn chat(body: &Value) -> Value {
    chat_for(body, ENGINE).unwrap()
}

fn messages(input: Value) -> Value {
    chat(&json!({"model": "m", "input": input}))["messages"].take()
}

fn echo_of(body: &Value) -> ResponsesEcho {
    ResponsesEcho::read(body.to_string().as_bytes()).unwrap()
}

fn response_to(request: &Value, completion: &Value) -> Result<Value, BadAnswer> {
    completion_to_response(completion.to_string().as_bytes(), &echo_of(request), "7", 9)
        .map(|response| serde_json::from_str(&response).unwrap())
}

fn completion(message: Value, finish: &str) -> Value {
    json!({"id": "c1", "object": "chat.completion", "created": 7, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}})
}

/// The events of a stream, or where it stopped and why.
fn events_for(request: &Value, chunks: &[Value]) -> (Vec<Value>, Result<(), BadEvent>) {
    let mut stream = ChatToResponses::new(echo_of(request), "7", 9);
    let mut out = Vec::new();
    let result = chunks.iter().try_for_each(|chunk| stream.push(None, &text_of(chunk), &mut out));
    (events_of(&out), result.and_then(|()| stream.finish()))
}

fn tool_requests() -> Value {
    request(json!({"tools": [
        {"type": "custom", "name": "patch"},
        {"type": "namespace", "name": "mcp__files", "description": "Files.", "tools": [
            {"type": "function", "name": "read", "parameters": {"type": "object"}},
        ]},
    ]}))
}
