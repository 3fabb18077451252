#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is used")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn completion(message: Value, finish: Value) -> Value {
    json!({
        "id": "c1", "object": "chat.completion", "created": 7, "model": "m",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14},
    })
}

fn message(content: Value, stop: Value) -> Value {
    json!({
        "id": "c1", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": stop, "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": 4},
    })
}

fn to_message(body: &Value) -> Result<Value, BadAnswer> {
    completion_to_message(body.to_string().as_bytes())
        .map(|text| serde_json::from_str(&text).unwrap())
}

fn to_completion(body: &Value) -> Result<Value, BadAnswer> {
    message_to_completion(body.to_string().as_bytes(), 7)
        .map(|text| serde_json::from_str(&text).unwrap())
}

#[test]
fn an_answer_reads_the_same_in_either_api() {
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    for (chat, finish, content, stop) in [
        (json!({"content": "hi"}), "stop", json!([{"type": "text", "text": "hi"}]), "end_turn"),
        (json!({"content": ""}), "stop", json!([]), "end_turn"),
        (json!({"content": "hi"}), "length", json!([{"type": "text", "text": "hi"}]), "max_tokens"),
        (
            json!({"content": "hi"}),
            "content_filter",
            json!([{"type": "text", "text": "hi"}]),
            "refusal",
        ),
        (
            json!({"content": "hi", "reasoning": "hm"}),
            "stop",
            json!([
                {"type": "thinking", "thinking": "hm", "signature": UNSIGNED},
                {"type": "text", "text": "hi"},
            ]),
            "end_turn",
        ),
        (
            json!({"content": null, "tool_calls": [call("t1", r#"{"a":[1,"x"]}"#), call("t2", "{}")]}),
            "tool_calls",
            json!([
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1, "x"]}},
                {"type": "tool_use", "id": "t2", "name": "f", "input": {}},
            ]),
            "tool_use",
        ),
    ] {
        let mut said = json!({"role": "assistant", "refusal": null});
        said.as_object_mut().unwrap().extend(chat.as_object().unwrap().clone());
        let (chat, anthropic) = (completion(said, json!(finish)), message(content, json!(stop)));
        assert_eq!(to_message(&chat).unwrap(), anthropic);
        assert_eq!(to_completion(&anthropic).unwrap(), chat);
    }
}

#[test]
fn answers_of_several_servers_are_understood() {
    for (said, finish, content, stop) in [
        // A named tool: the finish reason is `stop`, but a client has to see the call.
        (
            json!({"content": "", "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": " "}}]}),
            "stop",
            json!([{"type": "tool_use", "id": "t", "name": "f", "input": {}}]),
            "tool_use",
        ),
        (
            json!({"tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "g"}}]}),
            "tool_calls",
            json!([
                {"type": "tool_use", "id": "call_c1_0", "name": "f", "input": {}},
                {"type": "tool_use", "id": "call_c1_1", "name": "g", "input": {}},
            ]),
            "tool_use",
        ),
        (
            json!({"content": "a", "tool_calls": []}),
            "stop",
            json!([{"type": "text", "text": "a"}]),
            "end_turn",
        ),
        (
            json!({"refusal": "I will not"}),
            "stop",
            json!([{"type": "text", "text": "I will not"}]),
            "refusal",
        ),
        (
            json!({"reasoning_content": "hm"}),
            "length",
            json!([{"type": "thinking", "thinking": "hm", "signature": UNSIGNED}]),
            "max_tokens",
        ),
    ] {
        let translated = to_message(&completion(said, json!(finish))).unwrap();
        assert_eq!(translated, message(content, json!(stop)));
    }
    for (told, sequence, stop) in
        [(json!("END"), json!("END"), "stop_sequence"), (json!(128_001), json!(null), "end_turn")]
    {
        let mut chat = completion(json!({"content": "a"}), json!("stop"));
        chat["choices"][0]["stop_reason"] = told;
        let translated = to_message(&chat).unwrap();
        assert_eq!(
            (&translated["stop_sequence"], &translated["stop_reason"]),
            (&sequence, &json!(stop))
        );
    }
}

#[test]
fn messages_of_anthropic_are_understood() {
    let content = json!([
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "a", "citations": null},
        {"type": "text", "text": "b"},
    ]);
    let translated =
        to_completion(&message(content, json!("model_context_window_exceeded"))).unwrap();
    let choice = &translated["choices"][0];
    assert_eq!(choice["finish_reason"], "length");
    let said = json!({"role": "assistant", "reasoning": "hm", "content": "ab", "refusal": null});
    assert_eq!(choice["message"], said);

    let mut refused = message(json!([]), json!("refusal"));
    refused["stop_details"] = json!({"type": "refusal", "category": null, "explanation": "policy"});
    let choice = &to_completion(&refused).unwrap()["choices"][0];
    assert_eq!(choice["finish_reason"], "content_filter");
    assert_eq!(
        choice["message"],
        json!({"role": "assistant", "content": null, "refusal": "policy"})
    );
}

