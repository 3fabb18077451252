//! Verifies bearer keys for API Gateway. It answers by policy, for the whole stage, and fails in
//! one case only: when the table cannot be read. API Gateway keeps policies for minutes, so a
//! denial would lock a good key out for that long after one throttled read; an error it does not
//! keep, and answers with the 503 of the template's gateway responses.

use std::sync::Arc;

use diogenes_backends::system::OsEntropy;
use diogenes_core::causes::chain;
use diogenes_core::keys::{ApiKey, KeyError, KeyRejection, Keys, PlainKey};
use serde_json::{Value, json};

use crate::start::Base;

/// Whether a key is good could not be found out; nothing is said of the key.
#[derive(thiserror::Error)]
#[error(
    "the key could not be verified; check the table and the function's permissions: {}",
    chain(.0)
)]
pub struct Unverified(#[source] KeyError);

crate::display::debug_as_display!(Unverified);

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
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn answer(&self, event: &Value) -> Result<Value, Unverified> {
        let resource = event.get("methodArn").and_then(Value::as_str);
        let token = event.get("authorizationToken").and_then(Value::as_str);
        let (Some(arn), Some(token)) = (resource, token) else {
            tracing::error!(
                "the event is not a TOKEN event: `methodArn` or `authorizationToken` is missing"
            );
            return Ok(policy(
                "Deny",
                "*",
                "unknown",
                &json!({"code": "invalid_api_key",
                "message": "the request cannot be authorized; send the key as Bearer token"}),
            ));
        };
        Ok(match self.verify(token).await? {
            Ok(key) => {
                let context = json!(crate::principal::to_context(&key));
                policy("Allow", &whole_stage(arn), key.id.as_str(), &context)
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
        })
    }

    /// The record of the key, or the code and the message of its denial.
    async fn verify(
        &self,
        token: &str,
    ) -> Result<Result<ApiKey, (&'static str, String)>, Unverified> {
        let token = token.split_once(' ').map_or("", |(_, token)| token.trim());
        let plain: PlainKey = match token.parse() {
            Ok(plain) => plain,
            Err(malformed) => return Ok(Err(("invalid_api_key", format!("{malformed}")))),
        };
        match self.keys.verify(&plain).await {
            Ok(key) => Ok(Ok(key)),
            Err(KeyError::Rejected(rejection)) => {
                let code = match rejection {
                    KeyRejection::Unknown => "invalid_api_key",
                    KeyRejection::Revoked(_) => "revoked_api_key",
                    KeyRejection::Expired(_) => "expired_api_key",
                    KeyRejection::Project(_) => "project_archived",
                };
                Ok(Err((code, rejection.to_string())))
            }
            Err(error) => Err(Unverified(error)),
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
