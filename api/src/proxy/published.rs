//! The catalog as requests use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use diogenes_core::fleet::NameClaim;
use diogenes_core::gateway::RouteSpec;
use diogenes_core::gateway::catalog::{Catalog, Listed};
use diogenes_core::gateway::prices::RateCard;
use diogenes_core::name::ModelName;
use diogenes_core::ports::{SecretSource, StateStore, StoreError};

use super::provider::{ProviderError, Providers};
use crate::metrics::Metrics;

/// What requests may need that leave for a provider.
#[derive(Clone)]
pub struct WayOut {
    /// Reads the keys of providers.
    pub secrets: Arc<dyn SecretSource>,
    /// Tells which names have belonged to models of the fleet.
    pub store: Arc<dyn StateStore>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Published {
    pub(super) routes: BTreeMap<ModelName, Arc<NamedRoute>>,
    pub(super) providers: Providers,
    /// What models of the fleet cost.
    pub(super) rate_cards: BTreeMap<ModelName, Arc<RateCard>>,
}

/// A route and its name.
#[derive(Debug)]
pub(crate) struct NamedRoute {
    pub(crate) name: ModelName,
    pub(crate) spec: RouteSpec,
}

impl Published {
    /// What a catalog says. What is known of how providers fare is taken over from what was
    /// published before.
    pub(super) fn new(
        catalog: &Catalog,
        before: &Self,
        way_out: Option<&WayOut>,
        metrics: &Metrics,
    ) -> Result<Self, ProviderError> {
        let named = |(name, listed): (&ModelName, &Listed<RouteSpec>)| {
            let route = NamedRoute { name: name.clone(), spec: listed.spec.clone() };
            (name.clone(), Arc::new(route))
        };
        let providers = match way_out {
            Some(way_out) => Providers::new(catalog, &before.providers, &way_out.secrets, metrics)?,
            None => Providers::default(),
        };
        let routes = catalog.routes.iter().map(named).collect();
        let card = |(name, card): (&ModelName, &Listed<RateCard>)| {
            (name.clone(), Arc::new(card.spec.clone()))
        };
        let rate_cards = catalog.rate_cards.iter().map(card).collect();
        Ok(Self { routes, providers, rate_cards })
    }
}

impl WayOut {
    /// See [`Dispatcher::was_a_model`](super::Dispatcher::was_a_model).
    pub(super) async fn was_a_model(&self, name: &ModelName) -> Result<bool, StoreError> {
        NameClaim::is_of_a_model(&*self.store, name).await
    }
}
