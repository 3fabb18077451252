//! The reservations of one process, and the tranches that they are taken from. No I/O.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::check::check_used;
use super::purse::{Part, Purse};
use crate::Timestamp;
use crate::fleet::eta::later;
use crate::ports::{
    Account, Amount, Charge, Estimate, GRACE, LedgerError, ReservationId, Settlement,
};

/// How many settled reservations are remembered, so that a repeat is told apart.
const REMEMBERED: usize = 4096;

#[derive(Default)]
pub(super) struct Tranches {
    purses: HashMap<Account, Purse>,
    reservations: HashMap<ReservationId, Reservation>,
    /// What is not settled, by expiry.
    open: BTreeSet<(Timestamp, ReservationId)>,
    /// Those among them that a sweep has returned.
    estimated: BTreeSet<(Timestamp, ReservationId)>,
    /// In the order of their settlement.
    settled: VecDeque<ReservationId>,
}

struct Reservation {
    charges: Vec<Charge>,
    expires_at: Timestamp,
    state: State,
}

enum State {
    /// What it has taken, per charge.
    Reserved { parts: Vec<Vec<Part>> },
    /// What was used, per charge.
    Settled { used: Vec<Amount> },
}

/// What became of a reservation.
pub(super) enum Reserved<'a> {
    Done,
    /// There is too little of the account of this charge.
    Short(&'a Charge),
}

/// What became of a settlement.
pub(super) enum Settled {
    Done(Settlement),
    /// No such reservation was taken from tranches.
    Unknown,
    /// So much more was used than is left in the tranches of the account.
    Short {
        account: Account,
        missing: Amount,
    },
}

impl Tranches {
    pub(super) fn reserve<'a>(
        &mut self,
        id: &ReservationId,
        charges: &'a [Charge],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Reserved<'a>, LedgerError> {
        self.forget(now);
        if let Some(standing) = self.reservations.get(id) {
            return if standing.charges != charges || standing.expires_at != expires_at {
                Err(LedgerError::Differs(id.clone()))
            } else {
                match standing.state {
                    State::Reserved { .. } => Ok(Reserved::Done),
                    State::Settled { .. } => Err(LedgerError::Closed(id.clone())),
                }
            };
        }
        let is_short = |charge: &&Charge| {
            let purse = self.purses.get(&charge.account);
            purse.map_or(charge.amount, |purse| purse.missing(charge, expires_at)) > Amount::ZERO
        };
        if let Some(short) = charges.iter().find(is_short) {
            return Ok(Reserved::Short(short));
        }
        let take = |charge: &Charge| match self.purses.get_mut(&charge.account) {
            Some(purse) => purse.take(charge, expires_at, now),
            None => Vec::new(),
        };
        let state = State::Reserved { parts: charges.iter().map(take).collect() };
        let reservation = Reservation { charges: charges.to_vec(), expires_at, state };
        self.reservations.insert(id.clone(), reservation);
        self.open.insert((expires_at, id.clone()));
        Ok(Reserved::Done)
    }

    pub(super) fn settle(
        &mut self,
        id: &ReservationId,
        used: &[Amount],
        now: Timestamp,
    ) -> Result<Settled, LedgerError> {
        self.forget(now);
        let Some(reservation) = self.reservations.get_mut(id) else {
            return Ok(Settled::Unknown);
        };
        check_used(&reservation.charges, used)?;
        let parts = match &reservation.state {
            State::Reserved { parts } => parts,
            State::Settled { used } => {
                return Ok(Settled::Done(Settlement::Repeated { used: used.clone() }));
            }
        };
        let charges = || reservation.charges.iter().zip(used);
        let overshoot: Vec<_> = charges().map(|(charge, used)| used.minus(charge.amount)).collect();
        for (charge, over) in reservation.charges.iter().zip(&overshoot) {
            let purse = self.purses.get(&charge.account);
            let missing = over.minus(purse.map_or(Amount::ZERO, Purse::left));
            if missing > Amount::ZERO {
                return Ok(Settled::Short { account: charge.account.clone(), missing });
            }
        }
        for (((charge, used), parts), over) in charges().zip(parts).zip(&overshoot) {
            if let Some(purse) = self.purses.get_mut(&charge.account) {
                purse.settle(parts, *used);
                purse.overshoot(*over, now);
            }
        }
        let late = reservation.expires_at <= now;
        reservation.state = State::Settled { used: used.to_vec() };
        let place = (reservation.expires_at, id.clone());
        self.open.remove(&place);
        self.estimated.remove(&place);
        self.settled.push_back(id.clone());
        if self.settled.len() > REMEMBERED
            && let Some(oldest) = self.settled.pop_front()
        {
            self.reservations.remove(&oldest);
        }
        Ok(Settled::Done(Settlement::Done { late, overshoot }))
    }

    pub(super) fn sweep(&mut self, most: usize, now: Timestamp) -> Vec<Estimate> {
        self.forget(now);
        let mut estimates = Vec::new();
        while estimates.len() < most
            && self.open.first().is_some_and(|(expires_at, _)| *expires_at <= now)
            && let Some((expires_at, id)) = self.open.pop_first()
        {
            if let Some(reservation) = self.reservations.get(&id) {
                estimates.push(Estimate { id: id.clone(), charges: reservation.charges.clone() });
            }
            self.estimated.insert((expires_at, id));
        }
        estimates
    }

    /// Gives up what nobody can settle any more: it is used in full.
    pub(super) fn forget(&mut self, now: Timestamp) {
        for by_expiry in [&mut self.open, &mut self.estimated] {
            while by_expiry.first().is_some_and(|(expiry, _)| later(*expiry, GRACE) <= now)
                && let Some((_, id)) = by_expiry.pop_first()
            {
                let Some(reservation) = self.reservations.remove(&id) else { continue };
                let State::Reserved { parts } = reservation.state else { continue };
                for (charge, parts) in reservation.charges.iter().zip(parts) {
                    if let Some(purse) = self.purses.get_mut(&charge.account) {
                        purse.settle(&parts, charge.amount);
                    }
                }
            }
        }
    }

    /// What is reserved of an account by reservations that have not expired.
    pub(super) fn in_flight(&self, account: &Account, now: Timestamp) -> Amount {
        let open = self.open.iter().rev().take_while(|(expires_at, _)| *expires_at > now);
        let charges = open.filter_map(|(_, id)| self.reservations.get(id));
        let charges = charges.flat_map(|reservation| &reservation.charges);
        let of_account = charges.filter(|charge| charge.account == *account);
        of_account.fold(Amount::ZERO, |sum, charge| sum.plus(charge.amount))
    }

    pub(super) fn knows(&self, id: &ReservationId) -> bool {
        self.reservations.contains_key(id)
    }

    /// The purse of an account.
    pub(super) fn purse(&mut self, account: &Account) -> &mut Purse {
        self.purses.entry(account.clone()).or_default()
    }

    /// Whether a tranche is one of these.
    pub(super) fn hold(&self, estimate: &Estimate) -> bool {
        let mut accounts = estimate.charges.iter().map(|charge| &charge.account);
        accounts
            .any(|account| self.purses.get(account).is_some_and(|purse| purse.holds(&estimate.id)))
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.purses.len(), self.reservations.len())
    }

    pub(super) fn accounts(&self) -> Vec<Account> {
        self.purses.keys().cloned().collect()
    }

    /// Drops the purses that hold nothing.
    pub(super) fn tidy(&mut self) {
        self.purses.retain(|_, purse| !purse.is_empty());
    }
}
