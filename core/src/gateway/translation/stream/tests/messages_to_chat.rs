use serde_json::{Value, json};

use super::*;

fn written(events: &[Value]) -> Vec<Value> {
    let (written, result) = to_chat(events);
    result.unwrap();
    written
}

fn whole(blocks: &[Value], reason: &str) -> Vec<Value> {
    [&[message_start()], blocks, &[message_delta(reason), message_stop()]].concat()
}

#[test]
fn a_message_has_one_role_one_finish_and_usage_where_it_was_asked_for() {
    let blocks = [
        block_start(0, json!({"type": "text", "text": ""})),
        json!({"type": "ping"}),
        block_delta(0, json!({"type": "text_delta", "text": "Hel"})),
        block_delta(0, json!({"type": "text_delta", "text": "lo"})),
        block_stop(0),
    ];
    let chunks = written(&whole(&blocks, "end_turn"));
    let mut usage = usage_chunk();
    usage.as_object_mut().unwrap().extend([
        ("object".to_owned(), json!("chat.completion.chunk")),
        ("created".to_owned(), json!(7)),
    ]);
    assert_eq!(
        chunks,
        [
            delta(json!({"role": "assistant", "content": ""})),
            delta(json!({"content": "Hel"})),
            delta(json!({"content": "lo"})),
            finish("stop"),
            usage,
            done(),
        ]
    );
    let mut unasked = MessagesToChat::new(7, false);
    let mut out = Vec::new();
    for event in whole(&blocks, "end_turn") {
        unasked.push(None, &event.to_string(), &mut out).unwrap();
    }
    assert!(events_of(&out).iter().all(|chunk| chunk["usage"].is_null()));
}

#[test]
fn thinking_becomes_reasoning_without_its_signature() {
    let blocks = [
        block_start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        block_delta(0, json!({"type": "thinking_delta", "thinking": "hm"})),
        block_delta(0, json!({"type": "signature_delta", "signature": "s"})),
        block_stop(0),
        block_start(1, json!({"type": "redacted_thinking", "data": "x"})),
        block_stop(1),
        block_start(2, json!({"type": "text", "text": "y"})),
        block_delta(2, json!({"type": "citations_delta", "citation": {}})),
        block_stop(2),
    ];
    let message =
        fold::completion(&written(&whole(&blocks, "end_turn")))["choices"][0]["message"].take();
    assert_eq!(
        message,
        json!({"role": "assistant", "reasoning": "hm", "content": "y", "refusal": null})
    );
}

#[test]
fn calls_are_numbered_apart_from_blocks_and_always_have_arguments() {
    let call =
        |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "f", "input": input});
    let part = |index, part: &str| {
        block_delta(index, json!({"type": "input_json_delta", "partial_json": part}))
    };
    let blocks = [
        block_start(0, json!({"type": "text", "text": ""})),
        block_stop(0),
        block_start(1, call("t0", json!({}))),
        part(1, ""),
        part(1, "{\"a\""),
        part(1, ":1}"),
        block_stop(1),
        block_start(2, call("t1", json!({}))),
        block_stop(2),
        block_start(3, call("t2", json!({"b": 2}))),
        block_stop(3),
    ];
    let choice = fold::completion(&written(&whole(&blocks, "tool_use")))["choices"][0].take();
    assert_eq!(choice["finish_reason"], "tool_calls");
    let arguments: Vec<&Value> = (0..3)
        .map(|call| &choice["message"]["tool_calls"][call]["function"]["arguments"])
        .collect();
    assert_eq!(arguments, ["{\"a\":1}", "{}", "{\"b\":2}"]);
}

#[test]
fn a_refusal_tells_its_explanation() {
    let mut refused = message_delta("refusal");
    refused["delta"]["stop_details"] =
        json!({"type": "refusal", "category": "cyber", "explanation": "policy"});
    let chunks = written(&[message_start(), refused, message_stop()]);
    let choice = &fold::completion(&chunks)["choices"][0];
    assert_eq!(
        (&choice["message"]["refusal"], &choice["finish_reason"]),
        (&json!("policy"), &json!("content_filter"))
    );
}

