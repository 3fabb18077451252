use diogenes_core::batches::FileId;
use diogenes_core::datasets::{DatasetId, Snapshot};
use diogenes_formats::{Format, Mapping};
use serde::{Deserialize, Serialize};

/// What is to be imported, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportArguments {
    pub dataset: DatasetId,
    pub file: FileId,
    /// What the file is called, in messages and sources.
    pub filename: String,
    pub format: Format,
    /// Told from the beginning of the file when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// What stands between fields; told from the first line when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<u8>,
    #[serde(default)]
    pub map: Mapping,
    pub on_error: OnError,
    /// Leave out those whose input and expected answer are there already.
    #[serde(default)]
    pub skip_duplicates: bool,
}

/// What a row that is not an example means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Nothing is imported.
    Fail,
    /// It is left out, and written to a file.
    Skip,
}

/// What is to be exported, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExportArguments {
    pub snapshot: Snapshot,
    pub format: Format,
}
