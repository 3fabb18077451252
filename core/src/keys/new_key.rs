use std::collections::BTreeSet;

use crate::Timestamp;
use crate::keys::{KeyError, Weight};
use crate::name::ModelName;
use crate::ports::Limits;
use crate::tenancy::{ProjectId, Scope};

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
    /// Whether its requests may leave for providers.
    pub egress: bool,
    /// Its share of a busy model, beside other keys.
    pub weight: Weight,
}

impl NewKey {
    pub(super) fn validate(&self, now: Timestamp) -> Result<(), KeyError> {
        let wrong =
            |field, problem: &str| Err(KeyError::Invalid { field, problem: problem.into() });
        let printable = |text: &str| !text.chars().any(char::is_control);
        if self.email.len() > 254 || !printable(&self.email) || !self.email.contains('@') {
            return wrong("email", "must be an email address such as `ada@example.com`");
        }
        if self.name.chars().count() > 100 || !printable(&self.name) {
            return wrong("name", "must be at most 100 printable characters");
        }
        if self.scopes.is_empty() {
            return wrong("scopes", "is empty; name at least one, such as `inference`");
        }
        if self.models.as_ref().is_some_and(BTreeSet::is_empty) {
            return wrong("models", "is empty; leave it out to allow every model");
        }
        if self.models.as_ref().is_some_and(|models| models.len() > 1000) {
            return wrong("models", "has more than 1000 names; leave it out to allow every model");
        }
        if self.expires_at.is_some_and(|expiry| expiry <= now) {
            return wrong(
                "expires_at",
                "is in the past; leave it out for a key that never expires",
            );
        }
        let limits = &self.limits;
        if [limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency]
            .contains(&Some(0))
        {
            return wrong("limits", "must not contain 0; leave a limit out to have none");
        }
        Ok(())
    }
}
