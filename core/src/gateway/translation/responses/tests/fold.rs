//! What clients put together from a stream. OpenAI's SDK fails on events that are out of order;
//! Codex takes items from `response.output_item.done` alone.

use serde_json::{Value, json};

/// The last response, after checks that the events before it say the same.
pub(super) fn response(events: &[Value]) -> Value {
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    assert_eq!(events[0]["type"], "response.created");
    assert_eq!(events[1]["type"], "response.in_progress");
    assert_eq!(events[0]["response"], events[1]["response"]);
    let (last, between) = events[2..].split_last().unwrap();
    let status = last["response"]["status"].as_str().unwrap();
    assert_eq!(last["type"], format!("response.{status}"));

    let mut snapshot = events[0]["response"].clone();
    assert_eq!(snapshot["status"], "in_progress");
    let (mut done, mut open) = (Vec::new(), false);
    for event in between {
        let kind = event["type"].as_str().unwrap();
        let output = snapshot["output"].as_array_mut().unwrap();
        if kind == "response.output_item.added" {
            assert!(!open, "items come one after the other");
            open = true;
            assert_eq!(event["output_index"], output.len());
            assert_eq!(event["item"]["status"], "in_progress");
            output.push(event["item"].clone());
            continue;
        }
        assert!(open, "{event}");
        assert_eq!(event["output_index"], output.len() - 1);
        let item = output.last_mut().unwrap();
        if kind == "response.output_item.done" {
            open = false;
            item["status"] = event["item"]["status"].clone();
            assert_eq!(item, &event["item"]);
            done.push(event["item"].clone());
            continue;
        }
        assert_eq!(event["item_id"], item["id"]);
        take(item, kind, event);
    }
    assert!(!open, "the last item is done");
    assert_eq!(last["response"]["output"], Value::from(done));
    last["response"].clone()
}

fn take(item: &mut Value, kind: &str, event: &Value) {
    let part = event["content_index"].as_u64().map(|index| usize::try_from(index).unwrap());
    let (field, event_kind) =
        match kind.strip_prefix("response.").unwrap().rsplit_once('.').unwrap() {
            ("content_part", "added") => {
                let content = item["content"].as_array_mut().unwrap();
                assert_eq!(part, Some(content.len()));
                content.push(event["part"].clone());
                return;
            }
            ("content_part", "done") => {
                assert_eq!(item["content"][part.unwrap()], event["part"]);
                return;
            }
            ("function_call_arguments", rest) => {
                assert!(rest == "delta" || event["name"] == item["name"]);
                (&mut item["arguments"], (rest, "arguments"))
            }
            ("custom_tool_call_input", rest) => (&mut item["input"], (rest, "input")),
            (of, rest) => {
                let part = &mut item["content"][part.unwrap()];
                assert_eq!(part["type"], of);
                assert_eq!(event["logprobs"].is_array(), of == "output_text");
                let field = if of == "refusal" { "refusal" } else { "text" };
                (&mut part[field], (rest, field))
            }
        };
    match event_kind {
        ("delta", _) => {
            let delta = event["delta"].as_str().unwrap();
            assert!(!delta.is_empty(), "{event}");
            *field = json!(format!("{}{delta}", field.as_str().unwrap()));
        }
        ("done", whole) => assert_eq!(field, &event[whole]),
        other => panic!("{other:?}"),
    }
}

/// The whole completion that chunks are the pieces of.
pub(super) fn completion(chunks: &[Value]) -> Value {
    let mut message = json!({"role": "assistant"});
    let (mut finish, mut usage) = (Value::Null, Value::Null);
    let append = |to: &mut Value, piece: &Value| {
        *to = json!(format!("{}{}", to.as_str().unwrap_or_default(), piece.as_str().unwrap()));
    };
    for chunk in chunks.iter().filter(|chunk| chunk.is_object()) {
        if !chunk["usage"].is_null() {
            usage = chunk["usage"].clone();
        }
        let Some(choice) = chunk["choices"].get(0) else { continue };
        if !choice["finish_reason"].is_null() {
            finish = choice["finish_reason"].clone();
        }
        for name in ["content", "reasoning", "refusal"] {
            if choice["delta"][name].is_string() {
                append(&mut message[name], &choice["delta"][name]);
            }
        }
        for piece in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(piece["index"].as_u64().unwrap()).unwrap();
            if message["tool_calls"].is_null() {
                message["tool_calls"] = json!([]);
            }
            let calls = message["tool_calls"].as_array_mut().unwrap();
            if index == calls.len() {
                calls.push(json!({"id": piece["id"], "type": "function",
                    "function": {"name": piece["function"]["name"], "arguments": ""}}));
            }
            append(&mut calls[index]["function"]["arguments"], &piece["function"]["arguments"]);
        }
    }
    json!({"id": "c1", "object": "chat.completion", "created": 7, "model": "m", "usage": usage,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}]})
}
