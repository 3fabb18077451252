use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::Timestamp;
use crate::entity::{Entity, StoreExt, Stored};
use crate::keys::{ApiKey, KeyId, KeyRejection, PlainKey};
use crate::name::ModelName;
use crate::ports::{Clock, Cursor, Entropy, Expect, Limits, StateStore, StoreError};
use crate::tenancy::{ProjectId, Scope};

/// Issues keys and looks after them.
#[derive(Clone)]
pub struct Keys {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    counts_concurrency: bool,
}

/// A key to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The project it acts in.
    pub project: ProjectId,
    /// Whom it belongs to.
    pub email: String,
    /// What it is for.
    pub name: String,
    /// What it may do; at least one.
    pub scopes: BTreeSet<Scope>,
    /// The models that it may use; all when absent.
    pub models: Option<BTreeSet<ModelName>>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// How much it may use.
    pub limits: Limits,
}

/// A page of keys.
#[derive(Debug)]
pub struct KeyList {
    /// The keys.
    pub keys: Vec<ApiKey>,
    /// Where the next page starts.
    pub next: Option<Cursor>,
}

/// Why a key was not issued or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key has this id.
    #[error("there is no API key `{0}`; list them with `diogenes key list`")]
    NotFound(KeyId),
    /// A key that counts no more cannot be rotated.
    #[error(transparent)]
    Rejected(#[from] KeyRejection),
    /// A field makes no sense.
    #[error("`{field}` {problem}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What is wrong and what to write.
        problem: String,
    },
    /// The store failed.
    #[error("the keys could not be read or written")]
    Store(#[from] StoreError),
}

impl NewKey {
    fn validate(&self, now: Timestamp) -> Result<(), KeyError> {
        let wrong =
            |field, problem: &str| Err(KeyError::Invalid { field, problem: problem.into() });
        let printable = |text: &str| !text.chars().any(char::is_control);
        if self.email.len() > 254 || !printable(&self.email) || !self.email.contains('@') {
            return wrong("email", "must be an address such as `ada@example.com`");
        }
        if self.name.chars().count() > 100 || !printable(&self.name) {
            return wrong("name", "must be at most 100 printable characters");
        }
        if self.scopes.is_empty() {
            return wrong("scopes", "is empty; use `inference`, `admin` or both");
        }
        if self.models.as_ref().is_some_and(BTreeSet::is_empty) {
            return wrong("models", "is empty; leave it out to allow every model");
        }
        if self.models.as_ref().is_some_and(|models| models.len() > 1000) {
            return wrong("models", "has more than 1000 names; leave it out to allow every model");
        }
        if self.expires_at.is_some_and(|expiry| expiry <= now) {
            return wrong("expires_at", "lies in the past; leave it out for no end");
        }
        let limits = &self.limits;
        if [limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency]
            .contains(&Some(0))
        {
            return wrong("limits", "contains a zero; leave a limit out to have none");
        }
        Ok(())
    }
}

impl Keys {
    /// A service over these ports.
    pub fn new(
        store: Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, clock, entropy, counts_concurrency: true }
    }

    /// The same for an installation that counts no requests in flight: a limit that nobody keeps
    /// is refused.
    #[must_use]
    pub fn without_concurrency(self) -> Self {
        Self { counts_concurrency: false, ..self }
    }

    /// Issues a key. The second value is the only copy of the key itself.
    pub async fn issue(&self, new: NewKey) -> Result<(ApiKey, PlainKey), KeyError> {
        new.validate(self.clock.now())?;
        if new.limits.concurrency.is_some() && !self.counts_concurrency {
            let problem = "is not counted on AWS; limit requests or tokens per minute".into();
            return Err(KeyError::Invalid { field: "limits.concurrency", problem });
        }
        let (record, plain) = self.fresh(new);
        let stored = self.store.save(record, Expect::Absent).await?;
        Ok((stored.value, plain))
    }

    /// The key with this id.
    pub async fn get(&self, id: &KeyId) -> Result<ApiKey, KeyError> {
        Ok(self.read(id).await?.value)
    }

    /// The record of a key that a caller shows, if it counts now.
    pub async fn verify(&self, plain: &PlainKey) -> Result<ApiKey, KeyError> {
        let hash = plain.hash();
        let stored = self.store.load::<ApiKey>(&ApiKey::key_of(&hash.id())).await?;
        let record = stored
            .map(|stored| stored.value)
            .filter(|record| record.hash == hash)
            .ok_or(KeyRejection::Unknown)?;
        record.check(self.clock.now())?;
        Ok(record)
    }

    /// One page of keys, of one email or of all.
    pub async fn list(
        &self,
        email: Option<&str>,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<KeyList, KeyError> {
        let mut query = ApiKey::all(email);
        query.limit = limit;
        query.cursor = cursor;
        let (stored, next) = self.store.load_page::<ApiKey>(&query).await?;
        Ok(KeyList { keys: stored.into_iter().map(|key| key.value).collect(), next })
    }

    /// Revokes a key; a repeat call changes nothing and succeeds.
    pub async fn revoke(&self, id: &KeyId) -> Result<ApiKey, KeyError> {
        loop {
            let stored = self.read(id).await?;
            if stored.value.revoked_at.is_some() {
                return Ok(stored.value);
            }
            let mut revoked = stored.value.clone();
            revoked.revoked_at = Some(self.clock.now());
            match self.store.save(revoked, stored.unchanged()).await {
                Ok(stored) => return Ok(stored.value),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Issues a key with the same rights, and lets the old one expire after `grace`; at once if
    /// that is zero.
    pub async fn rotate(
        &self,
        id: &KeyId,
        grace: Duration,
    ) -> Result<(ApiKey, PlainKey), KeyError> {
        loop {
            let old = self.read(id).await?;
            let now = self.clock.now();
            old.value.check(now)?;
            let (fresh, plain) = self.fresh(NewKey {
                project: old.value.project.clone(),
                email: old.value.email.clone(),
                name: old.value.name.clone(),
                scopes: old.value.scopes.clone(),
                models: old.value.models.clone(),
                expires_at: old.value.expires_at,
                limits: old.value.limits,
            });
            let mut retired = old.value.clone();
            retired.rotated_to = Some(fresh.id.clone());
            let end = now.checked_add(grace).unwrap_or(Timestamp::MAX);
            retired.expires_at = Some(retired.expires_at.map_or(end, |expiry| expiry.min(end)));
            let writes = [retired.put(old.unchanged())?, fresh.put(Expect::Absent)?];
            match self.store.commit(&writes).await {
                Ok(_) => return Ok((fresh, plain)),
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn read(&self, id: &KeyId) -> Result<Stored<ApiKey>, KeyError> {
        let sane = id.as_str().len() <= 64 && !id.as_str().is_empty();
        let stored = if sane { self.store.load(&ApiKey::key_of(id)).await? } else { None };
        stored.ok_or_else(|| KeyError::NotFound(id.clone()))
    }

    fn fresh(&self, new: NewKey) -> (ApiKey, PlainKey) {
        let plain = PlainKey::generate(self.entropy.as_ref());
        let hash = plain.hash();
        let record = ApiKey {
            id: hash.id(),
            hash,
            project: new.project,
            email: new.email,
            name: new.name,
            scopes: new.scopes,
            models: new.models,
            limits: new.limits,
            created_at: self.clock.now(),
            expires_at: new.expires_at,
            revoked_at: None,
            rotated_to: None,
        };
        (record, plain)
    }
}
