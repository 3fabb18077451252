//! What differs between a router beside the fleet's loop and one of many that share a store: how
//! it learns of the fleet, and how the fleet learns what is wanted.

mod later;
mod local;
mod stamps;
mod stored;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::fleet::{ClaimId, Progress};
use diogenes_core::keys::KeyId;
use diogenes_core::ports::StoreError;

use super::entry::{Entry, Limit, Seat};

pub(super) use local::LocalFleet;
pub(super) use stored::StoredFleet;

/// Work that is done beside a request, or after it.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Anything whose drop ends what it stands for.
pub(super) trait Guard: fmt::Debug + Send + Sync {}
impl<T: fmt::Debug + Send + Sync> Guard for T {}

/// A place among the requests that wait for a model, over all routers. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    _seat: Seat,
    _shared: Option<Box<dyn Guard>>,
}

/// How many places there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room<'a> {
    /// For all requests together.
    pub(super) most: u32,
    /// For those of a key.
    pub(super) of_key: Option<(&'a KeyId, u32)>,
}

/// What comes of asking for a place.
#[derive(Debug)]
pub(super) enum Admitted {
    Place(Place),
    /// As many wait as may.
    Full(Limit),
}

impl Room<'_> {
    /// Enough for everybody: for requests that have had a place before.
    pub(super) const ENDLESS: Self = Self { most: u32::MAX, of_key: None };
}

impl Admitted {
    pub(super) fn place(self) -> Option<Place> {
        match self {
            Self::Place(place) => Some(place),
            Self::Full(_) => None,
        }
    }
}

/// See the module.
#[async_trait]
pub(super) trait FleetLink: fmt::Debug + Send + Sync {
    /// Makes what is known of the model that answers to `name` fresh enough for a request.
    async fn refresh(&self, name: &str) -> Result<(), StoreError>;

    /// Makes the list of models fresh.
    async fn refresh_models(&self) -> Result<(), StoreError>;

    /// Makes everything that is known of the fleet fresh.
    async fn refresh_all(&self) -> Result<(), StoreError>;

    /// Lets the fleet see that somebody asks for a model without a replica, and wakes it.
    async fn ask(&self, entry: &Entry);

    /// Takes a place among the requests that wait.
    async fn enter(&self, entry: &Arc<Entry>, room: Room<'_>) -> Result<Admitted, StoreError>;

    /// A place for a request that has had one before. Where the store cannot be asked it waits
    /// uncounted.
    async fn enter_again(&self, entry: &Arc<Entry>) -> Option<Place> {
        self.enter(entry, Room::ENDLESS).await.ok().and_then(Admitted::place)
    }

    /// What a request does for the model that it has waited for since `arrived_at`, from time to
    /// time: see how far it is, let the fleet see that it still waits, and make up for a lost
    /// wake-up.
    async fn look(&self, entry: &Entry, arrived_at: Timestamp);

    /// The time until the next [`look`](Self::look) of a request that waits for a boot so far.
    fn pause(&self, progress: &Progress) -> Duration;

    /// Lets the fleet see that a replica is in use, until the guard is dropped.
    fn in_use(&self, entry: &Entry, claim: &ClaimId) -> Option<Box<dyn Guard>>;

    /// Does `work` beside the request, at the latest before its last byte leaves.
    fn later(&self, work: Work);

    /// Does `work` at once if it waits for nothing, and else [`later`](Self::later).
    fn now_or_later(&self, mut work: Work) {
        let mut context = Context::from_waker(Waker::noop());
        if work.as_mut().poll(&mut context).is_pending() {
            self.later(work);
        }
    }

    /// Waits for what was left to [`later`](Self::later), where nothing would do it afterwards.
    async fn settle(&self);
}
