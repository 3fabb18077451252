use serde_json::{Value, json};

use super::*;

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn written(events: &[Value]) -> Vec<Value> {
    let (written, result) = to_messages(events);
    result.unwrap();
    written
}

#[test]
fn text_becomes_one_block_and_the_chunk_that_opens_it_carries_its_delta() {
    let events = written(&[
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"content": "Hel"})),
        delta(json!({"content": "lo", "tool_calls": []})),
        finish("stop"),
        usage_chunk(),
        done(),
    ]);
    assert_eq!(
        events,
        [
            json!({"type": "message_start", "message": {"id": "c1", "type": "message",
                "role": "assistant", "model": "m", "content": [], "stop_reason": null,
                "stop_sequence": null, "usage": {"input_tokens": 42, "output_tokens": 1}}}),
            block_start(0, json!({"type": "text", "text": ""})),
            block_delta(0, json!({"type": "text_delta", "text": "Hel"})),
            block_delta(0, json!({"type": "text_delta", "text": "lo"})),
            block_stop(0),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                "usage": {"input_tokens": 10, "output_tokens": 4}}),
            message_stop(),
        ]
    );
}

#[test]
fn an_empty_answer_has_no_blocks() {
    let events = written(&[delta(json!({"role": "assistant"})), finish("stop"), done()]);
    assert_eq!(kinds(&events), ["message_start", "message_delta", "message_stop"]);
}

