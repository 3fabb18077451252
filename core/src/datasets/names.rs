use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ordered_id::ordered_ids;

/// The longest name of a dataset in bytes.
pub const MAX_DATASET_NAME: usize = 64;
/// How many digits of a digest name a snapshot at least.
pub const LEAST_DIGEST_DIGITS: usize = 6;

const EXAMPLE_PREFIX: &str = "ex_";
/// So many digits that the order of texts is that of numbers.
const EXAMPLE_DIGITS: usize = 10;

ordered_ids! {
    /// What a dataset keeps as long as it is there, and no later one of the same name has.
    DatasetId, "dataset_";
    /// One change of a dataset: its chunks have places of their own, and their age can be told.
    WriteId, "write_";
}

/// A name that a dataset, a snapshot or an example cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatasetName {
    #[error(
        "`{}` is not a name for a dataset; use 1 to {MAX_DATASET_NAME} of a–z 0–9 - _ . without \
         slashes and colons, starting with a letter or digit", .0.escape_debug()
    )]
    Name(String),
    #[error(
        "`{}` is not a snapshot; use `latest`, a number such as `v2`, or the first \
         {LEAST_DIGEST_DIGITS} or more digits of its digest", .0.escape_debug()
    )]
    Snapshot(String),
    #[error("`{}` is not the id of an example; ids look like `ex_0000000042`", .0.escape_debug())]
    Example(String),
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_DATASET_NAME + 1).collect()
}

/// What people call a dataset, unique in its project: 1 to 64 of `a–z 0–9 - _ .`, beginning with a
/// letter or a digit, and not as ids do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetName(String);

impl DatasetName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatasetName {
    type Err = InvalidDatasetName;

    fn from_str(text: &str) -> Result<Self, InvalidDatasetName> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = text.bytes().next();
        let is_name = text.len() <= MAX_DATASET_NAME
            && first.is_some_and(is_plain)
            && text.bytes().all(|byte| is_plain(byte) || matches!(byte, b'-' | b'_' | b'.'))
            && !text.starts_with("dataset_");
        if is_name {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDatasetName::Name(shortened(text)))
        }
    }
}

impl TryFrom<String> for DatasetName {
    type Error = InvalidDatasetName;

    fn try_from(text: String) -> Result<Self, InvalidDatasetName> {
        text.parse()
    }
}

impl From<DatasetName> for String {
    fn from(name: DatasetName) -> Self {
        name.0
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The number of an example in its dataset: 1, 2, … in the order in which they were added. No later
/// example gets it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExampleId(pub(super) u64);

impl ExampleId {
    /// The example of this number.
    pub fn numbered(number: u64) -> Self {
        Self(number)
    }

    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ExampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{EXAMPLE_PREFIX}{:0EXAMPLE_DIGITS$}", self.0))
    }
}

impl FromStr for ExampleId {
    type Err = InvalidDatasetName;

    /// Reads `ex_0000000042`, and `ex_42` too.
    fn from_str(text: &str) -> Result<Self, InvalidDatasetName> {
        let digits = text.strip_prefix(EXAMPLE_PREFIX).filter(|digits| {
            digits.len() <= 19 && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| InvalidDatasetName::Example(shortened(text)))
    }
}

impl Serialize for ExampleId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExampleId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The SHA-256 of what a snapshot or a chunk says, in 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sha256Digest(String);

impl Sha256Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self(crate::hex(&sha2::Sha256::digest(bytes)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Which snapshot of a dataset is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum SnapshotSelector {
    /// The newest one.
    #[default]
    Latest,
    /// The one with this number.
    Number(u32),
    /// The one whose digest begins with these digits.
    Digest(String),
}

impl FromStr for SnapshotSelector {
    type Err = InvalidDatasetName;

    /// Reads `latest`, `v2`, `sha256:…` or the first digits of a digest.
    fn from_str(text: &str) -> Result<Self, InvalidDatasetName> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let wrong = || InvalidDatasetName::Snapshot(shortened(text));
        if let Some(digits) = text.strip_prefix('v') {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse().ok().filter(|number| is_number && *number > 0);
            return number.map(Self::Number).ok_or_else(wrong);
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_digest =
            (LEAST_DIGEST_DIGITS..=64).contains(&digits.len()) && digits.bytes().all(is_digit);
        if is_digest { Ok(Self::Digest(digits.to_owned())) } else { Err(wrong()) }
    }
}

impl fmt::Display for SnapshotSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.pad("latest"),
            Self::Number(number) => f.pad(&format!("v{number}")),
            Self::Digest(digits) => f.pad(digits),
        }
    }
}

/// A snapshot as callers name it: `name`, `name@latest`, `name@v2` or `name@DIGEST`, where the name
/// may be the dataset's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatasetRef {
    pub dataset: String,
    pub snapshot: SnapshotSelector,
}

impl FromStr for DatasetRef {
    type Err = InvalidDatasetName;

    fn from_str(text: &str) -> Result<Self, InvalidDatasetName> {
        let (dataset, snapshot) = match text.split_once('@') {
            None => (text, SnapshotSelector::Latest),
            Some((dataset, snapshot)) => (dataset, snapshot.parse()?),
        };
        if DatasetId::from_caller(dataset).is_none() {
            dataset.parse::<DatasetName>()?;
        }
        Ok(Self { dataset: dataset.to_owned(), snapshot })
    }
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.dataset, self.snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_slashes_and_colons_and_do_not_look_like_ids() {
        for good in ["golden", "a", "2nd", "a.b-c_d", &"a".repeat(MAX_DATASET_NAME)] {
            assert!(good.parse::<DatasetName>().is_ok(), "{good}");
        }
        let long = "a".repeat(MAX_DATASET_NAME + 1);
        for bad in ["", "a/b", "a:b", "a@b", "A", "-a", "..", "ä", "a b", "dataset_1", &long] {
            let error = bad.parse::<DatasetName>().unwrap_err();
            assert!(error.to_string().contains("without slashes and colons"), "{bad}");
        }
    }

    #[test]
    fn references_name_one_snapshot() {
        let digest = "0123456789abcdef";
        for (text, snapshot) in [
            ("a", SnapshotSelector::Latest),
            ("a@latest", SnapshotSelector::Latest),
            ("a@v2", SnapshotSelector::Number(2)),
            ("a@0123456789abcdef", SnapshotSelector::Digest(digest.into())),
            ("a@sha256:0123456789abcdef", SnapshotSelector::Digest(digest.into())),
            ("a@123456", SnapshotSelector::Digest("123456".into())),
        ] {
            assert_eq!(text.parse::<DatasetRef>().unwrap().snapshot, snapshot, "{text}");
        }
        for bad in ["a@", "a@v0", "a@v", "a@v+1", "a@12345", "a@ABCDEF", "a@b@c", "@v1", "a/b@v1"] {
            assert!(bad.parse::<DatasetRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_of_examples_sort_by_their_numbers() {
        let texts = [9, 10, 1_000_000].map(|number| ExampleId(number).to_string());
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!("ex_42".parse(), Ok(ExampleId(42)));
        assert_eq!(ExampleId(42).to_string().parse(), Ok(ExampleId(42)));
        for bad in ["", "42", "ex_", "ex_0", "ex_-1", "ex_1a", "ex_99999999999999999999"] {
            assert!(bad.parse::<ExampleId>().is_err(), "{bad}");
        }
    }
}
