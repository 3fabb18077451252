use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::check::{check, check_expiry, check_used};
use super::record::{Reservation, SHARDS, State, counter_expiry, counter_of, is_forgotten};
use crate::Timestamp;
use crate::entity::{Entity as _, StoreExt, Stored};
use crate::ports::{
    Account, Amount, Bound, BoundReached, Charge, Estimate, Expect, Ledger, LedgerError, Refusal,
    ReservationId, Settlement, StateStore, StoreError, Write,
};

/// How often a call is tried whose answer gets lost, or that meets another one.
const TRIES: usize = 8;

/// A [`Ledger`] in a store: a counter per account, and a record per reservation.
///
/// A reservation and a settlement are one commit each, of the record and a bounded addition per
/// account. The record makes a repeat safe: an addition alone could not tell whether it has
/// happened. On DynamoDB that is a transaction, also for one account; those on one counter
/// conflict and are repeated, so an account takes some tens of them a second (docs/OPERATIONS.md).
pub struct StoreLedger {
    store: Arc<dyn StateStore>,
}

impl StoreLedger {
    /// The ledger in `store`.
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self { store }
    }

    /// Commits, and once more where it is not known whether it happened: the caller's first write
    /// tells.
    async fn commit(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut tries = 1;
        loop {
            match self.store.commit(writes).await {
                Err(StoreError::Unknown { .. }) if tries < TRIES => tries += 1,
                other => return other.map(drop),
            }
        }
    }
}

impl fmt::Debug for StoreLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLedger").finish_non_exhaustive()
    }
}

#[async_trait]
impl Ledger for StoreLedger {
    async fn reserve(
        &self,
        id: &ReservationId,
        charges: &[Charge],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        check(id, charges)?;
        check_expiry(expires_at, now)?;
        let reservation = Reservation {
            id: id.clone(),
            charges: charges.to_vec(),
            expires_at,
            state: State::Reserved,
        };
        // The record comes first: a repeat must meet it, and not a bound that it reached itself.
        let mut writes = vec![reservation.put(Expect::Absent)?];
        writes.extend(charges.iter().map(|charge| Write::Add {
            key: counter_of(&charge.account),
            delta: charge.amount.signed(),
            bound: charge.cap.map_or(Bound::None, |cap| Bound::AtMost(cap.signed())),
            expires_at: counter_expiry(&charge.account),
        }));
        match self.commit(&writes).await {
            Ok(()) => Ok(()),
            Err(StoreError::Conflict(mut conflict)) => match conflict.standing.take() {
                Some(item) => same(&reservation, Stored::from_item(item)?.value),
                None => Err(StoreError::Conflict(conflict).into()),
            },
            Err(StoreError::Bound(reached)) => Err(refusal(charges, *reached)),
            Err(error) => Err(error.into()),
        }
    }

