use serde_json::{Value, json};

use super::chunk::{Chunk, Told};
use super::lost::Lost;

/// What has come of an answer, over all replicas that had a part in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// What the caller has got.
    text: String,
    /// The tokens that were generated. Their text may go a little beyond what was delivered.
    ids: Vec<u32>,
    /// The tokens of the prompt.
    prompt: Option<Vec<u32>>,
    /// The tokens of the prompt, and of the whole answer, as last told.
    used: Option<(u64, u64)>,
    /// Of the first prompt.
    details: Option<Value>,
    /// How many of the tokens came from earlier replicas.
    earlier: usize,
    /// Why it cannot be continued.
    lost: Option<Lost>,
}

/// What the first tokens of an answer are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Weighed {
    /// They can be continued; the rest of their text was not delivered.
    Exact {
        rest: String,
    },
    /// The last one has to go.
    Shorter,
    Inexact,
}

impl Ledger {
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(super) fn prompt(&self) -> Option<&[u32]> {
        self.prompt.as_deref()
    }

    pub(super) fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// The first reason stands.
    pub(super) fn lose(&mut self, why: Lost) {
        self.lost.get_or_insert(why);
        // They are of no use any more, and may be many.
        self.ids = Vec::new();
        self.prompt = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.text.is_empty()
    }

    pub(super) fn deliver(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Enters the tokens of a chunk.
    pub(super) fn enter(&mut self, chunk: &Chunk<'_>) {
        if let Some(told) = &chunk.usage {
            self.told(told);
        }
        if let Some(why) = chunk.foreign {
            return self.lose(why);
        }
        if self.lost.is_some() {
            return;
        }
        match &chunk.ids {
            Some(ids) => self.ids.extend_from_slice(ids),
            None if !chunk.text.is_empty() => return self.lose(Lost::NoIds),
            None => {}
        }
        let told = chunk.usage.as_ref().map(|told| told.completion_tokens);
        if told.is_some_and(|told| told != (self.ids.len() - self.earlier) as u64) {
            self.lose(Lost::Uneven);
        }
    }

    /// Enters the tokens of the prompt, which come first.
    pub(super) fn enter_prompt(&mut self, prompt: Option<Vec<u32>>) {
        match prompt {
            Some(prompt) if self.lost.is_none() => self.prompt = Some(prompt),
            Some(_) => {}
            None => self.lose(Lost::NoIds),
        }
    }

    /// Enters usage as a replica tells it, for its own part.
    pub(super) fn told(&mut self, told: &Told) {
        let completion = told.completion_tokens.saturating_add(self.earlier as u64);
        if self.earlier == 0 {
            self.details.clone_from(&told.prompt_tokens_details);
        }
        let prompt = self.used.map_or(told.prompt_tokens, |(prompt, _)| prompt);
        let prompt = if self.earlier == 0 { told.prompt_tokens } else { prompt };
        self.used = Some((prompt, completion));
    }

    /// What was used, as far as it was told or can be counted.
    pub(super) fn used(&self) -> Option<(u64, u64)> {
        let prompt = self.prompt.as_ref().map(|prompt| prompt.len() as u64);
        self.used.or_else(|| Some((prompt?, self.ids.len() as u64)))
    }

    /// The part of the prompt that was read from a cache.
    pub(super) fn cached(&self) -> u64 {
        let details = self.details.as_ref().and_then(|details| details.get("cached_tokens"));
        details.and_then(Value::as_u64).unwrap_or_default()
    }

    /// The same as an object of the API.
    pub(super) fn usage(&self) -> Option<Value> {
        let (prompt, completion) = self.used()?;
        Some(json!({
            "prompt_tokens": prompt,
            "total_tokens": prompt.saturating_add(completion),
            "completion_tokens": completion,
            "prompt_tokens_details": self.details,
        }))
    }

    /// What the first `kept` tokens are worth, which read as `text`.
    pub(super) fn weigh(&self, text: &str, kept: usize) -> Weighed {
        let rest = text.strip_prefix(self.text.as_str());
        // The bytes of a character that is not whole. It was not delivered either; where every byte is
        // a token, those before it may read otherwise until it is. An engine that is asked to go on
        // there puts the prompt into the answer.
        if text.ends_with(char::REPLACEMENT_CHARACTER) && rest != Some("") {
            let may_go = kept > 1 || self.text.is_empty();
            return if may_go { Weighed::Shorter } else { Weighed::Inexact };
        }
        rest.map_or(Weighed::Inexact, |rest| Weighed::Exact { rest: rest.to_owned() })
    }

    /// Another replica goes on behind the first `kept` tokens.
    pub(super) fn go_on(&mut self, kept: usize) {
        self.ids.truncate(kept);
        self.earlier = self.ids.len();
        if let Some((prompt, _)) = self.used {
            self.used = Some((prompt, self.earlier as u64));
        }
    }

    /// Whether a prompt is the first one with what was generated behind it.
    pub(super) fn is_continued_by(&self, prompt: &[u32]) -> bool {
        let known = self.prompt.as_deref().unwrap_or_default();
        prompt.strip_prefix(known).is_some_and(|generated| generated == self.ids)
    }
}
