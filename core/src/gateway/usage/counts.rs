use serde::{Deserialize, Serialize};

use crate::ports::Amount;

/// What requests have used, summed. No sum overflows: it stays at the largest number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Requests that have ended, however they did.
    pub requests: u64,
    /// Of those, the ones that ended with an error, other than by their caller, who went away.
    pub errors: u64,
    /// Of those, the ones whose tokens or cost are a guess, because nobody told the usage.
    pub estimated: u64,
    /// All of the prompts, cached or not.
    pub prompt_tokens: u64,
    /// Of the prompts' tokens, those that were read from a provider's cache.
    pub cached_tokens: u64,
    pub completion_tokens: u64,
    /// What it has cost, where there is a price or a rate card.
    pub nano_dollars: Amount,
}

impl Counts {
    /// Adds what others have used.
    pub fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.requests, other.requests),
            (&mut self.errors, other.errors),
            (&mut self.estimated, other.estimated),
            (&mut self.prompt_tokens, other.prompt_tokens),
            (&mut self.cached_tokens, other.cached_tokens),
            (&mut self.completion_tokens, other.completion_tokens),
        ];
        for (sum, more) in sums {
            *sum = sum.saturating_add(more);
        }
        self.nano_dollars = self.nano_dollars.plus(other.nano_dollars);
    }

    /// Prompts and answers together.
    pub fn tokens(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}
