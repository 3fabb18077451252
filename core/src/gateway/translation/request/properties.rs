use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

const ENGINE: ChatTarget = ChatTarget::Engine { reasoning_parser: true };

/// A conversation in the one form that both APIs have words for.
#[derive(Clone, Debug)]
struct Conversation {
    system: Option<String>,
    exchanges: Vec<Exchange>,
    tools: Vec<(String, Option<String>)>,
    limit: u64,
    stop: Vec<String>,
    user: Option<String>,
    effort: Option<&'static str>,
}

/// What a user says (behind the results of the calls before it), and the assistant's answer.
#[derive(Clone, Debug)]
struct Exchange {
    said: Vec<Said>,
    texts: Vec<String>,
    /// Names and inputs of calls, and their results.
    calls: Vec<(String, Map<String, Value>, String)>,
}

#[derive(Clone, Debug)]
enum Said {
    Text(String),
    Picture(String),
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,12}", "\\PC{1,12}", Just("\"\\\n\u{7}é\u{1f600}".to_owned())]
}

fn input() -> impl Strategy<Value = Map<String, Value>> {
    let value = prop_oneof![
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from),
        Just(json!({"b": [1, null], "a": {}})),
    ];
    prop::collection::btree_map(text(), value, 0..3).prop_map(|fields| fields.into_iter().collect())
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let said = prop_oneof![
        3 => text().prop_map(Said::Text),
        1 => "[a-z]{1,8}".prop_map(|name| Said::Picture(format!("https://x/{name}"))),
        1 => "[a-zA-Z]{4}".prop_map(|data| Said::Picture(format!("data:image/png;base64,{data}"))),
    ];
    let calls = prop::collection::vec(("[a-z_]{1,8}", input(), text()), 0..3);
    (prop::collection::vec(said, 1..4), prop::collection::vec(text(), 0..3), calls).prop_map(
        |(said, mut texts, calls)| {
            if texts.is_empty() && calls.is_empty() {
                texts.push("yes".into());
            }
            Exchange { said, texts, calls }
        },
    )
}

fn conversation() -> impl Strategy<Value = Conversation> {
    (
        prop::option::of(text()),
        prop::collection::vec(exchange(), 0..4),
        prop::collection::vec(("[a-z]{1,5}", prop::option::of(text())), 0..3),
        1..u64::MAX,
        prop::collection::vec(text(), 0..3),
        prop::option::of(text()),
        prop::option::of(prop::sample::select(vec!["low", "high", "max"])),
    )
        .prop_map(|(system, exchanges, tools, limit, stop, user, effort)| Conversation {
            system,
            exchanges,
            tools,
            limit,
            stop,
            user,
            effort,
        })
}

/// One text is written as such, anything else as a list.
fn content(parts: Vec<Value>) -> Value {
    match parts.as_slice() {
        [part] if part["type"] == "text" => part["text"].clone(),
        _ => Value::Array(parts),
    }
}

fn text_part(text: &String) -> Value {
    json!({"type": "text", "text": text})
}

impl Conversation {
    fn chat(&self) -> Value {
        let mut messages = Vec::new();
        if let Some(system) = &self.system {
            messages.push(json!({"role": "system", "content": system}));
        }
        for (turn, exchange) in self.exchanges.iter().enumerate() {
            let said = exchange.said.iter().map(|said| match said {
                Said::Text(text) => text_part(text),
                Said::Picture(url) => json!({"type": "image_url", "image_url": {"url": url}}),
            });
            messages.push(json!({"role": "user", "content": content(said.collect())}));
            let mut answer = json!({"role": "assistant", "content": null});
            if !exchange.texts.is_empty() {
                answer["content"] = content(exchange.texts.iter().map(text_part).collect());
            }
            if !exchange.calls.is_empty() {
                let calls = exchange.calls.iter().enumerate().map(|(call, (name, input, _))| {
                    let arguments = Value::from(input.clone()).to_string();
                    json!({"id": format!("t{turn}-{call}"), "type": "function",
                        "function": {"name": name, "arguments": arguments}})
                });
                answer["tool_calls"] = calls.collect();
            }
            messages.push(answer);
            for (call, (_, _, result)) in exchange.calls.iter().enumerate() {
                messages.push(json!({"role": "tool", "tool_call_id": format!("t{turn}-{call}"), "content": result}));
            }
        }
        messages.push(json!({"role": "user", "content": "go on"}));
        let mut body = json!({"model": "m", "messages": messages, "max_tokens": self.limit});
        if !self.tools.is_empty() {
            let tools = self.tools.iter().map(|(name, description)| {
                let mut function = json!({"name": name, "parameters": {"type": "object"}});
                if let Some(description) = description {
                    function["description"] = json!(description);
                }
                json!({"type": "function", "function": function})
            });
            body["tools"] = tools.collect();
        }
        self.parameters(
            body,
            ["stop", "user", "reasoning_effort"],
            |user| json!(user),
            |effort| json!(effort),
        )
    }

