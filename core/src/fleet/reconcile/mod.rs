mod all;
mod boot;
mod cost;
mod launch;
mod lease;
mod outcome;
mod retire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::Timestamp;
use crate::entity::{Entity, StoreExt, Stored};
use crate::fleet::decide::{Action, Decision, Situation, decide};
use crate::fleet::{
    Beat, ClaimId, Control, DeploymentId, DrainReason, InstanceId, Model, ModelSpec, ModelView,
    Slot, SlotEvent, SlotState, UseLease, read_view,
};
use crate::name::ModelName;
use crate::ports::{
    Clock, ComputeBackend, Demand, DemandSource, Entropy, Expect, Instance, InstanceState,
    StateStore, StoreError, Timer, Version, Write,
};

pub use self::all::{Reconciled, Round};
pub use self::outcome::{FleetEvent, Outcome, ReconcileError};
pub use self::retire::Retire;

use self::all::{Listing, MODEL_TIMEOUT};

/// The most passes of one reconcile. A pass that changed something is followed by another, so
/// that a claim is launched at once; this bounds two reconcilers that disturb each other.
const MAX_PASSES: usize = 12;

/// Keeps the fleet as it should be: reads, decides, writes the intent, acts with an idempotency
/// token, observes. Any step may run twice or stop half-way; the next reconcile goes on there.
pub struct Reconciler {
    /// Where the records are.
    pub store: Arc<dyn StateStore>,
    /// Where the instances are.
    pub compute: Arc<dyn ComputeBackend>,
    /// What callers want.
    pub demand: Arc<dyn DemandSource>,
    pub clock: Arc<dyn Clock>,
    /// Ends the reconcile of a model that hangs.
    pub timer: Arc<dyn Timer>,
    /// Randomness for claims and upstream keys.
    pub entropy: Arc<dyn Entropy>,
    /// This installation.
    pub deployment: DeploymentId,
    /// How long a router may still send to a replica that it has not seen draining. Whoever
    /// publishes what a reconcile has found does so before it reconciles again; a replica is never
    /// drained and ended in one.
    pub router_lag: Duration,
    /// How long a launch is left to the reconciler that began it, before another one takes it
    /// over; zero where there is no other. A launch that is asked for twice launches once, but
    /// costs a call of the backend's rate each time.
    pub launch_patience: Duration,
    /// What holds where an agent stands beside each inference server; none where the compute
    /// backend reports for its instances itself.
    pub agents: Option<AgentRules>,
}

/// The rules of a fleet whose instances carry an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentRules {
    /// The oldest that any replica grows before it is drained and replaced, whatever its model
    /// says. Its instance ends itself later than that.
    pub max_lifetime: Duration,
}

impl AgentRules {
    /// A replica whose agent has not been heard of for so long is ended: beats expire sooner.
    pub const SILENCE: Duration = Duration::from_mins(3);
}

/// The records of one model.
struct Snapshot {
    /// Before they were read.
    read_at: Timestamp,
    model: Option<Stored<Model>>,
    control: Control,
    control_version: Option<Version>,
    slots: Vec<Stored<Slot>>,
    beats: BTreeMap<ClaimId, Beat>,
}

/// What the passes of a reconcile have done so far.
#[derive(Default)]
struct PassHistory {
    /// What happened that somebody wants to know.
    events: Vec<FleetEvent>,
    /// The claims that it launches for.
    own: BTreeSet<ClaimId>,
    /// The claims that it began to drain: no router can have seen that.
    drained: BTreeSet<ClaimId>,
}

/// What came of a decision.
struct Performed {
    /// Whether to read and decide again.
    again: bool,
    /// What the backend did not do.
    refused: Option<ReconcileError>,
}

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Effect {
    /// Records changed: decide again.
    Changed,
    /// The same, and somebody wants to know.
    Happened(FleetEvent),
    /// Somebody else was faster: read and decide again.
    Stale,
    /// Asked for; the effect shows later.
    Pending,
}

impl Reconciler {
    /// Reconciles one model until nothing more can be done now. What the backend refuses is told
    /// by the outcome: an instance that cannot be ended keeps no other from being launched.
    pub async fn reconcile(&self, name: &ModelName) -> Result<Outcome, ReconcileError> {
        self.in_time(MODEL_TIMEOUT, async {
            self.bump_leases(name).await?;
            self.reconcile_by(name, None, None).await
        })
        .await
    }

