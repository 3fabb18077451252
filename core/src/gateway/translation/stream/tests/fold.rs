//! What clients put together from a stream; they fail on one that is not well-formed.

use serde_json::{Value, json};

pub(super) fn message(events: &[Value]) -> Value {
    let (first, rest) = events.split_first().unwrap();
    assert_eq!(first["type"], "message_start");
    let mut message = first["message"].clone();
    assert!(message["usage"]["input_tokens"].as_u64() > Some(0));
    let mut open: Option<(usize, Value, String)> = None;
    let mut stopped = false;
    for event in rest {
        let index = event["index"].as_u64().map(|index| usize::try_from(index).unwrap());
        let count = message["content"].as_array().unwrap().len();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert!(open.is_none() && index == Some(count) && message["stop_reason"].is_null());
                open = Some((count, event["content_block"].clone(), String::new()));
            }
            "content_block_delta" => {
                let (at, block, input) = open.as_mut().unwrap();
                assert_eq!(index, Some(*at));
                let delta = event["delta"].as_object().unwrap();
                for (field, part) in delta.iter().filter(|(field, _)| *field != "type") {
                    let part = part.as_str().unwrap();
                    assert!(!part.is_empty(), "{event}");
                    match field.as_str() {
                        "partial_json" => input.push_str(part),
                        field => {
                            let text = block[field].as_str().unwrap();
                            block[field] = json!(format!("{text}{part}"));
                        }
                    }
                }
            }
            "content_block_stop" => {
                let (at, mut block, input) = open.take().unwrap();
                assert_eq!(index, Some(at));
                assert_ne!((&block["text"], &block["thinking"]), (&json!(""), &json!(null)));
                if block["type"] == "tool_use" {
                    block["input"] = serde_json::from_str(&input).unwrap_or(json!(input));
                }
                message["content"].as_array_mut().unwrap().push(block);
            }
            "message_delta" => {
                assert!(open.is_none());
                for field in ["stop_reason", "stop_sequence"] {
                    message[field] = event["delta"][field].clone();
                }
                for (field, count) in event["usage"].as_object().unwrap() {
                    message["usage"][field] = count.clone();
                }
            }
            "message_stop" => stopped = true,
            other => panic!("{other}"),
        }
    }
    assert!(stopped && rest.last().unwrap()["type"] == "message_stop");
    message
}

pub(super) fn completion(chunks: &[Value]) -> Value {
    let (last, chunks) = chunks.split_last().unwrap();
    assert_eq!(last, "[DONE]");
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let mut message = json!({"role": "assistant", "content": "", "refusal": null});
    let (mut finish, mut usage) = (Value::Null, Value::Null);
    for chunk in chunks {
        assert_eq!(
            (&chunk["id"], &chunk["model"], &chunk["created"]),
            (&json!("c1"), &json!("m"), &json!(7))
        );
        let Some(choice) = chunk["choices"].get(0) else {
            assert!(usage.is_null() && !finish.is_null());
            usage = chunk["usage"].clone();
            continue;
        };
        assert!(finish.is_null(), "nothing follows the finish but usage");
        finish = choice["finish_reason"].clone();
        for (field, part) in choice["delta"].as_object().unwrap() {
            match field.as_str() {
                "role" => {}
                "tool_calls" => add_call(&mut message, &part[0]),
                field => {
                    let text = message[field].as_str().unwrap_or_default();
                    message[field] = json!(format!("{text}{}", part.as_str().unwrap()));
                }
            }
        }
    }
    if message["content"] == ""
        && !(message["tool_calls"].is_null() && message["refusal"].is_null())
    {
        message["content"] = Value::Null;
    }
    json!({"id": "c1", "object": "chat.completion", "created": 7, "model": "m", "usage": usage,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}]})
}

fn add_call(message: &mut Value, part: &Value) {
    if message["tool_calls"].is_null() {
        message["tool_calls"] = json!([]);
    }
    let calls = message["tool_calls"].as_array_mut().unwrap();
    let index = usize::try_from(part["index"].as_u64().unwrap()).unwrap();
    if index == calls.len() {
        calls.push(json!({"id": part["id"], "type": part["type"],
            "function": {"name": part["function"]["name"], "arguments": ""}}));
    }
    let arguments = &mut calls[index]["function"]["arguments"];
    let all = format!(
        "{}{}",
        arguments.as_str().unwrap(),
        part["function"]["arguments"].as_str().unwrap()
    );
    *arguments = json!(all);
}
