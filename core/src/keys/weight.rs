use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The share of a busy model that requests of a key get, beside those of other keys: 1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32")]
pub struct Weight(u32);

impl Weight {
    /// The largest share that a key can have.
    pub const MAX: u32 = 100;

    /// As a number.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Whether it is that of a key for which nothing was said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that is not a weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a weight must be 1 to 100")]
pub struct InvalidWeight;

impl TryFrom<u32> for Weight {
    type Error = InvalidWeight;

    fn try_from(weight: u32) -> Result<Self, InvalidWeight> {
        (1..=Self::MAX).contains(&weight).then_some(Self(weight)).ok_or(InvalidWeight)
    }
}

impl FromStr for Weight {
    type Err = InvalidWeight;

    fn from_str(text: &str) -> Result<Self, InvalidWeight> {
        text.parse::<u32>().map_err(|_| InvalidWeight)?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_1_to_100() {
        for good in ["1", "100"] {
            assert_eq!(good.parse::<Weight>().unwrap().to_string(), good);
        }
        for bad in ["0", "101", "-1", "1.5", "", "many"] {
            assert!(bad.parse::<Weight>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Weight>("0").is_err());
        assert_eq!(serde_json::to_string(&Weight::default()).unwrap(), "1");
    }
}
