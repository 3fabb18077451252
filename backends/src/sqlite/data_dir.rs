use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The directory of one running server, locked against a second one.
///
/// The lock is advisory (`flock`) on the file `lock`, which names the process that holds it. It
/// ends with the process, however that ends, and with the drop of this value.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

/// Why a data directory is not ours to use.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(
        "`{}` is in use by {}; stop that process or choose another data directory",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        path: PathBuf,
        /// The process, where the lock file tells.
        pid: Option<u32>,
    },
    /// A file stands in its place.
    #[error(
        "`{}` is not a directory; move it away or choose another data directory",
        path.display()
    )]
    NotADirectory { path: PathBuf },
    /// It cannot be created or written.
    #[error(
        "`{}` cannot be written; let this user write it or choose another data directory",
        path.display()
    )]
    ReadOnly {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Anything else.
    #[error("`{}` cannot be used as data directory; see the cause", path.display())]
    Other {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl DataDir {
    /// Creates the directory (mode 0700) where there is none, and locks it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        match open(&path) {
            Ok(lock) => Ok(Self { path, lock }),
            Err(Refusal::Locked(pid)) => Err(DataDirError::Locked { path, pid }),
            Err(Refusal::Io(source)) => Err(match source.kind() {
                io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                    DataDirError::NotADirectory { path }
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    DataDirError::ReadOnly { path, source }
                }
                _ => DataDirError::Other { path, source },
            }),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the database of the state belongs.
    pub fn database(&self) -> PathBuf {
        self.path.join("state.db")
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Without the lock the pid would mislead who reads it.
        let _ = self.lock.set_len(0);
        // Closing is not enough: a child process that is just being started shares the file
        // until it executes its program.
        let _ = self.lock.unlock();
    }
}

enum Refusal {
    Locked(Option<u32>),
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn open(path: &Path) -> Result<File, Refusal> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    if !fs::metadata(path)?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
    }
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        // Before the lock is held the file is another process's.
        .truncate(false)
        .mode(0o600)
        .open(path.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // An unreadable pid only makes the message poorer.
            let _ = lock.take(32).read_to_string(&mut pid);
            return Err(Refusal::Locked(pid.trim().parse().ok()));
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())?;
    Ok(lock)
}
