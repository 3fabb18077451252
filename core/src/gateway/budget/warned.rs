use serde::{Deserialize, Serialize};

use super::Warning;
use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::ports::{Amount, GRACE, Key};

/// Somebody was told that a budget comes to its end.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Warned {
    budget: String,
    /// A budget that was raised may warn once more.
    cap: Amount,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resets_at: Option<Timestamp>,
}

impl Warned {
    pub(super) fn new(warning: &Warning) -> Self {
        let Warning { budget, cap, resets_at, .. } = warning;
        Self { budget: budget.to_string(), cap: *cap, resets_at: *resets_at }
    }
}

impl Entity for Warned {
    const KIND: &'static str = "budget warning";

    fn key(&self) -> Key {
        let window = self.resets_at.map_or_else(|| "TOTAL".into(), |end| format!("UNTIL#{end}"));
        Key::new(format!("BUDGETWARNED#{}", self.budget), format!("{window}#{}", self.cap))
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.resets_at.map(|end| later(end, GRACE))
    }
}
