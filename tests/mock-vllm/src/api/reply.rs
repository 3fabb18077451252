//! An answer, ready to be sent: either one JSON body or a list of stream events, each with its pace.

use bytes::Bytes;
use serde::Serialize;

use super::plan::{Choice, Plan};
use crate::engine::Outcome;

/// The content type of most answers.
pub(crate) const JSON: &str = "application/json";

/// When an event is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// With the one before it.
    Now,
    /// When the first token is there.
    First,
    /// One token later than the one before it.
    Token,
}

/// A token of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    /// If ids are told.
    pub(crate) id: Option<u32>,
}

/// One event of a stream.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) pace: Pace,
    /// Completion tokens it stands for.
    pub(crate) tokens: u32,
    pub(crate) bytes: Bytes,
}

/// The events of a stream in order.
#[derive(Debug, Default)]
pub(crate) struct Events(pub(crate) Vec<Event>);

/// What is sent for one request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) prompt_tokens: u32,
    pub(crate) completion_tokens: u32,
    /// Tokens generated one after another.
    pub(crate) steps: u32,
    pub(crate) outcome: Outcome,
    pub(crate) content: AnswerContent,
}

#[derive(Debug)]
pub(crate) enum AnswerContent {
    /// With its content type.
    Whole(Bytes, &'static str),
    Stream(Events),
}

impl Answer {
    pub(crate) fn whole(plan: &Plan, body: &impl Serialize) -> Self {
        Self::of(plan, AnswerContent::Whole(json(body), JSON))
    }

    pub(crate) fn stream(plan: &Plan, events: Events) -> Self {
        Self::of(plan, AnswerContent::Stream(events))
    }

    fn of(plan: &Plan, content: AnswerContent) -> Self {
        Self {
            prompt_tokens: plan.prompt_tokens,
            completion_tokens: plan.completion_tokens(),
            steps: plan.steps(),
            outcome: plan.outcome(),
            content,
        }
    }
}

impl Events {
    /// An unnamed event.
    pub(crate) fn push(&mut self, pace: Pace, tokens: u32, data: &impl Serialize) {
        self.0.push(Event { pace, tokens, bytes: sse(data) });
    }

    /// The end of a stream of chunks.
    pub(crate) fn push_done(&mut self) {
        self.0.push(Event {
            pace: Pace::Now,
            tokens: 0,
            bytes: Bytes::from_static(b"data: [DONE]\n\n"),
        });
    }

    /// One event for each token, choice by choice within a step, made by `event(choice's index, token, how manieth
    /// token, the choice if this is its last)`. A choice without tokens has one event all the same.
    pub(crate) fn push_tokens(
        &mut self,
        plan: &Plan,
        event: impl Fn(usize, Token<'_>, u32, Option<&Choice>) -> Bytes,
    ) {
        let mut choices: Vec<_> =
            plan.choices.iter().map(|choice| (choice, choice.text.tokens())).collect();
        for step in 1..=plan.steps().max(1) {
            let mut pace = if self.0.is_empty() {
                Pace::First
            } else if step == 1 {
                Pace::Now
            } else {
                Pace::Token
            };
            for (index, (choice, tokens)) in choices.iter_mut().enumerate() {
                let token = tokens.next();
                let length = choice.text.len();
                if token.is_none() && (step > 1 || length > 0) {
                    continue;
                }
                let last = step as usize >= length;
                let text = token.unwrap_or_default();
                let id = choice.text.ids().get(step as usize - 1).copied();
                let bytes = event(index, Token { text, id }, step, last.then_some(*choice));
                self.0.push(Event { pace, tokens: u32::from(token.is_some()), bytes });
                pace = Pace::Now;
            }
        }
    }
}

/// `data: {json}\n\n`.
pub(crate) fn sse(data: &impl Serialize) -> Bytes {
    frame(Vec::from(*b"data: "), data)
}

/// `event: {name}\ndata: {json}\n\n`.
pub(crate) fn named_sse(name: &str, data: &impl Serialize) -> Bytes {
    frame(format!("event: {name}\ndata: ").into_bytes(), data)
}

fn frame(mut frame: Vec<u8>, data: &impl Serialize) -> Bytes {
    frame.reserve(256);
    // Writing these types into memory cannot fail.
    let _ = serde_json::to_writer(&mut frame, data);
    frame.extend_from_slice(b"\n\n");
    frame.into()
}

pub(crate) fn json(data: &impl Serialize) -> Bytes {
    let mut body = Vec::with_capacity(1024);
    let _ = serde_json::to_writer(&mut body, data);
    body.into()
}
