use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::fleet::{ClaimId, Engine, InstanceId, LaunchToken, Placement};
use crate::name::ModelName;
use crate::secret::Secret;

/// Launches and terminates what runs an inference server: an EC2 instance, a child process.
///
/// An instance carries its claim and its model as tags, so that [`describe`](Self::describe)
/// finds it when every record of it is lost.
#[async_trait]
pub trait ComputeBackend: Send + Sync {
    /// Starts an instance and returns its id as soon as that is known, long before it serves.
    ///
    /// Idempotent on [`LaunchRequest::token`]: a second call with the same request returns the
    /// same instance while it lives, and [`LaunchError::TokenSpent`] when it has ended.
    async fn launch(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError>;

    /// Every instance that this deployment owns, found by tag, also those that no record
    /// knows. One that has ended may be listed as [`InstanceState::Terminated`] for a while.
    /// A new one may be missing for up to [`settle_time`](Self::settle_time).
    async fn describe(&self) -> Result<Vec<Instance>, ComputeError>;

    /// Asks for the end of an instance and returns before it is gone. Repeat calls, and a call
    /// for an instance that is gone or never was, succeed. After it, an instance that has
    /// ended need not be listed any more.
    async fn terminate(&self, id: &InstanceId) -> Result<(), ComputeError>;

    /// How long after its launch an instance may be missing from
    /// [`describe`](Self::describe) though it lives. Zero where `describe` is exact.
    fn settle_time(&self) -> Duration;
}

/// What to start. Two requests with one token are equal in every field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchRequest {
    pub token: LaunchToken,
    /// The claim that the instance serves; a tag of the instance.
    pub claim: ClaimId,
    /// The model that it serves; a tag of the instance.
    pub model: ModelName,
    /// The inference server.
    pub engine: Engine,
    /// Where to launch: one step of the model's ladder.
    pub rung: Placement,
    /// The key that the inference server asks of its callers.
    pub upstream_key: Secret,
    /// After this the instance may end itself, whatever the fleet wants; none for no limit of
    /// the model's own.
    pub lifetime: Option<Duration>,
}

/// One instance as the backend sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub id: InstanceId,
    /// The claim tag; an instance of ours without one is an orphan.
    pub claim: Option<ClaimId>,
    pub model: Option<ModelName>,
    /// Whether it runs.
    pub state: InstanceState,
    /// When it was launched, where that is known.
    pub launched_at: Option<Timestamp>,
    /// Its addresses, where the backend knows them.
    pub addresses: Vec<IpAddr>,
}

/// The life of an instance, as far as the fleet needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// Starting or running: it costs money or memory.
    Running,
    /// On its way out.
    Stopping,
    /// Ended.
    Terminated {
        /// How, where that is known.
        exit: Option<Exit>,
    },
}

/// How an instance ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// The provider took it back (a spot interruption, a hardware fault).
    Reclaimed(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
            Self::Reclaimed(reason) => write!(f, "was reclaimed: {reason}"),
        }
    }
}

/// A fault of [`ComputeBackend::describe`] or [`ComputeBackend::terminate`].
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// The deployment lacks a permission.
    #[error("not allowed: {reason}")]
    Denied { reason: String },
    /// A passing fault; the same call may succeed later.
    #[error("the compute backend did not answer: {reason}")]
    Transient {
        reason: String,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// Why an instance was not launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// None of this kind is to be had now; the next rung may have one.
    #[error("no capacity: {reason}")]
    Capacity {
        /// What the provider said.
        reason: String,
    },
    /// A quota of the account forbids it until somebody raises it.
    #[error("quota reached: {reason}")]
    Quota {
        /// Which quota, and where to raise it.
        reason: String,
    },
    /// The request can never succeed: a command that does not exist, a bad image.
    #[error("{reason}")]
    InvalidSpec {
        /// What is wrong and where to mend it.
        reason: String,
    },
    /// The deployment lacks a permission.
    #[error("not allowed: {reason}")]
    Denied { reason: String },
    /// The token's instance has ended; a new attempt needs a new token.
    #[error("the instance of this launch token has ended already")]
    TokenSpent,
    /// A passing fault, or a lost answer: the same call may succeed, or find that it did.
    #[error("the launch was not confirmed: {reason}")]
    Transient {
        reason: String,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}
