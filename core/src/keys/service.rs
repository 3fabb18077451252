use std::sync::Arc;
use std::time::Duration;

use crate::Timestamp;
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity, StoreExt, Stored};
use crate::keys::rights::{may_hand_out, may_issue};
use crate::keys::{ApiKey, BeyondOwn, KeyId, KeyRejection, NewKey, PlainKey};
use crate::ports::{Clock, Cursor, Entropy, Expect, StateStore, StoreError};
use crate::tenancy::{Allowed, Principal, ProjectError, ProjectId, in_use, may, reached};

/// Issues keys and looks after them.
#[derive(Clone)]
pub struct Keys {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    counts_concurrency: bool,
}

/// A page of keys.
#[derive(Debug)]
pub struct KeyList {
    pub keys: Vec<ApiKey>,
    /// Where the next page starts.
    pub next: Option<Cursor>,
}

/// Why a key was not issued or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key has this id.
    #[error("API key `{0}` does not exist; list keys with `diogenes key list`")]
    NotFound(KeyId),
    /// A revoked or expired key cannot be rotated.
    #[error(transparent)]
    Rejected(#[from] KeyRejection),
    /// A field makes no sense.
    #[error("`{field}` {problem}")]
    Invalid {
        field: &'static str,
        /// What is wrong and what to write.
        problem: String,
    },
    /// The principal may not hand out, or take away, what it does not hold itself.
    #[error("{0}")]
    BeyondOwn(BeyondOwn),
    /// The project of the key.
    #[error(transparent)]
    Project(ProjectError),
    /// The store failed.
    #[error("the keys could not be read or written")]
    Store(#[from] StoreError),
}

impl From<ProjectError> for KeyError {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Store(error) => Self::Store(error),
            error => Self::Project(error),
        }
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
    pub async fn issue(
        &self,
        by: &Allowed<may::KeysWrite>,
        new: NewKey,
    ) -> Result<(ApiKey, PlainKey), KeyError> {
        new.validate(self.clock.now())?;
        if new.limits.concurrency.is_some() && !self.counts_concurrency {
            let problem =
                "is not supported by this deployment; limit requests or tokens per minute".into();
            return Err(KeyError::Invalid { field: "limits.concurrency", problem });
        }
        if !by.reaches(&new.project) {
            return Err(ProjectError::NotFound(new.project).into());
        }
        may_issue(by, &new)?;
        loop {
            let project = in_use(&*self.store, &new.project).await?;
            let (record, plain) = self.fresh(new.clone());
            let audit = change(&record, Action::key_create());
            let mut writes = vec![
                record.put(Expect::Absent)?,
                audit.write(&Actor::from(by), record.created_at)?,
            ];
            writes.extend(project);
            if self.store.committed(&writes).await? {
                return Ok((record, plain));
            }
            // The project was changed meanwhile.
        }
    }

    /// The key with this id.
    pub async fn get(&self, by: &Allowed<may::KeysRead>, id: &KeyId) -> Result<ApiKey, KeyError> {
        Ok(self.read(by, id).await?.value)
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
        match in_use(&*self.store, &record.project).await {
            Ok(_) => Ok(record),
            Err(ProjectError::Store(error)) => Err(error.into()),
            Err(_) => Err(KeyRejection::Project(record.project).into()),
        }
    }

    /// Who the holder of a key is now, for work that goes on without a request of theirs.
    pub async fn principal(&self, id: &KeyId) -> Result<Principal, KeyError> {
        let record = self.read(&Principal::operator(), id).await?.value;
        record.check(self.clock.now())?;
        match in_use(&*self.store, &record.project).await {
            Ok(_) => Ok(record.into()),
            Err(ProjectError::Store(error)) => Err(error.into()),
            Err(_) => Err(KeyRejection::Project(record.project).into()),
        }
    }

    /// One page of the keys of a project, of one email or of all.
    pub async fn list(
        &self,
        by: &Allowed<may::KeysRead>,
        project: &ProjectId,
        email: Option<&str>,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<KeyList, KeyError> {
        reached(&*self.store, by, project).await?;
        let mut query = ApiKey::of_project(project, email);
        query.limit = limit;
        query.cursor = cursor;
        let (stored, next) = self.store.load_page::<ApiKey>(&query).await?;
        Ok(KeyList { keys: stored.into_iter().map(|key| key.value).collect(), next })
    }

    /// Revokes a key; a repeat call changes nothing and succeeds.
    pub async fn revoke(
        &self,
        by: &Allowed<may::KeysWrite>,
        id: &KeyId,
    ) -> Result<ApiKey, KeyError> {
        loop {
            let stored = self.read(by, id).await?;
            may_hand_out(by, &stored.value.scopes, stored.value.models.as_ref())?;
            if stored.value.revoked_at.is_some() {
                return Ok(stored.value);
            }
            let mut revoked = stored.value.clone();
            let now = self.clock.now();
            revoked.revoked_at = Some(now);
            let audit = change(&revoked, Action::key_revoke());
            let writes = [revoked.put(stored.unchanged())?, audit.write(&Actor::from(by), now)?];
            if self.store.committed(&writes).await? {
                return Ok(revoked);
            }
        }
    }

    /// Issues a key with the same rights, and lets the old one expire after `grace`; at once if
    /// that is zero.
    pub async fn rotate(
        &self,
        by: &Allowed<may::KeysWrite>,
        id: &KeyId,
        grace: Duration,
    ) -> Result<(ApiKey, PlainKey), KeyError> {
        loop {
            let old = self.read(by, id).await?;
            let now = self.clock.now();
            let new = NewKey {
                project: old.value.project.clone(),
                email: old.value.email.clone(),
                name: old.value.name.clone(),
                scopes: old.value.scopes.clone(),
                models: old.value.models.clone(),
                expires_at: old.value.expires_at,
                limits: old.value.limits,
                egress: old.value.egress,
                weight: old.value.weight,
            };
            may_issue(by, &new)?;
            old.value.check(now)?;
            let project = in_use(&*self.store, &old.value.project).await?;
            let (mut fresh, plain) = self.fresh(new);
            let first = old.value.limited_as.clone().unwrap_or_else(|| old.value.id.clone());
            fresh.limited_as = Some(first);
            let mut retired = old.value.clone();
            retired.rotated_to = Some(fresh.id.clone());
            let end = now.checked_add(grace).unwrap_or(Timestamp::MAX);
            retired.expires_at = Some(retired.expires_at.map_or(end, |expiry| expiry.min(end)));
            let mut audit = change(&retired, Action::key_rotate());
            audit.summary = format!("replaced by {}; {}", fresh.id, audit.summary);
            let mut writes = vec![
                retired.put(old.unchanged())?,
                fresh.put(Expect::Absent)?,
                audit.write(&Actor::from(by), now)?,
            ];
            writes.extend(project);
            if self.store.committed(&writes).await? {
                return Ok((fresh, plain));
            }
        }
    }

    /// A key of another project is as good as none.
    async fn read(&self, by: &Principal, id: &KeyId) -> Result<Stored<ApiKey>, KeyError> {
        let sane = id.as_str().len() <= 64 && !id.as_str().is_empty();
        let stored =
            if sane { self.store.load::<ApiKey>(&ApiKey::key_of(id)).await? } else { None };
        stored
            .filter(|stored| by.reaches(&stored.value.project))
            .ok_or_else(|| KeyError::NotFound(id.clone()))
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
            egress: new.egress,
            weight: new.weight,
            created_at: self.clock.now(),
            expires_at: new.expires_at,
            revoked_at: None,
            rotated_to: None,
            limited_as: None,
        };
        (record, plain)
    }
}

fn change(key: &ApiKey, action: Action) -> Change {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    Change {
        project: key.project.clone(),
        action,
        target: format!("key/{}", key.id),
        summary: format!("{} for {}", scopes.join(", "), key.email),
    }
}
