use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::check::{check, check_expiry};
use super::purse::{LONGEST, Stage, Tranche};
use super::tranches::{Reserved, Settled, Tranches};
use crate::Timestamp;
use crate::fleet::eta::later;
use crate::ports::{
    Account, Amount, Charge, Estimate, Ledger, LedgerError, Refusal, ReservationId, Settlement,
    StoreError,
};

/// A [`Ledger`] for one process with many requests: it reserves tranches in another ledger and
/// divides them in memory, so that a request costs no write as long as its tranche lasts.
///
/// The guarantees of the port hold, since everything that is divided was reserved before. What
/// differs:
///
/// - After a crash the rest of each tranche counts as used: of a capped account at most a
///   sixteenth of what was left, or what the requests needed that waited at the time. Reservations
///   of the process that has crashed are [`LedgerError::NotFound`].
/// - The ledger beneath, and so every other process, sees whole tranches until
///   [`tend`](Self::tend) or [`close`](Self::close) gives back what is idle.
/// - Where the cap of an account is changed, tranches of the old one that are in use still count,
///   so that a request may be refused too early until they are given back; never too late.
/// - The last 4,096 settlements are remembered; a repeat of an older one is
///   [`LedgerError::NotFound`].
///
/// A reservation of more than 24 hours is made in the ledger beneath. Any call may be dropped at
/// any point: the next one on the account finds out what became of a half-done tranche.
pub struct TrancheLedger {
    inner: Arc<dyn Ledger>,
    process: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tranches: Tranches,
    begun: u64,
}

impl TrancheLedger {
    /// Divides what it reserves in `inner`. The ids of its reservations there begin with
    /// `process`, which must differ from that of every other process and of every earlier start.
    pub fn new(inner: Arc<dyn Ledger>, process: impl Into<String>) -> Self {
        Self { inner, process: process.into(), state: Mutex::default() }
    }

    /// Gives back the tranches that nobody has taken from for a minute, and settles those that are
    /// used up. To be called every minute or so: memory is bounded by what happens between two
    /// calls, apart from reservations that nobody has settled. A failure concerns some accounts;
    /// the next call repeats what was not done.
    pub async fn tend(&self, now: Timestamp) -> Result<(), LedgerError> {
        self.state().tranches.forget(now);
        self.settle_tranches(|tranches, account| {
            tranches.purse(account).release_idle(now);
        })
        .await
    }

    /// Settles every tranche by what was used of it, at the end of the process. What is reserved
    /// at this moment counts as used for good, so the requests should have ended before. After a
    /// failure it may be repeated.
    pub async fn close(&self, now: Timestamp) -> Result<(), LedgerError> {
        self.settle_tranches(|tranches, account| tranches.purse(account).close(now)).await
    }

    /// Settles what `release` chooses, account by account; returns the first failure.
    async fn settle_tranches(
        &self,
        release: impl Fn(&mut Tranches, &Account) + Send + Sync,
    ) -> Result<(), LedgerError> {
        let accounts = self.state().tranches.accounts();
        let mut result = Ok(());
        for account in accounts {
            let turn = Arc::clone(&self.state().tranches.purse(&account).turn);
            let _turn = turn.lock().await;
            release(&mut self.state().tranches, &account);
            result = result.and(self.finish(&account).await);
        }
        self.state().tranches.tidy();
        result
    }

