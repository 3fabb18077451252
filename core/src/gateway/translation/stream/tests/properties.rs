use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::gateway::translation::request::{json_value, put};
use crate::gateway::translation::{completion_to_message, message_to_completion};

/// An answer, and how its parts are cut and mixed in a stream.
#[derive(Clone, Debug)]
pub(in super::super::super) struct Said {
    thinking: Vec<String>,
    text: Vec<String>,
    calls: Vec<Vec<String>>,
    /// Which of the calls goes on next.
    turns: Vec<usize>,
    is_limited: bool,
}

fn pieces() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop_oneof!["\\PC{0,6}", Just("\"\n\\{}".to_owned())], 0..4)
}

pub(in super::super::super) fn said() -> impl Strategy<Value = Said> {
    let arguments =
        (prop::option::of((".{0,9}", any::<i32>())), prop::collection::vec(any::<usize>(), 0..5));
    let arguments = arguments.prop_map(|(fields, cuts)| {
        let text = match fields {
            Some((text, number)) => json!({"z": text, "a": {"b": [number, "}"]}}).to_string(),
            None => String::new(),
        };
        cut(&text, &cuts)
    });
    let turns = prop::collection::vec(any::<usize>(), 0..24);
    (pieces(), pieces(), prop::collection::vec(arguments, 0..4), turns, any::<bool>()).prop_map(
        |(thinking, text, calls, turns, is_limited)| Said {
            thinking,
            text,
            calls,
            turns,
            is_limited,
        },
    )
}

fn cut(text: &str, cuts: &[usize]) -> Vec<String> {
    let mut cuts: Vec<usize> =
        cuts.iter().map(|at| text.floor_char_boundary(at % (text.len() + 1))).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| text[cut[0]..cut[1]].to_owned()).collect()
}

impl Said {
    fn finish(&self) -> (&'static str, &'static str) {
        match (self.is_limited, self.calls.is_empty()) {
            (true, _) => ("length", "max_tokens"),
            (false, true) => ("stop", "end_turn"),
            (false, false) => ("tool_calls", "tool_use"),
        }
    }

    /// The pieces of the calls: each begins in its order, then they take turns.
    fn parts(&self) -> Vec<(usize, &str)> {
        let mut rest: Vec<(usize, &[String])> =
            self.calls.iter().map(|parts| &parts[..]).enumerate().collect();
        let mut parts = Vec::new();
        for turn in self.turns.iter().copied().chain(std::iter::repeat(0)) {
            rest.retain(|(_, left)| !left.is_empty());
            if rest.is_empty() {
                break;
            }
            let count = rest.len();
            let (call, left) = &mut rest[turn % count];
            let (first, others) = left.split_first().unwrap();
            parts.push((*call, first.as_str()));
            *left = others;
        }
        parts
    }

