use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::{Entity, StoreExt, Stored};
use crate::fleet::eta::later;
use crate::name::ModelName;
use crate::ports::{Expect, Key, Query, StateStore, StoreError, Table};

/// That background work such as a batch wants a model, between its requests too: a third part of
/// the [demand](crate::ports::Demand), beside requests that are held and in flight. Whoever works
/// puts it anew before it ends, and takes it back when the work is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseLease {
    pub model: ModelName,
    /// What wants it, such as `batch/batch_…`.
    pub holder: String,
    /// Until when, if nobody puts it anew.
    pub until: Timestamp,
    /// When the work was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_at: Option<Timestamp>,
}

/// What leases say of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leased {
    /// Until when it is wanted.
    pub until: Option<Timestamp>,
    /// When one last was in force.
    pub last_at: Option<Timestamp>,
}

impl UseLease {
    /// How long a record is kept after its end, so that a replica that was started for it is known
    /// as such.
    const LIFE: Duration = Duration::from_hours(24);

    const PREFIX: &'static str = "LEASE#";

    fn key_of(model: &ModelName, holder: &str) -> Key {
        Key::new(format!("USE#{model}"), format!("{}{holder}", Self::PREFIX))
    }

    fn all_of(model: &ModelName) -> Query {
        Query::new(Table::Main, format!("USE#{model}"), Self::PREFIX)
    }

    /// Wants `model` for `holder` until then.
    pub async fn hold(
        store: &dyn StateStore,
        model: &ModelName,
        holder: &str,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let (model, holder) = (model.clone(), holder.to_owned());
        store.save(Self { model, holder, until, released_at: None }, Expect::Any).await.map(|_| ())
    }

    /// Takes it back, if there is one.
    pub async fn release(
        store: &dyn StateStore,
        model: &ModelName,
        holder: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let stored = store.load::<Self>(&Self::key_of(model, holder)).await?;
        let Some(lease) = stored.map(|stored| stored.value) else { return Ok(()) };
        if lease.released_at.is_some() {
            return Ok(());
        }
        store.save(Self { released_at: Some(now), ..lease }, Expect::Any).await.map(|_| ())
    }

    /// What the leases of `model` say at `now`.
    pub async fn read(
        store: &dyn StateStore,
        model: &ModelName,
        now: Timestamp,
    ) -> Result<Leased, StoreError> {
        let standing = store.load_all::<Self>(Self::all_of(model)).await?;
        let mut leased = Leased::default();
        for Stored { value, .. } in standing {
            let end = value.released_at.map_or(value.until, |at| at.min(value.until));
            if end > now {
                leased.until = leased.until.max(Some(end));
            }
            leased.last_at = leased.last_at.max(Some(end.min(now)));
        }
        Ok(leased)
    }
}

impl Entity for UseLease {
    const KIND: &'static str = "use lease";

    fn key(&self) -> Key {
        Self::key_of(&self.model, &self.holder)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.until, Self::LIFE))
    }
}
