//! Which models there are, and how the demand for them shows to the fleet.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use diogenes_core::fleet::{ClaimId, Control, Load, Model, ModelView};
use diogenes_core::gateway::ProviderName;
use diogenes_core::gateway::catalog::{Catalog, ImportedPrices};
use diogenes_core::gateway::prices::{PriceBook, PriceList, RateCard};
use diogenes_core::name::{ModelName, nearest};
use diogenes_core::ports::{Clock, Demand, DemandSource, StoreError, Wake};
use diogenes_core::tenancy::Principal;

use super::current_prices::CurrentPrices;
use super::entry::Entry;
use super::provider::{Hosted, ProviderError};
use super::published::{NamedRoute, Published, WayOut};
use crate::control::ProviderCheck;
use crate::error::{ApiError, ErrorKind};
use crate::metrics::Metrics;

/// The models that can be asked for. The fleet's loop publishes views; requests find their
/// entry by name or alias without a lock.
pub struct Dispatcher {
    /// By name and by alias.
    names: ArcSwap<BTreeMap<String, Arc<Entry>>>,
    /// Names that lead to one of several models, and the models of providers.
    catalog: ArcSwap<Published>,
    /// Held from a change of the catalog, or a look at it, until it is published: an older one that
    /// is published after a newer one would undo it.
    publishing: tokio::sync::Mutex<()>,
    prices: CurrentPrices,
    /// None where no request leaves for a provider.
    way_out: Option<WayOut>,
    /// By name.
    entries: Mutex<HashMap<ModelName, Arc<Entry>>>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    wake: Arc<dyn Wake>,
    closing: AtomicBool,
    ask_again: Duration,
}

/// How often another replica is asked for while one is due.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The same where every request has a process of its own that asks.
const ASK_AGAIN_OF_MANY: Duration = Duration::from_secs(15);

impl Dispatcher {
    /// A dispatcher that knows no model yet.
    pub fn new(metrics: Arc<Metrics>, clock: Arc<dyn Clock>, wake: Arc<dyn Wake>) -> Self {
        Self {
            names: ArcSwap::default(),
            catalog: ArcSwap::default(),
            publishing: tokio::sync::Mutex::default(),
            prices: CurrentPrices::default(),
            way_out: None,
            entries: Mutex::default(),
            metrics,
            clock,
            wake,
            closing: AtomicBool::new(false),
            ask_again: ASK_AGAIN,
        }
    }

    /// A dispatcher that is one of many, each in a process of its own.
    #[must_use]
    pub fn one_of_many(mut self) -> Self {
        self.ask_again = ASK_AGAIN_OF_MANY;
        self
    }

    /// The same with a way out to providers.
    #[must_use]
    pub fn with_way_out(mut self, way_out: WayOut) -> Self {
        self.way_out = Some(way_out);
        self
    }

    /// The same with prices of providers' models, beside those that are imported.
    #[must_use]
    pub fn with_prices(mut self, book: PriceBook) -> Self {
        self.prices = CurrentPrices::new(book);
        self
    }

    /// The same for a test that has the dispatcher already.
    #[cfg(test)]
    pub(crate) fn count_by(&self, book: PriceBook) {
        self.prices.set(book);
    }

    /// What models of providers cost.
    pub(crate) fn prices(&self) -> Arc<PriceBook> {
        self.prices.book()
    }

    /// Whether the imported prices that a catalog names have yet to be published.
    pub fn lacks_prices(&self, named: Option<&ImportedPrices>) -> bool {
        !self.prices.has(named)
    }

    /// Takes over the imported prices of a newer catalog: the list that it names, or none.
    pub fn publish_prices(&self, catalog: &Catalog, imported: Option<&PriceList>) {
        self.prices.publish(catalog, imported);
    }

    /// Takes over the routes and providers of a newer catalog. A model's name or alias goes before a
    /// route of that name, and both before a provider's model.
    ///
    /// # Errors
    /// A provider that cannot be asked; what was published before stands.
    pub fn publish_catalog(&self, catalog: &Catalog) -> Result<(), ProviderError> {
        let before = self.catalog.load();
        let published = Published::new(catalog, &before, self.way_out.as_ref(), &self.metrics)?;
        self.catalog.store(Arc::new(published));
        Ok(())
    }