    /// Reconciles one model, by the listing that is given or by a fresh one for each pass. An old
    /// listing is as good as a slow one: no decision rests on its being fresh.
    async fn reconcile_by(
        &self,
        name: &ModelName,
        given: Option<&Listing>,
        interrupted: Option<&InstanceId>,
    ) -> Result<Outcome, ReconcileError> {
        let mut passes = 0;
        let mut history = PassHistory::default();
        loop {
            passes += 1;
            // First what there is, then the records: an instance's record is older than it.
            let fresh;
            let listing = if let Some(listing) = given {
                listing
            } else {
                fresh = self.list().await?;
                &fresh
            };
            let snapshot = self.read(name).await?;
            let leased = UseLease::read(&*self.store, name, self.clock.now()).await?;
            let demand = Demand { leased, ..self.demand.demand(name).await? };
            let slots: Vec<Slot> = snapshot.slots.iter().map(|slot| slot.value.clone()).collect();
            let mine = instances_of(name, &slots, &listing.instances);
            let spec = snapshot.model.as_ref().map(|model| model.value.spec.hash());
            let decision = decide(&Situation {
                spec: spec.as_ref(),
                model: snapshot.model.as_ref().map(|model| &model.value),
                control: &snapshot.control,
                slots: &slots,
                observed: &mine,
                observed_at: listing.at,
                interrupted,
                beats: &snapshot.beats,
                demand: &demand,
                now: self.clock.now(),
                settle: self.compute.settle_time(),
                router_lag: self.router_lag,
                launch_patience: self.launch_patience,
                own: &history.own,
                unpublished: &history.drained,
                agents: self.agents,
            });
            for note in &decision.notes {
                tracing::debug!(model = %name, desired = decision.desired, "nothing launched: {note}");
            }
            for slot in &slots {
                let ends = decision.actions.contains(&Action::Free { index: slot.index });
                // A round counts all of them, and comes by once a minute at least.
                if ends || (given.is_some() && passes == 1) {
                    self.account(slot, &demand.of(&slot.claim)).await;
                }
            }
            let Performed { again, refused } =
                self.perform_all(&snapshot, &decision, &mut history).await?;
            if again && passes < MAX_PASSES {
                continue;
            }
            let next_check = if again { Some(self.clock.now()) } else { decision.next_check };
            return Ok(Outcome {
                view: self.view(name).await?,
                next_check,
                desired: decision.desired,
                events: history.events,
                oldest_launch: oldest(&mine),
                refused,
            });
        }
    }

    /// The model as it stands, without changing anything.
    pub async fn view(&self, name: &ModelName) -> Result<Option<ModelView>, StoreError> {
        read_view(self.store.as_ref(), name).await
    }

    /// What a new instance of `spec` may live at most, by the model's own word: its lifetime and
    /// the time that it may then take to drain.
    fn lifetime(&self, spec: &ModelSpec) -> Option<Duration> {
        self.agents.and(spec.max_lifetime).map(|most| most.saturating_add(spec.drain_timeout))
    }

    async fn slots(&self, name: &ModelName) -> Result<Vec<Stored<Slot>>, StoreError> {
        self.store.load_all::<Slot>(Slot::all_of(name)).await
    }

    async fn read(&self, name: &ModelName) -> Result<Snapshot, StoreError> {
        let read_at = self.clock.now();
        let model = self.store.load::<Model>(&Model::key_of(name)).await?;
        let control = self.store.load::<Control>(&Control::key_of(name)).await?;
        let slots = self.slots(name).await?;
        let mut beats = BTreeMap::new();
        for slot in &slots {
            let claim = &slot.value.claim;
            if let Some(beat) = self.store.load::<Beat>(&Beat::key_of(claim)).await? {
                beats.insert(claim.clone(), beat.value);
            }
        }
        let (control, control_version) = match control {
            Some(stored) => (stored.value, Some(stored.version)),
            None => (Control::new(name.clone()), None),
        };
        Ok(Snapshot { read_at, model, control, control_version, slots, beats })
    }

