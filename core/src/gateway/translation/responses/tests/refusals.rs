use serde_json::json;

use super::*;

#[test]
fn what_chat_completions_cannot_express_is_refused_by_name() {
    let item = |item: Value| json!({"input": [item]});
    let part = |part: Value| json!({"input": [{"role": "user", "content": [part]}]});
    let tool = |tool: Value| json!({"tools": [tool]});
    for (fields, field) in [
        (json!({"input": null}), "input"),
        (json!({"input": 1}), "input"),
        (json!({"model": null}), "model"),
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"conversation": "conv_1"}), "conversation"),
        (json!({"prompt": {"id": "p"}}), "prompt"),
        (json!({"background": true}), "background"),
        (json!({"top_logprobs": 2}), "top_logprobs"),
        (json!({"moderation": {"model": "x"}}), "moderation"),
        (json!({"context_management": [{"type": "compaction"}]}), "context_management"),
        (json!({"include": ["message.output_text.logprobs"]}), "include[0]"),
        (json!({"seed": 1}), "seed"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"text": {"verbosity": "loud"}}), "text.verbosity"),
        (json!({"text": {"format": {"type": "grammar"}}}), "text.format.type"),
        (json!({"text": {"format": {"type": "json_schema", "name": "n"}}}), "text.format.schema"),
        (json!({"reasoning": {"effort": "huge"}}), "reasoning.effort"),
        (json!({"reasoning": {"mode": "pro"}}), "reasoning.mode"),
        (item(json!({"type": "item_reference", "id": "msg_1"})), "input[0]"),
        (item(json!({"type": "web_search_call", "id": "ws_1"})), "input[0]"),
        (item(json!({"type": "compaction", "encrypted_content": "x"})), "input[0]"),
        (item(json!({"role": "tool", "content": "x"})), "input[0].role"),
        (item(json!({"role": "user"})), "input[0].content"),
        (item(json!({"role": "user", "content": "x", "name": "eve"})), "input[0].name"),
        (item(json!({"type": "function_call", "call_id": "t", "name": "f"})), "input[0].arguments"),
        (item(json!({"type": "function_call_output", "output": "x"})), "input[0].call_id"),
        (
            item(json!({"role": "system", "content": [{"type": "input_image", "image_url": "u"}]})),
            "input[0].content",
        ),
        (item(json!({"type": "reasoning", "content": [{"type": "image"}]})), "input[0].content[0]"),
        (part(json!({"type": "input_file", "file_data": "x"})), "input[0].content[0]"),
        (part(json!({"type": "input_audio"})), "input[0].content[0]"),
        (part(json!({"type": "input_image", "file_id": "f"})), "input[0].content[0].file_id"),
        (part(json!({"type": "input_image"})), "input[0].content[0].image_url"),
        (
            part(json!({"type": "input_image", "image_url": "u", "detail": "most"})),
            "input[0].content[0].detail",
        ),
        (
            part(
                json!({"type": "output_text", "text": "a", "annotations": [{"type": "url_citation"}]}),
            ),
            "input[0].content[0].annotations",
        ),
        (tool(json!({"type": "web_search", "external_web_access": false})), "tools[0]"),
        (tool(json!({"type": "local_shell"})), "tools[0]"),
        (tool(json!({"type": "tool_search", "execution": "client"})), "tools[0]"),
        (
            tool(json!({"type": "function", "name": "f", "defer_loading": true})),
            "tools[0].defer_loading",
        ),
        (tool(json!({"type": "function"})), "tools[0].name"),
        (
            tool(
                json!({"type": "custom", "name": "f", "format": {"type": "grammar", "syntax": "ebnf", "definition": "x"}}),
            ),
            "tools[0].format.syntax",
        ),
        (
            tool(json!({"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]})),
            "tools[0].tools[0]",
        ),
        (
            json!({"tools": [{"type": "function", "name": "n__f"},
                {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]}]}),
            "tools[1].tools[0]",
        ),
        (
            json!({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}),
            "tool_choice",
        ),
        (json!({"tool_choice": {"type": "web_search"}}), "tool_choice"),
        (json!({"tool_choice": "any"}), "tool_choice"),
    ] {
        let error = chat_for(&request(fields.clone()), ENGINE).unwrap_err();
        assert_eq!(error.field, field, "{fields}: {error}");
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    for (fields, expected) in [
        (
            json!({"tools": [{"type": "web_search"}]}),
            "`tools[0]` is OpenAI's own tool `web_search`, which this model does not have; \
             switch it off in the client (Codex: `web_search = \"disabled\"`)",
        ),
        (
            json!({"tools": [{"type": "image_generation", "output_format": "png"}]}),
            "`tools[0]` is OpenAI's own tool `image_generation`, which this model does not have; \
             switch it off in the client",
        ),
        (
            json!({"previous_response_id": "resp_1"}),
            "`previous_response_id` refers to something stored, which this model's server does \
             not have; send the whole conversation in `input`",
        ),
    ] {
        assert_eq!(chat_for(&request(fields), ENGINE).unwrap_err().to_string(), expected);
    }
    assert!(ResponsesEcho::read(b"{").unwrap_err().to_string().starts_with("`body` must be valid"));
    assert_eq!(ResponsesEcho::read(b"{}").unwrap_err().field, "model");
}