    fn messages(&self) -> Value {
        let mut messages = Vec::new();
        let mut results = Vec::new();
        for (turn, exchange) in self.exchanges.iter().enumerate() {
            let said = exchange.said.iter().map(|said| match said {
                Said::Text(text) => text_part(text),
                Said::Picture(url) => match url.strip_prefix("data:image/png;base64,") {
                    Some(data) => json!({"type": "image", "source":
                        {"type": "base64", "media_type": "image/png", "data": data}}),
                    None => json!({"type": "image", "source": {"type": "url", "url": url}}),
                },
            });
            results.extend(said);
            messages
                .push(json!({"role": "user", "content": content(std::mem::take(&mut results))}));
            let mut blocks: Vec<Value> = exchange.texts.iter().map(text_part).collect();
            for (call, (name, input, result)) in exchange.calls.iter().enumerate() {
                let id = format!("t{turn}-{call}");
                blocks.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
                results.push(json!({"type": "tool_result", "tool_use_id": id, "content": result}));
            }
            messages.push(json!({"role": "assistant", "content": content(blocks)}));
        }
        results.push(json!({"type": "text", "text": "go on"}));
        messages.push(json!({"role": "user", "content": content(results)}));
        let mut body = json!({"model": "m", "messages": messages, "max_tokens": self.limit});
        if let Some(system) = &self.system {
            body["system"] = json!(system);
        }
        if !self.tools.is_empty() {
            let tools = self.tools.iter().map(|(name, description)| {
                let mut tool = json!({"name": name, "input_schema": {"type": "object"}});
                if let Some(description) = description {
                    tool["description"] = json!(description);
                }
                tool
            });
            body["tools"] = tools.collect();
        }
        self.parameters(
            body,
            ["stop_sequences", "metadata", "output_config"],
            |user| json!({"user_id": user}),
            |effort| json!({"effort": effort}),
        )
    }

    fn parameters(
        &self,
        mut body: Value,
        [stop_name, user_name, effort_name]: [&str; 3],
        user: impl Fn(&str) -> Value,
        effort: impl Fn(&str) -> Value,
    ) -> Value {
        if !self.stop.is_empty() {
            body[stop_name] = json!(self.stop);
        }
        if let Some(name) = &self.user {
            body[user_name] = user(name);
        }
        if let Some(degree) = self.effort {
            body[effort_name] = effort(degree);
        }
        body
    }
}

/// Any JSON, with words of both APIs in it.
pub(in super::super) fn json_value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "role",
        "content",
        "type",
        "text",
        "messages",
        "tools",
        "user",
        "assistant",
        "tool",
        "tool_use",
        "tool_result",
        "tool_calls",
        "function",
        "arguments",
        "name",
        "id",
        "input",
        "index",
        "delta",
        "choices",
        "message",
        "usage",
        "model",
        "max_tokens",
        "system",
        "image",
        "source",
        "thinking",
        "content_block",
        "text_delta",
        "stop_reason",
        "end_turn",
        "finish_reason",
        "stop",
        "error",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (0..3_u8).prop_map(Value::from),
        word.clone().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Puts a value somewhere into another.
pub(in super::super) fn put(body: &mut Value, path: &[usize], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *body = value;
        return;
    };
    let count = body.as_array().map_or(0, Vec::len) + body.as_object().map_or(0, Map::len);
    match body {
        Value::Array(items) if count > 0 => put(&mut items[first % count], rest, value),
        Value::Object(fields) if count > 0 => {
            put(fields.values_mut().nth(first % count).unwrap(), rest, value);
        }
        other => *other = value,
    }
}

proptest! {
    #[test]
    fn a_conversation_reads_the_same_in_either_api(conversation in conversation()) {
        let (chat, messages) = (conversation.chat(), conversation.messages());
        let translated = messages_to_chat(messages.to_string().as_bytes(), ENGINE).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&translated).unwrap(), chat.clone());
        let translated = chat_to_messages(chat.to_string().as_bytes(), 1).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&translated).unwrap(), messages);
    }

    #[test]
    fn no_request_makes_it_panic(
        conversation in conversation(),
        path in prop::collection::vec(any::<usize>(), 0..6),
        value in json_value(),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        for mut body in [conversation.chat(), conversation.messages(), Value::Null] {
            put(&mut body, &path, value.clone());
            let body = body.to_string();
            for target in [ENGINE, ChatTarget::Hosted] {
                if let Ok(chat) = messages_to_chat(body.as_bytes(), target) {
                    prop_assert!(serde_json::from_str::<Value>(&chat).is_ok());
                }
            }
            if let Ok(messages) = chat_to_messages(body.as_bytes(), 1) {
                prop_assert!(serde_json::from_str::<Value>(&messages).is_ok());
            }
        }
        prop_assert!(messages_to_chat(&bytes, ENGINE).is_err());
        prop_assert!(chat_to_messages(&bytes, 1).is_err());
    }
}
