use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ImportedPrices;
use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::Source;
use crate::gateway::prices::RateCard;
use crate::gateway::{ProviderName, ProviderSpec, RouteSpec};
use crate::name::ModelName;
use crate::ports::Key;

/// Every route and provider, and the rate cards of the fleet's models.
///
/// One record, so that a router learns all of it by one read, and no route is read without the
/// provider that it was written with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalog {
    pub routes: BTreeMap<ModelName, Listed<RouteSpec>>,
    pub providers: BTreeMap<ProviderName, Listed<ProviderSpec>>,
    pub rate_cards: BTreeMap<ModelName, Listed<RateCard>>,
    /// What models of providers cost, as it was imported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<Listed<ImportedPrices>>,
}

/// A definition in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed<T> {
    pub spec: T,
    /// Who may change it.
    pub source: Source,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Catalog {
    /// Where it stands.
    pub fn key() -> Key {
        Key::new("GATEWAY", "CATALOG")
    }

    /// The provider whose model a name is, unless a model of the fleet has it.
    pub(super) fn provider_of(&self, model: &ModelName) -> Option<&ProviderName> {
        let prefix = model.prefix()?;
        self.providers.keys().find(|name| name.as_str() == prefix)
    }

    /// The routes with a target of this provider.
    pub(super) fn routes_by(&self, provider: &ProviderName) -> Vec<&ModelName> {
        let is_of = |model: &ModelName| model.prefix() == Some(provider.as_str());
        let names =
            |(name, route): (_, &Listed<RouteSpec>)| route.spec.models().any(is_of).then_some(name);
        self.routes.iter().filter_map(names).collect()
    }
}

impl Entity for Catalog {
    const KIND: &'static str = "catalog";

    fn key(&self) -> Key {
        Self::key()
    }
}
