use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::{ClaimId, InstanceId, Phase};
use crate::ports::Key;

/// The most log lines that a beat carries.
pub const MAX_LOG_LINES: usize = 40;

/// What the one who stands beside an inference server reports of it: the agent on an instance,
/// the process backend for its children. It alone declares readiness and publishes the base URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    pub claim: ClaimId,
    /// On which instance the reporter runs; a report from another instance than the claim's
    /// counts for nothing. None where a claim cannot have two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// How it is doing.
    pub status: BeatStatus,
    /// What it works on, as its own metrics tell.
    pub load: Load,
    /// The last lines of its log, at most [`MAX_LOG_LINES`]; for operators only.
    pub log_tail: Vec<String>,
    /// How many bytes the log has at the end of [`Self::log_tail`].
    #[serde(default)]
    pub log_end: u64,
    /// When the reporter wrote it, on its own clock; compared with no other.
    pub at: Timestamp,
    /// When it is absent, so that beats of ended claims go away by themselves.
    pub expires_at: Timestamp,
}

/// How an inference server is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum BeatStatus {
    /// Not ready yet.
    Booting {
        /// How far it is.
        phase: Phase,
    },
    /// It answers.
    Ready {
        /// Where: scheme, host and port, no trailing slash.
        base_url: String,
    },
    /// It has ended, or failed its health check.
    Unhealthy {
        /// What was seen.
        reason: String,
    },
    /// The provider has said that it takes the instance back soon.
    Interrupted {
        /// What it said.
        reason: String,
    },
}

/// Requests that an inference server works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Running, vLLM's `vllm:num_requests_running`.
    pub running: u32,
    /// Queued, vLLM's `vllm:num_requests_waiting`.
    pub waiting: u32,
}

impl Beat {
    /// Where the beat of `claim` stands.
    pub fn key_of(claim: &ClaimId) -> Key {
        Key::new(format!("BEAT#{claim}"), "BEAT")
    }
}

impl Entity for Beat {
    const KIND: &'static str = "beat";

    fn key(&self) -> Key {
        Self::key_of(&self.claim)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.expires_at)
    }
}
