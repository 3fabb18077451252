use super::names::{DatasetName, ExampleId, SnapshotSelector};
use crate::ports::{BlobError, StoreError};
use crate::tenancy::ProjectError;

/// Something that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct DatasetProblem {
    /// The field, such as `examples[1].input`.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

impl DatasetProblem {
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same in a field that stands within `outer`.
    #[must_use]
    pub fn within(self, outer: impl std::fmt::Display) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }

    /// Refuses a text that is too long, in characters, or not printable.
    pub(super) fn in_text(field: &str, text: &str, most: usize) -> Result<(), Self> {
        let is_control = |c: char| c.is_control() && c != '\n';
        if text.chars().count() > most || text.chars().any(is_control) {
            return Err(Self::new(field, format!("must be at most {most} printable characters")));
        }
        Ok(())
    }
}

/// Why a dataset was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    #[error("dataset `{0}` does not exist; list the datasets with `diogenes dataset list`")]
    NotFound(String),
    #[error("a dataset `{0}` exists; add to it, or choose another name")]
    Exists(DatasetName),
    #[error(
        "dataset `{name}` has no snapshot `{selector}`; list them with `diogenes dataset snapshots {name}`"
    )]
    NoSnapshot { name: DatasetName, selector: SnapshotSelector },
    #[error("dataset `{name}` has several snapshots that begin with `{digits}`; give more digits")]
    Ambiguous { name: DatasetName, digits: String },
    #[error(
        "dataset `{name}` has no example `{id}`; list them with `diogenes dataset examples {name}`"
    )]
    NoExample { name: DatasetName, id: ExampleId },
    /// Somebody else has changed it meanwhile.
    #[error(
        "the newest snapshot of `{name}` is {latest}, not {expected}; look at it with `diogenes dataset show {name}` and try again"
    )]
    Changed { name: DatasetName, expected: String, latest: String },
    #[error(transparent)]
    Invalid(#[from] DatasetProblem),
    #[error("dataset `{name}` is full: it may have {most} {what}; begin another one")]
    Full { name: DatasetName, most: u64, what: &'static str },
    /// What was read is not what was written.
    #[error("a part of dataset `{name}` is missing or damaged: {reason}")]
    Damaged { name: DatasetName, reason: String },
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error("the examples could not be read or written")]
    Blob(#[from] BlobError),
    #[error("the datasets could not be read or written")]
    Store(#[from] StoreError),
}

impl DatasetError {
    /// Whether the write may have happened all the same: what it refers to must stay.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_in_doubt())
    }
}