#[test]
fn the_prompt_is_never_told_as_empty() {
    let mut out = Vec::new();
    ChatToMessages::new(0).push(None, &delta(json!({})).to_string(), &mut out).unwrap();
    assert_eq!(events_of(&out)[0]["message"]["usage"]["input_tokens"], 1);

    let mut first = delta(json!({"role": "assistant"}));
    first["usage"] = json!({"prompt_tokens": 10, "completion_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 8}});
    let events = written(&[first, finish("stop"), done()]);
    let told = json!({"input_tokens": 2, "cache_read_input_tokens": 8, "output_tokens": 0});
    assert_eq!(events[0]["message"]["usage"], told);
}

#[test]
fn usage_that_is_not_told_is_estimated_by_the_pieces() {
    let events = written(&[
        delta(json!({"content": "a"})),
        delta(json!({"content": "b"})),
        finish("stop"),
        done(),
    ]);
    assert_eq!(events[5]["usage"], json!({"output_tokens": 2}));
}

#[test]
fn thinking_is_signed_before_its_block_stops() {
    let events = written(&[
        delta(json!({"reasoning": "h"})),
        delta(json!({"reasoning_content": "m"})),
        delta(json!({"content": "yes"})),
        finish("stop"),
        done(),
    ]);
    assert_eq!(
        events[1..6],
        [
            block_start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
            block_delta(0, json!({"type": "thinking_delta", "thinking": "h"})),
            block_delta(0, json!({"type": "thinking_delta", "thinking": "m"})),
            block_delta(0, json!({"type": "signature_delta", "signature": "diogenes-unsigned"})),
            block_stop(0),
        ]
    );
    assert_eq!(fold::message(&events)["content"][1]["text"], "yes");
}

#[test]
fn interleaved_calls_become_one_block_after_the_other() {
    let events = written(&[
        delta(json!({"content": "see"})),
        call_delta(0, "t0", ""),
        call_delta(1, "t1", "{\"b\""),
        arguments_delta(0, "{\"a\":{"),
        arguments_delta(1, ":2}"),
        arguments_delta(0, "}}"),
        arguments_delta(1, " "),
        finish("tool_calls"),
        done(),
    ]);
    assert_eq!(
        fold::message(&events)["content"],
        json!([
            {"type": "text", "text": "see"},
            {"type": "tool_use", "id": "t0", "name": "f0", "input": {"a": {}}},
            {"type": "tool_use", "id": "t1", "name": "f1", "input": {"b": 2}},
        ])
    );
    let partial: Vec<&Value> = events
        .iter()
        .map(|event| &event["delta"]["partial_json"])
        .filter(|part| !part.is_null())
        .collect();
    assert_eq!(partial, ["{\"a\":{", "}}", "{\"b\":2}", " "]);
}

#[test]
fn a_second_call_streams_as_soon_as_the_first_is_complete() {
    let (events, result) =
        to_messages(&[call_delta(0, "t0", "{\"a\":1}"), call_delta(1, "t1", "{\"b")]);
    assert!(matches!(result, Err(BadEvent::Cut)));
    assert_eq!(events.last().unwrap()["delta"]["partial_json"], "{\"b");
}

#[test]
fn a_call_without_arguments_has_an_empty_object() {
    let events = written(&[
        call_delta(0, "t0", " "),
        delta(json!({"tool_calls": [{"index": 1, "function": {"name": "g"}}]})),
        finish("stop"),
        done(),
    ]);
    let message = fold::message(&events);
    assert_eq!(
        message["content"],
        json!([
            {"type": "tool_use", "id": "t0", "name": "f0", "input": {}},
            {"type": "tool_use", "id": "call_c1_1", "name": "g", "input": {}},
        ])
    );
    assert_eq!(message["stop_reason"], "tool_use", "the client has to see that a result is due");
}

#[test]
fn a_call_opens_when_its_name_is_known() {
    let unnamed =
        delta(json!({"tool_calls": [{"index": 0, "id": "t0", "function": {"arguments": "{}"}}]}));
    let (events, _) = to_messages(std::slice::from_ref(&unnamed));
    assert_eq!(kinds(&events), ["message_start"]);
    let events = written(&[unnamed.clone(), call_delta(0, "t0", ""), finish("tool_calls"), done()]);
    assert_eq!(fold::message(&events)["content"][0]["name"], "f0");
    let (_, result) = to_messages(&[unnamed, finish("tool_calls")]);
    assert!(matches!(result, Err(BadEvent::Answer(BadAnswer::NamelessCall))));
}

#[test]
fn a_stop_sequence_and_a_refusal_are_told() {
    let mut last = finish("stop");
    last["choices"][0]["stop_reason"] = json!("END");
    let events = written(&[delta(json!({"content": "a"})), last, done()]);
    assert_eq!(events[4]["delta"], json!({"stop_reason": "stop_sequence", "stop_sequence": "END"}));
    let events = written(&[delta(json!({"refusal": "no"})), finish("stop"), done()]);
    assert_eq!(fold::message(&events)["content"][0]["text"], "no");
    assert_eq!(events[4]["delta"]["stop_reason"], "refusal");
}

#[test]
fn broken_arguments_are_an_error_unless_the_limit_cut_them() {
    let broken = [call_delta(0, "t0", "{\"a\":")];
    let with = |reason| [&broken[..], &[finish(reason), done()]].concat();
    let (_, result) = to_messages(&with("tool_calls"));
    assert!(matches!(result, Err(BadEvent::Answer(BadAnswer::Arguments { tool })) if tool == "f0"));
    let message = fold::message(&written(&with("length")));
    assert_eq!(
        (&message["content"][0]["input"], &message["stop_reason"]),
        (&json!("{\"a\":"), &json!("max_tokens"))
    );

    let behind = [call_delta(0, "t0", "{}"), call_delta(1, "t1", "{}"), arguments_delta(0, "x")];
    let (_, result) = to_messages(&behind);
    assert!(matches!(result, Err(BadEvent::Answer(BadAnswer::Arguments { .. }))));
}

#[test]
fn a_stream_that_ends_early_is_cut() {
    let whole = [delta(json!({"content": "a"})), finish("stop"), usage_chunk(), done()];
    for length in 0..whole.len() {
        let (events, result) = to_messages(&whole[..length]);
        assert!(matches!(result, Err(BadEvent::Cut)), "{length}");
        assert!(!kinds(&events).contains(&"message_stop"));
    }
    let (_, result) = to_messages(&[delta(json!({"content": "a"})), done()]);
    assert!(matches!(result, Err(BadEvent::Answer(BadAnswer::NoStop))));
}

#[test]
fn what_a_stream_cannot_be_is_told_apart() {
    let text = delta(json!({"content": "a"}));
    let bad = |events: &[Value]| to_messages(events).1.unwrap_err();
    assert!(matches!(bad(&[finish("stop"), text.clone()]), BadEvent::AfterEnd));
    assert!(matches!(bad(&[finish("stop"), done(), text.clone()]), BadEvent::AfterEnd));
    let other = [call_delta(0, "t0", "{}"), call_delta(0, "t9", "{}")];
    assert!(matches!(bad(&other), BadEvent::DuplicateCall(0)));
    assert!(matches!(bad(&[json!("<html>")]), BadEvent::Answer(BadAnswer::Malformed { .. })));
    assert!(matches!(bad(&[finish("abort")]), BadEvent::Answer(BadAnswer::UnknownStop(_))));
    let mut second = text.clone();
    second["choices"][0]["index"] = json!(1);
    assert!(matches!(bad(&[second]), BadEvent::Answer(BadAnswer::Choices(2))));
    let old = delta(json!({"function_call": {"name": "f"}}));
    assert!(matches!(bad(&[old]), BadEvent::Answer(BadAnswer::UnknownPart(_))));

    let error = json!({"error": {"message": "out of memory", "type": "server_error", "code": 500}});
    assert!(
        matches!(bad(&[text, error.clone()]), BadEvent::Failed(error) if error.message == "out of memory")
    );
    let named = ChatToMessages::new(1).push(Some("error"), &error.to_string(), &mut Vec::new());
    assert!(matches!(named, Err(BadEvent::Failed(_))));
}
