use std::collections::BTreeSet;
use std::fmt;

use super::{Permission, Permissions, ProjectId};
use crate::Timestamp;
use crate::keys::{KeyId, KeyRejection, Weight};
use crate::name::ModelName;
use crate::ports::Limits;

/// A person or program: the address of a key's holder. Two keys of one address are one subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(String);

impl Subject {
    /// Whoever runs the installation, by its machine or its cloud account instead of a key.
    pub const OPERATOR: &str = "operator";

    /// A subject of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who makes a request, and what they may do. It acts in one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The project it acts in.
    pub project: ProjectId,
    pub subject: Subject,
    /// The key it has shown; empty for the operator.
    pub key: KeyId,
    /// What it may do.
    pub permissions: Permissions,
    /// The models it may use; all when absent.
    pub models: Option<BTreeSet<ModelName>>,
    /// How much it may use.
    pub limits: Limits,
    /// Whether its requests may leave for providers.
    pub egress: bool,
    /// Its share of a busy model, beside other keys.
    pub weight: Weight,
    /// The key that its requests count for against the limits; its own when absent.
    pub limited_as: Option<KeyId>,
    /// When it stops being accepted.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// Whoever runs the installation: may do everything.
    pub fn operator() -> Self {
        Self {
            project: ProjectId::default(),
            subject: Subject::new(Subject::OPERATOR),
            key: KeyId::from_caller(""),
            permissions: Permissions::all(),
            models: None,
            limits: Limits::default(),
            egress: true,
            weight: Weight::default(),
            limited_as: None,
            expires_at: None,
        }
    }

    /// Whether it may use `model`, named as registered.
    pub fn may_use(&self, model: &ModelName) -> bool {
        self.models.as_ref().is_none_or(|models| models.contains(model))
    }

    /// The key that its requests count for against its limits.
    pub fn limit_key(&self) -> &KeyId {
        self.limited_as.as_ref().unwrap_or(&self.key)
    }

    /// Whether records of `project` exist for it.
    pub fn reaches(&self, project: &ProjectId) -> bool {
        self.project == *project || self.permissions.contains(Permission::ProjectsAny)
    }

    /// Whether it is still accepted at `now`.
    pub fn check(&self, now: Timestamp) -> Result<(), KeyRejection> {
        if self.expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(KeyRejection::Expired(self.key.clone()));
        }
        Ok(())
    }
}
