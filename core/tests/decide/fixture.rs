#![expect(clippy::expect_used, reason = "a test that cannot go on fails at once")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::decide::{Action, Decision, Situation, decide};
use diogenes_core::fleet::{
    AgentRules, Beat, BeatStatus, ClaimId, Control, Failure, FailureKind, InstanceId, Launch, Load,
    Model, ModelSpec, Phase, PhaseTimes, Placement, Slot, SlotState, Source,
};
use diogenes_core::ports::{Demand, Exit, Instance, InstanceState, ReplicaDemand};
use diogenes_core::secret::Secret;

/// Seconds after the beginning of time, as far as these tests go.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a valid time")
}

/// A situation that owns its parts.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) model: Option<Model>,
    pub(crate) control: Control,
    pub(crate) slots: Vec<Slot>,
    pub(crate) observed: Vec<Instance>,
    pub(crate) beats: BTreeMap<ClaimId, Beat>,
    pub(crate) demand: Demand,
    pub(crate) now: Timestamp,
    pub(crate) settle: Duration,
    pub(crate) agents: Option<AgentRules>,
    pub(crate) own: BTreeSet<ClaimId>,
    pub(crate) unpublished: BTreeSet<ClaimId>,
    pub(crate) interrupted: Option<InstanceId>,
}

impl Case {
    /// A model with up to two replicas, nobody asking, at second 1000.
    pub(crate) fn new() -> Self {
        let mut spec = ModelSpec::new(["vllm", "serve"]);
        spec.max_replicas = 2;
        spec.target_concurrency = 4;
        spec.idle_timeout = Duration::from_mins(10);
        spec.boot_timeout = Duration::from_mins(15);
        spec.drain_timeout = Duration::from_mins(5);
        let name: diogenes_core::name::ModelName = "demo".parse().expect("a name");
        Self {
            control: Control::new(name.clone()),
            model: Some(Model {
                name,
                spec,
                source: Source::Api,
                created_at: at(0),
                updated_at: at(0),
                deleted_at: None,
            }),
            slots: Vec::new(),
            observed: Vec::new(),
            beats: BTreeMap::new(),
            demand: Demand::default(),
            now: at(1000),
            settle: Duration::from_mins(5),
            agents: None,
            own: BTreeSet::new(),
            unpublished: BTreeSet::new(),
            interrupted: None,
        }
    }

    pub(crate) fn spec(&mut self) -> &mut ModelSpec {
        &mut self.model.as_mut().expect("a model").spec
    }

    /// Adds a slot in a state, with its instance running if it has one.
    pub(crate) fn slot(mut self, index: u32, state: SlotState) -> Self {
        let claim = claim(index);
        let spec = &self.model.as_ref().expect("a model").spec;
        let slot = Slot {
            model: "demo".parse().expect("a name"),
            index,
            claim: claim.clone(),
            claimed_at: at(0),
            launch: Launch {
                engine: spec.engine(),
                spec: spec.hash(),
                ladder: vec![Placement::local()],
                rung: 0,
                tried: 1,
                attempt: 0,
                asked_at: at(0),
                upstream_key: Secret::new("k"),
                lifetime: None,
            },
            phases: PhaseTimes::launched(at(0)),
            state,
        };
        if let Some(id) = slot.instance() {
            self.observed.push(Instance {
                id: id.clone(),
                claim: Some(claim),
                model: Some(slot.model.clone()),
                state: InstanceState::Running,
                launched_at: Some(at(0)),
                addresses: Vec::new(),
            });
        }
        self.slots.push(slot);
        self
    }

    pub(crate) fn ready(self, index: u32, since: i64) -> Self {
        self.slot(
            index,
            SlotState::Ready {
                instance: instance(index),
                base_url: format!("http://10.0.0.{index}:8000"),
                ready_at: at(since),
            },
        )
    }

    pub(crate) fn booting(self, index: u32, phase: Phase) -> Self {
        let launched_at = at(0);
        self.slot(index, SlotState::Booting { instance: instance(index), launched_at, phase })
    }

    /// Gives every instance this address.
    pub(crate) fn addressed(mut self, address: &str) -> Self {
        for seen in &mut self.observed {
            seen.addresses = vec![address.parse().expect("an address")];
        }
        self
    }

    pub(crate) fn beat(mut self, index: u32, status: BeatStatus) -> Self {
        let beat = Beat {
            claim: claim(index),
            status,
            load: Load::default(),
            log_tail: Vec::new(),
            log_end: 0,
            instance: None,
            at: at(0),
            expires_at: at(100_000),
        };
        self.beats.insert(claim(index), beat);
        self
    }

    pub(crate) fn ended(mut self, index: u32, exit: Option<Exit>) -> Self {
        let seen = self.observed.iter_mut().find(|seen| seen.id == instance(index));
        seen.expect("an instance").state = InstanceState::Terminated { exit };
        self
    }

    pub(crate) fn stopping(mut self, index: u32) -> Self {
        let seen = self.observed.iter_mut().find(|seen| seen.id == instance(index));
        seen.expect("an instance").state = InstanceState::Stopping;
        self
    }

    pub(crate) fn missing(mut self, index: u32) -> Self {
        self.observed.retain(|seen| seen.id != instance(index));
        self
    }

    pub(crate) fn held(mut self, held: u32) -> Self {
        self.demand.held = held;
        self.demand.last_request_at = Some(self.now);
        self.demand.last_arrival_at = Some(self.now);
        self
    }

    pub(crate) fn used(mut self, index: u32, running: u32, last_used: i64) -> Self {
        let replica = ReplicaDemand { running, waiting: 0, last_used_at: Some(at(last_used)) };
        self.demand.replicas.insert(claim(index), replica);
        self
    }

    pub(crate) fn now(mut self, second: i64) -> Self {
        self.now = at(second);
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn decide(&self) -> Decision {
        let spec = self.model.as_ref().map(|model| model.spec.hash());
        decide(&Situation {
            model: self.model.as_ref(),
            spec: spec.as_ref(),
            control: &self.control,
            slots: &self.slots,
            observed: &self.observed,
            observed_at: self.now,
            interrupted: self.interrupted.as_ref(),
            beats: &self.beats,
            demand: &self.demand,
            now: self.now,
            settle: self.settle,
            router_lag: Duration::from_secs(2),
            launch_patience: Duration::from_secs(5),
            own: &self.own,
            unpublished: &self.unpublished,
            agents: self.agents,
        })
    }

    pub(crate) fn actions(&self) -> Vec<Action> {
        self.decide().actions
    }
}

pub(crate) fn claim(index: u32) -> ClaimId {
    ClaimId::new(format!("claim-{index}"))
}

pub(crate) fn instance(index: u32) -> InstanceId {
    InstanceId::new(format!("i-{index}"))
}

pub(crate) fn failure(until: i64) -> Failure {
    Failure {
        kind: FailureKind::Capacity,
        reason: "none".into(),
        at: at(900),
        until: at(until),
        attempts: 1,
        spec: Case::new().spec().launch_hash(),
        claim: None,
    }
}
