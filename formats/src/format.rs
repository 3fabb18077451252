use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a file is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Fields between commas, or what else the first line has between them.
    Csv,
    /// A JSON object a line.
    Jsonl,
    Parquet,
}

/// The name of a format that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a format; use `csv`, `jsonl` or `parquet`", .0.escape_debug())]
pub struct UnknownFormat(String);

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }

    /// The format of a file with this name, if its end tells.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, end) = name.rsplit_once('.')?;
        match end.to_ascii_lowercase().as_str() {
            "csv" | "tsv" | "tab" => Some(Self::Csv),
            "jsonl" | "ndjson" | "jsonlines" => Some(Self::Jsonl),
            "parquet" | "pq" => Some(Self::Parquet),
            _ => None,
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let all = [Self::Csv, Self::Jsonl, Self::Parquet];
        let shortened = || UnknownFormat(text.chars().take(40).collect());
        all.into_iter().find(|format| format.as_str() == text).ok_or_else(shortened)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_tells_the_format() {
        assert_eq!(Format::of_name("a.b.CSV"), Some(Format::Csv));
        assert_eq!(Format::of_name("a.ndjson"), Some(Format::Jsonl));
        assert_eq!(Format::of_name("a.parquet"), Some(Format::Parquet));
        assert_eq!(Format::of_name("csv"), None);
        assert!("xlsx".parse::<Format>().unwrap_err().to_string().contains("`parquet`"));
    }
}
