use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::{ClaimId, SpecHash};
use crate::name::ModelName;
use crate::ports::Key;

/// What operators and past failures say of a model; absent until one of them speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    pub model: ModelName,
    /// At least one replica, whatever the demand.
    #[serde(default)]
    pub pinned: bool,
    /// The last `up`: counts as a request for one replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_at: Option<Timestamp>,
    /// The last `down`: replicas claimed before it are drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_at: Option<Timestamp>,
    /// When a replica last became ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// The last failed scale-up, until one succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The rung that worked last, so that the next scale-up starts there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_rung: Option<PreferredRung>,
}

/// A rung that is tried first for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreferredRung {
    /// Its place in the ladder.
    pub index: usize,
    /// When the ladder's own order counts again.
    pub until: Timestamp,
}

/// A scale-up that came to nothing. Until [`Failure::until`] nothing is launched and callers
/// get the reason at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What to tell callers.
    pub reason: String,
    /// When it happened.
    pub at: Timestamp,
    /// When the next scale-up may be tried.
    pub until: Timestamp,
    /// How many in a row.
    pub attempts: u32,
    /// What failed, as [`ModelSpec::launch_hash`](crate::fleet::ModelSpec::launch_hash) tells: a
    /// changed engine or ladder may be tried at once.
    pub spec: SpecHash,
    /// The claim that failed, by which its log is found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimId>,
}

/// Why a scale-up failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No rung had an instance.
    Capacity,
    /// A quota forbids it.
    Quota,
    /// The command or the image cannot work.
    InvalidSpec,
    /// A permission is missing.
    Denied,
    /// It was not ready in time.
    BootTimeout,
    /// It ended while it booted.
    Exited,
    /// The backend did not answer.
    Unavailable,
}

impl FailureKind {
    /// The stable code in errors: `model_failed_<this>`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::Quota => "quota",
            Self::InvalidSpec => "invalid_spec",
            Self::Denied => "denied",
            Self::BootTimeout => "boot_timeout",
            Self::Exited => "exited",
            Self::Unavailable => "unavailable",
        }
    }

    /// Where operators read more about a failure of `model`: its log, if an inference server ran.
    pub fn see_log(self, model: &str) -> Option<String> {
        match self {
            Self::BootTimeout | Self::Exited => Some(format!("see `diogenes logs {model}`")),
            Self::Capacity | Self::Quota | Self::InvalidSpec | Self::Denied | Self::Unavailable => {
                None
            }
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Failure {
    /// How long to wait after the `attempts`-th failure in a row: 5 s, 10 s, 20 s … 5 min.
    pub fn back_off(attempts: u32) -> Duration {
        const FIRST: Duration = Duration::from_secs(5);
        const MOST: Duration = Duration::from_mins(5);
        FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(MOST)
    }
}

impl Control {
    /// The control of a model that nobody has spoken of.
    pub fn new(model: ModelName) -> Self {
        Self {
            model,
            pinned: false,
            up_at: None,
            down_at: None,
            ready_at: None,
            failure: None,
            preferred_rung: None,
        }
    }

    /// Where the control of `model` stands.
    pub fn key_of(model: &ModelName) -> Key {
        Key::new(format!("MODEL#{model}"), "CONTROL")
    }

    /// The failure that forbids a launch of what hashes to `spec` at `now`.
    pub fn backing_off(&self, spec: &SpecHash, now: Timestamp) -> Option<&Failure> {
        self.failure.as_ref().filter(|failure| failure.until > now && failure.spec == *spec)
    }
}

impl Entity for Control {
    const KIND: &'static str = "model control";

    fn key(&self) -> Key {
        Self::key_of(&self.model)
    }
}
