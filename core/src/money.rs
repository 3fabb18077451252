//! Money, exact to the nano-dollar.

use std::fmt;

use crate::ports::Amount;

/// Nano-dollars in a dollar.
const NANO: u64 = 1_000_000_000;
/// The most decimals that an amount of money has.
const DECIMALS: usize = 9;

/// An amount of nano-dollars, shown as dollars with at least two decimals: `$0.50`,
/// `$0.000000001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dollars(pub Amount);

impl Dollars {
    /// With all nine decimals and without the sign: `0.000018000`.
    pub fn decimal(self) -> String {
        format!("{}.{:09}", self.0.get() / NANO, self.0.get() % NANO)
    }
}

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.get() / NANO, self.0.get() % NANO);
        let decimals = format!("{rest:09}");
        let shown = decimals.trim_end_matches('0').len().max(2);
        f.pad(&format!("${whole}.{}", decimals.get(..shown).unwrap_or(&decimals)))
    }
}

/// Text that is not an amount of money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    #[error("`{0}` is not a number of dollars; write digits and at most one point, such as `0.25`")]
    Syntax(String),
    #[error("`{0}` is finer than a billionth of a dollar; write at most {DECIMALS} decimals")]
    TooFine(String),
    #[error("`{0}` is too much; at most {max} dollars can be counted", max = MAX_DOLLARS)]
    TooMuch(String),
}

const MAX_DOLLARS: &str = "9223372036.854775807";

/// Reads dollars, exactly: digits, and after a point at most nine more. There is no sign, no
/// exponent and no separator of thousands.
pub fn parse_dollars(text: &str) -> Result<Amount, InvalidMoney> {
    let shown = || text.chars().take(40).collect::<String>().escape_debug().to_string();
    let nano = parse_nano_dollars(text).map_err(|flaw| match flaw {
        Flaw::Syntax => InvalidMoney::Syntax(shown()),
        Flaw::TooFine => InvalidMoney::TooFine(shown()),
        Flaw::TooMuch => InvalidMoney::TooMuch(shown()),
    })?;
    Amount::try_from(nano).map_err(|_| InvalidMoney::TooMuch(shown()))
}

/// What is wrong with an amount of dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Syntax,
    TooFine,
    TooMuch,
}

/// The same as a number.
pub(crate) fn parse_nano_dollars(text: &str) -> Result<u64, Flaw> {
    let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, decimals) = match text.split_once('.') {
        Some((whole, decimals)) => (whole, decimals),
        None => (text, "0"),
    };
    if !are_digits(whole) || !are_digits(decimals) {
        return Err(Flaw::Syntax);
    }
    if decimals.len() > DECIMALS {
        return Err(Flaw::TooFine);
    }
    format!("{whole}{decimals:0<DECIMALS$}").parse().map_err(|_| Flaw::TooMuch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_and_shown_exactly() {
        for (text, nano, shown) in [
            ("0", 0, "$0.00"),
            ("0.5", 500_000_000, "$0.50"),
            ("0.50", 500_000_000, "$0.50"),
            ("1000", 1_000_000_000_000, "$1000.00"),
            ("0.000000001", 1, "$0.000000001"),
            ("00.125", 125_000_000, "$0.125"),
            ("9223372036.854775807", i64::MAX.unsigned_abs(), "$9223372036.854775807"),
        ] {
            let amount = parse_dollars(text).unwrap();
            assert_eq!((amount.get(), Dollars(amount).to_string().as_str()), (nano, shown));
        }
    }

    #[test]
    fn what_is_no_money_is_refused() {
        for bad in ["", "-1", "+1", "1e3", "NaN", "inf", "1,000", "1_000", ".5", "5.", "1.2.3", "٣"]
        {
            assert!(matches!(parse_dollars(bad), Err(InvalidMoney::Syntax(_))), "{bad}");
        }
        assert!(matches!(parse_dollars("0.0000000001"), Err(InvalidMoney::TooFine(_))));
        for much in ["9223372036.854775808", "99999999999999999999999"] {
            assert!(matches!(parse_dollars(much), Err(InvalidMoney::TooMuch(_))), "{much}");
        }
        let error = parse_dollars("-0.5").unwrap_err().to_string();
        assert!(error.contains("`-0.5` is not a number of dollars"), "{error}");
    }
}
