use std::collections::BTreeSet;

use crate::Timestamp;
use crate::keys::{KeyError, KeyId, NewKey, Weight};
use crate::name::ModelName;
use crate::ports::LimitKind;
use crate::tenancy::{Allowed, Permission, Permissions, Scope, may};

/// Rights of a key that the principal who deals with it does not hold itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeyondOwn {
    #[error(
        "the API key `{key}` may not issue or change keys with the scope `{scope}`; use one with the scope `admin`"
    )]
    Scope { key: KeyId, scope: Scope },
    /// It could use models that its issuer may not.
    #[error(
        "the API key `{key}` is limited to certain models and can only issue or change keys limited to the same ones; set `models`, or use one with the scope `admin`"
    )]
    Models { key: KeyId },
    /// It would outlive its issuer.
    #[error(
        "the API key `{key}` expires at {expires_at}, and the keys it issues or rotates must expire no later; set `expires_at` to that or earlier, or use one with the scope `admin`"
    )]
    Expiry { key: KeyId, expires_at: Timestamp },
    /// Its requests could leave for providers.
    #[error(
        "the API key `{key}` may not send requests to providers, and neither may the keys it issues or rotates; use one with `egress`, or one with the scope `admin`"
    )]
    Egress { key: KeyId },
    /// It could use more than its issuer.
    #[error(
        "the API key `{key}` is limited to {limit}, and the keys it issues or rotates need the same or lower limits; set their `limits`, or use one with the scope `admin`"
    )]
    Limits { key: KeyId, limit: String },
    /// It would get a larger share than its issuer.
    #[error(
        "the API key `{key}` has the weight {weight}, and the keys it issues or rotates may have no larger one; set `weight`, or use one with the scope `admin`"
    )]
    Weight { key: KeyId, weight: Weight },
}

/// Whether the principal may revoke keys with these rights, or issue them as far as these go: they
/// must not exceed its own, except that whoever issues keys may issue them for inference.
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

/// Whether the principal may issue or rotate a key whose requests may leave for providers.
fn may_let_out(by: &Allowed<may::KeysWrite>, egress: bool) -> Result<(), KeyError> {
    if !egress || by.egress || by.permissions.contains(Permission::ProjectsAny) {
        return Ok(());
    }
    Err(KeyError::BeyondOwn(BeyondOwn::Egress { key: by.key.clone() }))
}

/// Whether the principal may issue this key, or get it by rotating another one: it must not get
/// around its own rights, life and limits by way of the keys that it gets.
pub(super) fn may_issue(by: &Allowed<may::KeysWrite>, new: &NewKey) -> Result<(), KeyError> {
    may_hand_out(by, &new.scopes, new.models.as_ref())?;
    may_let_out(by, new.egress)?;
    if by.permissions.contains(Permission::ProjectsAny) {
        return Ok(());
    }
    let key = by.key.clone();
    if let Some(expires_at) = by.expires_at
        && new.expires_at.is_none_or(|at| at > expires_at)
    {
        return Err(KeyError::BeyondOwn(BeyondOwn::Expiry { key, expires_at }));
    }
    if new.weight > by.weight {
        return Err(KeyError::BeyondOwn(BeyondOwn::Weight { key, weight: by.weight }));
    }
    let (own, wanted) = (&by.limits, &new.limits);
    let beyond = [
        (LimitKind::Requests, own.requests_per_minute, wanted.requests_per_minute),
        (LimitKind::Tokens, own.tokens_per_minute, wanted.tokens_per_minute),
        (LimitKind::Concurrency, own.concurrency, wanted.concurrency),
    ]
    .into_iter()
    .find_map(|(kind, own, wanted)| {
        let own = own?;
        wanted.is_none_or(|wanted| wanted > own).then(|| kind.of(own))
    });
    match beyond {
        Some(limit) => Err(KeyError::BeyondOwn(BeyondOwn::Limits { key, limit })),
        None => Ok(()),
    }
}
