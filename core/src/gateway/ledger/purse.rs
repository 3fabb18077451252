//! What one process has set aside of one account, and how it is divided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::lock::Mutex;

use crate::Timestamp;
use crate::fleet::eta::later;
use crate::ports::{Amount, Charge, ReservationId};

/// The most of what is left in an account that one tranche takes: a sixteenth. It shrinks as the
/// cap comes near, so that little is set aside that another process could use.
const SHARE: u64 = 16;
/// For how many requests like the one that needs it a tranche is meant. It bounds what a crash
/// counts as used.
const REQUESTS: u64 = 64;
/// The same where they come in large numbers: each tranche that follows another one within
/// [`SOON`] is meant for twice as many, so that a busy process writes now and then, not hundreds
/// of times a second.
const MOST_REQUESTS: u64 = 1024;
const SOON: Duration = Duration::from_secs(1);
/// The longest reservation that is taken from a tranche.
pub(super) const LONGEST: Duration = Duration::from_hours(24);
/// How long a tranche lasts: longer than any reservation from it.
const LIFE: Duration = Duration::from_hours(26);
/// How long before its tranche a reservation must expire, so that the tranche can still be settled
/// when the last of its reservations is given up.
const MARGIN: Duration = Duration::from_hours(1);
/// For how long nobody may have taken from a tranche before it is given back.
const IDLE: Duration = Duration::from_mins(1);

#[derive(Default)]
pub(super) struct Purse {
    /// Held by whoever reserves or settles tranches of the account.
    pub(super) turn: Arc<Mutex<()>>,
    /// What those want who wait for a tranche now.
    pub(super) wanted: u128,
    /// The oldest first: it is used up before the next one is begun.
    tranches: BTreeMap<u64, Tranche>,
    /// When the latest one was begun, and for how many requests.
    latest: Option<(Timestamp, u64)>,
}

/// A reservation in the ledger beneath.
#[derive(Clone)]
pub(super) struct Tranche {
    pub(super) id: ReservationId,
    pub(super) charge: Charge,
    pub(super) expires_at: Timestamp,
    pub(super) stage: Stage,
}

#[derive(Clone)]
pub(super) enum Stage {
    /// It is being reserved. Whoever began it may have been dropped since, so whether it stands in
    /// the ledger beneath is not known; the same call again tells.
    Reserving { since: Timestamp },
    /// It is divided: its amount is the sum of these.
    Divided { left: Amount, reserved: Amount, used: Amount, taken_at: Timestamp },
    /// It is being settled, likewise.
    Settling { used: Amount, since: Timestamp },
}

/// What a reservation has taken from a tranche.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    tranche: u64,
    amount: Amount,
}

impl Tranche {
    /// One that is to be reserved.
    pub(super) fn new(id: ReservationId, charge: Charge, now: Timestamp) -> Self {
        let stage = Stage::Reserving { since: now };
        Self { id, charge, expires_at: later(now, LIFE), stage }
    }

    /// What nobody has taken of it.
    fn left(&self) -> Amount {
        match self.stage {
            Stage::Divided { left, .. } => left,
            Stage::Reserving { .. } | Stage::Settling { .. } => Amount::ZERO,
        }
    }

    /// Whether a reservation may take from it. One with another cap may not: what was reserved
    /// under a cap that has been lowered since may be beyond the new one.
    fn serves(&self, charge: &Charge, expires_at: Timestamp) -> bool {
        self.charge.cap == charge.cap && later(expires_at, MARGIN) <= self.expires_at
    }
}

impl Purse {
    /// What nobody has taken of the tranches.
    pub(super) fn left(&self) -> Amount {
        self.left_of(|_| true)
    }

    /// What is missing for a reservation; zero if there is enough.
    pub(super) fn missing(&self, charge: &Charge, expires_at: Timestamp) -> Amount {
        charge.amount.minus(self.left_for(charge, expires_at))
    }

    /// What a reservation could take.
    pub(super) fn left_for(&self, charge: &Charge, expires_at: Timestamp) -> Amount {
        self.left_of(|tranche| tranche.serves(charge, expires_at))
    }

    fn left_of(&self, serves: impl Fn(&Tranche) -> bool) -> Amount {
        let serving = self.tranches.values().filter(|tranche| serves(tranche));
        serving.fold(Amount::ZERO, |sum, tranche| sum.plus(tranche.left()))
    }

