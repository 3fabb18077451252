use std::collections::BTreeSet;

use crate::keys::{KeyError, KeyId};
use crate::name::ModelName;
use crate::tenancy::{Allowed, Permission, Permissions, Scope, may};

/// Rights of a key that the principal who deals with it does not hold itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeyondOwn {
    #[error(
        "the API key `{key}` may not issue or change keys with the scope `{scope}`; use one with the scope `admin`"
    )]
    Scope { key: KeyId, scope: Scope },
    /// Models.
    #[error(
        "the API key `{key}` may use some models only, and so may keys that it issues or changes; name models that it may use"
    )]
    Models { key: KeyId },
}

/// Whether the principal may issue, rotate or revoke keys with these rights: they must not exceed
/// its own, except that whoever issues keys may issue them for inference.
pub(super) fn may_hand_out(
    by: &Allowed<may::KeysWrite>,
    scopes: &BTreeSet<Scope>,
    models: Option<&BTreeSet<ModelName>>,
) -> Result<(), KeyError> {
    if by.permissions.contains(Permission::ProjectsAny) {
        return Ok(());
    }
    let key = by.key.clone();
    let own = by.permissions.and(Permissions::of(&[Permission::InferenceUse]));
    if let Some(&scope) = scopes.iter().find(|scope| !own.covers(scope.permissions())) {
        return Err(KeyError::BeyondOwn(BeyondOwn::Scope { key, scope }));
    }
    let is_within = |own: &BTreeSet<_>| models.is_some_and(|models| models.is_subset(own));
    if by.models.as_ref().is_none_or(is_within) {
        Ok(())
    } else {
        Err(KeyError::BeyondOwn(BeyondOwn::Models { key }))
    }
}
