use serde_json::{Value, json};

use super::*;

#[test]
fn what_chat_completions_cannot_express_is_refused_by_its_path() {
    let user = |block: Value| json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, block]}]});
    for (fields, field) in [
        (json!({"mcp_servers": []}), "mcp_servers"),
        (json!({"container": "c"}), "container"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": "9"}), "max_tokens"),
        (json!({"metadata": {"user_id": "u", "x": 1}}), "metadata.x"),
        (json!({"output_config": {"task_budget": {}}}), "output_config.task_budget"),
        (
            json!({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}),
            "context_management.edits[0]",
        ),
        (json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), "tools[0]"),
        (
            json!({"tools": [{"name": "f", "input_schema": {}, "defer_loading": true}]}),
            "tools[0].defer_loading",
        ),
        (json!({"tools": [{"name": "f", "input_schema": []}]}), "tools[0].input_schema"),
        (user(json!({"type": "document", "source": {}})), "messages[0].content[1]"),
        (
            user(json!({"type": "web_search_tool_result", "tool_use_id": "t"})),
            "messages[0].content[1]",
        ),
        (
            user(json!({"type": "image", "source": {"type": "file", "file_id": "f"}})),
            "messages[0].content[1].source.type",
        ),
        (
            user(json!({"type": "text", "text": "b", "citations": [{}]})),
            "messages[0].content[1].citations",
        ),
        (
            user(
                json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "document"}]}),
            ),
            "messages[0].content[1].content[0]",
        ),
        (
            json!({"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}]}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}]}),
            "messages",
        ),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages[0].role"),
        (json!({"messages": {}}), "messages"),
    ] {
        let error = to_chat(&messages_body(fields.clone()), ENGINE).unwrap_err();
        assert!(error.starts_with(&format!("`{field}` ")), "{fields}: {error}");
    }
    let error = to_chat(&messages_body(json!({"top_k": 5})), ChatTarget::Hosted).unwrap_err();
    assert!(error.starts_with("`top_k` "), "{error}");
}

#[test]
fn what_messages_cannot_express_is_refused_by_its_path() {
    let assistant = |message: Value| json!({"messages": [with(json!({"role": "assistant"}), message), {"role": "user", "content": "b"}]});
    let call = |call: Value| assistant(json!({"tool_calls": [call]}));
    for (fields, field) in [
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"logit_bias": {"5": 1}}), "logit_bias"),
        (json!({"seed": 1}), "seed"),
        (json!({"frequency_penalty": 0.5}), "frequency_penalty"),
        (json!({"functions": []}), "functions"),
        (json!({"store": true}), "store"),
        (json!({"temperature": 1.5}), "temperature"),
        (json!({"temperature": "1"}), "temperature"),
        (json!({"max_tokens": 5, "max_completion_tokens": 6}), "max_tokens"),
        (json!({"response_format": {"type": "json_object"}}), "response_format.type"),
        (json!({"reasoning_effort": "huge"}), "reasoning_effort"),
        (json!({"tool_choice": {"type": "allowed_tools"}}), "tool_choice"),
        (json!({"tools": [{"type": "custom", "custom": {}}]}), "tools[0]"),
        (json!({"continue_final_message": true}), "messages"),
        (json!({"add_generation_prompt": false}), "add_generation_prompt"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "file"}]}]}),
            "messages[0].content[0]",
        ),
        (
            json!({"messages": [{"role": "user", "content": "a", "name": "eve"}]}),
            "messages[0].name",
        ),
        (json!({"messages": [{"role": "function", "content": "a"}]}), "messages[0].role"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}]}),
            "messages[0].content[0].image_url.url",
        ),
        (call(json!({"id": "t", "type": "custom"})), "messages[0].tool_calls[0]"),
        (
            call(
                json!({"id": "t", "type": "function", "function": {"name": "f", "arguments": "{\"a\":"}}),
            ),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            call(
                json!({"id": "t", "type": "function", "function": {"name": "f", "arguments": "[1]"}}),
            ),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (assistant(json!({"content": "a", "audio": {"id": "x"}})), "messages[0].audio"),
    ] {
        let error = to_messages(&chat_body(fields.clone())).unwrap_err();
        assert!(error.starts_with(&format!("`{field}` ")), "{fields}: {error}");
    }
}

#[test]
fn a_field_that_stands_twice_is_refused() {
    let body =
        br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","role":"user","content":"a"}]}"#;
    let error = messages_to_chat(body, ENGINE).unwrap_err();
    assert_eq!(error.field, "messages[0]");
    assert!(
        messages_to_chat(b"{", ENGINE).unwrap_err().to_string().starts_with("`body` must be valid")
    );
    assert!(
        chat_to_messages(b"[]", 1).unwrap_err().to_string().starts_with("`body` must be an object")
    );
}
