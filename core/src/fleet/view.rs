use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::fleet::eta::since;
use crate::fleet::{
    BootHistory, ClaimId, Control, DrainReason, Failure, InstanceId, Model, Phase, PhaseTimes,
    Slot, SlotState, SpecHash,
};
use crate::ports::Key;
use crate::secret::Secret;

/// A model as routers see it: who serves it now, and how far those are who soon will.
#[derive(Clone, Debug)]
pub struct ModelView {
    pub model: Arc<Model>,
    /// The replicas that serve, by slot.
    pub replicas: Vec<ReplicaView>,
    /// Every taken slot.
    pub slots: Vec<Slot>,
    /// Operators' words and past failures.
    pub control: Control,
    /// How long earlier boots took.
    pub history: Option<BootHistory>,
    /// [`ModelSpec::launch_hash`](crate::fleet::ModelSpec::launch_hash) of the model.
    pub launch: SpecHash,
}

/// A replica that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaView {
    pub index: u32,
    pub claim: ClaimId,
    /// Where it answers.
    pub base_url: String,
    /// The key that it asks for.
    pub upstream_key: Secret,
}

/// How a model stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing runs; the next request starts it.
    Asleep,
    /// A replica is on its way.
    Starting,
    /// A replica serves.
    Ready,
    /// The last replicas are on their way out.
    Stopping,
    /// The last scale-up failed; the next may be tried later.
    Failed,
}

/// The progress of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    /// The time since the claim.
    pub elapsed: Duration,
    /// The time until it is ready, where earlier boots tell.
    pub eta: Option<Duration>,
}

/// One slot, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotView {
    pub index: u32,
    pub claim: ClaimId,
    /// `launching`, `booting`, `ready`, `draining` or `terminating`.
    pub state: String,
    /// How far it is, while it boots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// Where it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// What it was launched on: the label of its [`Placement`](crate::fleet::Placement).
    #[serde(rename = "instance_type")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why it drains or ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the slot was taken.
    pub claimed_at: Timestamp,
    /// When it became ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
}

impl ModelView {
    /// The view of a model with these records.
    pub fn new(
        model: Arc<Model>,
        slots: Vec<Slot>,
        control: Control,
        history: Option<BootHistory>,
    ) -> Self {
        let replicas = slots
            .iter()
            .filter_map(|slot| match &slot.state {
                SlotState::Ready { base_url, .. } => Some(ReplicaView {
                    index: slot.index,
                    claim: slot.claim.clone(),
                    base_url: base_url.clone(),
                    upstream_key: slot.launch.upstream_key.clone(),
                }),
                SlotState::Launching
                | SlotState::Booting { .. }
                | SlotState::Draining { .. }
                | SlotState::Terminating { .. } => None,
            })
            .collect();
        let launch = model.spec.launch_hash();
        Self { model, replicas, slots, control, history, launch }
    }

    /// Where the history stands that tells about the boot of one of `slots`, or of the next.
    pub(crate) fn history_key(model: &Model, slots: &[Slot]) -> Option<Key> {
        let rungs = model.spec.rungs();
        let booting = slots
            .iter()
            .find(|slot| slot.is_live())
            .and_then(|slot| slot.launch.ladder.get(slot.launch.rung));
        let rung = booting.or_else(|| rungs.first())?;
        Some(BootHistory::key_of(&model.name, rung.label(), &model.spec.hash()))
    }

    /// How the model stands.
    pub fn standing(&self, now: Timestamp) -> Standing {
        if self.model.deleted_at.is_some() {
            Standing::Stopping
        } else if !self.replicas.is_empty() {
            Standing::Ready
        } else if self.slots.iter().any(Slot::is_live) {
            Standing::Starting
        } else if self.failure(now).is_some() {
            Standing::Failed
        } else if self.slots.is_empty() {
            Standing::Asleep
        } else {
            Standing::Stopping
        }
    }

    /// The failure that forbids a scale-up now.
    pub fn failure(&self, now: Timestamp) -> Option<&Failure> {
        self.control.backing_off(&self.launch, now)
    }

    /// How far the foremost boot is; before its claim, the launch phase with no time gone.
    pub fn progress(&self, now: Timestamp) -> Progress {
        let foremost = self
            .slots
            .iter()
            .filter_map(|slot| match &slot.state {
                SlotState::Launching => Some((Phase::Launch, &slot.phases)),
                SlotState::Booting { phase, .. } => Some((*phase, &slot.phases)),
                SlotState::Ready { .. }
                | SlotState::Draining { .. }
                | SlotState::Terminating { .. } => None,
            })
            .max_by_key(|(phase, _)| *phase);
        if let Some((phase, times)) = foremost {
            return Progress {
                phase,
                elapsed: times.start().map_or(Duration::ZERO, |start| since(start, now)),
                eta: self.eta(times, phase, now),
            };
        }
        let cap = usize::try_from(self.model.max_replicas()).unwrap_or(usize::MAX);
        // Nobody knows how long those take that hold the places and are on their way out.
        let has_place = self.slots.len() < cap;
        let history = self.history.as_ref().filter(|_| has_place);
        Progress {
            phase: Phase::Launch,
            elapsed: Duration::ZERO,
            eta: history.and_then(BootHistory::eta_of_new_boot),
        }
    }

    fn eta(&self, times: &PhaseTimes, phase: Phase, now: Timestamp) -> Option<Duration> {
        self.history.as_ref()?.eta(times, phase, now)
    }
}

impl From<&Slot> for SlotView {
    fn from(slot: &Slot) -> Self {
        let mut view = Self {
            index: slot.index,
            claim: slot.claim.clone(),
            state: slot.state.name().into(),
            phase: None,
            instance: slot.instance().cloned(),
            base_url: None,
            label: slot.launch.ladder.get(slot.launch.rung).map(|rung| rung.label().to_owned()),
            reason: None,
            claimed_at: slot.claimed_at,
            ready_at: slot.phases.began(Phase::Ready),
        };
        match &slot.state {
            SlotState::Launching => view.phase = Some(Phase::Launch),
            SlotState::Booting { phase, .. } => view.phase = Some(*phase),
            SlotState::Ready { base_url, .. } => view.base_url = Some(base_url.clone()),
            SlotState::Draining { base_url, reason, .. } => {
                view.base_url = Some(base_url.clone());
                view.reason = Some(DrainReason::to_string(reason));
            }
            SlotState::Terminating { reason, .. } => view.reason = Some(reason.to_string()),
        }
        view
    }
}