    /// The accounts and the reservations in memory.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        self.state().tranches.size()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a tranche for `charge`, unless another call has done so meanwhile.
    async fn refill(
        &self,
        charge: &Charge,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let account = &charge.account;
        let _waiting = Waiting::new(self, charge);
        let turn = Arc::clone(&self.state().tranches.purse(account).turn);
        let _turn = turn.lock().await;
        self.state().tranches.purse(account).release_one(now);
        self.finish(account).await?;
        loop {
            // Whoever had the turn before may have reserved for all who waited.
            if self.state().tranches.purse(account).missing(charge, expires_at) == Amount::ZERO {
                return Ok(());
            }
            let left = match charge.cap {
                Some(cap) => cap.minus(self.inner.charged(account).await?),
                None => Amount::MAX,
            };
            let (missing, size) = {
                let mut state = self.state();
                let purse = state.tranches.purse(account);
                let missing = purse.missing(charge, expires_at);
                if missing == Amount::ZERO {
                    return Ok(());
                }
                (missing, purse.size(charge, missing, left, now))
            };
            let mut left_beneath = left;
            if missing <= left {
                let mut result = self.begin(account, charge.cap, size, now).await;
                // Another process may have taken the difference meanwhile.
                if is_bound(&result) && size > missing {
                    result = self.begin(account, charge.cap, missing, now).await;
                }
                match result {
                    Err(LedgerError::Refused(refusal)) => left_beneath = refusal.left,
                    other => return other,
                }
            }
            if self.state().tranches.purse(account).release_for(charge, expires_at, now) {
                self.finish(account).await?;
                continue;
            }
            return self.refusal(charge, left_beneath, expires_at, now);
        }
    }

    /// The refusal of `charge`; nothing if its purse has been given back enough meanwhile.
    fn refusal(
        &self,
        charge: &Charge,
        left_beneath: Amount,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut state = self.state();
        let left = state.tranches.purse(&charge.account).left_for(charge, expires_at);
        let left = left.plus(left_beneath);
        match charge.cap {
            Some(cap) if left < charge.amount => Err(LedgerError::Refused(Box::new(Refusal {
                account: charge.account.clone(),
                cap,
                left,
                in_flight: state.tranches.in_flight(&charge.account, now),
                resets_at: charge.account.ends_at,
            }))),
            Some(_) | None => Ok(()),
        }
    }

    /// Reserves a tranche. The caller has the turn of the account.
    async fn begin(
        &self,
        account: &Account,
        cap: Option<Amount>,
        amount: Amount,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        {
            let mut state = self.state();
            state.begun = state.begun.saturating_add(1);
            let number = state.begun;
            let id = ReservationId::new(&format!("{}-{number}", self.process), 0);
            let charge = Charge { account: account.clone(), cap, amount };
            let tranche = Tranche::new(id, charge, now);
            state.tranches.purse(account).begin(number, tranche);
        }
        self.finish(account).await
    }

