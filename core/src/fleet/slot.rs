use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::fleet::{
    ClaimId, DeploymentId, Engine, InstanceId, LaunchToken, Phase, PhaseTimes, Placement, SpecHash,
};
use crate::name::ModelName;
use crate::ports::{Exit, Key, LaunchRequest, Query, Table};
use crate::secret::Secret;

/// A taken slot of a model. An absent record is a free slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    pub model: ModelName,
    /// Which of its slots, from 0.
    pub index: u32,
    /// This taking of the slot; unchanged through every state.
    pub claim: ClaimId,
    /// When it was taken.
    pub claimed_at: Timestamp,
    /// Everything a launch needs, so that whoever finds the record can finish it.
    pub launch: Launch,
    /// When each phase of its boot began.
    pub phases: PhaseTimes,
    /// Where it is in its life.
    pub state: SlotState,
}

/// The parameters of a launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// What to run.
    pub engine: Engine,
    /// The hash of its spec.
    pub spec: SpecHash,
    /// The ladder as it was at the claim.
    pub ladder: Vec<Placement>,
    /// The place in the ladder that is tried now.
    pub rung: usize,
    /// How many places were tried, this one included.
    pub tried: usize,
    /// Counts launches whose token was spent.
    pub attempt: u32,
    /// When whoever tries this place began to.
    #[serde(default)]
    pub asked_at: Timestamp,
    /// The key that the inference server asks of its callers.
    pub upstream_key: Secret,
    /// See [`LaunchRequest::lifetime`].
    #[serde(default, with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Duration>,
}

/// The life of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum SlotState {
    /// The backend is asked for an instance; it may or may not have one already.
    Launching,
    /// There is an instance; it does not answer yet.
    Booting {
        instance: InstanceId,
        /// When the backend confirmed it.
        launched_at: Timestamp,
        /// How far it is.
        phase: Phase,
    },
    /// It serves.
    Ready {
        instance: InstanceId,
        /// Where it answers.
        base_url: String,
        ready_at: Timestamp,
    },
    /// It finishes what it has and gets nothing new.
    Draining {
        instance: InstanceId,
        /// Where it answers.
        base_url: String,
        since: Timestamp,
        reason: DrainReason,
    },
    /// It is being ended, until the backend says that it is gone.
    Terminating {
        /// The instance; unknown when the end came before the launch was confirmed.
        instance: Option<InstanceId>,
        since: Timestamp,
        reason: EndReason,
    },
}

/// Why a replica is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainReason {
    /// Nobody used it.
    Idle,
    /// An operator said `down`.
    Down,
    /// The model was deleted, or its cap lowered.
    AboveCap,
    /// The model's engine changed.
    SpecChanged,
    /// It reached its maximum lifetime.
    Lifetime,
    /// The provider takes it back.
    Interrupted,
}

/// Why a claim ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// It was drained.
    Drained(DrainReason),
    /// It was not wanted any more before it was ready.
    Cancelled(DrainReason),
    /// No rung had an instance, or the launch was refused: nothing was launched.
    LaunchFailed,
    /// The backend did not say in time whether it has launched something.
    LaunchUnconfirmed,
    /// It was not ready in time.
    BootTimeout,
    /// It ended by itself.
    Exited(Option<Exit>),
    /// The backend does not know it any more.
    Lost,
    /// It failed its health check.
    Unhealthy,
    /// Its agent was not heard of for too long.
    Silent,
    /// The program that runs the fleet ended, and its instances with it.
    Shutdown,
}

/// What happens to a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotEvent {
    /// The backend has an instance for it.
    Launched(InstanceId),
    /// This rung has nothing; try that one.
    NextRung(usize),
    /// The launch token was spent; try with another.
    NextAttempt,
    /// The boot went on.
    Phase(Phase),
    /// It serves at this base URL.
    Ready(String),
    /// It shall get nothing new.
    Drain(DrainReason),
    /// It shall end.
    End(EndReason),
}

/// An event that does not fit the state: a bug in the caller, never a race, since every write
/// carries the version that was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("slot {index} of `{model}` cannot take {event} while {state}")]
pub struct InvalidTransition {
    pub model: ModelName,
    pub index: u32,
    /// The state's name.
    pub state: &'static str,
    pub event: String,
}

impl Slot {
    fn partition(model: &ModelName) -> String {
        format!("MODEL#{model}")
    }

    /// Where slot `index` of `model` stands.
    pub fn key_of(model: &ModelName, index: u32) -> Key {
        Key::new(Self::partition(model), format!("SLOT#{index:04}"))
    }

    /// Lists the taken slots of a model.
    pub fn all_of(model: &ModelName) -> Query {
        Query::new(Table::Main, Self::partition(model), "SLOT#")
    }

    /// Whether a record beside a model is a slot.
    pub fn is_at(key: &Key) -> bool {
        key.sort.starts_with("SLOT#")
    }

    /// The instance, where it is known.
    pub fn instance(&self) -> Option<&InstanceId> {
        match &self.state {
            SlotState::Launching => None,
            SlotState::Booting { instance, .. }
            | SlotState::Ready { instance, .. }
            | SlotState::Draining { instance, .. } => Some(instance),
            SlotState::Terminating { instance, .. } => instance.as_ref(),
        }
    }

    /// Whether it serves or is on its way to; such slots count against the demand.
    pub fn is_live(&self) -> bool {
        match self.state {
            SlotState::Launching | SlotState::Booting { .. } | SlotState::Ready { .. } => true,
            SlotState::Draining { .. } | SlotState::Terminating { .. } => false,
        }
    }

