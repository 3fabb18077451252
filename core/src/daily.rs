//! What processes that come and go do once a day, all of them together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::{Entity, StoreExt};
use crate::fleet::eta::later;
use crate::ports::{Expect, Key, StateStore, StoreError};

const DAY: Duration = Duration::from_hours(24);

/// Stands for as long as nobody need do it again.
#[derive(Serialize, Deserialize)]
struct Turn {
    what: String,
    until: Timestamp,
}

impl Entity for Turn {
    const KIND: &'static str = "turn of sweeping";

    fn key(&self) -> Key {
        Key::new("WAKE#SWEEP", self.what.as_str())
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.until)
    }
}

/// Takes the turn of sweeping `what`. Returns a day before `now`, the age of what is swept; nothing
/// where somebody has taken it within a day.
pub(crate) async fn turn_of_sweeping(
    store: &dyn StateStore,
    what: &str,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let turn = Turn { what: what.to_owned(), until: later(now, DAY) };
    match store.save(turn, Expect::Absent).await {
        Ok(_) => Ok(Some(now.checked_sub(DAY).unwrap_or_default())),
        Err(StoreError::Conflict(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