    /// Reserves and settles in the ledger beneath what was begun. The caller has the turn of the
    /// account.
    async fn finish(&self, account: &Account) -> Result<(), LedgerError> {
        loop {
            let unfinished = self.state().tranches.purse(account).unfinished();
            let Some((number, Tranche { id, charge, expires_at, stage })) = unfinished else {
                return Ok(());
            };
            let result = match stage {
                Stage::Reserving { since } => {
                    self.inner.reserve(&id, &[charge], expires_at, since).await
                }
                Stage::Settling { used, since } => {
                    match self.inner.settle(&id, &[used], since).await {
                        // Its estimate stands.
                        Ok(_) | Err(LedgerError::NotFound(_)) => Ok(()),
                        Err(error) => Err(error),
                    }
                }
                Stage::Divided { .. } => Ok(()),
            };
            let mut state = self.state();
            let purse = state.tranches.purse(account);
            match (result, stage) {
                (Ok(()), Stage::Reserving { .. }) => purse.divide(number),
                (Ok(()), Stage::Settling { .. } | Stage::Divided { .. }) => purse.end(number),
                (Err(error), _) => {
                    if is_final(&error) {
                        purse.end(number);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Makes a reservation in the ledger beneath.
    async fn reserve_beneath(
        &self,
        id: &ReservationId,
        charges: &[Charge],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        loop {
            let mut refusal = match self.inner.reserve(id, charges, expires_at, now).await {
                Err(LedgerError::Refused(refusal)) => refusal,
                other => return other,
            };
            let Some(charge) = charges.iter().find(|charge| charge.account == refusal.account)
            else {
                return Err(LedgerError::Refused(refusal));
            };
            let turn = Arc::clone(&self.state().tranches.purse(&charge.account).turn);
            let _turn = turn.lock().await;
            if !self.state().tranches.purse(&charge.account).release_for(charge, expires_at, now) {
                let mut state = self.state();
                refusal.left = refusal.left.plus(state.tranches.purse(&charge.account).left());
                refusal.in_flight = state.tranches.in_flight(&charge.account, now);
                return Err(LedgerError::Refused(refusal));
            }
            self.finish(&charge.account).await?;
        }
    }
}

/// Whether an account has not enough left, or counts no further.
fn is_bound(result: &Result<(), LedgerError>) -> bool {
    matches!(result, Err(LedgerError::Refused(_) | LedgerError::Store(StoreError::Bound(_))))
}

/// Whether a call that failed has changed nothing and need not be repeated.
fn is_final(error: &LedgerError) -> bool {
    match error {
        LedgerError::Refused(_)
        | LedgerError::NotFound(_)
        | LedgerError::Differs(_)
        | LedgerError::Closed(_)
        | LedgerError::Invalid { .. } => true,
        LedgerError::Store(error) => matches!(error, StoreError::Bound(_)),
    }
}

/// Counts what a call wants while it waits for a tranche, so that one serves all who wait.
struct Waiting<'a> {
    ledger: &'a TrancheLedger,
    charge: &'a Charge,
}

impl<'a> Waiting<'a> {
    fn new(ledger: &'a TrancheLedger, charge: &'a Charge) -> Self {
        ledger.state().tranches.purse(&charge.account).wanted += u128::from(charge.amount.get());
        Self { ledger, charge }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.ledger.state();
        let wanted = &mut state.tranches.purse(&self.charge.account).wanted;
        *wanted = wanted.saturating_sub(self.charge.amount.get().into());
    }
}

impl fmt::Debug for TrancheLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrancheLedger").field("process", &self.process).finish_non_exhaustive()
    }
}

#[async_trait]
impl Ledger for TrancheLedger {
    async fn reserve(
        &self,
        id: &ReservationId,
        charges: &[Charge],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        check(id, charges)?;
        check_expiry(expires_at, now)?;
        if expires_at > later(now, LONGEST) && !self.state().tranches.knows(id) {
            return self.reserve_beneath(id, charges, expires_at, now).await;
        }
        loop {
            let reserved = self.state().tranches.reserve(id, charges, expires_at, now)?;
            match reserved {
                Reserved::Done => return Ok(()),
                Reserved::Short(charge) => self.refill(charge, expires_at, now).await?,
            }
        }
    }

    async fn settle(
        &self,
        id: &ReservationId,
        used: &[Amount],
        now: Timestamp,
    ) -> Result<Settlement, LedgerError> {
        loop {
            let settled = self.state().tranches.settle(id, used, now)?;
            match settled {
                Settled::Done(settlement) => return Ok(settlement),
                Settled::Unknown => return self.inner.settle(id, used, now).await,
                Settled::Short { account, missing } => {
                    let turn = Arc::clone(&self.state().tranches.purse(&account).turn);
                    let _turn = turn.lock().await;
                    self.finish(&account).await?;
                    self.begin(&account, None, missing, now).await?;
                }
            }
        }
    }

    async fn charged(&self, account: &Account) -> Result<Amount, LedgerError> {
        let turn = Arc::clone(&self.state().tranches.purse(account).turn);
        // Nobody reserves or settles a tranche meanwhile, so both numbers mean the same ones.
        let _turn = turn.lock().await;
        self.finish(account).await?;
        let charged = self.inner.charged(account).await?;
        Ok(charged.minus(self.state().tranches.purse(account).left()))
    }

    async fn sweep(&self, most: usize, now: Timestamp) -> Result<Vec<Estimate>, LedgerError> {
        let mut estimates = self.inner.sweep(most, now).await?;
        let mut state = self.state();
        estimates.retain(|estimate| !state.tranches.hold(estimate));
        let rest = most.saturating_sub(estimates.len());
        estimates.extend(state.tranches.sweep(rest, now));
        Ok(estimates)
    }
}