    /// Makes a change, and publishes the catalog that comes of it: whoever hears of it finds it done.
    pub(crate) async fn publish_change<T>(
        &self,
        change: impl Future<Output = Result<(T, Catalog), ApiError>>,
    ) -> Result<(T, Catalog), ApiError> {
        let _held = self.publishing.lock().await;
        let (done, catalog) = change.await?;
        self.publish_catalog(&catalog).map_err(|error| ApiError::internal(&error))?;
        Ok((done, catalog))
    }

    /// The provider's model of this name, unless a model hides it.
    pub(crate) fn hosted(&self, name: &str) -> Option<Hosted> {
        if self.get(name).is_some() { None } else { self.catalog.load().providers.hosted(name) }
    }

    /// Asks a provider for its list of models; none if it does not exist.
    pub(crate) async fn check_provider(&self, name: &ProviderName) -> Option<ProviderCheck> {
        let check = self.catalog.load().providers.check(name)?;
        Some(check.await)
    }

    /// Whether anything answers to a name, as far as is known.
    pub(super) fn knows(&self, name: &str) -> bool {
        let catalog = self.catalog.load();
        self.get(name).is_some()
            || catalog.routes.contains_key(name)
            || catalog.providers.hosted(name).is_some()
    }

    /// What a model of the fleet costs, where somebody has said so.
    pub(super) fn rate_card(&self, entry: &Entry) -> Option<Arc<RateCard>> {
        let catalog = self.catalog.load();
        // Before the view, as few have any.
        if catalog.rate_cards.is_empty() {
            return None;
        }
        catalog.rate_cards.get(&entry.view().model.name).cloned()
    }

    /// Whether this name has belonged to a model of the fleet. Its requests must not leave for a
    /// provider just because the model was deleted.
    pub(super) async fn was_a_model(&self, name: &ModelName) -> Result<bool, StoreError> {
        match &self.way_out {
            Some(way_out) => way_out.was_a_model(name).await,
            None => Ok(false),
        }
    }

    /// The routes that no model hides.
    pub(crate) fn routes(&self) -> Vec<Arc<NamedRoute>> {
        let catalog = self.catalog.load();
        let visible =
            catalog.routes.values().filter(|route| self.get(route.name.as_str()).is_none());
        visible.cloned().collect()
    }

    /// The route of this name, unless a model hides it.
    pub(crate) fn route_named(&self, name: &str) -> Option<Arc<NamedRoute>> {
        let route = self.catalog.load().routes.get(name)?.clone();
        self.get(name).is_none().then_some(route)
    }

    /// The model that answers to `name`, as far as is known.
    pub(super) fn resolve(&self, name: &str) -> Option<ModelName> {
        let names = self.names.load();
        names.get(name).map(|entry| entry.view().model.name.clone())
    }

