use std::sync::Arc;

use async_trait::async_trait;
use diogenes_core::ports::Clock;
use diogenes_core::tenancy::Principal;
use http::request::Parts;

use super::Authenticator;
use crate::error::{ApiError, ErrorKind, key_error};

/// Takes the word of a gateway that has verified the key: whoever hands requests on puts an
/// `Arc<Principal>` into their extensions. A request without one is refused.
pub struct GatewayAuthenticator {
    clock: Arc<dyn Clock>,
}

impl GatewayAuthenticator {
    /// An authenticator that checks expiry by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock }
    }

    fn vouched_for(&self, request: &Parts) -> Result<Arc<Principal>, ApiError> {
        let Some(principal) = request.extensions.get::<Arc<Principal>>() else {
            tracing::error!("a request bypassed the authorizer; check the routes of the API");
            return Err(ApiError::new(
                ErrorKind::MissingApiKey,
                "the request has no verified API key; send it as `Authorization: Bearer dg_…`",
            ));
        };
        principal.check(self.clock.now()).map_err(|rejection| key_error(&rejection.into()))?;
        Ok(principal.clone())
    }
}

#[async_trait]
impl Authenticator for GatewayAuthenticator {
    fn recall(&self, request: &Parts) -> Option<Result<Arc<Principal>, ApiError>> {
        Some(self.vouched_for(request))
    }

    async fn look_up(&self, request: &Parts) -> Result<Arc<Principal>, ApiError> {
        self.vouched_for(request)
    }
}
