use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::gateway::translation::request::{json_value, put};
use crate::gateway::translation::stream::tests::delta;
use crate::gateway::translation::stream::tests::properties::said;

/// A turn of a conversation, in items.
#[derive(Clone, Debug)]
enum Exchange {
    Said(String),
    Answered { reasoning: String, text: Option<String>, calls: Vec<(bool, String, String)> },
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,9}", "\\PC{1,9}", Just("\"\\\n\u{7}é\u{1f600}".to_owned())]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let calls = prop::collection::vec((any::<bool>(), text(), text()), 0..3);
    prop_oneof![
        text().prop_map(Exchange::Said),
        ("[a-z]{0,5}", prop::option::of(text()), calls).prop_map(|(reasoning, text, calls)| {
            let text = text.or_else(|| calls.is_empty().then(|| "yes".into()));
            Exchange::Answered { reasoning, text, calls }
        }),
    ]
}

/// The items of a conversation, and the messages that say the same.
fn both(exchanges: &[Exchange]) -> (Vec<Value>, Vec<Value>) {
    let (mut items, mut messages) = (Vec::new(), Vec::new());
    for (turn, exchange) in exchanges.iter().enumerate() {
        match exchange {
            Exchange::Said(text) => {
                items.push(
                    json!({"role": "user", "content": [{"type": "input_text", "text": text}]}),
                );
                messages.push(json!({"role": "user", "content": text}));
            }
            Exchange::Answered { reasoning, text, calls } => {
                let mut message = json!({"role": "assistant", "content": text});
                if !reasoning.is_empty() {
                    let content = [json!({"type": "reasoning_text", "text": reasoning})];
                    items.push(json!({"type": "reasoning", "summary": [], "content": content}));
                    message["reasoning"] = json!(reasoning);
                }
                if let Some(text) = text {
                    items.push(json!({"type": "message", "role": "assistant",
                        "content": [{"type": "output_text", "text": text, "annotations": []}]}));
                }
                let (mut outputs, mut results, mut chat_calls) = (vec![], vec![], vec![]);
                for (call, (is_custom, input, output)) in calls.iter().enumerate() {
                    let (id, arguments) =
                        (format!("t{turn}-{call}"), json!({"input": input}).to_string());
                    items.push(if *is_custom {
                        json!({"type": "custom_tool_call", "call_id": id, "name": "c", "input": input})
                    } else {
                        json!({"type": "function_call", "call_id": id, "name": "c", "arguments": arguments})
                    });
                    let kind =
                        if *is_custom { "custom_tool_call_output" } else { "function_call_output" };
                    outputs.push(json!({"type": kind, "call_id": id, "output": output}));
                    results.push(json!({"role": "tool", "tool_call_id": id, "content": output}));
                    chat_calls.push(json!({"id": id, "type": "function",
                        "function": {"name": "c", "arguments": arguments}}));
                }
                if !chat_calls.is_empty() {
                    message["tool_calls"] = json!(chat_calls);
                }
                items.extend(outputs);
                messages.push(message);
                messages.extend(results);
                // Else the next answer would belong to this one.
                items.push(json!({"role": "user", "content": "go on"}));
                messages.push(json!({"role": "user", "content": "go on"}));
            }
        }
    }
    (items, messages)
}

proptest! {
    #[test]
    fn a_conversation_keeps_its_texts_calls_and_order(exchanges in prop::collection::vec(exchange(), 0..5)) {
        let (items, expected) = both(&exchanges);
        prop_assert_eq!(messages(json!(items)), Value::from(expected));
    }

    #[test]
    fn a_streamed_answer_says_the_same_as_a_whole_one(said in said(), custom in 0..4_usize) {
        let chunks = said.chunks();
        let request = request(json!({"tools": [{"type": "custom", "name": format!("f{custom}")}]}));
        let (events, result) = events_for(&request, &chunks);
        prop_assert!(result.is_ok());
        let whole = response_to(&request, &fold::completion(&chunks)).unwrap();
        prop_assert_eq!(fold::response(&events), whole);
    }

    #[test]
    fn text_that_comes_late_is_not_lost(said in said(), at in any::<usize>()) {
        let mut chunks = said.chunks();
        let at = 1 + at % (chunks.len() - 3);
        chunks.insert(at, delta(json!({"content": "late"})));
        let (events, result) = events_for(&request(json!({})), &chunks);
        prop_assert!(result.is_ok());
        let response = fold::response(&events);
        let texts = response["output"].as_array().unwrap().iter().filter_map(|item| item["content"].as_array());
        let texts = texts.flatten().filter(|part| part["type"] == "output_text");
        let told: String = texts.map(|part| part["text"].as_str().unwrap()).collect();
        let completion = fold::completion(&chunks);
        prop_assert_eq!(&json!(told), &completion["choices"][0]["message"]["content"]);
    }

    #[test]
    fn no_request_and_no_stream_makes_it_panic(
        exchanges in prop::collection::vec(exchange(), 0..3),
        said in said(),
        path in prop::collection::vec(any::<usize>(), 0..6),
        value in json_value(),
        at in any::<usize>(),
    ) {
        let mut body = tool_requests();
        body["input"] = both(&exchanges).0.into();
        put(&mut body, &path, value.clone());
        let text = body.to_string();
        for target in [ENGINE, ChatTarget::Hosted] {
            if let Ok(chat) = responses_to_chat(text.as_bytes(), target) {
                prop_assert!(serde_json::from_str::<Value>(&chat).is_ok());
                prop_assert!(ResponsesEcho::read(text.as_bytes()).is_ok());
            }
        }
        let mut chunks = said.chunks();
        let count = chunks.len();
        put(&mut chunks[at % count], &path, value);
        prop_assert_eq!(events_for(&tool_requests(), &chunks).0, events_for(&tool_requests(), &chunks).0);
    }
}
