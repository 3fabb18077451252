mod parameters;
mod refusals;
mod turns;

use serde_json::{Value, json};

use super::*;

const ENGINE: ChatTarget = ChatTarget::Engine { reasoning_parser: true };

/// A Messages request with these fields beside the required ones.
fn messages_body(fields: Value) -> Value {
    with(
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}),
        fields,
    )
}

fn chat_body(fields: Value) -> Value {
    with(json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}), fields)
}

fn with(mut body: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("no object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

fn to_chat(body: &Value, target: ChatTarget) -> Result<Value, String> {
    messages_to_chat(body.to_string().as_bytes(), target)
        .map(|text| serde_json::from_str(&text).unwrap())
        .map_err(|error| error.to_string())
}

fn to_messages(body: &Value) -> Result<Value, String> {
    chat_to_messages(body.to_string().as_bytes(), 4096)
        .map(|text| serde_json::from_str(&text).unwrap())
        .map_err(|error| error.to_string())
}

/// The chat messages that become of Anthropic's.
fn chat_messages(messages: &Value) -> Value {
    to_chat(&messages_body(json!({"messages": messages})), ENGINE).unwrap()["messages"].take()
}

fn anthropic_messages(messages: &Value) -> Value {
    to_messages(&chat_body(json!({"messages": messages}))).unwrap()["messages"].take()
}
