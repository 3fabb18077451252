use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::money::{Dollars, InvalidMoney, parse_dollars};
use crate::ports::{Amount, Unit};

/// How much may be used: money, written `$0.50`, or tokens, written `2000000`, `2000k` or `2M`.
///
/// Money is exact to the nano-dollar. There is no sign, no exponent and no separator of thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cap {
    unit: Unit,
    amount: Amount,
}

/// Text that is not a cap.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCap {
    #[error(
        "`{0}` is not an amount; write dollars, such as `$0.50`, or tokens, such as `2000000` or `2M`"
    )]
    Syntax(String),
    #[error(transparent)]
    Money(#[from] InvalidMoney),
    #[error("`{0}` is too much; at most {max} tokens can be counted", max = Amount::MAX)]
    TooMuch(String),
}

impl Cap {
    /// So many nano-dollars.
    pub fn nano_dollars(amount: Amount) -> Self {
        Self { unit: Unit::NanoDollars, amount }
    }

    /// So many tokens, of prompts and answers together.
    pub fn tokens(amount: Amount) -> Self {
        Self { unit: Unit::Tokens, amount }
    }

    /// What it counts: money or tokens.
    pub fn unit(self) -> Unit {
        self.unit
    }

    /// How much of that.
    pub fn amount(self) -> Amount {
        self.amount
    }

    /// Another amount of the same.
    #[must_use]
    pub fn with_amount(self, amount: Amount) -> Self {
        Self { amount, ..self }
    }
}

/// Shows an amount of what an account counts: `$0.50`, `2000 tokens`.
pub(super) fn show(amount: Amount, unit: Unit) -> String {
    match unit {
        Unit::NanoDollars => Dollars(amount).to_string(),
        Unit::Tokens => format!("{amount} tokens"),
        Unit::Requests => format!("{amount} requests"),
    }
}

/// The form that is read back, tokens in the largest unit that divides them.
impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.amount.get();
        match self.unit {
            Unit::NanoDollars => Dollars(self.amount).fmt(f),
            Unit::Tokens | Unit::Requests => {
                let units = [("M", 1_000_000), ("k", 1_000)];
                let unit =
                    units.iter().find(|(_, size)| tokens != 0 && tokens.is_multiple_of(*size));
                let (suffix, size) = unit.unwrap_or(&("", 1));
                f.pad(&format!("{}{suffix}", tokens / size))
            }
        }
    }
}

impl FromStr for Cap {
    type Err = InvalidCap;

    fn from_str(text: &str) -> Result<Self, InvalidCap> {
        if let Some(dollars) = text.strip_prefix('$') {
            return Ok(Self::nano_dollars(parse_dollars(dollars)?));
        }
        let (digits, size) = match (text.strip_suffix('k'), text.strip_suffix('M')) {
            (Some(digits), _) => (digits, 1_000),
            (_, Some(digits)) => (digits, 1_000_000),
            (None, None) => (text, 1),
        };
        let shown = || text.chars().take(40).collect::<String>().escape_debug().to_string();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidCap::Syntax(shown()));
        }
        let tokens = digits.parse::<u64>().ok().and_then(|tokens| tokens.checked_mul(size));
        let amount = tokens.and_then(|tokens| Amount::try_from(tokens).ok());
        amount.map(Self::tokens).ok_or_else(|| InvalidCap::TooMuch(shown()))
    }
}

impl TryFrom<String> for Cap {
    type Error = InvalidCap;

    fn try_from(text: String) -> Result<Self, InvalidCap> {
        text.parse()
    }
}

impl From<Cap> for String {
    fn from(cap: Cap) -> Self {
        cap.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_read_and_shown() {
        for (text, unit, amount, shown) in [
            ("$0.50", Unit::NanoDollars, 500_000_000, "$0.50"),
            ("$1000", Unit::NanoDollars, 1_000_000_000_000, "$1000.00"),
            ("0", Unit::Tokens, 0, "0"),
            ("2000000", Unit::Tokens, 2_000_000, "2M"),
            ("2M", Unit::Tokens, 2_000_000, "2M"),
            ("1500k", Unit::Tokens, 1_500_000, "1500k"),
            ("1001", Unit::Tokens, 1_001, "1001"),
        ] {
            let cap: Cap = text.parse().unwrap();
            assert_eq!((cap.unit(), cap.amount().get()), (unit, amount));
            assert_eq!(cap.to_string(), shown);
            assert_eq!(shown.parse(), Ok(cap));
        }
    }

    #[test]
    fn what_is_no_cap_is_refused_with_an_example() {
        for bad in ["", "-5", "1.5M", "2 M", "2MM", "0.5", "NaN", "1e6", "€5", "5$", "2K", "1,000"]
        {
            let error = bad.parse::<Cap>().unwrap_err().to_string();
            assert!(error.contains("such as `$0.50`"), "{bad}: {error}");
        }
        for bad in ["$", "$-1", "$NaN", "$1,000", "$1e3", "$ 1"] {
            assert!(matches!(bad.parse::<Cap>(), Err(InvalidCap::Money(_))), "{bad}");
        }
        for much in ["9223372036854775808", "99999999999999999999", "9223372036855M"] {
            assert!(matches!(much.parse::<Cap>(), Err(InvalidCap::TooMuch(_))), "{much}");
        }
    }
}
