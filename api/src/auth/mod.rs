//! Who makes a request: from its bearer token, or from what the gateway in front has found out.

mod gateway;
mod ring;

use std::sync::Arc;

use async_trait::async_trait;
use diogenes_core::keys::KeyId;
use diogenes_core::tenancy::{Allowed, Denied, Needs, Principal, ProjectId};
use http::request::Parts;
use http::{HeaderMap, header};

use crate::error::{ApiError, ErrorKind};

pub use gateway::GatewayAuthenticator;
pub use ring::KeyRing;

/// Makes the [`Principal`] of a request.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// The principal, or why there is none, where this is known without waiting: the way of nearly
    /// every request.
    fn recall(&self, request: &Parts) -> Option<Result<Arc<Principal>, ApiError>>;

    /// The principal, after [`Authenticator::recall`] knew nothing.
    async fn look_up(&self, request: &Parts) -> Result<Arc<Principal>, ApiError>;

    /// Forgets what is remembered of a key that was changed.
    fn forget_key(&self, _: &KeyId) {}

    /// Forgets what is remembered of the keys of a project that was changed.
    fn forget_project(&self, _: &ProjectId) {}
}

impl dyn Authenticator {
    /// The principal of a request, if it may do `P`.
    pub async fn allow<P: Needs>(&self, request: &Parts) -> Result<Allowed<P>, ApiError> {
        let principal = match self.recall(request) {
            Some(known) => known?,
            None => self.look_up(request).await?,
        };
        Allowed::check(principal).map_err(|denied| denied_error(&denied))
    }
}

/// Where a request came from, put into its extensions by whoever accepted the connection. Only the
/// control plane reads it.
#[derive(Clone, Debug)]
pub struct PeerAddress(pub String);

/// A principal that lacks a permission, as callers see it.
pub(crate) fn denied_error(denied: &Denied) -> ApiError {
    ApiError::new(ErrorKind::InsufficientScope, denied.to_string())
}

/// The token of `Authorization: Bearer TOKEN`, or that of `x-api-key`, as Anthropic's clients send
/// it.
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing = || {
        ApiError::new(
            ErrorKind::MissingApiKey,
            "the request has no API key; send it as `Authorization: Bearer dg_…`",
        )
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let token = headers.get("x-api-key").and_then(|value| value.to_str().ok());
        return token.map(str::trim).filter(|token| !token.is_empty()).ok_or_else(missing);
    };
    let text = value.to_str().map_err(|_| missing())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(missing());
    }
    Ok(token.trim())
}
