//! Ids that sort by the time at which they were made.

use crate::Timestamp;
use crate::hex;
use crate::ports::Entropy;

/// How many characters an id has.
pub(crate) const LENGTH: usize = 32;

/// 32 hexadecimal digits: the milliseconds since the epoch in 12, then 80 random bits. Ids of one
/// millisecond are in no order.
pub(crate) fn ordered_id(now: Timestamp, entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    let millis = u64::try_from(now.as_millisecond()).unwrap_or(0).to_be_bytes();
    for (byte, of_time) in bytes.iter_mut().zip(millis.iter().skip(2)) {
        *byte = *of_time;
    }
    hex(&bytes)
}

/// Whether `text` can be an id.
pub(crate) fn is_ordered_id(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

macro_rules! ordered_ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {
        $(
            $(#[$doc])*
            #[derive(
                Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
            )]
            #[serde(transparent)]
            pub struct $name(String);

            impl $name {
                /// A fresh id, which sorts after those of earlier times.
                pub fn new(now: $crate::Timestamp, entropy: &dyn $crate::ports::Entropy) -> Self {
                    Self(format!("{}{}", $prefix, $crate::ordered_id::ordered_id(now, entropy)))
                }

                /// The id that a caller sent, if it can be one.
                pub fn from_caller(text: &str) -> Option<Self> {
                    let rest = text.strip_prefix($prefix)?;
                    $crate::ordered_id::is_ordered_id(rest).then(|| Self(text.to_owned()))
                }

                pub fn as_str(&self) -> &str {
                    &self.0
                }

                /// When it was made, to the millisecond.
                pub fn made_at(&self) -> Option<$crate::Timestamp> {
                    let digits = self.0.strip_prefix($prefix)?.get(..12)?;
                    let millis = i64::from_str_radix(digits, 16).ok()?;
                    $crate::Timestamp::from_millisecond(millis).ok()
                }
            }

            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.pad(&self.0)
                }
            }
        )*
    };
}

pub(crate) use ordered_ids;
