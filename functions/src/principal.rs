//! What the authorizer tells the other functions of a key, as the scalars of its context.

use std::collections::{BTreeMap, BTreeSet};

use diogenes_core::keys::{ApiKey, KeyId, Weight};
use diogenes_core::ports::Limits;
use diogenes_core::tenancy::{Permissions, Principal, ProjectId, Scope, Subject};
use serde_json::Value;

/// The context of a key: only strings, API Gateway passes on nothing else.
pub fn to_context(key: &ApiKey) -> BTreeMap<&'static str, String> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let mut context = BTreeMap::from([
        ("key_id", key.id.to_string()),
        ("project", key.project.to_string()),
        ("subject", key.email.clone()),
        ("scopes", scopes.join(" ")),
    ]);
    let json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    if let Some(models) = &key.models {
        context.insert("models", json(serde_json::to_string(models)));
    }
    if !key.limits.is_unlimited() {
        context.insert("limits", json(serde_json::to_string(&key.limits)));
    }
    if key.egress {
        context.insert("egress", "true".into());
    }
    if let Some(first) = &key.limited_as {
        context.insert("limited_as", first.to_string());
    }
    if let Some(expiry) = key.expires_at {
        context.insert("expires_at", expiry.to_string());
    }
    context
}

/// The principal that a context tells of; a context that cannot be read makes none.
///
/// An authorizer of version 0.1.0 names neither project nor subject: its keys belong to the
/// project `default`, and the key's id stands for the subject. Scopes that this version does not
/// know grant nothing.
pub fn from_context(text: impl Fn(&str) -> Option<String>) -> Option<Principal> {
    let scopes = text("scopes")?;
    let scopes = scopes.split_whitespace().filter_map(|scope| scope.parse::<Scope>().ok());
    let json = |name: &str| match text(name) {
        Some(json) => serde_json::from_str::<Value>(&json).map(Some),
        None => Ok(None),
    };
    let models: Option<BTreeSet<_>> = match json("models").ok()? {
        Some(models) => Some(serde_json::from_value(models).ok()?),
        None => None,
    };
    let limits = match json("limits").ok()? {
        Some(limits) => serde_json::from_value(limits).ok()?,
        None => Limits::default(),
    };
    let expires_at = match text("expires_at") {
        Some(expiry) => Some(expiry.parse().ok()?),
        None => None,
    };
    let project = match text("project") {
        Some(project) => project.parse().ok()?,
        None => ProjectId::default(),
    };
    let key = text("key_id")?;
    Some(Principal {
        project,
        subject: Subject::new(text("subject").unwrap_or_else(|| format!("key {key}"))),
        key: KeyId::from_caller(key),
        permissions: scopes.map(Scope::permissions).fold(Permissions::default(), Permissions::and),
        models,
        limits,
        egress: text("egress").as_deref() == Some("true"),
        // Requests take no turns here.
        weight: Weight::default(),
        limited_as: text("limited_as").map(KeyId::from_caller),
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use diogenes_core::Timestamp;
    use diogenes_core::keys::PlainKey;
    use diogenes_core::testing::SeededEntropy;

    use super::*;

    fn back(context: &BTreeMap<&'static str, String>) -> Option<Principal> {
        from_context(|name| context.get(name).cloned())
    }

    fn key() -> ApiKey {
        let hash = PlainKey::generate(&SeededEntropy::new(1)).hash();
        ApiKey {
            id: hash.id(),
            hash,
            project: "team-a".parse().unwrap(),
            email: "ada@example.com".into(),
            name: String::new(),
            scopes: BTreeSet::from([Scope::Inference]),
            models: None,
            limits: Limits::default(),
            egress: false,
            weight: Weight::default(),
            created_at: Timestamp::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
            rotated_to: None,
            limited_as: None,
        }
    }

    #[test]
    fn a_context_makes_the_principal_of_its_key() {
        let limited = ApiKey {
            scopes: BTreeSet::from(Scope::ALL),
            models: Some(BTreeSet::from(["a/b".parse().unwrap()])),
            limits: Limits { requests_per_minute: Some(5), ..Limits::default() },
            egress: true,
            weight: Weight::default(),
            expires_at: Some(Timestamp::UNIX_EPOCH),
            limited_as: Some(KeyId::from_caller("first")),
            ..key()
        };
        for key in [key(), limited] {
            assert_eq!(back(&to_context(&key)), Some(Principal::from(key)));
        }
    }

    #[test]
    fn the_context_of_an_older_authorizer_is_of_the_default_project() {
        let old = BTreeMap::from([("key_id", "abc".to_owned()), ("scopes", "admin".into())]);
        let principal = back(&old).unwrap();
        assert_eq!(principal.project, ProjectId::default());
        assert_eq!(principal.subject, Subject::new("key abc"));
        assert_eq!(principal.permissions, Scope::Admin.permissions());
    }

    #[test]
    fn unknown_scopes_grant_nothing() {
        let mut context = to_context(&key());
        context.insert("scopes", "root inference".into());
        let permissions = back(&context).unwrap().permissions;
        assert_eq!(permissions, Scope::Inference.permissions());
    }

    #[test]
    fn a_damaged_context_makes_no_principal() {
        let good = BTreeMap::from([("key_id", "abc".to_owned()), ("scopes", "inference".into())]);
        assert!(back(&good).is_some());
        for (name, value) in [
            ("models", "[1]"),
            ("models", "["),
            ("limits", "7"),
            ("expires_at", "soon"),
            ("project", "Team A"),
        ] {
            let mut damaged = good.clone();
            damaged.insert(name, value.into());
            assert_eq!(back(&damaged), None, "{name} = {value}");
        }
        assert_eq!(back(&BTreeMap::new()), None);
    }
}
