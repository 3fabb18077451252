//! Why the mock as a whole stopped or did not start. What a client is told is in `api::error`.

/// Why the mock did not start, or stopped without being asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address could not be bound.
    #[error("could not bind `{host}:{port}`; is another server running there?")]
    Bind {
        /// The host asked for.
        host: String,
        /// The port asked for.
        port: u16,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The runtime, a signal handler or the listening socket failed.
    #[error("could not start serving")]
    Start(#[source] std::io::Error),
    /// `--exit-during-boot` was asked for.
    #[error("engine core initialization failed, as `--exit-during-boot` asked for")]
    ExitDuringBoot {
        /// The exit code asked for.
        code: u8,
    },
    /// [`Faults::die_after`](crate::Faults::die_after) was reached.
    #[error("engine died, as `--die-after` asked for")]
    Died,
}

impl Error {
    /// The exit code a program should end with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::ExitDuringBoot { code } => *code,
            Self::Bind { .. } | Self::Start(_) | Self::Died => 1,
        }
    }
}
