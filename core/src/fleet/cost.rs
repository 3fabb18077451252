//! What the instances of the fleet have done on which day, and at which price: what they cost.
//!
//! The [`Reconciler`](super::Reconciler) keeps an [`InstanceDay`] for each instance and day while
//! it runs. It is not a bill: an instance counts from its launch until the fleet asks for its end, or
//! finds it ended.

use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::days::{beginning_of, day_of, expiry_of};
use crate::entity::Entity;
use crate::fleet::eta::since;
use crate::fleet::{ClaimId, Phase, Placement, Price, Slot, SlotState};
use crate::name::ModelName;
use crate::ports::{Key, Query, ReplicaDemand, Table};

/// What the instance of one claim has done on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceDay {
    /// Of UTC.
    pub day: Date,
    pub model: ModelName,
    pub claim: ClaimId,
    /// What it was launched on: the label of its [`Placement`](crate::fleet::Placement).
    #[serde(rename = "instance_type")]
    pub label: String,
    /// What it costs, where the model says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<Price>,
    #[serde(flatten)]
    pub time: InstanceTime,
    /// Until when the time is counted.
    pub until: Timestamp,
}

/// The time of an instance, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTime {
    /// From its launch until it was ready, or ended without.
    pub boot_ms: u64,
    /// With requests.
    pub use_ms: u64,
    /// Ready and without.
    pub idle_ms: u64,
}

impl InstanceTime {
    /// All of it.
    pub fn total_ms(&self) -> u64 {
        self.boot_ms.saturating_add(self.use_ms).saturating_add(self.idle_ms)
    }

    /// Adds that of others.
    pub fn add(&mut self, other: &Self) {
        self.boot_ms = self.boot_ms.saturating_add(other.boot_ms);
        self.use_ms = self.use_ms.saturating_add(other.use_ms);
        self.idle_ms = self.idle_ms.saturating_add(other.idle_ms);
    }

    /// What the instance of a slot did between two instants, as far as can be told at the later
    /// one: with requests now, it had some all the time.
    fn between(slot: &Slot, of_it: &ReplicaDemand, from: Timestamp, to: Timestamp) -> Self {
        let millis = |from, to| u64::try_from(since(from, to).as_millis()).unwrap_or(u64::MAX);
        let ready_at = slot.phases.began(Phase::Ready).map_or(to, |at| at.clamp(from, to));
        let used_until = match of_it.last_used_at {
            _ if of_it.in_flight() > 0 => to,
            Some(at) => at.clamp(ready_at, to),
            None => ready_at,
        };
        Self {
            boot_ms: millis(from, ready_at),
            use_ms: millis(ready_at, used_until),
            idle_ms: millis(used_until, to),
        }
    }
}

impl InstanceDay {
    /// Lists those of the days whose names begin with `days`.
    pub fn of_days(days: &str) -> Query {
        Query::new(Table::Main, PARTITION, days)
    }

    /// Where that of a slot's instance on a day is.
    pub fn key_of(slot: &Slot, day: Date) -> Key {
        Self::key_at(day, &slot.model, &slot.claim)
    }

    fn key_at(day: Date, model: &ModelName, claim: &ClaimId) -> Key {
        Key::new(PARTITION, format!("{day}#{model}#{claim}"))
    }

    /// From when on the instance of a slot costs something; none while there is none.
    pub fn begins_at(slot: &Slot) -> Option<Timestamp> {
        slot.phases.began(Phase::Boot)
    }

    /// Until when it does, as far as is known `now`.
    pub fn ends_at(slot: &Slot, now: Timestamp) -> Timestamp {
        match &slot.state {
            SlotState::Terminating { since, .. } => *since,
            SlotState::Launching
            | SlotState::Booting { .. }
            | SlotState::Ready { .. }
            | SlotState::Draining { .. } => now,
        }
    }

    /// The record of the day of `from` with the time from then on, until `to` or the end of the day,
    /// on top of `standing`.
    pub fn grown(
        standing: Option<Self>,
        slot: &Slot,
        of_it: &ReplicaDemand,
        (from, to): (Timestamp, Timestamp),
    ) -> Self {
        let day = day_of(from);
        let rung = slot.launch.ladder.get(slot.launch.rung);
        let mut record = standing.unwrap_or_else(|| Self {
            day,
            model: slot.model.clone(),
            claim: slot.claim.clone(),
            label: rung.map_or("unknown", |rung| rung.label()).to_owned(),
            price_per_hour: rung.and_then(Placement::price_per_hour),
            time: InstanceTime::default(),
            until: from,
        });
        let midnight = day.tomorrow().map_or(Timestamp::MAX, beginning_of);
        let to = to.min(midnight);
        record.time.add(&InstanceTime::between(slot, of_it, from, to));
        record.until = record.until.max(to);
        record
    }

    /// How old what it says may become before it is written again.
    pub const PRECISION: Duration = Duration::from_secs(55);
}

const PARTITION: &str = "COST";

impl Entity for InstanceDay {
    const KIND: &'static str = "instance day";

    fn key(&self) -> Key {
        Self::key_at(self.day, &self.model, &self.claim)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(expiry_of(self.day))
    }
}
