use serde_json::json;

use super::*;

#[test]
fn a_string_is_what_the_user_says() {
    assert_eq!(messages(json!("hi")), json!([{"role": "user", "content": "hi"}]));
}

#[test]
fn instructions_and_leading_system_items_are_one_system_message() {
    let body = json!({"model": "m", "instructions": "be brief", "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "sandboxed"}]},
        {"role": "system", "content": "in French"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"role": "developer", "content": "now in German"},
        {"role": "user", "content": "go on"},
    ]});
    assert_eq!(
        chat(&body)["messages"],
        json!([
            {"role": "system", "content": "be brief\n\nsandboxed\n\nin French"},
            {"role": "user", "content": "hi"},
            {"role": "system", "content": "now in German"},
            {"role": "user", "content": "go on"},
        ])
    );
}

#[test]
fn the_items_of_an_answer_are_one_message() {
    let input = json!([
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x",
            "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary",
            "content": [{"type": "output_text", "text": "see", "annotations": [], "logprobs": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "t1", "name": "f", "arguments": "{\"b\":1, \"a\":2}", "status": "completed"},
        {"type": "function_call", "call_id": "t2", "name": "g", "arguments": ""},
        {"type": "function_call_output", "call_id": "t1", "output": "one"},
        {"type": "function_call_output", "call_id": "t2", "output": [{"type": "input_text", "text": "two"}]},
    ]);
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let mut expected = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "reasoning": "hm", "content": "see",
            "tool_calls": [call("t1", "f", "{\"b\":1, \"a\":2}"), call("t2", "g", "{}")]},
        {"role": "tool", "tool_call_id": "t1", "content": "one"},
        {"role": "tool", "tool_call_id": "t2", "content": "two"},
    ]);
    assert_eq!(messages(input.clone()), expected);

    let hosted = chat_for(&json!({"model": "m", "input": input}), ChatTarget::Hosted).unwrap();
    expected[1].as_object_mut().unwrap().remove("reasoning");
    assert_eq!(hosted["messages"], expected);
}

#[test]
fn an_answer_ends_where_its_calls_are_answered() {
    let input = json!([
        {"type": "function_call", "call_id": "t1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "t1", "output": "one"},
        {"type": "message", "role": "assistant", "content": "done"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no more"}]},
    ]);
    let messages = messages(input);
    assert_eq!(messages[0]["tool_calls"][0]["id"], "t1");
    assert_eq!(messages[0]["content"], Value::Null);
    assert_eq!(
        messages[2]["content"],
        json!([{"type": "text", "text": "done"}, {"type": "text", "text": "no more"}])
    );
}

#[test]
fn reasoning_falls_back_to_its_summary_and_vanishes_alone() {
    let reasoning = json!({"type": "reasoning", "summary": [
        {"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]});
    let input = json!([
        reasoning,
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "go on"},
        reasoning,
        {"role": "user", "content": "still there?"},
    ]);
    assert_eq!(
        messages(input),
        json!([
            {"role": "assistant", "reasoning": "a\n\nb", "content": "yes"},
            {"role": "user", "content": "go on"},
            {"role": "user", "content": "still there?"},
        ])
    );
}

#[test]
fn images_are_passed_on_and_those_of_tools_follow_as_the_users() {
    let image = |url: &str, detail: Value| json!({"type": "input_image", "image_url": url, "detail": detail});
    let input = json!([
        {"role": "user", "content": [
            {"type": "input_text", "text": "look"}, image("https://x/1", json!("original")), image("data:image/png;base64,AA", json!("auto"))]},
        {"type": "function_call", "call_id": "t1", "name": "shot", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "t1", "output": [
            {"type": "input_text", "text": "taken"}, image("https://x/2", json!("low"))]},
        {"role": "user", "content": "well?"},
    ]);
    let messages = messages(input);
    assert_eq!(
        messages[0]["content"],
        json!([
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "https://x/1", "detail": "high"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        ])
    );
    assert_eq!(messages[2], json!({"role": "tool", "tool_call_id": "t1", "content": "taken"}));
    assert_eq!(
        messages[3]["content"],
        json!([
            {"type": "image_url", "image_url": {"url": "https://x/2", "detail": "low"}},
            {"type": "text", "text": "well?"},
        ])
    );
}

#[test]
fn arguments_that_are_not_an_object_become_one() {
    for arguments in ["{\"a\":", "[1]", "hello"] {
        let call =
            json!({"type": "function_call", "call_id": "t", "name": "f", "arguments": arguments});
        let messages = messages(json!([call]));
        let sent = messages[0]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(sent).unwrap(),
            json!({"invalid_arguments": arguments})
        );
    }
}