    /// Since when the backend has had an instance for it; the claim where that is not known.
    pub fn launched_at(&self) -> Timestamp {
        self.phases.began(Phase::Boot).unwrap_or(self.claimed_at)
    }

    /// The launch that this record asks for; `None` only if the record's ladder is damaged.
    pub fn launch_request(&self, deployment: &DeploymentId) -> Option<LaunchRequest> {
        let rung = self.launch.ladder.get(self.launch.rung)?;
        Some(LaunchRequest {
            token: LaunchToken::derive(
                deployment,
                &self.claim,
                self.launch.attempt,
                self.launch.rung,
                rung,
            ),
            claim: self.claim.clone(),
            model: self.model.clone(),
            engine: self.launch.engine.clone(),
            rung: rung.clone(),
            upstream_key: self.launch.upstream_key.clone(),
            lifetime: self.launch.lifetime,
        })
    }

    /// From when a stream on its replica had better go on at another one: the replica drains, and
    /// may end before the stream does. One that is reclaimed can end at any moment; any other one
    /// has half of its `drain_timeout` for streams to end by themselves.
    pub fn to_be_left_at(&self, drain_timeout: Duration) -> Option<Timestamp> {
        match &self.state {
            SlotState::Draining { since, reason: DrainReason::Interrupted, .. } => Some(*since),
            SlotState::Draining { since, .. } => Some(later(*since, drain_timeout / 2)),
            SlotState::Launching
            | SlotState::Booting { .. }
            | SlotState::Ready { .. }
            | SlotState::Terminating { .. } => None,
        }
    }

    /// Whether it drains though what it does is still wanted, so that another replica is worth a
    /// launch.
    pub fn is_to_be_replaced(&self) -> bool {
        matches!(
            &self.state,
            SlotState::Draining { reason: DrainReason::Interrupted | DrainReason::Lifetime, .. }
        )
    }

    /// The rung to try after this one, unless all were tried.
    pub fn next_rung(&self) -> Option<usize> {
        let rungs = self.launch.ladder.len();
        (self.launch.tried < rungs).then(|| (self.launch.rung + 1) % rungs.max(1))
    }

    /// The slot after `event`.
    pub fn after(&self, event: SlotEvent, now: Timestamp) -> Result<Self, InvalidTransition> {
        let mut next = self.clone();
        next.state = match (&self.state, event) {
            (SlotState::Launching, SlotEvent::Launched(instance)) => {
                next.phases.enter(Phase::Boot, now);
                SlotState::Booting { instance, launched_at: now, phase: Phase::Boot }
            }
            (SlotState::Launching, SlotEvent::NextRung(rung)) => {
                next.launch.rung = rung;
                next.launch.tried += 1;
                next.launch.asked_at = now;
                SlotState::Launching
            }
            (SlotState::Launching, SlotEvent::NextAttempt) => {
                next.launch.attempt += 1;
                next.launch.asked_at = now;
                SlotState::Launching
            }
            (SlotState::Booting { instance, launched_at, .. }, SlotEvent::Phase(phase)) => {
                next.phases.enter(phase, now);
                SlotState::Booting { instance: instance.clone(), launched_at: *launched_at, phase }
            }
            (SlotState::Booting { instance, .. }, SlotEvent::Ready(base_url)) => {
                next.phases.enter(Phase::Ready, now);
                SlotState::Ready { instance: instance.clone(), base_url, ready_at: now }
            }
            (SlotState::Ready { instance, base_url, .. }, SlotEvent::Drain(reason)) => {
                SlotState::Draining {
                    instance: instance.clone(),
                    base_url: base_url.clone(),
                    since: now,
                    reason,
                }
            }
            (
                SlotState::Launching
                | SlotState::Booting { .. }
                | SlotState::Ready { .. }
                | SlotState::Draining { .. },
                SlotEvent::End(reason),
            ) => SlotState::Terminating { instance: self.instance().cloned(), since: now, reason },
            (state, event) => {
                return Err(InvalidTransition {
                    model: self.model.clone(),
                    index: self.index,
                    state: state.name(),
                    event: format!("{event:?}"),
                });
            }
        };
        Ok(next)
    }
}

impl SlotState {
    /// The state's name in JSON and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Launching => "launching",
            Self::Booting { .. } => "booting",
            Self::Ready { .. } => "ready",
            Self::Draining { .. } => "draining",
            Self::Terminating { .. } => "terminating",
        }
    }
}

impl fmt::Display for DrainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Down => "taken down by an operator",
            Self::AboveCap => "above `max_replicas`, or the model was deleted",
            Self::SpecChanged => "the model's command or environment changed",
            Self::Lifetime => "reached its maximum lifetime",
            Self::Interrupted => "the provider is reclaiming it",
        })
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained(reason) | Self::Cancelled(reason) => reason.fmt(f),
            Self::LaunchFailed => f.write_str("the launch failed"),
            Self::LaunchUnconfirmed => f.write_str("the launch was not confirmed in time"),
            Self::BootTimeout => f.write_str("not ready in time"),
            Self::Exited(Some(exit)) => exit.fmt(f),
            Self::Exited(None) => f.write_str("ended by itself"),
            Self::Lost => f.write_str("the instance disappeared"),
            Self::Unhealthy => f.write_str("failed its health check"),
            Self::Silent => f.write_str("its agent stopped reporting"),
            Self::Shutdown => f.write_str("the server was shut down"),
        }
    }
}

impl Entity for Slot {
    const KIND: &'static str = "slot";

    fn key(&self) -> Key {
        Self::key_of(&self.model, self.index)
    }
}
