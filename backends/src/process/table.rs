//! What the backend knows of its instances, in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diogenes_core::fleet::{ClaimId, InstanceId, LaunchToken};
use diogenes_core::ports::{Instance, InstanceState, LaunchError, LaunchRequest};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::orphan::Orphan;
use super::record::RunRecord;

/// How many tokens of forgotten instances are remembered.
const SPENT: usize = 4096;

/// The instances, those that no record knows, and the tokens of forgotten ones.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By id, which is the claim's text.
    pub(super) instances: BTreeMap<InstanceId, Entry>,
    /// Groups of processes that carry our tags and have no record.
    pub(super) orphans: BTreeMap<InstanceId, Orphan>,
    /// Tokens of instances that were ended and forgotten, oldest first. A reconcile that read
    /// its slot before may still ask for one; none outlives this process.
    spent: VecDeque<LaunchToken>,
    /// Whether the backend was shut down.
    pub(super) closed: bool,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Entry {
    /// As it is on disk.
    pub(super) record: RunRecord,
    /// Whether [`terminate`](diogenes_core::ports::ComputeBackend::terminate) was called:
    /// then it is forgotten once it is gone.
    pub(super) asked: bool,
    /// Tells its supervisor to end it.
    pub(super) stop: Arc<Stop>,
    /// Its supervisor, while there is one.
    pub(super) task: Option<AbortHandle>,
}

/// Whether an instance shall be ended.
#[derive(Debug, Default)]
pub(super) struct Stop(watch::Sender<bool>);

impl Stop {
    /// It shall.
    pub(super) fn request(&self) {
        self.0.send_replace(true);
    }

    /// Returns once it shall.
    pub(super) async fn requested(&self) {
        // The sender is ours, so that it is never gone.
        let _ = self.0.subscribe().wait_for(|stop| *stop).await;
    }

    fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

impl Entry {
    /// An instance without a supervisor.
    pub(super) fn new(record: RunRecord) -> Self {
        Self { record, asked: false, stop: Arc::new(Stop::default()), task: None }
    }

    /// Whether the last of its processes has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.record.ended_at.is_some()
    }

    fn seen(&self, id: &InstanceId) -> Instance {
        let state = if self.has_ended() {
            InstanceState::Terminated { exit: self.record.exit.clone() }
        } else if self.stop.is_requested() {
            InstanceState::Stopping
        } else {
            InstanceState::Running
        };
        Instance {
            id: id.clone(),
            claim: Some(self.record.claim.clone()),
            model: Some(self.record.model.clone()),
            state,
            launched_at: Some(self.record.launched_at),
            addresses: Vec::new(),
        }
    }
}

/// What to do about a launch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing: this is its instance.
    Known(InstanceId),
    /// Nothing runs for the claim.
    Fresh,
    /// An earlier launch of the claim has ended.
    Again,
}

impl Table {
    /// What is known of a launch.
    pub(super) fn answer(&self, request: &LaunchRequest) -> Result<Answer, LaunchError> {
        let busy = |reason: &str| LaunchError::Transient { reason: reason.into(), source: None };
        if self.spent.contains(&request.token) {
            return Err(LaunchError::TokenSpent);
        }
        let id = id_of(&request.claim);
        if let Some(entry) = self.instances.get(&id) {
            return match (entry.record.token == request.token, entry.has_ended()) {
                (true, true) => Err(LaunchError::TokenSpent),
                (true, false) => Ok(Answer::Known(id)),
                (false, true) => Ok(Answer::Again),
                (false, false) => Err(busy("an earlier instance of this claim still runs")),
            };
        }
        if self.closed {
            return Err(busy("diogenes is shutting down"));
        }
        if self.orphans.contains_key(&id) {
            return Err(busy("processes of this claim without a record still run"));
        }
        Ok(Answer::Fresh)
    }

    /// Takes in an instance; one of the same claim before it is forgotten.
    pub(super) fn insert(&mut self, entry: Entry) {
        let id = id_of(&entry.record.claim);
        self.forget(&id);
        self.instances.insert(id, entry);
    }

    /// Forgets an instance but not its token.
    pub(super) fn forget(&mut self, id: &InstanceId) {
        if let Some(entry) = self.instances.remove(id) {
            self.spent.push_back(entry.record.token);
            if self.spent.len() > SPENT {
                self.spent.pop_front();
            }
        }
    }

    /// Everything as the fleet sees it.
    pub(super) fn seen(&self) -> Vec<Instance> {
        let known = self.instances.iter().map(|(id, entry)| entry.seen(id));
        let orphans = self.orphans.iter().map(|(id, orphan)| orphan.seen(id));
        known.chain(orphans).collect()
    }

    /// The claims whose processes run.
    pub(super) fn live(&self) -> Vec<ClaimId> {
        self.living().map(|entry| entry.record.claim.clone()).collect()
    }

    /// The ports that are spoken for.
    pub(super) fn ports(&self) -> BTreeSet<u16> {
        self.living().map(|entry| entry.record.port).collect()
    }

    /// The instances that have not ended.
    pub(super) fn living(&self) -> impl Iterator<Item = &Entry> {
        self.instances.values().filter(|entry| !entry.has_ended())
    }
}

/// The id of a claim's instance.
pub(super) fn id_of(claim: &ClaimId) -> InstanceId {
    InstanceId::new(claim.as_str())
}

/// Locks `mutex`. Nothing that holds one of ours can panic half-way through a change.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
