use serde_json::{Value, json};

use super::*;

const ENGINE: ChatTarget = ChatTarget::Engine { reasoning_parser: true };

/// A Messages request with these fields beside the required ones.
fn messages_body(fields: Value) -> Value {
    with(
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}),
        fields,
    )
}

fn chat_body(fields: Value) -> Value {
    with(json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}), fields)
}

fn with(mut body: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("no object") };
    body.as_object_mut().unwrap().extend(fields);
    body
}

fn to_chat(body: &Value, target: ChatTarget) -> Result<Value, String> {
    messages_to_chat(body.to_string().as_bytes(), target)
        .map(|text| serde_json::from_str(&text).unwrap())
        .map_err(|error| error.to_string())
}

fn to_messages(body: &Value) -> Result<Value, String> {
    chat_to_messages(body.to_string().as_bytes(), 4096)
        .map(|text| serde_json::from_str(&text).unwrap())
        .map_err(|error| error.to_string())
}

/// The chat messages that become of Anthropic's.
fn chat_messages(messages: &Value) -> Value {
    to_chat(&messages_body(json!({"messages": messages})), ENGINE).unwrap()["messages"].take()
}

fn anthropic_messages(messages: &Value) -> Value {
    to_messages(&chat_body(json!({"messages": messages}))).unwrap()["messages"].take()
}

#[test]
fn the_parameters_of_a_messages_request_have_their_counterparts() {
    for (fields, expected) in [
        (json!({}), json!({})),
        (
            json!({"temperature": 0.7, "top_p": 0.9, "top_k": 5}),
            json!({"temperature": 0.7, "top_p": 0.9, "top_k": 5}),
        ),
        (json!({"stop_sequences": ["a", "b"]}), json!({"stop": ["a", "b"]})),
        (json!({"stop_sequences": []}), json!({})),
        (json!({"metadata": {"user_id": "u"}}), json!({"user": "u"})),
        (json!({"stream": false}), json!({"stream": false})),
        (
            json!({"stream": true}),
            json!({"stream": true, "stream_options": {"include_usage": true, "continuous_usage_stats": true}}),
        ),
        (json!({"output_config": {"effort": "max"}}), json!({"reasoning_effort": "max"})),
        (
            json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}),
            json!({"response_format": {"type": "json_schema", "json_schema":
                {"name": "response", "strict": true, "schema": {"type": "object"}}}}),
        ),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 2048}}),
            json!({"thinking_token_budget": 2048}),
        ),
        (json!({"thinking": {"type": "adaptive", "display": "omitted"}}), json!({})),
        (
            json!({"thinking": {"type": "disabled"}}),
            json!({"chat_template_kwargs": {"enable_thinking": false}}),
        ),
        (
            json!({"cache_control": {"type": "ephemeral"}, "service_tier": "auto", "container": null}),
            json!({}),
        ),
        (
            json!({"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}),
            json!({}),
        ),
    ] {
        let expected = with(chat_body(json!({"max_tokens": 9})), expected);
        assert_eq!(to_chat(&messages_body(fields.clone()), ENGINE), Ok(expected), "{fields}");
    }
}

#[test]
fn the_parameters_of_a_chat_request_have_their_counterparts() {
    for (fields, expected) in [
        (json!({}), json!({"max_tokens": 4096})),
        (json!({"max_tokens": 7}), json!({"max_tokens": 7})),
        (json!({"max_completion_tokens": 7, "max_tokens": 7}), json!({"max_tokens": 7})),
        (json!({"stop": "a"}), json!({"stop_sequences": ["a"]})),
        (json!({"stop": ["a", "b"]}), json!({"stop_sequences": ["a", "b"]})),
        (json!({"user": "u"}), json!({"metadata": {"user_id": "u"}})),
        (json!({"user": "u", "safety_identifier": "s"}), json!({"metadata": {"user_id": "s"}})),
        (
            json!({"stream": true, "stream_options": {"include_usage": true}}),
            json!({"stream": true}),
        ),
        (json!({"reasoning_effort": "high"}), json!({"output_config": {"effort": "high"}})),
        (json!({"reasoning_effort": "minimal"}), json!({"output_config": {"effort": "low"}})),
        (json!({"reasoning_effort": "none"}), json!({"thinking": {"type": "disabled"}})),
        (json!({"response_format": {"type": "text"}}), json!({})),
        (
            json!({"response_format": {"type": "json_schema", "json_schema":
                {"name": "x", "schema": {"type": "object"}, "strict": false}}}),
            json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}),
        ),
        (
            json!({"n": 1, "logprobs": false, "logit_bias": {}, "presence_penalty": 0, "seed": null}),
            json!({}),
        ),
        (json!({"metadata": {"a": "b"}, "prompt_cache_key": "k", "store": false}), json!({})),
    ] {
        let expected = with(messages_body(json!({"max_tokens": 4096})), expected);
        assert_eq!(to_messages(&chat_body(fields.clone())), Ok(expected), "{fields}");
    }
}

