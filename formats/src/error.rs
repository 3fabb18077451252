use std::fmt;
use std::io;

/// A row that is not an example, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct BadRow {
    pub place: Place,
    /// What is wrong, and what to do.
    pub reason: String,
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The line that the row begins in, from 1; for Parquet the row.
    pub line: u64,
    pub column: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        match &self.column {
            Some(column) => write!(f, ", column `{}`", column.escape_debug()),
            None => Ok(()),
        }
    }
}

impl BadRow {
    pub(crate) fn new(line: u64, column: Option<&str>, reason: impl Into<String>) -> Self {
        let column = column.map(|column| column.chars().take(80).collect());
        Self { place: Place { line, column }, reason: reason.into() }
    }
}

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// All of the file is wrong: its beginning, its columns.
    #[error("{0}")]
    Unusable(String),
    #[error(transparent)]
    Row(#[from] BadRow),
    #[error("the file could not be read or written")]
    Io(#[from] io::Error),
}

impl FormatError {
    pub(crate) fn unusable(reason: impl Into<String>) -> Self {
        Self::Unusable(reason.into())
    }
}