    fn completion(&self) -> Value {
        let calls: Vec<Value> = self
            .calls
            .iter()
            .enumerate()
            .map(|(call, parts)| {
                let arguments =
                    if parts.concat().is_empty() { "{}".to_owned() } else { parts.concat() };
                json!({"id": format!("t{call}"), "type": "function",
                "function": {"name": format!("f{call}"), "arguments": arguments}})
            })
            .collect();
        let mut message =
            json!({"role": "assistant", "content": self.text.concat(), "refusal": null});
        if !self.calls.is_empty() {
            message["tool_calls"] = json!(calls);
            if self.text.concat().is_empty() {
                message["content"] = Value::Null;
            }
        }
        if !self.thinking.concat().is_empty() {
            message["reasoning"] = json!(self.thinking.concat());
        }
        json!({"id": "c1", "object": "chat.completion", "created": 7, "model": "m",
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": self.finish().0}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}})
    }

    pub(in super::super::super) fn chunks(&self) -> Vec<Value> {
        let mut chunks = vec![delta(json!({"role": "assistant", "content": ""}))];
        chunks.extend(self.thinking.iter().map(|text| delta(json!({"reasoning": text}))));
        chunks
            .extend(self.text.iter().map(|text| delta(json!({"content": text, "tool_calls": []}))));
        for call in 0..self.calls.len() {
            chunks.push(call_delta(call as u64, &format!("t{call}"), ""));
        }
        chunks.extend(
            self.parts().into_iter().map(|(call, part)| arguments_delta(call as u64, part)),
        );
        chunks.extend([finish(self.finish().0), usage_chunk(), done()]);
        chunks
    }

    fn events(&self) -> Vec<Value> {
        let mut events = vec![message_start()];
        let mut index = 0;
        let mut block = |start: Value, deltas: Vec<Value>| {
            events.push(block_start(index, start));
            events.extend(deltas.into_iter().map(|delta| block_delta(index, delta)));
            events.push(block_stop(index));
            index += 1;
        };
        if !self.thinking.is_empty() {
            let deltas = self
                .thinking
                .iter()
                .map(|text| json!({"type": "thinking_delta", "thinking": text}));
            block(json!({"type": "thinking", "thinking": "", "signature": ""}), deltas.collect());
        }
        let deltas = self.text.iter().map(|text| json!({"type": "text_delta", "text": text}));
        block(json!({"type": "text", "text": ""}), deltas.collect());
        for (call, parts) in self.calls.iter().enumerate() {
            let deltas =
                parts.iter().map(|part| json!({"type": "input_json_delta", "partial_json": part}));
            let start = json!({"type": "tool_use", "id": format!("t{call}"), "name": format!("f{call}"), "input": {}});
            block(start, deltas.collect());
        }
        events.extend([message_delta(self.finish().1), message_stop()]);
        events
    }
}

proptest! {
    #[test]
    fn a_streamed_answer_says_the_same_as_a_whole_one(said in said()) {
        let completion = said.completion();
        let message = completion_to_message(completion.to_string().as_bytes()).unwrap();
        let message: Value = serde_json::from_str(&message).unwrap();

        let (events, result) = to_messages(&said.chunks());
        prop_assert!(result.is_ok());
        prop_assert_eq!(fold::message(&events), message.clone());

        let back = message_to_completion(message.to_string().as_bytes(), 7).unwrap();
        let back: Value = serde_json::from_str(&back).unwrap();
        for events in [said.events(), events] {
            let (chunks, result) = to_chat(&events);
            prop_assert!(result.is_ok());
            let folded = fold::completion(&chunks);
            prop_assert_eq!(without_arguments(&folded), without_arguments(&back));
            prop_assert_eq!(&arguments(&folded), &arguments(&back));
        }
        prop_assert_eq!(without_arguments(&back), without_arguments(&completion));
        prop_assert_eq!(arguments(&back), arguments(&completion));
    }

    #[test]
    fn no_stream_makes_it_panic_and_the_same_events_say_the_same(
        said in said(),
        places in prop::collection::vec((any::<usize>(), prop::collection::vec(any::<usize>(), 0..5), json_value()), 0..3),
        moved in prop::option::of((any::<usize>(), any::<usize>())),
    ) {
        for mut events in [said.chunks(), said.events()] {
            let count = events.len();
            if let Some((from, to)) = moved {
                events.swap(from % count, to % count);
            }
            for (at, path, value) in &places {
                put(&mut events[at % count], path, value.clone());
            }
            prop_assert_eq!(to_messages(&events).0, to_messages(&events).0);
            prop_assert_eq!(to_chat(&events).0, to_chat(&events).0);
        }
    }
}

fn calls(completion: &Value) -> &[Value] {
    completion["choices"][0]["message"]["tool_calls"].as_array().map_or(&[], Vec::as_slice)
}

/// Arguments as values: a client reads them, and white space in them says nothing.
fn arguments(completion: &Value) -> Vec<Value> {
    let read = |call: &Value| {
        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap()
    };
    calls(completion).iter().map(read).collect()
}

fn without_arguments(completion: &Value) -> Value {
    let mut completion = completion.clone();
    for call in
        completion["choices"][0]["message"]["tool_calls"].as_array_mut().into_iter().flatten()
    {
        call["function"]["arguments"] = Value::Null;
    }
    // Looking a field up in a value puts a null there.
    let message = completion["choices"][0]["message"].as_object_mut().unwrap();
    message.retain(|field, value| field != "tool_calls" || !value.is_null());
    completion
}
