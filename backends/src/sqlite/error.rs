use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use diogenes_core::ports::StoreError;
use rusqlite::ErrorCode;

use super::workers::Lost;

/// Why a database was not opened. The file is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no directory for the file.
    #[error("the directory of `{}` does not exist; create it first", path.display())]
    NoDirectory { path: PathBuf },
    /// The file, or the directory that its log stands in, cannot be written.
    #[error(
        "`{}` cannot be written; let this user read and write it, or choose another place",
        path.display()
    )]
    ReadOnly {
        /// The file or the directory.
        path: PathBuf,
    },
    /// Something else stands at the path.
    #[error(
        "`{}` is not an SQLite database; move it away or choose another place",
        path.display()
    )]
    NotADatabase { path: PathBuf },
    /// The database of another program.
    #[error(
        "`{}` is a database of another program (application id {application_id:#010x}); \
         choose another place",
        path.display()
    )]
    Foreign {
        path: PathBuf,
        /// What it says about its owner.
        application_id: i32,
    },
    /// A newer release wrote it.
    #[error(
        "`{}` has schema version {found} and this program knows {known}; \
         upgrade `diogenes` or restore an older backup",
        path.display()
    )]
    Newer {
        path: PathBuf,
        /// Its schema version.
        found: i32,
        /// The newest that this program knows.
        known: i32,
    },
    /// Its content contradicts itself.
    #[error(
        "`{}` is damaged ({finding}); restore a backup, or save what is left with \
         `sqlite3 FILE .recover`",
        path.display()
    )]
    Damaged {
        path: PathBuf,
        /// What SQLite found.
        finding: String,
    },
    /// Another process writes to it and does not stop.
    #[error("another process holds `{}`; end it and try again", path.display())]
    Busy { path: PathBuf },
    /// Anything else.
    #[error("`{}` cannot be opened; see the cause", path.display())]
    Other {
        path: PathBuf,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl OpenError {
    pub(super) fn other(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Other { path: path.into(), source: source.into() }
    }

    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path: path.into() }
            }
            _ => Self::other(path, error),
        }
    }

    pub(super) fn sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, finding: error.to_string() },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            _ => Self::Other { path, source: error.into() },
        }
    }
}

/// What stops a job on a connection.
#[derive(Debug)]
pub(super) enum Fault {
    /// An answer of the port itself, such as a conflict.
    Store(StoreError),
    /// SQLite failed before the transaction was to be committed.
    Sql(rusqlite::Error),
    /// SQLite failed at the commit.
    Commit(rusqlite::Error),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    /// The port's error for a fault on the file at `path`.
    pub(super) fn into_store_error(self, path: &Path) -> StoreError {
        let (error, at_commit) = match self {
            Self::Store(error) => return error,
            Self::Sql(error) => (error, false),
            Self::Commit(error) => (error, true),
        };
        let file = path.display();
        let (kind, reason) = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => (
                Kind::Unavailable,
                format!("the disk of `{file}` is full; free some space and try again"),
            ),
            Some(ErrorCode::ReadOnly) => (
                Kind::Unavailable,
                format!("`{file}` is read-only; let this user write the file and its directory"),
            ),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                Kind::Unavailable,
                format!("another process holds `{file}`; end it, or try again when it is done"),
            ),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
                Kind::Corrupt,
                format!("`{file}` is not an intact SQLite database; restore a backup"),
            ),
            // SQLite refuses a statement of ours when the tables are not ours.
            Some(ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::SchemaChanged) => (
                Kind::Corrupt,
                format!("the tables of `{file}` are not as expected; restore a backup of it"),
            ),
            Some(_) if at_commit => (
                Kind::Unknown,
                format!("the commit to `{file}` failed half-way; read before trying again"),
            ),
            Some(_) => {
                (Kind::Unavailable, format!("`{file}` cannot be read or written; check its disk"))
            }
            // Not SQLite's answer: a column holds what was never put there.
            None => (
                Kind::Corrupt,
                format!("a row of `{file}` is not as expected; restore a backup of it"),
            ),
        };
        let source = Some(error.into());
        match kind {
            Kind::Corrupt => StoreError::Corrupt { reason, source },
            Kind::Unavailable => StoreError::Unavailable { reason, source },
            Kind::Unknown => StoreError::Unknown { reason, source },
        }
    }
}

/// What a failure of SQLite means for the caller.
enum Kind {
    Corrupt,
    Unavailable,
    Unknown,
}

/// The port's error for a job without a result.
pub(super) fn lost(lost: Lost, writes: bool) -> StoreError {
    let reason = "the thread of the database has ended; restart the program".to_owned();
    match lost {
        Lost::Unknown if writes => StoreError::Unknown { reason, source: None },
        Lost::Unknown | Lost::NotBegun => StoreError::Unavailable { reason, source: None },
    }
}