    async fn settle(
        &self,
        id: &ReservationId,
        used: &[Amount],
        now: Timestamp,
    ) -> Result<Settlement, LedgerError> {
        let mut in_doubt = false;
        for _ in 0..TRIES {
            let standing = self.store.load::<Reservation>(&Reservation::key_of(id)).await?;
            let Some(standing) = standing else {
                return Err(LedgerError::NotFound(id.clone()));
            };
            let expect = standing.unchanged();
            let reservation = standing.value;
            check_used(&reservation.charges, used)?;
            let overshoot = reservation.charges.iter().zip(used);
            let overshoot = overshoot.map(|(charge, used)| used.minus(charge.amount)).collect();
            let late = reservation.has_expired(now);
            if let State::Settled { used: stands } = reservation.state {
                // The one whose answer was lost.
                return Ok(if in_doubt && stands == used {
                    Settlement::Done { late, overshoot }
                } else {
                    Settlement::Repeated { used: stands }
                });
            }
            let additions: Vec<_> = reservation
                .charges
                .iter()
                .zip(used)
                .filter(|(charge, used)| {
                    charge.amount != **used && !is_forgotten(&charge.account, now)
                })
                .map(|(charge, used)| Write::Add {
                    key: counter_of(&charge.account),
                    delta: used.signed().saturating_sub(charge.amount.signed()),
                    bound: Bound::None,
                    expires_at: counter_expiry(&charge.account),
                })
                .collect();
            let state = State::Settled { used: used.to_vec() };
            let mut writes = vec![Reservation { state, ..reservation }.put(expect)?];
            writes.extend(additions);
            match self.store.commit(&writes).await {
                Ok(_) => return Ok(Settlement::Done { late, overshoot }),
                Err(StoreError::Conflict(_)) => {}
                Err(StoreError::Unknown { .. }) => in_doubt = true,
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Unknown {
            reason: format!("whether `{id}` was settled is not known; settle it again"),
            source: None,
        }
        .into())
    }

    async fn charged(&self, account: &Account) -> Result<Amount, LedgerError> {
        let value = self.store.count(&counter_of(account)).await?;
        Ok(Amount::saturating(u64::try_from(value).unwrap_or(0)))
    }

    async fn sweep(&self, most: usize, now: Timestamp) -> Result<Vec<Estimate>, LedgerError> {
        let mut estimates = Vec::new();
        for shard in 0..SHARDS {
            let mut query = Reservation::open(shard);
            while estimates.len() < most {
                query.limit = (most - estimates.len()).clamp(1, crate::ports::MAX_PAGE);
                let (listed, next) = self.store.load_page::<Reservation>(&query).await?;
                let count = listed.len();
                let expired: Vec<_> = listed
                    .into_iter()
                    .map(|open| open.value)
                    .filter(|open| open.has_expired(now))
                    .map(|open| open.id)
                    .collect();
                // They come in the order of their expiry.
                let is_last = expired.len() < count;
                for id in expired {
                    estimates.extend(self.expire(&id, now).await?);
                }
                match next {
                    Some(next) if !is_last => query.cursor = Some(next),
                    _ => break,
                }
            }
        }
        Ok(estimates)
    }
}

impl StoreLedger {
    /// Marks one reservation as estimated, if it still is open: the index lags.
    async fn expire(
        &self,
        id: &ReservationId,
        now: Timestamp,
    ) -> Result<Option<Estimate>, LedgerError> {
        let standing = self.store.load::<Reservation>(&Reservation::key_of(id)).await?;
        let Some(standing) = standing.filter(|standing| {
            standing.value.state == State::Reserved && standing.value.has_expired(now)
        }) else {
            return Ok(None);
        };
        let expect = standing.unchanged();
        let estimated = Reservation { state: State::Estimated, ..standing.value };
        match self.store.save(estimated, expect).await {
            Ok(saved) => Ok(Some(saved.value.estimate())),
            // Somebody settles it or sweeps too.
            Err(StoreError::Conflict(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether the reservation that stands under an id is the one that was to be made.
fn same(wanted: &Reservation, standing: Reservation) -> Result<(), LedgerError> {
    if standing.charges != wanted.charges || standing.expires_at != wanted.expires_at {
        return Err(LedgerError::Differs(standing.id));
    }
    match standing.state {
        State::Reserved | State::Estimated => Ok(()),
        State::Settled { .. } => Err(LedgerError::Closed(standing.id)),
    }
}

fn refusal(charges: &[Charge], reached: BoundReached) -> LedgerError {
    // The first write is the record.
    let charge = reached.write.checked_sub(1).and_then(|place| charges.get(place));
    match charge.and_then(|charge| Some((charge, charge.cap?))) {
        Some((charge, cap)) => {
            let standing = Amount::saturating(u64::try_from(reached.standing).unwrap_or(0));
            LedgerError::Refused(Box::new(Refusal {
                account: charge.account.clone(),
                cap,
                left: cap.minus(standing),
                in_flight: Amount::ZERO,
                resets_at: charge.account.ends_at,
            }))
        }
        // Beyond what a counter holds.
        None => StoreError::Bound(Box::new(reached)).into(),
    }
}
