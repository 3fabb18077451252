use serde::{Deserialize, Serialize};

use crate::money::{Dollars, parse_dollars};
use crate::ports::Amount;

/// What a million tokens of each kind cost, in nano-dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of the prompt, unless they are of a kind below.
    pub input: Amount,
    /// Read from the provider's cache.
    pub cached_input: Amount,
    /// Written to it, to be kept for some minutes.
    pub cache_write: Amount,
    /// Written to it, to be kept for an hour.
    pub cache_write_1h: Amount,
    /// Of audio in the prompt.
    pub audio_input: Amount,
    /// Of the answers, reasoning included.
    pub output: Amount,
    /// Of audio in the answers.
    pub audio_output: Amount,
}

/// The tokens of an attempt. Which field of a provider's `usage` means what differs: OpenAI's
/// `prompt_tokens` are all of the prompt, Anthropic's `input_tokens` only what no cache was
/// concerned with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenUsage {
    /// All of the prompt, including the four below.
    pub input: u64,
    pub cached_input: u64,
    pub cache_write: u64,
    pub cache_write_1h: u64,
    pub audio_input: u64,
    /// All of the answers, reasoning and audio included.
    pub output: u64,
    pub audio_output: u64,
}

impl TokenUsage {
    /// All tokens of the prompt, also where the provider contradicts itself.
    pub(super) fn prompt(&self) -> u64 {
        self.input.max(self.special_input())
    }

    fn special_input(&self) -> u64 {
        let kinds = [self.cached_input, self.cache_write, self.cache_write_1h, self.audio_input];
        kinds.into_iter().fold(0, u64::saturating_add)
    }
}

impl Rates {
    /// The sum of tokens times rates: millionths of nano-dollars.
    pub(super) fn millionths(&self, usage: &TokenUsage) -> Option<u128> {
        let parts = [
            (self.input, usage.input.saturating_sub(usage.special_input())),
            (self.cached_input, usage.cached_input),
            (self.cache_write, usage.cache_write),
            (self.cache_write_1h, usage.cache_write_1h),
            (self.audio_input, usage.audio_input),
            (self.output, usage.output.saturating_sub(usage.audio_output)),
            (self.audio_output, usage.audio_output),
        ];
        parts.into_iter().try_fold(0_u128, |sum, (rate, tokens)| {
            sum.checked_add(u128::from(rate.get()).checked_mul(tokens.into())?)
        })
    }

    /// The most that so many tokens can cost, in the same unit.
    pub(super) fn most_millionths(&self, input: u64, output: u128) -> Option<u128> {
        let [dearest_input, dearest_output] = [
            [
                self.input,
                self.cached_input,
                self.cache_write,
                self.cache_write_1h,
                self.audio_input,
            ]
            .into_iter()
            .fold(Amount::ZERO, Amount::max),
            self.output.max(self.audio_output),
        ];
        let input = u128::from(dearest_input.get()).checked_mul(input.into())?;
        input.checked_add(u128::from(dearest_output.get()).checked_mul(output)?)
    }
}

/// Dollars per million tokens, as text: a JSON number would not be exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct PerMillion(pub(super) Amount);

impl TryFrom<String> for PerMillion {
    type Error = crate::money::InvalidMoney;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_dollars(&text).map(Self)
    }
}

impl From<PerMillion> for String {
    fn from(price: PerMillion) -> Self {
        Dollars(price.0).to_string().trim_start_matches('$').to_owned()
    }
}
