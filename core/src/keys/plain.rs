use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ports::Entropy;
use crate::secret::Secret;

const PREFIX: &str = "dg_";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 256 bits in base62.
const BODY: usize = 43;
/// A CRC-32 in base62, as in GitHub's tokens.
const CHECKSUM: usize = 6;

/// A whole API key, as its holder has it. `Debug` shows none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainKey(Secret);

/// Text that is not a key of ours, known without a look into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    /// It does not look like a key at all.
    #[error("not an API key; a key is `dg_` followed by 49 letters and digits")]
    Shape,
    /// It looks like one with a typo.
    #[error("the API key's checksum does not match; check that it was copied completely")]
    Checksum,
}

/// What identifies a key: the first 16 base62 characters of its hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

/// The SHA-256 of a key; compared in constant time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(String);

impl PlainKey {
    /// A fresh key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 32];
        entropy.fill(&mut bytes);
        let body = format!("{PREFIX}{}", base62(&bytes, BODY));
        let checksum = checksum(&body);
        Self(Secret::new(body + &checksum))
    }

    /// The text, for the one answer that shows it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Its hash.
    pub fn hash(&self) -> KeyHash {
        KeyHash(base62(&Sha256::digest(self.expose().as_bytes()), BODY))
    }
}

impl FromStr for PlainKey {
    type Err = MalformedKey;

    fn from_str(text: &str) -> Result<Self, MalformedKey> {
        let rest = text.strip_prefix(PREFIX).ok_or(MalformedKey::Shape)?;
        if rest.len() != BODY + CHECKSUM || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(MalformedKey::Shape);
        }
        let (body, check) = text.split_at(PREFIX.len() + BODY);
        if checksum(body) == check {
            Ok(Self(Secret::new(text)))
        } else {
            Err(MalformedKey::Checksum)
        }
    }
}

impl KeyId {
    /// The id that a caller names; it need not exist.
    pub fn from_caller(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyHash {
    /// The id of the key with this hash.
    pub fn id(&self) -> KeyId {
        KeyId(self.0.chars().take(16).collect())
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for KeyHash {}

fn checksum(body: &str) -> String {
    base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM)
}

/// A big-endian number in base62, padded to `width`.
fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = Vec::with_capacity(width);
    for _ in 0..width {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = remainder * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        digits.push(BASE62.get(remainder as usize).copied().unwrap_or(b'0'));
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn a_generated_key_is_read_back() {
        for byte in [0, 1, 127, 255] {
            let key = PlainKey::generate(&Fixed(byte));
            assert_eq!(key.expose().len(), 52);
            assert_eq!(key.expose().parse(), Ok(key.clone()));
            assert_eq!(key.hash().id().as_str().len(), 16);
        }
    }

    #[test]
    fn every_single_typo_is_found() {
        let key = PlainKey::generate(&Fixed(7)).expose().to_owned();
        for at in 3..key.len() {
            let mut typo = key.clone().into_bytes();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            let typo = String::from_utf8(typo).expect("ASCII");
            assert_eq!(typo.parse::<PlainKey>(), Err(MalformedKey::Checksum), "{typo}");
        }
    }

    #[test]
    fn other_text_is_no_key() {
        for text in
            ["", "dg_", "sk-123", "dg_é", &"x".repeat(52), &format!("dg_{}", "!".repeat(49))]
        {
            assert_eq!(text.parse::<PlainKey>(), Err(MalformedKey::Shape), "{text}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_key() {
        let key = PlainKey::generate(&Fixed(9));
        assert!(!format!("{key:?}").contains(&key.expose()[3..9]));
    }
}
