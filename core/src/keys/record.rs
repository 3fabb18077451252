use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::keys::{KeyHash, KeyId, Weight};
use crate::name::ModelName;
use crate::ports::{IndexKey, Key, Limits, Query, Table};
use crate::tenancy::{Permissions, Principal, ProjectId, Scope, Subject, known_scopes};

/// An issued key, as far as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: KeyId,
    /// The hash of the key.
    pub hash: KeyHash,
    /// The project it acts in.
    #[serde(default, skip_serializing_if = "ProjectId::is_default")]
    pub project: ProjectId,
    /// Whom it belongs to.
    pub email: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    #[serde(deserialize_with = "known_scopes")]
    pub scopes: BTreeSet<Scope>,
    /// The models that it may use; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<BTreeSet<ModelName>>,
    /// How much it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Whether its requests may leave for providers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub egress: bool,
    /// Its share of a busy model, beside other keys.
    #[serde(default, skip_serializing_if = "Weight::is_default")]
    pub weight: Weight,
    /// When it was issued.
    pub created_at: Timestamp,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// The key that replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_to: Option<KeyId>,
    /// The first of the keys that it was rotated from, as which it counts against its limits: a
    /// rotation must not begin a fresh minute, nor double the limits while both keys work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_as: Option<KeyId>,
}

/// Why a key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRejection {
    /// Nobody issued it.
    #[error("the API key is not valid; create one with `diogenes key create`")]
    Unknown,
    /// It was revoked.
    #[error("the API key `{0}` was revoked")]
    Revoked(KeyId),
    /// Its time is over.
    #[error("the API key `{0}` has expired")]
    Expired(KeyId),
    /// Its project is archived, or gone.
    #[error(
        "the project `{0}` of the API key is archived or no longer exists; use a key of another project"
    )]
    Project(ProjectId),
}

impl ApiKey {
    /// Where the key with this id stands.
    pub fn key_of(id: &KeyId) -> Key {
        Key::new(format!("KEY#{id}"), "KEY")
    }

    /// Lists the keys of a project, or those of one email; oldest first within an email.
    pub fn of_project(project: &ProjectId, email: Option<&str>) -> Query {
        let prefix = email.map_or_else(String::new, |email| format!("{email}\u{1f}"));
        Query::new(Table::Index, Self::partition(project), prefix)
    }

    /// Keys of `default` stand where version 0.1.0, which knew no projects, has put every key, so
    /// that there is nothing to move.
    fn partition(project: &ProjectId) -> String {
        if project.is_default() { "KEYS".into() } else { format!("KEYS#{project}") }
    }

    /// Whether it counts at `now`.
    pub fn check(&self, now: Timestamp) -> Result<(), KeyRejection> {
        if self.revoked_at.is_some() {
            return Err(KeyRejection::Revoked(self.id.clone()));
        }
        if self.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(KeyRejection::Expired(self.id.clone()));
        }
        Ok(())
    }
}

impl From<ApiKey> for Principal {
    fn from(key: ApiKey) -> Self {
        let permissions = key.scopes.iter().map(|scope| scope.permissions());
        Self {
            project: key.project,
            subject: Subject::new(key.email),
            key: key.id,
            permissions: permissions.fold(Permissions::default(), Permissions::and),
            models: key.models,
            limits: key.limits,
            egress: key.egress,
            weight: key.weight,
            limited_as: key.limited_as,
            expires_at: key.expires_at,
        }
    }
}

impl Entity for ApiKey {
    const KIND: &'static str = "API key";

    fn key(&self) -> Key {
        Self::key_of(&self.id)
    }

    fn index(&self) -> Option<IndexKey> {
        Some(IndexKey {
            partition: Self::partition(&self.project),
            sort: format!("{}\u{1f}{}\u{1f}{}", self.email, self.created_at, self.id),
        })
    }
}
