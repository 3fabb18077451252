use serde::{Deserialize, Serialize};

use crate::ports::Amount;

/// What requests of a batch have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// The tokens of the prompts.
    pub input: u64,
    /// Of these, what came from a cache.
    #[serde(default)]
    pub cached: u64,
    /// The tokens of the answers.
    pub output: u64,
    /// Of these, what was thought and not shown.
    #[serde(default)]
    pub reasoning: u64,
    /// What they cost in nano-dollars; none where nothing of it has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Amount>,
}

impl Bill {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            cost: match (self.cost, other.cost) {
                (Some(one), Some(other)) => Some(one.plus(other)),
                (one, other) => one.or(other),
            },
        }
    }
}
