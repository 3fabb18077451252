use serde_json::json;

use super::*;

fn function(fields: Value) -> Value {
    json!({"type": "function", "function": fields})
}

#[test]
fn a_function_moves_into_its_own_object() {
    let body = request(json!({"tools": [
        {"type": "function", "name": "f", "description": "d", "strict": true, "parameters": {"type": "object", "b": 1, "a": 2}},
        {"type": "function", "name": "g", "parameters": null, "defer_loading": false},
    ]}));
    assert_eq!(
        chat(&body)["tools"],
        json!([
            function(json!({"name": "f", "description": "d", "strict": true,
                "parameters": {"type": "object", "b": 1, "a": 2}})),
            function(json!({"name": "g"})),
        ])
    );
}

#[test]
fn a_custom_tool_is_a_function_with_one_text() {
    let body = request(json!({"tools": [
        {"type": "custom", "name": "free", "format": {"type": "text"}},
        {"type": "custom", "name": "patch", "description": "Edits.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
        {"type": "custom", "name": "date", "format": {"type": "grammar", "syntax": "regex", "definition": "[0-9]+"}},
    ]}));
    let tools = &chat(&body)["tools"];
    let parameters = json!({"type": "object", "required": ["input"], "additionalProperties": false,
        "properties": {"input": {"type": "string", "description": "The input of the tool, as plain text."}}});
    assert_eq!(tools[0], function(json!({"name": "free", "parameters": parameters})));
    assert_eq!(
        tools[1]["function"]["description"],
        "Edits.\n\nAll of `input` must match this Lark grammar:\n\nstart: x"
    );
    assert_eq!(
        tools[2]["function"]["description"],
        "All of `input` must match this regular expression:\n\n[0-9]+"
    );
}

#[test]
fn the_tools_of_a_namespace_carry_its_name() {
    let tool = |name: &str| json!({"type": "function", "name": name, "description": "One."});
    let body = json!({"model": "m",
    "input": [
        {"type": "function_call", "call_id": "t1", "namespace": "mcp__a", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "t2", "namespace": "mcp__b__", "name": "g", "input": "x"},
    ],
    "tools": [
        {"type": "namespace", "name": "mcp__a", "description": "Server a.", "tools": [tool("f"), tool("g")]},
        {"type": "namespace", "name": "mcp__b__", "description": "Server b.", "tools": [{"type": "custom", "name": "g"}]},
    ]});
    let chat = chat(&body);
    let told = |index: usize| &chat["tools"][index]["function"];
    assert_eq!(told(0)["name"], "mcp__a__f");
    assert_eq!(told(0)["description"], "Tools of `mcp__a`: Server a.\n\nOne.");
    assert_eq!((&told(1)["name"], &told(1)["description"]), (&json!("mcp__a__g"), &json!("One.")));
    assert_eq!(told(2)["name"], "mcp__b__g");
    let calls = &chat["messages"][0]["tool_calls"];
    assert_eq!(calls[0]["function"]["name"], "mcp__a__f");
    assert_eq!(
        calls[1]["function"],
        json!({"name": "mcp__b__g", "arguments": "{\"input\":\"x\"}"})
    );
}

#[test]
fn a_choice_needs_tools() {
    let tools = json!([{"type": "function", "name": "f"}]);
    for (choice, expected) in [
        (json!("auto"), json!("auto")),
        (json!("none"), json!("none")),
        (json!("required"), json!("required")),
        (json!({"type": "function", "name": "f"}), function(json!({"name": "f"}))),
        (json!({"type": "custom", "name": "f"}), function(json!({"name": "f"}))),
    ] {
        let body =
            request(json!({"tool_choice": choice, "tools": tools, "parallel_tool_calls": false}));
        let chat = chat(&body);
        assert_eq!(
            (&chat["tool_choice"], &chat["parallel_tool_calls"]),
            (&expected, &json!(false))
        );
    }
    let without =
        chat(&request(json!({"tool_choice": "auto", "parallel_tool_calls": false, "tools": []})));
    assert_eq!(without, chat(&request(json!({}))));
    for choice in [json!("required"), json!({"type": "function", "name": "f"})] {
        let error = chat_for(&request(json!({"tool_choice": choice})), ENGINE).unwrap_err();
        assert_eq!(error.to_string(), "`tool_choice` needs at least one tool in `tools`");
    }
}
