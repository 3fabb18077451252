//! `/v1/responses`, plain and as typed events.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::plan::{Finish, Plan};
use super::reply::{Answer, Event, Events, Pace, named_sse};
use super::request::{Message, Prompt, Sampling, Template};
use crate::engine::Engine;

#[derive(Debug, Deserialize)]
struct Request {
    input: Input,
    model: Option<String>,
    instructions: Option<String>,
    max_output_tokens: Option<i64>,
    stream: Option<bool>,
    metadata: Option<Value>,
    temperature: Option<f64>,
    top_p: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Message>),
}

/// The answer to a request for a response. Its id is never the client's.
pub(crate) fn answer(
    engine: &Engine,
    _client_id: Option<&str>,
    body: &[u8],
) -> Result<Answer, ApiError> {
    let mut request: Request =
        serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    let prompt = match std::mem::replace(&mut request.input, Input::Text(String::new())) {
        Input::Text(text) => Prompt::text(text),
        Input::Items(items) => Prompt::conversation(items, Template::default()),
    };
    let sampling = Sampling {
        model: request.model.take(),
        max_tokens: request.max_output_tokens.map(|limit| ("max_output_tokens", limit)),
        ..Sampling::default()
    };
    let plan = Plan::new(engine, engine.request_id("resp_", None), &[prompt], sampling)?;
    if request.stream.unwrap_or(false) {
        return Ok(Answer::stream(&plan, events(&plan, &request)));
    }
    Ok(Answer::whole(&plan, &response(&plan, &request, true)))
}

/// The response object, before or after its output.
fn response(plan: &Plan, request: &Request, done: bool) -> Value {
    let cut_short = plan.choices.first().is_some_and(|choice| choice.finish == Finish::Length);
    let status = match (done, cut_short) {
        (false, _) => "in_progress",
        (true, true) => "incomplete",
        (true, false) => "completed",
    };
    let usage = plan.usage();
    json!({
        "id": plan.id, "object": "response", "created_at": plan.created, "status": status, "model": plan.model,
        "incomplete_details": (done && cut_short).then(|| json!({"reason": "max_output_tokens"})),
        "instructions": request.instructions, "metadata": request.metadata,
        "output": if done { json!([item(plan, true)]) } else { json!([]) },
        "parallel_tool_calls": true, "temperature": request.temperature.unwrap_or(1.0),
        "tool_choice": "auto", "tools": [], "top_p": request.top_p.unwrap_or(1.0), "background": false,
        "max_output_tokens": request.max_output_tokens, "previous_response_id": null, "reasoning": null,
        "service_tier": "auto", "text": null, "truncation": "disabled", "user": null, "error": null,
        "usage": done.then(|| json!({
            "input_tokens": usage.prompt_tokens, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage.completion_tokens, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.total_tokens,
        })),
    })
}

/// The only output item: a message.
fn item(plan: &Plan, done: bool) -> Value {
    json!({
        "id": item_id(plan), "type": "message", "role": "assistant",
        "status": if done { "completed" } else { "in_progress" },
        "content": if done { json!([part(text(plan))]) } else { json!([]) },
    })
}

fn item_id(plan: &Plan) -> String {
    plan.id.replacen("resp_", "msg_", 1)
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": null})
}

fn text(plan: &Plan) -> &str {
    plan.choices.first().map_or("", |choice| choice.text.as_str())
}

/// The events in the order of OpenAI's API, each with its number. There is no `[DONE]` at the end.
fn events(plan: &Plan, request: &Request) -> Events {
    let mut events = Events::default();
    let mut push = |pace: Pace, tokens: u32, name: &str, data: Value| {
        let mut event = Map::new();
        event.insert("type".to_owned(), name.into());
        event.insert("sequence_number".to_owned(), events.0.len().into());
        event.extend(data.as_object().cloned().unwrap_or_default());
        events.0.push(Event { pace, tokens, bytes: named_sse(name, &event) });
    };
    let position = json!({"item_id": item_id(plan), "output_index": 0, "content_index": 0});
    let at = |field: &str, value: Value| {
        let mut data = position.clone();
        if let Some(map) = data.as_object_mut() {
            map.insert(field.to_owned(), value);
        }
        data
    };
    push(Pace::Now, 0, "response.created", json!({"response": response(plan, request, false)}));
    push(Pace::Now, 0, "response.in_progress", json!({"response": response(plan, request, false)}));
    let added = json!({"output_index": 0, "item": item(plan, false)});
    push(Pace::First, 0, "response.output_item.added", added);
    push(Pace::Now, 0, "response.content_part.added", at("part", part("")));
    let mut pace = Pace::Now;
    for token in plan.choices.iter().take(1).flat_map(|choice| choice.text.tokens()) {
        let mut delta = at("delta", token.into());
        if let Some(map) = delta.as_object_mut() {
            map.insert("logprobs".to_owned(), json!([]));
        }
        push(pace, 1, "response.output_text.delta", delta);
        pace = Pace::Token;
    }
    let mut whole = at("text", text(plan).into());
    if let Some(map) = whole.as_object_mut() {
        map.insert("logprobs".to_owned(), json!([]));
    }
    push(Pace::Now, 0, "response.output_text.done", whole);
    push(Pace::Now, 0, "response.content_part.done", at("part", part(text(plan))));
    push(
        Pace::Now,
        0,
        "response.output_item.done",
        json!({"output_index": 0, "item": item(plan, true)}),
    );
    push(Pace::Now, 0, "response.completed", json!({"response": response(plan, request, true)}));
    events
}
