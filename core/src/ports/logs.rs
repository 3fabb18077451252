use async_trait::async_trait;

use crate::fleet::ClaimId;
use crate::name::ModelName;

/// A piece of an inference server's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Whose log it is.
    pub claim: ClaimId,
    /// The text; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// The offset in bytes at which the log goes on behind it.
    pub next_offset: u64,
}

/// Reads the logs of inference servers.
#[async_trait]
pub trait LogSource: Send + Sync {
    /// The last `max_bytes` of the newest log of `model`, beginning at a line; `None` when it
    /// never ran.
    async fn tail(
        &self,
        model: &ModelName,
        max_bytes: usize,
    ) -> Result<Option<LogChunk>, std::io::Error>;

    /// What `claim` has logged from `offset` on, at most `max_bytes`; `None` when there is no
    /// such log any more.
    async fn read_from(
        &self,
        model: &ModelName,
        claim: &ClaimId,
        offset: u64,
        max_bytes: usize,
    ) -> Result<Option<LogChunk>, std::io::Error>;
}
