use serde_json::json;

use super::*;

/// What a field of a request becomes, beside what every request has.
fn sent(fields: Value, target: ChatTarget) -> Value {
    let mut chat = chat_for(&request(fields), target).unwrap();
    let chat_fields = chat.as_object_mut().unwrap();
    chat_fields.retain(|name, _| name != "model" && name != "messages");
    chat
}

#[test]
fn parameters_have_their_counterparts() {
    let schema = json!({"type": "object", "properties": {}});
    for (fields, expected) in [
        (json!({"temperature": 0.70, "top_p": 1}), json!({"temperature": 0.7, "top_p": 1})),
        (json!({"safety_identifier": "a", "user": "b"}), json!({"user": "a"})),
        (json!({"user": "b"}), json!({"user": "b"})),
        (
            json!({"reasoning": {"effort": "minimal", "summary": "auto", "context": "auto"}}),
            json!({"reasoning_effort": "minimal"}),
        ),
        (json!({"stream": false}), json!({"stream": false})),
        (json!({"text": {"format": {"type": "text"}, "verbosity": "medium"}}), json!({})),
        (
            json!({"text": {"format": {"type": "json_object"}}}),
            json!({"response_format": {"type": "json_object"}}),
        ),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "n", "description": "d", "strict": true, "schema": schema}}}),
            json!({"response_format": {"type": "json_schema",
                "json_schema": {"name": "n", "description": "d", "strict": true, "schema": schema}}}),
        ),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "n", "schema": schema}}}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}),
        ),
    ] {
        for target in [ENGINE, ChatTarget::Hosted] {
            assert_eq!(sent(fields.clone(), target), expected, "{fields}");
        }
    }
}

#[test]
fn targets_differ_in_limits_streams_and_wishes() {
    let fields = json!({"max_output_tokens": 5, "stream": true, "service_tier": "flex", "text": {"verbosity": "low"}});
    assert_eq!(
        sent(fields.clone(), ENGINE),
        json!({"max_tokens": 5, "stream": true,
            "stream_options": {"include_usage": true, "continuous_usage_stats": true}})
    );
    assert_eq!(
        sent(fields, ChatTarget::Hosted),
        json!({"max_completion_tokens": 5, "stream": true, "stream_options": {"include_usage": true},
            "service_tier": "flex", "verbosity": "low"})
    );
    assert_eq!(sent(json!({"service_tier": "auto"}), ChatTarget::Hosted), json!({}));
}

#[test]
fn what_no_answer_depends_on_is_left_out() {
    for store in [true, false] {
        let fields = json!({
            "store": store, "background": false, "metadata": {"a": "b"}, "client_metadata": {"a": "b"},
            "prompt_cache_key": "k", "prompt_cache_retention": "24h", "prompt_cache_options": {"mode": "implicit"},
            "truncation": "auto", "max_tool_calls": 3, "top_logprobs": 0, "previous_response_id": null,
            "include": ["reasoning.encrypted_content"], "stream_options": {"include_obfuscation": false},
            "context_management": [], "conversation": null,
        });
        assert_eq!(sent(fields, ChatTarget::Hosted), json!({}));
    }
}

/// The fields, items and tools that Codex 0.171 sends, with `web_search` switched off.
#[test]
fn a_request_of_codex_is_served() {
    let text = |role: &str, text: &str| {
        json!({"type": "message", "id": "msg_1", "role": role,
            "content": [{"type": "input_text", "text": text}]})
    };
    let function = |name: &str| {
        json!({"type": "function", "name": name, "description": "Runs.", "strict": false,
            "parameters": {"type": "object"}})
    };
    let body = json!({
        "model": "qwen", "stream": true, "store": false, "prompt_cache_key": "k",
        "input": [
            text("developer", "You are a coding agent."),
            text("developer", "<skills_instructions>"),
            text("user", "<environment_context>"),
            text("user", "fix it"),
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": null,
                "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"type": "custom_tool_call", "status": "completed", "id": "ctc_1", "call_id": "t1",
                "name": "apply_patch", "input": "*** Begin\n"},
            {"type": "custom_tool_call_output", "id": "ctco_1", "call_id": "t1", "output": "done"},
        ],
        "tools": [
            function("exec_command"),
            {"type": "custom", "name": "apply_patch", "description": "Edits.",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
            {"type": "namespace", "name": "multi_agent_v1", "description": "Agents.",
                "tools": [function("spawn_agent")]},
        ],
        "tool_choice": "auto", "parallel_tool_calls": true,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"], "text": {"verbosity": "low"},
        "client_metadata": {"session_id": "s"},
    });
    let chat = chat(&body);
    let messages = &chat["messages"];
    assert_eq!(messages[0]["content"], "You are a coding agent.\n\n<skills_instructions>");
    assert_eq!(messages[3]["reasoning"], "hm");
    assert_eq!(
        messages[3]["tool_calls"][0]["function"],
        json!({"name": "apply_patch", "arguments": "{\"input\":\"*** Begin\\n\"}"})
    );
    assert_eq!(messages[4], json!({"role": "tool", "tool_call_id": "t1", "content": "done"}));
    let names: Vec<&Value> =
        chat["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(names, ["exec_command", "apply_patch", "multi_agent_v1__spawn_agent"]);
    assert_eq!(
        (&chat["tool_choice"], &chat["reasoning_effort"]),
        (&json!("auto"), &json!("medium"))
    );
}
