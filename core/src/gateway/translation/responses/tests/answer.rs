use serde_json::json;

use super::*;

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn output(message: Value, finish: &str) -> Value {
    response_to(&tool_requests(), &completion(message, finish)).unwrap()["output"].take()
}

#[test]
fn a_response_has_every_field_that_clients_require() {
    let bare = response_to(&request(json!({})), &completion(json!({"content": "hi"}), "stop"));
    assert_eq!(
        bare.unwrap(),
        json!({
            "id": "resp_7", "object": "response", "created_at": 9, "completed_at": null, "status": "completed",
            "background": false, "error": null, "incomplete_details": null, "instructions": null,
            "max_output_tokens": null, "max_tool_calls": null, "metadata": {}, "model": "m",
            "output": [{"type": "message", "id": "msg_7_0", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}]}],
            "parallel_tool_calls": true, "frequency_penalty": 0.0, "presence_penalty": 0.0,
            "previous_response_id": null, "prompt_cache_key": null,
            "reasoning": {"effort": null, "summary": null}, "safety_identifier": null,
            "service_tier": "default", "store": false, "temperature": 1.0,
            "text": {"format": {"type": "text"}, "verbosity": "medium"}, "tool_choice": "auto", "tools": [],
            "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled",
            "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 14},
            "user": null,
        })
    );
}

#[test]
fn a_response_repeats_what_was_asked_for() {
    let fields = json!({
        "instructions": "be brief", "max_output_tokens": 5, "metadata": {"a": "b"}, "parallel_tool_calls": false,
        "prompt_cache_key": "k", "safety_identifier": "s", "temperature": 0.5, "tool_choice": "none", "top_p": 0.25,
        "user": "u", "text": {"format": {"type": "json_object"}, "verbosity": "low"},
    });
    let mut body = request(fields.clone());
    body["reasoning"] = json!({"effort": "low", "summary": "auto"});
    body["store"] = json!(true);
    body["truncation"] = json!("auto");
    body["tools"] = json!([{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]);
    let response = response_to(&body, &completion(json!({"content": "hi"}), "stop")).unwrap();
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(&response[name], value, "{name}");
    }
    assert_eq!(response["reasoning"], json!({"effort": "low", "summary": null}));
    assert_eq!(
        response["tools"],
        json!([
            {"type": "function", "name": "f", "description": null, "parameters": null, "strict": null},
            {"type": "custom", "name": "c"},
        ])
    );
    assert_eq!((&response["store"], &response["truncation"]), (&json!(false), &json!("disabled")));
}

#[test]
fn the_parts_of_a_message_become_items() {
    let message = json!({"content": "see", "reasoning": "hm", "refusal": "not that",
        "tool_calls": [call("t1", "f", "{\"b\": 1}"), call("", "mcp__files__read", " "), call("t3", "patch", "{\"input\": \"a\\n\"}")]});
    assert_eq!(
        output(message, "tool_calls"),
        json!([
            {"type": "reasoning", "id": "rs_7_0", "status": "completed", "summary": [],
                "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"type": "message", "id": "msg_7_1", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "text": "see", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "not that"}]},
            {"type": "function_call", "id": "fc_7_2", "status": "completed", "call_id": "t1", "name": "f", "arguments": "{\"b\": 1}"},
            {"type": "function_call", "id": "fc_7_3", "status": "completed", "call_id": "call_7_1",
                "namespace": "mcp__files", "name": "read", "arguments": "{}"},
            {"type": "custom_tool_call", "id": "ctc_7_4", "status": "completed", "call_id": "t3", "name": "patch", "input": "a\n"},
        ])
    );
    assert_eq!(output(json!({"content": ""}), "stop"), json!([]));
    assert_eq!(output(json!({"reasoning_content": "hm"}), "stop")[0]["content"][0]["text"], "hm");
}

#[test]
fn the_input_of_a_custom_tool_may_come_bare() {
    for (arguments, input) in [
        ("{\"input\":\"a\"}", "a"),
        ("{\"input\":\"a\",\"why\":\"b\"}", "a"),
        ("*** Begin Patch\n", "*** Begin Patch\n"),
        ("{\"patch\":\"a\"}", "{\"patch\":\"a\"}"),
        ("", ""),
    ] {
        let output = output(json!({"tool_calls": [call("t", "patch", arguments)]}), "tool_calls");
        assert_eq!(output[0]["input"], input);
    }
}

#[test]
fn an_answer_that_was_cut_is_incomplete_with_its_last_item() {
    let message = json!({"content": "a", "tool_calls": [call("t1", "f", "{}"), call("t2", "f", "{\"a\":"), call("t3", "f", "")]});
    for (finish, reason) in [("length", "max_output_tokens"), ("content_filter", "content_filter")]
    {
        let response =
            response_to(&request(json!({})), &completion(message.clone(), finish)).unwrap();
        assert_eq!(response["status"], "incomplete");
        assert_eq!(response["incomplete_details"], json!({"reason": reason}));
        let statuses: Vec<&Value> =
            response["output"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
        assert_eq!(statuses, ["completed", "completed", "completed", "incomplete"]);
        assert_eq!(response["output"][2]["arguments"], "{\"a\":");
    }
    let cut = response_to(&request(json!({})), &completion(message, "length")).unwrap();
    assert_eq!(
        cut["output"][3]["arguments"], "",
        "a call that was cut is not one without arguments"
    );
    let refused = completion(json!({"refusal": "no"}), "stop");
    assert_eq!(response_to(&request(json!({})), &refused).unwrap()["status"], "completed");
}

#[test]
fn usage_is_told_whole_or_not_at_all() {
    let usage = |usage: Value| {
        let mut completion = completion(json!({"content": "a"}), "stop");
        completion["usage"] = usage;
        response_to(&request(json!({})), &completion).unwrap()["usage"].take()
    };
    assert_eq!(
        usage(json!({"prompt_tokens": 10, "completion_tokens": 4,
            "prompt_tokens_details": {"cached_tokens": 8}, "completion_tokens_details": {"reasoning_tokens": 3}})),
        json!({"input_tokens": 10, "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
            "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 14})
    );
    for unknown in
        [json!(null), json!({}), json!({"prompt_tokens": 3}), json!({"completion_tokens": 3})]
    {
        assert_eq!(usage(unknown), json!(null));
    }
}

#[test]
fn what_is_not_an_answer_is_an_error() {
    let bad = |completion: &Value| response_to(&request(json!({})), completion).unwrap_err();
    let mut two = completion(json!({"content": "a"}), "stop");
    two["choices"] = json!([two["choices"][0], two["choices"][0]]);
    assert!(matches!(bad(&two), BadAnswer::Choices(2)));
    assert!(matches!(bad(&json!({})), BadAnswer::Malformed { .. }));
    let mut endless = completion(json!({"content": "a"}), "stop");
    endless["choices"][0]["finish_reason"] = json!(null);
    assert!(matches!(bad(&endless), BadAnswer::NoStop));
    let nameless = completion(json!({"tool_calls": [call("t", "", "{}")]}), "tool_calls");
    assert!(matches!(bad(&nameless), BadAnswer::NamelessCall));
}
