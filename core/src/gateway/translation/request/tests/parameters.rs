use serde_json::json;

use super::*;

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