#[test]
fn cached_tokens_are_part_of_the_prompt_and_unknown_ones_are_absent() {
    for (chat, anthropic) in [
        (json!({}), json!({})),
        (
            json!({"prompt_tokens": 100, "completion_tokens": 9, "total_tokens": 109,
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
                "completion_tokens_details": {"reasoning_tokens": 5}}),
            json!({"input_tokens": 10, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 30,
                "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 5}}),
        ),
        (
            json!({"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 0}}),
            json!({"input_tokens": 7, "cache_read_input_tokens": 0}),
        ),
        (json!({"completion_tokens": 9}), json!({"output_tokens": 9})),
    ] {
        let mut body = completion(json!({"content": "a"}), json!("stop"));
        body["usage"] = chat.clone();
        assert_eq!(to_message(&body).unwrap()["usage"], anthropic);
        let mut body = message(json!([]), json!("end_turn"));
        body["usage"] = anthropic;
        let told = to_completion(&body).unwrap()["usage"].take();
        assert_eq!(if told.is_null() { json!({}) } else { told }, chat);
    }
    let mut untold = completion(json!({"content": "a"}), json!("stop"));
    untold["usage"] = Value::Null;
    assert_eq!(to_message(&untold).unwrap()["usage"], json!({}));
}

#[test]
fn a_bad_answer_of_the_target_is_told_apart() {
    let call = |arguments: &str| json!({"tool_calls": [{"id": "t", "function": {"name": "f", "arguments": arguments}}]});
    let bad = |said, finish| to_message(&completion(said, finish)).unwrap_err();
    for broken in ["{\"a\":", "[1]", "null", "\"a\"", "{} {}", "x"] {
        assert!(
            matches!(bad(call(broken), json!("tool_calls")), BadAnswer::Arguments { tool } if tool == "f"),
            "{broken}"
        );
    }
    assert!(matches!(bad(call("{\"a"), json!("length")), BadAnswer::CutArguments { .. }));
    assert!(matches!(bad(json!({"content": "a"}), json!(null)), BadAnswer::NoStop));
    assert!(matches!(bad(json!({"content": "a"}), json!("abort")), BadAnswer::UnknownStop(_)));
    assert!(matches!(bad(json!({"content": 7}), json!("stop")), BadAnswer::Malformed { .. }));
    let custom = json!({"tool_calls": [{"id": "t", "type": "custom", "custom": {}}]});
    assert!(
        matches!(bad(custom, json!("tool_calls")), BadAnswer::UnknownPart(kind) if kind == "custom")
    );
    let mut two = completion(json!({"content": "a"}), json!("stop"));
    let choice = two["choices"][0].clone();
    two["choices"].as_array_mut().unwrap().push(choice);
    assert!(matches!(to_message(&two), Err(BadAnswer::Choices(2))));

    let bad = |content, stop| to_completion(&message(content, stop)).unwrap_err();
    let server = json!([{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}]);
    assert!(matches!(bad(server, json!("end_turn")), BadAnswer::UnknownPart(_)));
    assert!(matches!(bad(json!([]), json!("pause_turn")), BadAnswer::Paused));
    assert!(matches!(bad(json!([]), json!(null)), BadAnswer::NoStop));
    let input = json!([{"type": "tool_use", "id": "t", "name": "f", "input": "{}"}]);
    assert!(matches!(bad(input, json!("tool_use")), BadAnswer::Arguments { .. }));
}

#[test]
fn the_input_of_a_call_is_passed_on_as_it_is_written() {
    let input = r#"{"z": 1.10, "a": 12345678901234567890123}"#;
    let body = format!(
        r#"{{"id":"i","model":"m","stop_reason":"tool_use","content":[{{"type":"tool_use","id":"t","name":"f","input":{input}}}]}}"#
    );
    let chat = message_to_completion(body.as_bytes(), 7).unwrap();
    assert!(chat.contains(&serde_json::to_string(input).unwrap()), "{chat}");
    let back = completion_to_message(chat.as_bytes()).unwrap();
    assert!(back.contains(input), "{back}");
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(
        path in prop::collection::vec(any::<usize>(), 0..6),
        value in crate::gateway::translation::request::json_value(),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let call = json!([{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
        let block = json!([{"type": "tool_use", "id": "t", "name": "f", "input": {}}]);
        for mut body in [
            completion(json!({"content": "a", "tool_calls": call}), json!("stop")),
            message(block, json!("tool_use")),
        ] {
            crate::gateway::translation::request::put(&mut body, &path, value.clone());
            for body in [body.to_string().as_bytes(), &bytes] {
                let _ = completion_to_message(body);
                let _ = message_to_completion(body, 7);
            }
        }
    }
}