    /// What is known of a model.
    pub(crate) fn view_of(&self, name: &ModelName) -> Option<Arc<ModelView>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(name).map(|entry| entry.view())
    }

    /// Takes over what an agent reports of a replica's load.
    pub(super) fn report(&self, name: &ModelName, claim: &ClaimId, load: Load) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(name) {
            entry.report(claim, load);
        }
    }

    /// Ends every held request: the server is on its way out.
    pub fn shut_down(&self) {
        self.closing.store(true, Ordering::Release);
        for entry in self.entries.lock().unwrap_or_else(PoisonError::into_inner).values() {
            entry.notify();
        }
    }

    /// Whether the server is on its way out.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Takes over a newer view of a model; a deleted one can no longer be asked for.
    pub fn publish(&self, view: ModelView) {
        let name = view.model.name.clone();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let known = entries.get(&name).cloned();
        let same_routes = known.as_ref().is_some_and(|entry| {
            let old = entry.view();
            old.model.spec.aliases == view.model.spec.aliases
                && old.model.deleted_at == view.model.deleted_at
        });
        if let Some(entry) = known {
            entry.update(view);
        } else {
            let metrics = self.metrics.for_model(&name);
            let entry =
                Entry::new(view, metrics, self.clock.clone(), self.wake.clone(), self.ask_again);
            entries.insert(name, entry);
        }
        if !same_routes {
            self.rebuild(&entries);
        }
    }

    /// Takes over a newer record of a model. What is known of its replicas stands.
    pub(crate) fn publish_model(&self, model: Model) {
        let view = match self.view_of(&model.name) {
            Some(view) if view.model.updated_at >= model.updated_at => return,
            Some(view) => {
                let mut view = ModelView::clone(&view);
                view.launch = model.spec.launch_hash();
                view.model = Arc::new(model);
                view
            }
            None => {
                let control = Control::new(model.name.clone());
                ModelView::new(Arc::new(model), Vec::new(), control, None)
            }
        };
        self.publish(view);
    }

    /// Forgets a model that has no record any more. Who still waits for it is told.
    pub fn forget(&self, name: &ModelName) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.remove(name) {
            let mut view = ModelView::clone(&entry.view());
            let mut model = (*view.model).clone();
            model.deleted_at.get_or_insert(self.clock.now());
            view.model = Arc::new(model);
            view.replicas.clear();
            view.slots.clear();
            entry.update(view);
            self.metrics.forget(name);
            self.rebuild(&entries);
        }
    }

    /// The model could not be reconciled and waits for the next try. Who has waited for some time
    /// already is told so, instead of being held for nothing.
    pub fn neglect(&self, name: &ModelName) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(name) {
            entry.neglect();
        }
    }

    /// Every model that can be asked for, by name.
    pub fn views(&self) -> Vec<Arc<ModelView>> {
        let mut views = self.all_views();
        views.retain(|view| view.model.deleted_at.is_none());
        views
    }

    /// Every model that is known, by name, also those that are deleted and on their way out.
    pub fn all_views(&self) -> Vec<Arc<ModelView>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut views: Vec<_> = entries.values().map(|entry| entry.view()).collect();
        views.sort_by(|a, b| a.model.name.cmp(&b.model.name));
        views
    }

    /// The entry of the model that answers to `name`, if there is one.
    pub(super) fn get(&self, name: &str) -> Option<Arc<Entry>> {
        self.names.load().get(name).cloned()
    }

    /// The entry of the model that answers to `name`.
    pub(crate) fn find(&self, name: &str) -> Result<Arc<Entry>, ApiError> {
        self.find_for(name, None)
    }

    /// The same for a caller with this key: a near miss names nothing that the key may not use.
    pub(crate) fn find_for(
        &self,
        name: &str,
        key: Option<&Principal>,
    ) -> Result<Arc<Entry>, ApiError> {
        let names = self.names.load();
        if let Some(entry) = names.get(name) {
            return Ok(entry.clone());
        }
        let may_use = |name: &ModelName| key.is_none_or(|key| key.may_use(name));
        let models = names.iter().filter(|(_, entry)| may_use(&entry.view().model.name));
        let catalog = self.catalog.load();
        let routes = catalog.routes.keys().filter(|name| may_use(name)).map(ModelName::as_str);
        let hint = match nearest(name, models.map(|(name, _)| name.as_str()).chain(routes)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "add it with `diogenes model apply`".into(),
            None => "list them with `GET /v1/models` or `diogenes model list`".into(),
        };
        let shown: String = name.chars().take(200).collect();
        Err(ApiError::new(
            ErrorKind::ModelNotFound,
            format!("model `{shown}` is not registered; {hint}"),
        )
        .param("model"))
    }

    fn rebuild(&self, entries: &HashMap<ModelName, Arc<Entry>>) {
        let mut names = BTreeMap::new();
        let live = || entries.values().filter(|entry| entry.view().model.deleted_at.is_none());
        let mut by_age: Vec<_> = live().map(|entry| (entry, entry.view())).collect();
        by_age.sort_by(|(_, a), (_, b)| b.model.seniority().cmp(&a.model.seniority()));
        // The oldest last, which keeps an alias that two models have.
        for (entry, _) in by_age {
            for alias in &entry.view().model.spec.aliases {
                names.insert(alias.to_string(), entry.clone());
            }
        }
        // Names come last: no alias hides a model.
        for entry in live() {
            names.insert(entry.view().model.name.to_string(), entry.clone());
        }
        self.names.store(Arc::new(names));
    }
}

#[async_trait]
impl DemandSource for Dispatcher {
    async fn demand(&self, model: &ModelName) -> Result<Demand, StoreError> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.get(model).map(|entry| entry.demand()).unwrap_or_default())
    }
}
