use std::sync::Arc;

use diogenes_core::ports::{Clock, StateStore, Wake};

use super::dispatch::Dispatcher;
use super::fleet_link::{FleetLink, LocalFleet, StoredFleet};
use crate::error::{ApiError, store_error};

/// The models and their replicas as they are known here, and the means to know them better.
#[derive(Clone)]
pub struct FleetViews {
    /// What is known.
    pub dispatcher: Arc<Dispatcher>,
    pub(super) link: Arc<dyn FleetLink>,
}

impl FleetViews {
    /// The views in the process that looks after the fleet, and publishes to `dispatcher`.
    pub fn local(dispatcher: Arc<Dispatcher>) -> Self {
        Self { dispatcher, link: Arc::new(LocalFleet) }
    }

    /// The views of one of many routers that share a store with whoever looks after the fleet.
    pub fn stored(
        dispatcher: Arc<Dispatcher>,
        store: Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        wake: Arc<dyn Wake>,
    ) -> Self {
        let link = Arc::new(StoredFleet::new(store, clock, wake, dispatcher.clone()));
        Self { dispatcher, link }
    }

    /// Makes what is known of the model that answers to `name` fresh enough for a request. What
    /// is known already serves on while the store does not answer.
    pub(crate) async fn refresh(&self, name: &str) -> Result<(), ApiError> {
        let Err(error) = self.link.refresh(name).await else { return Ok(()) };
        if self.dispatcher.find(name).is_err() {
            return Err(store_error(&error));
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "`{name}` is served by its last known state"
        );
        Ok(())
    }

    /// Makes the list of models fresh.
    pub(crate) async fn refresh_models(&self) -> Result<(), ApiError> {
        self.link.refresh_models().await.map_err(|error| store_error(&error))
    }

    /// Makes everything that is known of the fleet fresh.
    pub(crate) async fn refresh_all(&self) -> Result<(), ApiError> {
        self.link.refresh_all().await.map_err(|error| store_error(&error))
    }
}