#[test]
fn a_provider_gets_only_the_fields_that_openai_has() {
    let body = messages_body(json!({
        "stream": true,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "yes"},
            ]},
            {"role": "user", "content": "go on"},
        ],
    }));
    let expected = json!({
        "model": "m", "max_completion_tokens": 9, "stream": true,
        "stream_options": {"include_usage": true},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "go on"},
        ],
    });
    assert_eq!(to_chat(&body, ChatTarget::Hosted), Ok(expected));
}

#[test]
fn an_engine_without_a_reasoning_parser_gets_no_thinking_budget() {
    let body = messages_body(json!({"thinking": {"type": "enabled", "budget_tokens": 2048}}));
    let chat = to_chat(&body, ChatTarget::Engine { reasoning_parser: false }).unwrap();
    assert_eq!(chat, chat_body(json!({"max_tokens": 9})));
}

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
fn tools_and_choices_have_their_counterparts() {
    let schema = json!({"type": "object"});
    let tools = json!([
        {"name": "f", "description": "d", "input_schema": schema, "strict": true,
         "cache_control": {"type": "ephemeral"}, "eager_input_streaming": true},
        {"name": "g", "type": "custom", "input_schema": schema},
    ]);
    for (choice, expected, parallel) in [
        (json!(null), json!(null), json!(null)),
        (json!({"type": "auto"}), json!("auto"), json!(null)),
        (
            json!({"type": "any", "disable_parallel_tool_use": true}),
            json!("required"),
            json!(false),
        ),
        (json!({"type": "none"}), json!("none"), json!(null)),
        (
            json!({"type": "tool", "name": "f"}),
            json!({"type": "function", "function": {"name": "f"}}),
            json!(null),
        ),
    ] {
        let body = messages_body(json!({"tools": tools, "tool_choice": choice}));
        let chat = to_chat(&body, ENGINE).unwrap();
        assert_eq!(
            chat["tools"],
            json!([
                {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": true}},
                {"type": "function", "function": {"name": "g", "parameters": schema}},
            ])
        );
        assert_eq!((&chat["tool_choice"], &chat["parallel_tool_calls"]), (&expected, &parallel));
        let back = to_messages(&chat).unwrap();
        assert_eq!(back["tool_choice"], choice);
    }
    let one_at_a_time = chat_body(json!({
        "tools": [{"type": "function", "function": {"name": "f"}}], "parallel_tool_calls": false,
    }));
    let messages = to_messages(&one_at_a_time).unwrap();
    assert_eq!(messages["tool_choice"], json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(
        messages["tools"],
        json!([{"name": "f", "input_schema": {"type": "object", "properties": {}}}])
    );
    let without_tools =
        to_messages(&chat_body(json!({"parallel_tool_calls": false, "tool_choice": "auto"})));
    assert_eq!(without_tools.unwrap()["tool_choice"], json!(null));
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
fn schemas_and_inputs_keep_their_order_and_their_digits() {
    let schema = r#"{"type":"object","properties":{"z":{"const":12345678901234567890123},"a":{}}}"#;
    let input = r#"{"z":1.10,"a":12345678901234567890123}"#;
    let body = format!(
        r#"{{"model":"m","max_tokens":9,"temperature":0.10,"tools":[{{"name":"f","input_schema":{schema}}}],
        "messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"t","name":"f","input":{input}}}]}},
        {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":"x"}}]}}]}}"#
    );
    let chat = messages_to_chat(body.as_bytes(), ENGINE).unwrap();
    let arguments = serde_json::to_string(input).unwrap();
    for part in [schema, &arguments, r#""temperature":0.10"#] {
        assert!(chat.contains(part), "{part} in {chat}");
    }
    let back = chat_to_messages(chat.as_bytes(), 1).unwrap();
    for part in [schema, input, r#""temperature":0.10"#] {
        assert!(back.contains(part), "{part} in {back}");
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
