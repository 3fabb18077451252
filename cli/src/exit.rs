//! Exit codes: one per kind of failure, documented in `diogenes --help`.

use std::process::ExitCode;

/// What kind of failure ended a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything else.
    Other = 1,
    /// The configuration is wrong. Clap uses 2 for wrong flags too.
    Config = 2,
    /// The data directory or the database in it cannot be used.
    DataDir = 3,
    /// The server cannot be reached, or the port is in use.
    Unavailable = 4,
    /// The key is missing or refused.
    Denied = 5,
    /// There is no such model or key.
    NotFound = 6,
    /// The model could not be started.
    ModelFailed = 7,
    /// `doctor` found a problem.
    Unhealthy = 8,
}

/// A failure on its way to `main`.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) error: anyhow::Error,
}

impl Kind {
    /// Makes a failure of this kind out of an error, for `map_err`.
    pub(crate) fn failure(self) -> impl Fn(anyhow::Error) -> Failure {
        move |error| Failure { kind: self, error }
    }

    /// A failure of this kind with a message.
    pub(crate) fn because(self, message: impl Into<String>) -> Failure {
        Failure { kind: self, error: anyhow::anyhow!(message.into()) }
    }

    /// The code that the program exits with.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { kind: Kind::Other, error }
    }
}
