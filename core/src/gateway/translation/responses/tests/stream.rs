use serde_json::json;

use super::*;
use crate::gateway::translation::stream::tests::{
    arguments_delta, call_delta, delta, done, finish, usage_chunk,
};
use crate::gateway::translation::{ErrorObject, ErrorType};

fn written(chunks: &[Value]) -> Vec<Value> {
    let (events, result) = events_for(&tool_requests(), chunks);
    result.unwrap();
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// A call of a tool by its name.
fn named_call(name: &str, arguments: &str) -> Value {
    delta(json!({"tool_calls": [{"index": 0, "id": "t0", "type": "function",
        "function": {"name": name, "arguments": arguments}}]}))
}

#[test]
fn text_is_told_in_the_documented_events() {
    let events = written(&[
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"content": "Hel"})),
        delta(json!({"content": "lo", "tool_calls": []})),
        finish("stop"),
        usage_chunk(),
        done(),
    ]);
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    let item = |status: &str, content: Value| json!({"type": "message", "id": "msg_7_0", "status": status, "role": "assistant", "content": content});
    let at = |kind: &str, number: u64, more: Value| {
        let mut event = json!({"type": kind, "sequence_number": number, "item_id": "msg_7_0", "output_index": 0, "content_index": 0});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    assert_eq!(
        events[2..9],
        [
            json!({"type": "response.output_item.added", "sequence_number": 2, "output_index": 0, "item": item("in_progress", json!([]))}),
            at("response.content_part.added", 3, json!({"part": part("")})),
            at("response.output_text.delta", 4, json!({"delta": "Hel", "logprobs": []})),
            at("response.output_text.delta", 5, json!({"delta": "lo", "logprobs": []})),
            at("response.output_text.done", 6, json!({"text": "Hello", "logprobs": []})),
            at("response.content_part.done", 7, json!({"part": part("Hello")})),
            json!({"type": "response.output_item.done", "sequence_number": 8, "output_index": 0, "item": item("completed", json!([part("Hello")]))}),
        ]
    );
    let response = fold::response(&events);
    assert_eq!(response["usage"]["total_tokens"], 14);
    assert_eq!(events[0]["response"]["usage"], Value::Null);
}

