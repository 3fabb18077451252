use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name of a queue, a kind or a schedule in bytes.
pub const MAX_LABEL: usize = 40;

/// A name that a queue, a kind or a schedule cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a name of a {what}; use 1 to {MAX_LABEL} of a–z 0–9 - _, starting with a letter",
    .text.escape_debug()
)]
pub struct InvalidLabel {
    what: &'static str,
    text: String,
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
            #[serde(try_from = "String", into = "String")]
            pub struct $name(Cow<'static, str>);

            impl $name {
                /// A name that is part of the program.
                ///
                /// # Panics
                /// When it is none; where a constant is made of it, the program does not compile.
                pub const fn known(text: &'static str) -> Self {
                    assert!(is_label(text), "this is not a name");
                    Self(Cow::Borrowed(text))
                }

                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl FromStr for $name {
                type Err = InvalidLabel;

                fn from_str(text: &str) -> Result<Self, InvalidLabel> {
                    if is_label(text) {
                        Ok(Self(Cow::Owned(text.to_owned())))
                    } else {
                        let text = text.chars().take(MAX_LABEL + 1).collect();
                        Err(InvalidLabel { what: $what, text })
                    }
                }
            }

            impl TryFrom<String> for $name {
                type Error = InvalidLabel;

                fn try_from(text: String) -> Result<Self, InvalidLabel> {
                    text.parse()
                }
            }

            impl From<$name> for String {
                fn from(name: $name) -> Self {
                    name.0.into_owned()
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.pad(&self.0)
                }
            }
        )*
    };
}

labels! {
    /// Where jobs wait for workers.
    QueueName, "queue";
    /// A job that is done again and again.
    ScheduleName, "schedule";
    /// What kind of work a job is, and so which handler does it.
    JobKind, "kind of job";
}

/// The queue that jobs of a kind wait in where nobody says otherwise: the one of its name.
impl From<&JobKind> for QueueName {
    fn from(kind: &JobKind) -> Self {
        Self(kind.0.clone())
    }
}

const fn is_label(text: &str) -> bool {
    let mut rest = text.as_bytes();
    if rest.len() > MAX_LABEL || !matches!(rest, [b'a'..=b'z', ..]) {
        return false;
    }
    while let [first, after @ ..] = rest {
        if !matches!(first, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') {
            return false;
        }
        rest = after;
    }
    true
}

/// How urgent a job is within its queue: 1, the most urgent, to 4. Jobs of one priority are begun
/// in the order of their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// Every priority, the most urgent first.
    pub const ALL: [Self; 4] = [Self(1), Self(2), Self(3), Self(4)];

    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(2)
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            1..=4 => Ok(Self(number)),
            _ => Err(format!("{number} is not a priority; use 1 (the most urgent) to 4")),
        }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for good in ["batch", "b", "b-2_x", &"a".repeat(MAX_LABEL)] {
            assert_eq!(good.parse::<QueueName>().unwrap().as_str(), good);
        }
        for bad in ["", "2b", "Batch", "a b", "a#b", "ä", &"a".repeat(MAX_LABEL + 1)] {
            assert!(bad.parse::<JobKind>().is_err(), "{bad}");
        }
    }

    #[test]
    fn priorities_are_one_to_four() {
        for number in 0..=255u8 {
            assert_eq!(Priority::try_from(number).is_ok(), (1..=4).contains(&number), "{number}");
        }
    }
}
