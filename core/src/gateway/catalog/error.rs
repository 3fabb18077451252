use crate::gateway::prices::InvalidRateCard;
use crate::gateway::{InvalidProvider, InvalidRoute, ProviderName};
use crate::name::ModelName;
use crate::ports::StoreError;

/// Why the catalog was not changed or read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No route has this name.
    #[error("route `{0}` does not exist; list routes with `diogenes route list`")]
    NoRoute(ModelName),
    /// No provider has this name.
    #[error("provider `{0}` does not exist; list providers with `diogenes provider list`")]
    NoProvider(ProviderName),
    /// It belongs to the configuration.
    #[error("{0} is defined in the configuration of `diogenes serve`; change it there and restart")]
    ReadOnly(String),
    /// The route makes no sense.
    #[error(transparent)]
    Route(#[from] InvalidRoute),
    /// Nobody answers to a target of the route.
    #[error("`targets` {0}")]
    Target(String),
    /// The provider makes no sense.
    #[error(transparent)]
    Provider(#[from] InvalidProvider),
    /// A model answers to the name, and would hide the route.
    #[error("model `{model}` already uses the name `{name}`; choose another name for the route")]
    NameTaken { name: ModelName, model: ModelName },
    /// A route has the name, and a model would take its requests.
    #[error(
        "`{0}` is the name of a route; choose another name or alias, or delete the route first"
    )]
    IsRoute(ModelName),
    /// What stands is not what the caller has read.
    #[error("{0}")]
    Precondition(String),
    /// Routes lead to the provider.
    #[error("provider `{provider}` is used by {routes}; change or delete that first")]
    InUse { provider: ProviderName, routes: String },
    /// All routes and providers stand in one record.
    #[error("the routes and providers together are too large; delete some that are no longer used")]
    Full,
    /// No model has a rate card of this name.
    #[error("`{0}` has no rate card; list rate cards with `diogenes prices list`")]
    NoRateCard(ModelName),
    /// The rate card makes no sense.
    #[error(transparent)]
    RateCard(#[from] InvalidRateCard),
    /// No model of the fleet has this name.
    #[error("model `{0}` is not registered; add it with `diogenes model apply` first")]
    NoModel(ModelName),
    /// A rate card belongs to a model's own name.
    #[error("`{alias}` is an alias; set the rate card of `{model}`")]
    CardOfAlias { alias: ModelName, model: ModelName },
    /// Another price has this version, or had it.
    #[error(
        "version `{version}` of the rate card of `{model}` stands for another price; give the new price a version of its own"
    )]
    CardVersion { model: ModelName, version: String },
    /// No price list was imported.
    #[error("no price list is imported; import one with `diogenes prices import`")]
    NoPrices,
    /// A price list has no room in the store.
    #[error(
        "the price list has {bytes} bytes, and at most {most} fit; import the prices of fewer providers, with `--provider`"
    )]
    PricesTooLarge { bytes: usize, most: usize },
    /// The store failed.
    #[error("the routes and providers could not be read or written")]
    Store(StoreError),
}

impl From<StoreError> for CatalogError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::TooLarge { .. } => Self::Full,
            error => Self::Store(error),
        }
    }
}
