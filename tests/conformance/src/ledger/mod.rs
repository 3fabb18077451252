//! The promises of [`Ledger`].

pub mod expiry;
mod faulty;
pub mod races;
pub mod reserve;
pub mod settle;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::gateway::ledger::{StoreLedger, TrancheLedger};
use diogenes_core::ports::{
    Account, Amount, Charge, Clock as _, Ledger, LedgerError, Refusal, ReservationId, Settlement,
    StateStore, Unit,
};
use diogenes_core::testing::ManualClock;

/// For how long the checks reserve.
const LIFE: Duration = Duration::from_mins(10);

/// A ledger over a store, for one check.
pub struct Fixture {
    store: Arc<dyn StateStore>,
    over: fn(Arc<dyn StateStore>) -> Arc<dyn Ledger>,
    ledger: Arc<dyn Ledger>,
    clock: Arc<ManualClock>,
    is_remote: bool,
    has_tranches: bool,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A ledger in an empty store whose items expire by `clock`.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<ManualClock>) -> Self {
        let over: fn(Arc<dyn StateStore>) -> Arc<dyn Ledger> =
            |store| Arc::new(StoreLedger::new(store));
        let ledger = over(Arc::clone(&store));
        let (is_remote, has_tranches) = (false, false);
        Self { store, over, ledger, clock, is_remote, has_tranches, _keep: Box::new(()) }
    }

    /// The same for a ledger that reserves tranches in the store and divides them in memory.
    #[must_use]
    pub fn with_tranches(self) -> Self {
        static PROCESSES: AtomicUsize = AtomicUsize::new(0);
        let over: fn(Arc<dyn StateStore>) -> Arc<dyn Ledger> = |store| {
            let process = format!("process-{}", PROCESSES.fetch_add(1, Ordering::Relaxed));
            Arc::new(TrancheLedger::new(Arc::new(StoreLedger::new(store)), process))
        };
        Self { over, ledger: over(Arc::clone(&self.store)), has_tranches: true, ..self }
    }

    /// The same for a store whose calls take long, so that there are fewer of them.
    #[must_use]
    pub fn remote(self) -> Self {
        Self { is_remote: true, ..self }
    }

    /// Keeps what the store stands on until the check ends.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        Self { _keep: Box::new(what), ..self }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pass(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    async fn try_reserve(&self, id: &str, charges: &[Charge]) -> Result<(), LedgerError> {
        self.ledger.reserve(&reservation(id), charges, self.now() + LIFE, self.now()).await
    }

    async fn reserve(&self, id: &str, charges: &[Charge]) {
        self.try_reserve(id, charges).await.unwrap();
    }

    async fn refused(&self, id: &str, charges: &[Charge]) -> Refusal {
        match self.try_reserve(id, charges).await {
            Err(LedgerError::Refused(refusal)) => *refusal,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    async fn try_settle(&self, id: &str, used: &[u64]) -> Result<Settlement, LedgerError> {
        self.ledger.settle(&reservation(id), &amounts(used), self.now()).await
    }

    async fn settle(&self, id: &str, used: &[u64]) -> Settlement {
        self.try_settle(id, used).await.unwrap()
    }

    async fn charged(&self, account: &Account) -> u64 {
        self.ledger.charged(account).await.unwrap().get()
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

fn reservation(id: &str) -> ReservationId {
    ReservationId::new(id, 0)
}

fn amounts(values: &[u64]) -> Vec<Amount> {
    values.iter().map(|value| Amount::saturating(*value)).collect()
}

fn tokens(name: &str) -> Account {
    Account::lasting(name, Unit::Tokens)
}

fn charge(account: &Account, cap: u64, amount: u64) -> Charge {
    Charge {
        account: account.clone(),
        cap: Some(Amount::saturating(cap)),
        amount: Amount::saturating(amount),
    }
}

fn done(late: bool, overshoot: &[u64]) -> Settlement {
    Settlement::Done { late, overshoot: amounts(overshoot) }
}