    /// Performs a decision as far as the backend lets it.
    async fn perform_all(
        &self,
        snapshot: &Snapshot,
        decision: &Decision,
        history: &mut PassHistory,
    ) -> Result<Performed, ReconcileError> {
        let mut performed = Performed { again: false, refused: None };
        for action in &decision.actions {
            match self.perform(snapshot, action, history).await {
                Ok(Effect::Changed) => performed.again = true,
                Ok(Effect::Happened(event)) => {
                    history.events.push(event);
                    performed.again = true;
                }
                Ok(Effect::Pending) => {}
                Ok(Effect::Stale) | Err(ReconcileError::Store(StoreError::Conflict(_))) => {
                    performed.again = true;
                    break;
                }
                Err(error @ ReconcileError::Compute(_)) => {
                    keep_first(&mut performed.refused, error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(performed)
    }

    async fn perform(
        &self,
        snapshot: &Snapshot,
        action: &Action,
        history: &mut PassHistory,
    ) -> Result<Effect, ReconcileError> {
        match action {
            Action::Claim { index } => self.claim(snapshot, *index, &mut history.own).await,
            Action::Launch { index } => self.launch(snapshot, *index, &mut history.own).await,
            Action::Move { index, event: SlotEvent::Drain(reason) } => {
                self.drain(snapshot, *index, *reason, history).await
            }
            Action::Move { index, event } => self.advance(snapshot, *index, event.clone()).await,
            Action::Fail { index, kind, reason, end } => {
                self.fail(snapshot, *index, *kind, reason, end.clone()).await
            }
            Action::Terminate { instance } => {
                self.compute.terminate(instance).await?;
                Ok(Effect::Pending)
            }
            Action::TerminateOrphan { instance } => {
                self.terminate(instance, "no record owns it").await?;
                Ok(Effect::Pending)
            }
            Action::Free { index } => {
                let Some(slot) = find(snapshot, *index) else {
                    return Ok(Effect::Stale);
                };
                let key = slot.value.key();
                self.store.remove(key, slot.unchanged()).await?;
                tracing::info!(model = %slot.value.model, slot = index, "slot {index} of `{}` is free", slot.value.model);
                Ok(Effect::Happened(FleetEvent::Freed))
            }
            Action::ForgetModel => self.forget(snapshot).await,
        }
    }

    async fn terminate(&self, instance: &InstanceId, why: &str) -> Result<(), ReconcileError> {
        tracing::warn!(instance.id = %instance, "terminating orphan {instance}: {why}");
        Ok(self.compute.terminate(instance).await?)
    }

    async fn drain(
        &self,
        snapshot: &Snapshot,
        index: u32,
        reason: DrainReason,
        history: &mut PassHistory,
    ) -> Result<Effect, ReconcileError> {
        let Some(slot) = find(snapshot, index) else {
            return Ok(Effect::Stale);
        };
        // Before the write: one whose answer is lost may have happened all the same.
        history.drained.insert(slot.value.claim.clone());
        self.write(slot, SlotEvent::Drain(reason)).await
    }

    async fn advance(
        &self,
        snapshot: &Snapshot,
        index: u32,
        event: SlotEvent,
    ) -> Result<Effect, ReconcileError> {
        let Some(slot) = find(snapshot, index) else {
            return Ok(Effect::Stale);
        };
        if matches!(event, SlotEvent::Ready(_)) {
            return self.make_ready(snapshot, slot, event).await;
        }
        self.write(slot, event).await
    }

    async fn write(&self, slot: &Stored<Slot>, event: SlotEvent) -> Result<Effect, ReconcileError> {
        let next = slot.value.after(event, self.clock.now())?;
        let next = self.store.save(next, slot.unchanged()).await?;
        log_transition(&slot.value, &next.value);
        Ok(Effect::Changed)
    }

    async fn forget(&self, snapshot: &Snapshot) -> Result<Effect, ReconcileError> {
        let Some(model) = &snapshot.model else {
            return Ok(Effect::Stale);
        };
        let mut writes = vec![Write::Delete { key: model.value.key(), expect: model.unchanged() }];
        if snapshot.control_version.is_some() {
            writes.push(Write::Delete { key: snapshot.control.key(), expect: expected(snapshot) });
        }
        self.store.commit(&writes).await?;
        Ok(Effect::Pending)
    }
}

/// Keeps the first error for the caller; those after it go to the log.
fn keep_first(first: &mut Option<ReconcileError>, error: ReconcileError) {
    if first.is_none() {
        *first = Some(error);
    } else {
        tracing::error!(error = &error as &dyn std::error::Error, "{error}, again");
    }
}

fn find(snapshot: &Snapshot, index: u32) -> Option<&Stored<Slot>> {
    snapshot.slots.iter().find(|slot| slot.value.index == index)
}

/// The expectation that the control still is as it was read.
fn expected(snapshot: &Snapshot) -> Expect {
    snapshot.control_version.clone().map_or(Expect::Absent, Expect::Version)
}

fn instances_of(name: &ModelName, slots: &[Slot], observed: &[Instance]) -> Vec<Instance> {
    observed
        .iter()
        .filter(|instance| {
            instance.model.as_ref() == Some(name)
                || slots.iter().any(|slot| Some(&slot.claim) == instance.claim.as_ref())
        })
        .cloned()
        .collect()
}

/// When the oldest instance that has not ended was launched.
fn oldest(instances: &[Instance]) -> Option<Timestamp> {
    instances
        .iter()
        .filter(|instance| !matches!(instance.state, InstanceState::Terminated { .. }))
        .filter_map(|instance| instance.launched_at)
        .min()
}

fn log_transition(before: &Slot, after: &Slot) {
    let (from, to) = (before.state.name(), after.state.name());
    let what = match &after.state {
        SlotState::Booting { phase, .. } if from == to => format!("is booting: {phase}"),
        SlotState::Draining { reason, .. } => format!("went from {from} to {to}: {reason}"),
        SlotState::Terminating { reason, .. } => format!("went from {from} to {to}: {reason}"),
        SlotState::Launching | SlotState::Booting { .. } | SlotState::Ready { .. } => {
            format!("went from {from} to {to}")
        }
    };
    tracing::info!(
        model = %after.model, slot = after.index, claim = %after.claim, from, to,
        "slot {} of `{}` {what}", after.index, after.model,
    );
}
