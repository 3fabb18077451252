use serde_json::json;

use super::*;

#[test]
fn a_system_prompt_is_text_or_blocks_and_loses_its_billing_header() {
    for (system, expected) in [
        (json!("be brief"), json!("be brief")),
        (
            json!([
                {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=0a1b"},
                {"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "be kind"},
            ]),
            json!("be brief\n\nbe kind"),
        ),
    ] {
        let chat = to_chat(&messages_body(json!({"system": system})), ENGINE).unwrap();
        assert_eq!(chat["messages"][0], json!({"role": "system", "content": expected}));
    }
    let only = json!([{"type": "text", "text": "x-anthropic-billing-header: a"}]);
    let chat = to_chat(&messages_body(json!({"system": only})), ENGINE).unwrap();
    assert_eq!(chat["messages"], json!([{"role": "user", "content": "hi"}]));
}

#[test]
fn system_and_developer_messages_join_at_the_top() {
    let body = chat_body(json!({"messages": [
        {"role": "system", "content": "one"},
        {"role": "user", "content": "hi"},
        {"role": "developer", "content": [{"type": "text", "text": "two"}]},
    ]}));
    let messages = to_messages(&body).unwrap();
    assert_eq!(messages["system"], "one\n\ntwo");
    assert_eq!(messages["messages"], json!([{"role": "user", "content": "hi"}]));
}

#[test]
fn results_of_tools_come_before_what_else_the_user_says() {
    let messages = json!([
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "Paris"}},
            {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "text", "text": "quick"},
            {"type": "tool_result", "tool_use_id": "t1", "content": [
                {"type": "text", "text": "a photo"},
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            ]},
            {"type": "tool_result", "tool_use_id": "t2", "content": "no clock", "is_error": true},
            {"type": "tool_result", "tool_use_id": "t3"},
        ]},
    ]);
    let expected = json!([
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "reasoning": "hm", "content": "Let me see.", "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":\"Paris\"}"}},
            {"id": "t2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "t1", "content": "a photo"},
        {"role": "tool", "tool_call_id": "t2", "content": "Error: no clock"},
        {"role": "tool", "tool_call_id": "t3", "content": ""},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            {"type": "text", "text": "quick"},
        ]},
    ]);
    assert_eq!(chat_messages(&messages), expected);
}

#[test]
fn consecutive_tool_messages_merge_into_one_turn() {
    let messages = json!([
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": "", "refusal": null, "annotations": [], "tool_calls": [
            {"id": "t1", "type": "function", "index": 0, "function": {"name": "look", "arguments": "{\"at\": \"Paris\"}"}},
            {"id": "t2", "type": "function", "function": {"name": "now", "arguments": ""}},
        ]},
        {"role": "tool", "tool_call_id": "t1", "name": "look", "content": "sun"},
        {"role": "tool", "tool_call_id": "t2", "content": [{"type": "text", "text": "noon"}]},
        {"role": "user", "content": "and?"},
    ]);
    let expected = json!([
        {"role": "user", "content": "weather?"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "Paris"}},
            {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "sun"},
            {"type": "tool_result", "tool_use_id": "t2", "content": "noon"},
            {"type": "text", "text": "and?"},
        ]},
    ]);
    assert_eq!(anthropic_messages(&messages), expected);
}

#[test]
fn images_travel_as_urls_and_as_base64() {
    let anthropic = json!([{"role": "user", "content": [
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "text", "text": "what?"},
    ]}]);
    let chat = json!([{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "what?"},
    ]}]);
    assert_eq!(chat_messages(&anthropic), chat);
    assert_eq!(anthropic_messages(&chat), anthropic);
}

#[test]
fn a_trailing_turn_of_the_assistant_is_continued_by_an_engine_alone() {
    let messages = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "The answer is ("}]);
    let body = messages_body(json!({"messages": messages}));
    let chat = to_chat(&body, ENGINE).unwrap();
    assert_eq!(chat["messages"], messages);
    assert_eq!(
        (&chat["continue_final_message"], &chat["add_generation_prompt"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(to_messages(&chat), Ok(body.clone()));

    let error = to_chat(&body, ChatTarget::Hosted).unwrap_err();
    assert!(error.starts_with("`messages` must not end with"), "{error}");
    let error = to_messages(&chat_body(json!({"messages": messages}))).unwrap_err();
    assert!(error.starts_with("`messages` must not end with"), "{error}");
}
