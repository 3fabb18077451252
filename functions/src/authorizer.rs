//! Verifies bearer keys for API Gateway. It answers by policy only, for the whole stage, and
//! never fails: an authorizer's error would reach callers as a 500 of the gateway.

use std::sync::Arc;

use diogenes_backends::system::OsEntropy;
use diogenes_core::keys::{Grant, KeyError, KeyRejection, Keys, PlainKey};
use serde_json::{Value, json};

use crate::start::Base;

/// The authorizer over the key records.
pub struct Authorizer {
    keys: Keys,
}

impl Authorizer {
    /// An authorizer over the store of `base`.
    pub fn new(base: &Base) -> Self {
        Self { keys: Keys::new(base.store.clone(), base.clock.clone(), Arc::new(OsEntropy)) }
    }

    /// The answer to one TOKEN event.
    pub async fn answer(&self, event: &Value) -> Value {
        let resource = event.get("methodArn").and_then(Value::as_str);
        let token = event.get("authorizationToken").and_then(Value::as_str);
        let (Some(arn), Some(token)) = (resource, token) else {
            tracing::error!(
                "the event is no TOKEN event: `methodArn` or `authorizationToken` is missing"
            );
            return policy(
                "Deny",
                "*",
                "unknown",
                &json!({"code": "invalid_api_key",
                "message": "the request cannot be authorized; send the key as Bearer token"}),
            );
        };
        match self.verify(token).await {
            Ok(grant) => {
                let context = json!(crate::grant::to_context(&grant));
                policy("Allow", &whole_stage(arn), grant.key.as_str(), &context)
            }
            Err((code, message)) => {
                // It stands in a JSON template of the gateway.
                let message: String = message
                    .chars()
                    .filter(|c| !matches!(c, '"' | '\\') && !c.is_control())
                    .collect();
                policy(
                    "Deny",
                    &whole_stage(arn),
                    "denied",
                    &json!({"code": code, "message": message}),
                )
            }
        }
    }

    async fn verify(&self, token: &str) -> Result<Grant, (&'static str, String)> {
        let token = token.split_once(' ').map_or("", |(_, token)| token.trim());
        let plain: PlainKey =
            token.parse().map_err(|malformed| ("invalid_api_key", format!("{malformed}")))?;
        match self.keys.verify(&plain).await {
            Ok(key) => Ok(Grant::from(key)),
            Err(KeyError::Rejected(rejection)) => {
                let code = match rejection {
                    KeyRejection::Unknown => "invalid_api_key",
                    KeyRejection::Revoked(_) => "revoked_api_key",
                    KeyRejection::Expired(_) => "expired_api_key",
                };
                Err((code, rejection.to_string()))
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a key could not be verified; check the table and the function's permissions"
                );
                let message = "the key cannot be verified now; retry in some seconds";
                Err(("store_unavailable", message.into()))
            }
        }
    }
}

/// `arn:aws:execute-api:region:account:api/stage/METHOD/path` → everything of its stage: the
/// gateway uses a cached policy for every other method, too.
fn whole_stage(arn: &str) -> String {
    let mut parts = arn.splitn(3, '/');
    match (parts.next(), parts.next()) {
        (Some(api), Some(stage)) => format!("{api}/{stage}/*"),
        _ => arn.to_owned(),
    }
}

fn policy(effect: &str, resource: &str, principal: &str, context: &Value) -> Value {
    json!({
        "principalId": principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": effect, "Action": "execute-api:Invoke", "Resource": resource}],
        },
        "context": context,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_covers_the_stage() {
        let arn = "arn:aws:execute-api:eu-west-1:123:api/prod/POST/v1/chat/completions";
        assert_eq!(whole_stage(arn), "arn:aws:execute-api:eu-west-1:123:api/prod/*");
        assert_eq!(whole_stage("nonsense"), "nonsense");
    }
}
