use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::ports::{
    Account, Amount, Charge, Estimate, GRACE, IndexKey, Key, Query, ReservationId, Table,
};

/// How many partitions of the index list open reservations, so that none of them gets all writes.
pub(super) const SHARDS: u32 = 8;

/// A reservation as it stands in the store: the reason that a repeat changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reservation {
    pub(super) id: ReservationId,
    pub(super) charges: Vec<Charge>,
    /// From then on it counts as used in full.
    pub(super) expires_at: Timestamp,
    pub(super) state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Nobody has said what was used.
    Reserved,
    /// It expired before anybody did.
    Estimated,
    /// What was used, per charge.
    Settled { used: Vec<Amount> },
}

impl Reservation {
    pub(super) fn key_of(id: &ReservationId) -> Key {
        Key::new(format!("RESERVATION#{id}"), "RESERVATION")
    }

    /// Lists the open reservations of a shard, those that expire first before the others.
    pub(super) fn open(shard: u32) -> Query {
        Query::new(Table::Index, format!("RESERVED#{shard}"), "")
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    pub(super) fn estimate(self) -> Estimate {
        Estimate { id: self.id, charges: self.charges }
    }
}

impl Entity for Reservation {
    const KIND: &'static str = "reservation";

    fn key(&self) -> Key {
        Self::key_of(&self.id)
    }

    fn index(&self) -> Option<IndexKey> {
        if self.state != State::Reserved {
            return None;
        }
        let shard = crc32fast::hash(self.id.as_str().as_bytes()) % SHARDS;
        let expiry = self.expires_at.as_millisecond().max(0);
        Some(IndexKey {
            partition: format!("RESERVED#{shard}"),
            // The hash instead of the id keeps the key short.
            sort: format!("{expiry:020}#{:08x}", crc32fast::hash(self.id.as_str().as_bytes())),
        })
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.expires_at, GRACE))
    }
}

/// The counter of an account.
pub(super) fn counter_of(account: &Account) -> Key {
    let window = match account.ends_at {
        Some(end) => format!("UNTIL#{end}"),
        None => "TOTAL".into(),
    };
    Key::new(format!("LEDGER#{}", account.name), format!("{}#{window}", account.unit.as_str()))
}

/// Until when the counter of an account is kept: beyond the last settlement that may come.
pub(super) fn counter_expiry(account: &Account) -> Option<Timestamp> {
    account.ends_at.map(|end| later(end, GRACE * 2))
}

/// Whether the window of an account is over for so long that nobody looks at it.
pub(super) fn is_forgotten(account: &Account, now: Timestamp) -> bool {
    account.ends_at.is_some_and(|end| later(end, GRACE) <= now)
}
