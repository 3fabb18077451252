use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use super::{Needs, Permission, Principal, Scope};
use crate::keys::KeyId;

/// A principal that may do `P`. Having one is the proof that this was checked.
pub struct Allowed<P> {
    principal: Arc<Principal>,
    origin: Origin,
    permission: PhantomData<fn() -> P>,
}

/// Where a request came from, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub address: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
}

/// A principal lacks a permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API key `{key}` lacks the permission `{permission}`; use a key with the scope {}", scopes(*permission))]
pub struct Denied {
    pub key: KeyId,
    /// What it may not do.
    pub permission: Permission,
}

impl<P: Needs> Allowed<P> {
    /// Checks that `principal` may do `P`.
    pub fn check(principal: Arc<Principal>) -> Result<Self, Denied> {
        if principal.permissions.contains(P::PERMISSION) {
            Ok(Self { principal, origin: Origin::default(), permission: PhantomData })
        } else {
            Err(Denied { key: principal.key.clone(), permission: P::PERMISSION })
        }
    }

    /// The operator, who may do everything.
    pub fn operator() -> Self {
        Self {
            principal: Arc::new(Principal::operator()),
            origin: Origin::default(),
            permission: PhantomData,
        }
    }
}

impl<P> Allowed<P> {
    /// The same from a known place.
    #[must_use]
    pub fn with_origin(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Where the request came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl<P> Deref for Allowed<P> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl<P: Needs> std::fmt::Debug for Allowed<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Allowed")
            .field("permission", &P::PERMISSION)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

/// The scopes that hold `permission`, as a phrase.
fn scopes(permission: Permission) -> String {
    let holding = Scope::ALL.into_iter().filter(|scope| scope.permissions().contains(permission));
    let names: Vec<_> = holding.map(|scope| format!("`{scope}`")).collect();
    match &names[..] {
        [] => "that holds it".into(),
        [one] => one.clone(),
        [some @ .., last] => format!("{} or {last}", some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Permissions, may};
    use super::*;

    #[test]
    fn a_refusal_names_the_scopes_that_would_do() {
        let principal = Principal {
            key: KeyId::from_caller("abc"),
            permissions: Permissions::of(&[Permission::KeysRead]),
            ..Principal::operator()
        };
        let principal = Arc::new(principal);
        assert!(Allowed::<may::KeysRead>::check(principal.clone()).is_ok());
        let denied = Allowed::<may::KeysWrite>::check(principal).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "the API key `abc` lacks the permission `keys:write`; \
             use a key with the scope `admin`, `project_admin` or `keys`"
        );
    }
}