#[test]
fn a_stream_that_ends_early_is_cut() {
    let blocks = [block_start(0, json!({"type": "text", "text": "a"})), block_stop(0)];
    let events = whole(&blocks, "end_turn");
    for length in 0..events.len() {
        let (chunks, result) = to_chat(&events[..length]);
        assert!(matches!(result, Err(BadEvent::Cut)), "{length}");
        assert!(!chunks.contains(&done()));
        assert!(chunks.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
    }
}

#[test]
fn what_a_stream_cannot_be_is_told_apart() {
    let text = || block_start(0, json!({"type": "text", "text": ""}));
    let bad = |events: &[Value]| to_chat(&[&[message_start()], events].concat()).1.unwrap_err();
    for events in [
        vec![message_start()],
        vec![block_stop(0)],
        vec![block_start(1, json!({"type": "text", "text": ""}))],
        vec![text(), text()],
        vec![text(), block_stop(1)],
        vec![text(), message_delta("end_turn")],
        vec![text(), block_delta(1, json!({"type": "text_delta", "text": "a"}))],
        vec![text(), block_delta(0, json!({"type": "input_json_delta", "partial_json": "a"}))],
        vec![message_delta("end_turn"), text()],
        vec![message_delta("end_turn"), message_start()],
    ] {
        let error = bad(&events);
        assert!(matches!(error, BadEvent::OutOfOrder(_)), "{events:?}: {error}");
    }
    assert!(matches!(to_chat(&[text()]).1, Err(BadEvent::OutOfOrder(_))));
    let server = block_start(
        0,
        json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
    );
    assert!(matches!(bad(&[server]), BadEvent::Answer(BadAnswer::UnknownPart(_))));
    let unknown = block_delta(0, json!({"type": "compaction_delta"}));
    assert!(matches!(bad(&[text(), unknown]), BadEvent::Answer(BadAnswer::UnknownPart(_))));
    assert!(matches!(bad(&[message_delta("pause_turn")]), BadEvent::Answer(BadAnswer::Paused)));
    assert!(matches!(bad(&[message_stop()]), BadEvent::Answer(BadAnswer::NoStop)));
    assert!(matches!(bad(&[done()]), BadEvent::Answer(BadAnswer::Malformed { .. })));
    let over = [message_delta("end_turn"), message_stop(), json!({"type": "ping"})];
    assert!(matches!(bad(&over), BadEvent::AfterEnd));
    assert!(
        to_chat(&[message_start(), json!({"type": "a_new_event"})])
            .1
            .is_err_and(|error| matches!(error, BadEvent::Cut))
    );

    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}});
    assert!(matches!(bad(&[error]), BadEvent::Failed(error) if error.kind.status() == 529));
}

#[test]
fn broken_arguments_are_an_error_unless_the_limit_cut_them() {
    let blocks = [
        block_start(0, json!({"type": "tool_use", "id": "t", "name": "f", "input": {}})),
        block_delta(0, json!({"type": "input_json_delta", "partial_json": "{\"a\":"})),
        block_stop(0),
    ];
    let (_, result) = to_chat(&whole(&blocks, "tool_use"));
    assert!(matches!(result, Err(BadEvent::Answer(BadAnswer::Arguments { tool })) if tool == "f"));
    assert_eq!(
        fold::completion(&written(&whole(&blocks, "max_tokens")))["choices"][0]["finish_reason"],
        "length"
    );
    // Anthropic leaves out the stop of the block then.
    let chunks = written(&whole(&blocks[..2], "max_tokens"));
    assert_eq!(fold::completion(&chunks)["choices"][0]["finish_reason"], "length");
}