#[test]
fn reasoning_text_and_refusals_are_told_apart() {
    let events = written(&[
        delta(json!({"reasoning_content": "hm"})),
        delta(json!({"content": "well"})),
        delta(json!({"refusal": "no"})),
        finish("stop"),
        done(),
    ]);
    assert_eq!(
        kinds(&events)[2..],
        [
            "response.output_item.added",
            "response.content_part.added",
            "response.reasoning_text.delta",
            "response.reasoning_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.content_part.added",
            "response.refusal.delta",
            "response.refusal.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let response = fold::response(&events);
    assert_eq!(response["output"][0]["content"][0]["text"], "hm");
    assert_eq!(response["output"][1]["content"][1]["refusal"], "no");
}

#[test]
fn interleaved_calls_become_one_item_after_the_other() {
    let events = written(&[
        call_delta(0, "t0", ""),
        call_delta(1, "t1", "{\"b\""),
        arguments_delta(0, "{\"a\":{"),
        arguments_delta(1, ":2}"),
        arguments_delta(0, "}}"),
        finish("tool_calls"),
        done(),
    ]);
    let deltas: Vec<&Value> =
        events.iter().map(|event| &event["delta"]).filter(|delta| !delta.is_null()).collect();
    assert_eq!(deltas, ["{\"a\":{", "}}", "{\"b\":2}"]);
    let response = fold::response(&events);
    assert_eq!(response["output"][0]["arguments"], "{\"a\":{}}");
    assert_eq!(response["output"][1]["call_id"], "t1");
}

#[test]
fn a_call_without_arguments_has_an_empty_object_unless_it_was_cut() {
    let chunks = |reason| [call_delta(0, "t0", " "), finish(reason), done()];
    let events = written(&chunks("tool_calls"));
    assert_eq!(fold::response(&events)["output"][0]["arguments"], "{}");
    assert_eq!(events[3]["delta"], "{}");
    let events = written(&chunks("length"));
    let response = fold::response(&events);
    assert_eq!(
        (&response["output"][0]["arguments"], &response["output"][0]["status"]),
        (&json!(""), &json!("incomplete"))
    );
    assert_eq!(events.last().unwrap()["type"], "response.incomplete");
}

#[test]
fn broken_arguments_are_left_to_the_client() {
    let events = written(&[call_delta(0, "t0", "{\"a\":"), finish("tool_calls"), done()]);
    assert_eq!(fold::response(&events)["output"][0]["arguments"], "{\"a\":");
}

#[test]
fn custom_and_namespaced_tools_are_called_as_the_caller_knows_them() {
    let events = written(&[
        named_call("patch", "{\"in"),
        arguments_delta(0, "put\":\"a\\nb\"}"),
        finish("tool_calls"),
        done(),
    ]);
    assert_eq!(
        kinds(&events)[2..6],
        [
            "response.output_item.added",
            "response.custom_tool_call_input.delta",
            "response.custom_tool_call_input.done",
            "response.output_item.done",
        ]
    );
    assert_eq!(events[2]["item"]["input"], "");
    assert_eq!(fold::response(&events)["output"][0]["input"], "a\nb");

    let events = written(&[named_call("mcp__files__read", "{}"), finish("tool_calls"), done()]);
    let item = &fold::response(&events)["output"][0];
    assert_eq!((&item["namespace"], &item["name"]), (&json!("mcp__files"), &json!("read")));
}

#[test]
fn usage_that_is_not_told_is_null() {
    let events = written(&[delta(json!({"content": "a"})), finish("stop"), done()]);
    assert_eq!(fold::response(&events)["usage"], Value::Null);
}

#[test]
fn what_a_stream_cannot_be_is_told_apart() {
    let text = delta(json!({"content": "a"}));
    let bad = |chunks: &[Value]| events_for(&request(json!({})), chunks).1.unwrap_err();
    assert!(matches!(bad(std::slice::from_ref(&text)), BadEvent::Cut));
    assert!(matches!(bad(&[text.clone(), finish("stop")]), BadEvent::Cut));
    assert!(matches!(bad(&[text.clone(), done()]), BadEvent::Answer(BadAnswer::NoStop)));
    assert!(matches!(bad(&[finish("stop"), text.clone()]), BadEvent::AfterEnd));
    let other = [call_delta(0, "t0", "{}"), call_delta(0, "t9", "{}")];
    assert!(matches!(bad(&other), BadEvent::DuplicateCall(0)));
    assert!(matches!(bad(&[json!("<html>")]), BadEvent::Answer(BadAnswer::Malformed { .. })));
    let error = json!({"error": {"message": "out of memory", "type": "server_error", "code": 500}});
    assert!(
        matches!(bad(&[text, error]), BadEvent::Failed(error) if error.message == "out of memory")
    );
}

fn failed(chunks: &[Value], error: &ErrorObject) -> Vec<Value> {
    let mut stream = ChatToResponses::new(echo_of(&request(json!({}))), "7", 9);
    let mut out = Vec::new();
    for chunk in chunks {
        stream.push(None, &text_of(chunk), &mut out).unwrap();
    }
    stream.fail(error, &mut out).unwrap();
    stream.fail(error, &mut out).unwrap();
    assert!(matches!(stream.push(None, "[DONE]", &mut out), Err(BadEvent::AfterEnd)));
    events_of(&out)
}

#[test]
fn a_failure_ends_the_stream_with_what_there_was() {
    let error = |kind, code: Option<&str>| ErrorObject {
        kind,
        message: "broke off".into(),
        param: None,
        code: code.map(ToOwned::to_owned),
    };
    let events = failed(&[delta(json!({"content": "a"}))], &error(ErrorType::Api, None));
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["sequence_number"], events.len() - 1);
    let response = &last["response"];
    assert_eq!(response["status"], "failed");
    assert_eq!(response["error"], json!({"code": "server_error", "message": "broke off"}));
    assert_eq!(
        (&response["output"][0]["status"], &response["output"][0]["content"][0]["text"]),
        (&json!("incomplete"), &json!("a"))
    );

    let early = failed(&[], &error(ErrorType::RateLimit, None));
    assert_eq!(kinds(&early), ["response.created", "response.in_progress", "response.failed"]);
    assert_eq!(early[2]["response"]["error"]["code"], "rate_limit_exceeded");
    assert_eq!(early[2]["response"]["model"], "m");
    let code = Some("context_length_exceeded");
    let early = failed(&[], &error(ErrorType::InvalidRequest, code));
    assert_eq!(early[2]["response"]["error"]["code"], "context_length_exceeded");
    let whole = [delta(json!({"content": "a"})), finish("stop"), done()];
    let events = failed(&whole, &error(ErrorType::Api, None));
    assert_eq!(events.last().unwrap()["type"], "response.completed");
}
