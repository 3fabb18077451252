use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diogenes_core::fleet::ClaimId;
use tokio::time::Instant;

use super::call::Call;
use super::entry::Entry;

/// How long a lost connection is held against a request.
const REMEMBERED: Duration = Duration::from_mins(1);
/// The most requests that are remembered; beyond it, all are forgotten.
const MAX_REQUESTS: usize = 1024;

/// Which requests replicas were lost over: the same body of the same key that ends one replica
/// after the other is to be stopped.
///
/// A lost connection alone says little. It counts once its replica is out of rotation.
#[derive(Debug, Default)]
pub(super) struct Casualties {
    /// Whether any is remembered, so that other requests pay for one look at a flag.
    any: AtomicBool,
    suspects: Mutex<HashMap<u64, Vec<(ClaimId, Instant)>>>,
    hasher: RandomState,
}

impl Casualties {
    /// Notes that the connection to the replica of `claim` was lost over a request. Providers have
    /// no replicas that it could bring down.
    pub(super) fn note(&self, call: &Call, claim: Option<&ClaimId>) {
        if let Some(claim) = claim {
            self.note_hash(self.hash(call), claim);
        }
    }

    /// The same for later, when the request itself is gone.
    pub(super) fn suspect(self: &Arc<Self>, call: &Call) -> Suspect {
        Suspect { request: self.hash(call), casualties: self.clone() }
    }

    fn note_hash(&self, request: u64, claim: &ClaimId) {
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut suspects);
        if suspects.len() >= MAX_REQUESTS {
            suspects.clear();
        }
        suspects.entry(request).or_default().push((claim.clone(), Instant::now()));
        self.any.store(true, Ordering::Release);
    }

    /// How many replicas of a model went out of rotation over this request, lately.
    pub(super) fn count(&self, call: &Call, entry: &Entry) -> usize {
        if !self.any.load(Ordering::Acquire) {
            return 0;
        }
        self.count_hash(self.hash(call), entry)
    }

    fn count_hash(&self, request: u64, entry: &Entry) -> usize {
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut suspects);
        self.any.store(!suspects.is_empty(), Ordering::Release);
        let Some(lost) = suspects.get(&request) else { return 0 };
        let mut gone: Vec<&ClaimId> = lost
            .iter()
            .map(|(claim, _)| claim)
            .filter(|claim| !entry.has_in_rotation(claim))
            .collect();
        gone.sort_unstable();
        gone.dedup();
        gone.len()
    }

    fn hash(&self, call: &Call) -> u64 {
        self.hasher.hash_one((call.by.key.as_str(), call.dialect.path(), &call.body))
    }
}

/// A request whose answer is on its way.
pub(super) struct Suspect {
    request: u64,
    casualties: Arc<Casualties>,
}

impl Suspect {
    /// Notes that the answer of the replica of `claim` was cut.
    pub(super) fn note(&self, claim: Option<&ClaimId>) {
        if let Some(claim) = claim {
            self.casualties.note_hash(self.request, claim);
        }
    }

    /// How many replicas of a model went out of rotation over its request, lately.
    pub(super) fn count(&self, entry: &Entry) -> usize {
        self.casualties.count_hash(self.request, entry)
    }
}

fn forget(suspects: &mut HashMap<u64, Vec<(ClaimId, Instant)>>) {
    suspects.retain(|_, lost| {
        lost.retain(|(_, at)| at.elapsed() < REMEMBERED);
        !lost.is_empty()
    });
}
