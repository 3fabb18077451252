//! What the authorizer tells the other functions of a key, as the scalars of its context.

use std::collections::BTreeMap;

use diogenes_core::keys::{Grant, KeyId, Scope};
use serde_json::Value;

/// The context of a grant: only strings, API Gateway passes on nothing else.
pub fn to_context(grant: &Grant) -> BTreeMap<&'static str, String> {
    let scopes: Vec<&str> = grant.scopes.iter().map(|scope| scope.as_str()).collect();
    let mut context =
        BTreeMap::from([("key_id", grant.key.to_string()), ("scopes", scopes.join(" "))]);
    let json = |value: Result<String, serde_json::Error>| value.unwrap_or_default();
    if let Some(models) = &grant.models {
        context.insert("models", json(serde_json::to_string(models)));
    }
    if !grant.limits.is_unlimited() {
        context.insert("limits", json(serde_json::to_string(&grant.limits)));
    }
    if let Some(expiry) = grant.expires_at {
        context.insert("expires_at", expiry.to_string());
    }
    context
}

/// The grant that a context tells of; a context that cannot be read grants nothing.
pub fn from_context(text: impl Fn(&str) -> Option<String>) -> Option<Grant> {
    let scopes = text("scopes")?;
    let scopes = scopes.split_whitespace().map(str::parse::<Scope>).collect::<Result<_, _>>();
    let json = |name: &str| match text(name) {
        Some(json) => serde_json::from_str::<Value>(&json).map(Some),
        None => Ok(None),
    };
    let models = match json("models").ok()? {
        Some(models) => Some(serde_json::from_value(models).ok()?),
        None => None,
    };
    let limits = match json("limits").ok()? {
        Some(limits) => serde_json::from_value(limits).ok()?,
        None => diogenes_core::ports::Limits::default(),
    };
    let expires_at = match text("expires_at") {
        Some(expiry) => Some(expiry.parse().ok()?),
        None => None,
    };
    Some(Grant {
        key: KeyId::from_caller(text("key_id")?),
        scopes: scopes.ok()?,
        models,
        limits,
        expires_at,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use diogenes_core::Timestamp;
    use diogenes_core::ports::Limits;

    use super::*;

    fn back(context: &BTreeMap<&'static str, String>) -> Option<Grant> {
        from_context(|name| context.get(name).cloned())
    }

    #[test]
    fn a_grant_comes_back_as_it_was() {
        let plain = Grant {
            key: KeyId::from_caller("abc"),
            scopes: BTreeSet::from([Scope::Inference]),
            models: None,
            limits: Limits::default(),
            expires_at: None,
        };
        let limited = Grant {
            scopes: BTreeSet::from(Scope::ALL),
            models: Some(BTreeSet::from(["a/b".parse().unwrap()])),
            limits: Limits { requests_per_minute: Some(5), ..Limits::default() },
            expires_at: Some(Timestamp::UNIX_EPOCH),
            ..plain.clone()
        };
        for grant in [plain, limited] {
            assert_eq!(back(&to_context(&grant)), Some(grant));
        }
    }

    #[test]
    fn a_damaged_context_grants_nothing() {
        let good = BTreeMap::from([("key_id", "abc".to_owned()), ("scopes", "inference".into())]);
        assert!(back(&good).is_some());
        for (name, value) in [
            ("scopes", "root"),
            ("models", "[1]"),
            ("models", "["),
            ("limits", "7"),
            ("expires_at", "soon"),
        ] {
            let mut damaged = good.clone();
            damaged.insert(name, value.into());
            assert_eq!(back(&damaged), None, "{name} = {value}");
        }
        assert_eq!(back(&BTreeMap::new()), None);
    }
}