    /// How large the next tranche shall be, of which `missing` is needed and `left` can be had.
    pub(super) fn size(
        &mut self,
        charge: &Charge,
        missing: Amount,
        left: Amount,
        now: Timestamp,
    ) -> Amount {
        let requests = match self.latest {
            Some((begun, requests)) if now < later(begun, SOON) => {
                MOST_REQUESTS.min(requests.saturating_mul(2))
            }
            Some(_) | None => REQUESTS,
        };
        self.latest = Some((now, requests));
        let many = charge.amount.get().saturating_mul(requests);
        let share = if charge.cap.is_some() { left.get() / SHARE } else { u64::MAX };
        let wanted = self.wanted.saturating_sub(charge.amount.get().into());
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX).saturating_add(missing.get());
        let size = many.min(share).max(wanted).min(left.get()).max(missing.get());
        Amount::saturating(size)
    }

    pub(super) fn begin(&mut self, number: u64, tranche: Tranche) {
        self.tranches.insert(number, tranche);
    }

    /// A tranche that is being reserved or settled.
    pub(super) fn unfinished(&self) -> Option<(u64, Tranche)> {
        let mut tranches = self.tranches.iter();
        let (number, tranche) =
            tranches.find(|(_, tranche)| !matches!(tranche.stage, Stage::Divided { .. }))?;
        Some((*number, tranche.clone()))
    }

    /// A tranche now stands in the ledger beneath.
    pub(super) fn divide(&mut self, number: u64) {
        if let Some(tranche) = self.tranches.get_mut(&number)
            && let Stage::Reserving { since } = tranche.stage
        {
            let left = tranche.charge.amount;
            let [reserved, used] = [Amount::ZERO; 2];
            tranche.stage = Stage::Divided { left, reserved, used, taken_at: since };
        }
    }

    /// A tranche was refused or is settled.
    pub(super) fn end(&mut self, number: u64) {
        self.tranches.remove(&number);
    }

    pub(super) fn holds(&self, id: &ReservationId) -> bool {
        self.tranches.values().any(|tranche| tranche.id == *id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tranches.is_empty() && self.wanted == 0 && Arc::strong_count(&self.turn) == 1
    }

    /// Takes what a reservation needs; the caller has seen that there is enough.
    pub(super) fn take(
        &mut self,
        charge: &Charge,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Vec<Part> {
        self.take_of(charge.amount, now, |tranche| tranche.serves(charge, expires_at))
    }

    /// Counts as used what a reservation has used beyond its amount.
    pub(super) fn overshoot(&mut self, amount: Amount, now: Timestamp) {
        for part in self.take_of(amount, now, |_| true) {
            self.settle(&[part], part.amount);
        }
    }

    fn take_of(
        &mut self,
        amount: Amount,
        now: Timestamp,
        serves: impl Fn(&Tranche) -> bool,
    ) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut missing = amount;
        for (number, tranche) in &mut self.tranches {
            if missing == Amount::ZERO {
                break;
            }
            if !serves(tranche) {
                continue;
            }
            if let Stage::Divided { left, reserved, taken_at, .. } = &mut tranche.stage {
                let amount = missing.min(*left);
                if amount > Amount::ZERO {
                    *left = left.minus(amount);
                    *reserved = reserved.plus(amount);
                    *taken_at = now;
                    missing = missing.minus(amount);
                    parts.push(Part { tranche: *number, amount });
                }
            }
        }
        parts
    }

    /// Replaces what a reservation has taken by what was used of it; the rest can be taken again.
    /// A tranche that was closed meanwhile counts the whole part as used.
    pub(super) fn settle(&mut self, parts: &[Part], mut used_in_all: Amount) {
        for part in parts {
            let used_here = used_in_all.min(part.amount);
            used_in_all = used_in_all.minus(used_here);
            let tranche = self.tranches.get_mut(&part.tranche);
            if let Some(Stage::Divided { left, reserved, used, .. }) =
                tranche.map(|tranche| &mut tranche.stage)
            {
                *reserved = reserved.minus(part.amount);
                *used = used.plus(used_here);
                *left = left.plus(part.amount.minus(used_here));
            }
        }
    }

    /// Begins to settle the tranches that `charge` may not take from and nobody else holds a part
    /// of; returns whether there are any.
    pub(super) fn release_for(
        &mut self,
        charge: &Charge,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> bool {
        self.release(usize::MAX, now, |tranche, _| !tranche.serves(charge, expires_at)) > 0
    }

    /// Begins to settle what is used up or has been idle for a while.
    pub(super) fn release_idle(&mut self, now: Timestamp) {
        self.release(usize::MAX, now, |tranche, taken_at| {
            tranche.left() == Amount::ZERO || later(taken_at, IDLE) <= now
        });
    }

    /// Begins to settle one tranche that is used up, so that they do not pile up.
    pub(super) fn release_one(&mut self, now: Timestamp) {
        self.release(1, now, |tranche, _| tranche.left() == Amount::ZERO);
    }

    /// Begins to settle tranches of which nobody holds a part, and says how many.
    fn release(
        &mut self,
        most: usize,
        now: Timestamp,
        is_free: impl Fn(&Tranche, Timestamp) -> bool,
    ) -> usize {
        let mut count = 0;
        for tranche in self.tranches.values_mut() {
            if count < most
                && let Stage::Divided { reserved: Amount::ZERO, used, taken_at, .. } = tranche.stage
                && is_free(tranche, taken_at)
            {
                tranche.stage = Stage::Settling { used, since: now };
                count += 1;
            }
        }
        count
    }

    /// Begins to settle everything. What is reserved counts as used.
    pub(super) fn close(&mut self, now: Timestamp) {
        for tranche in self.tranches.values_mut() {
            if let Stage::Divided { reserved, used, .. } = tranche.stage {
                tranche.stage = Stage::Settling { used: used.plus(reserved), since: now };
            }
        }
    }
}
