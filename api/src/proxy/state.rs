use std::sync::Arc;

use diogenes_core::ports::{Clock, Limiter};

use super::{Dispatcher, StoreLink};
use crate::auth::Authenticator;
use crate::error::{ApiError, store_error};
use crate::metrics::Metrics;
use crate::settings::AppSettings;

/// What the handlers of `/v1` share.
pub struct ProxyState {
    /// Who makes a request.
    pub authenticator: Arc<dyn Authenticator>,
    /// Which models there are and who serves them.
    pub views: FleetViews,
    /// Limits of keys.
    pub limiter: Arc<dyn Limiter>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Bounds.
    pub settings: AppSettings,
}

/// The models and their replicas as they are known here, and the means to know them better.
#[derive(Clone)]
pub struct FleetViews {
    /// What is known.
    pub dispatcher: Arc<Dispatcher>,
    /// Where another process looks after the fleet: what keeps the dispatcher in step with it.
    pub link: Option<Arc<StoreLink>>,
}

impl FleetViews {
    /// Makes what is known of the model that answers to `name` fresh enough for a request. What
    /// is known already serves on while the store does not answer.
    pub(crate) async fn refresh(&self, name: &str) -> Result<(), ApiError> {
        let Some(link) = &self.link else { return Ok(()) };
        let Err(error) = link.refresh(name).await else { return Ok(()) };
        if self.dispatcher.find(name).is_err() {
            return Err(store_error(&error));
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "`{name}` is served by what was known of it before"
        );
        Ok(())
    }

    /// Makes the list of models fresh.
    pub(crate) async fn refresh_models(&self) -> Result<(), ApiError> {
        match &self.link {
            Some(link) => link.refresh_models().await.map_err(|error| store_error(&error)),
            None => Ok(()),
        }
    }

    /// Makes everything that is known of the fleet fresh.
    pub(crate) async fn refresh_all(&self) -> Result<(), ApiError> {
        match &self.link {
            Some(link) => link.refresh_all().await.map_err(|error| store_error(&error)),
            None => Ok(()),
        }
    }
}
