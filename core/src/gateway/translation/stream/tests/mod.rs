#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is used")]

mod chat_to_messages;
mod fold;
mod messages_to_chat;
pub(in super::super) mod properties;

use serde_json::{Value, json};

use super::*;

/// The output of a translator, or where it stopped and why.
fn to_messages(events: &[Value]) -> (Vec<Value>, Result<(), BadEvent>) {
    let mut stream = ChatToMessages::new(42);
    let mut out = Vec::new();
    let mut push = |event: &Value| stream.push(None, &text_of(event), &mut out);
    let result = events.iter().try_for_each(&mut push);
    (events_of(&out), result.and_then(|()| stream.finish()))
}

fn to_chat(events: &[Value]) -> (Vec<Value>, Result<(), BadEvent>) {
    let mut stream = MessagesToChat::new(7, true);
    let mut out = Vec::new();
    let mut push = |event: &Value| stream.push(event["type"].as_str(), &text_of(event), &mut out);
    let result = events.iter().try_for_each(&mut push);
    (events_of(&out), result.and_then(|()| stream.finish()))
}

pub(in super::super) fn text_of(event: &Value) -> String {
    match event {
        Value::String(text) => text.clone(),
        event => event.to_string(),
    }
}

/// The data of the events that were written; those of Messages are named as their data says.
pub(in super::super) fn events_of(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).unwrap();
    assert!(text.is_empty() || text.ends_with("\n\n"));
    let event = |frame: &str| {
        let (name, data) = match frame.split_once('\n') {
            Some((name, data)) => (name.strip_prefix("event: "), data),
            None => (None, frame),
        };
        let data = data.strip_prefix("data: ").unwrap();
        let data = serde_json::from_str(data).unwrap_or_else(|_| json!(data));
        if let Some(name) = name {
            assert_eq!(data["type"], name);
        }
        data
    };
    text.split_terminator("\n\n").map(event).collect()
}

pub(in super::super) fn done() -> Value {
    json!("[DONE]")
}

fn chunk(delta: Value, finish: Value) -> Value {
    json!({"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m",
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]})
}

pub(in super::super) fn delta(delta: Value) -> Value {
    chunk(delta, Value::Null)
}

pub(in super::super) fn finish(reason: &str) -> Value {
    chunk(json!({}), json!(reason))
}

pub(in super::super) fn call_delta(index: u64, id: &str, arguments: &str) -> Value {
    delta(json!({"tool_calls": [{"index": index, "id": id, "type": "function",
        "function": {"name": format!("f{index}"), "arguments": arguments}}]}))
}

pub(in super::super) fn arguments_delta(index: u64, arguments: &str) -> Value {
    delta(json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}))
}

pub(in super::super) fn usage_chunk() -> Value {
    json!({"id": "c1", "model": "m", "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}})
}

fn message_start() -> Value {
    json!({"type": "message_start", "message": {"id": "c1", "type": "message", "role": "assistant",
        "model": "m", "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": 1}}})
}

fn block_start(index: usize, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn block_delta(index: usize, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn block_stop(index: usize) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn message_delta(reason: &str) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": 4}})
}

fn message_stop() -> Value {
    json!({"type": "message_stop"})
}
