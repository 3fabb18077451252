use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::eta::since;
use diogenes_core::fleet::{Beat, ClaimId, Model, read_view};
use diogenes_core::gateway::catalog::{Catalog, ImportedPrices, load_with_prices};
use diogenes_core::gateway::prices::PriceList;
use diogenes_core::name::ModelName;
use diogenes_core::ports::StoreError;

use super::{BETWEEN_READS, INDEX_LAG, Known, LOAD_LIFE, StoredFleet, VIEW_LIFE, is_fresh};

impl StoredFleet {
    /// Makes what is known of the model that answers to `name` fresh enough for a request.
    //
    // At most one read a second of a process that serves a warm model.
    pub(super) async fn refresh_model(
        &self,
        known: &mut Known,
        name: &str,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let resolved = self.dispatcher.resolve(name).or_else(|| name.parse().ok());
        // What is not a name belongs to no model.
        let Some(model) = resolved else { return Ok(()) };
        if is_fresh(known.views.get(&model), VIEW_LIFE, now) {
            if !is_fresh(known.last_read.as_ref(), BETWEEN_READS, now) {
                self.read_a_load(known, &model).await;
            }
            return Ok(());
        }
        self.read(known, &model).await?;
        let answers = self
            .dispatcher
            .view_of(&model)
            .is_some_and(|view| view.model.answers_to(name) && view.model.deleted_at.is_none());
        if answers {
            return Ok(());
        }
        // An alias that is new or has moved to another model.
        if !is_fresh(known.models.as_ref(), BETWEEN_READS, now) {
            self.read_models(known).await?;
        }
        match self.dispatcher.resolve(name) {
            Some(other) if other != model => self.read(known, &other).await,
            _ => Ok(()),
        }
    }

    /// The catalog, if the one that was read at `known` is older than `life`, and the imported
    /// prices that it names, if they are not known yet.
    pub(super) async fn catalog_older_than(
        &self,
        life: Duration,
        known: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Result<(Catalog, Option<PriceList>), StoreError>> {
        if is_fresh(known.as_ref(), life, now) {
            return None;
        }
        let lacks = |named: &ImportedPrices| self.dispatcher.lacks_prices(Some(named));
        Some(load_with_prices(&*self.store, lacks).await)
    }

    /// Takes over the catalog as it was read. What is known of it serves on while the store does
    /// not answer.
    pub(super) fn take_over(
        &self,
        known: &mut Known,
        read: Result<(Catalog, Option<PriceList>), StoreError>,
    ) -> Result<(), StoreError> {
        let (catalog, imported) = match read {
            Ok(read) => read,
            Err(error) if known.catalog.is_none() => return Err(error),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the routes and providers could not be read; the last known ones stay in use"
                );
                return Ok(());
            }
        };
        if self.dispatcher.lacks_prices(catalog.prices.as_ref().map(|listed| &listed.spec)) {
            self.dispatcher.publish_prices(&catalog, imported.as_ref());
        }
        match self.dispatcher.publish_catalog(&catalog) {
            Ok(()) => known.catalog = Some(self.clock.now()),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the routes and providers cannot be used"
            ),
        }
        Ok(())
    }

    pub(super) async fn read(
        &self,
        known: &mut Known,
        model: &ModelName,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        known.last_read = Some(now);
        if let Some(view) = read_view(self.store.as_ref(), model).await? {
            self.dispatcher.publish(view);
            known.views.insert(model.clone(), now);
        } else {
            self.dispatcher.forget(model);
            known.views.remove(model);
        }
        Ok(())
    }

    pub(super) async fn read_models(&self, known: &mut Known) -> Result<(), StoreError> {
        let now = self.clock.now();
        known.last_read = Some(now);
        let models = self.store.load_all::<Model>(Model::all()).await?;
        known.models = Some(now);
        for view in self.dispatcher.all_views() {
            let gone = models.iter().all(|model| model.value.name != view.model.name);
            // The index may lag behind a model that is new.
            if gone && since(view.model.updated_at, now) >= INDEX_LAG {
                known.views.remove(&view.model.name);
                self.dispatcher.forget(&view.model.name);
            }
        }
        for model in models.into_iter().map(|model| model.value) {
            self.dispatcher.publish_model(model);
        }
        Ok(())
    }

    /// Reads the load of the replica whose load is the oldest known, where there is a choice.
    pub(super) async fn read_a_load(&self, known: &mut Known, model: &ModelName) {
        let now = self.clock.now();
        let Some(view) = self.dispatcher.view_of(model) else { return };
        if view.replicas.len() < 2 {
            return;
        }
        known.loads.retain(|claim, at| {
            is_fresh(Some(at), LOAD_LIFE * 12, now)
                || view.replicas.iter().any(|replica| replica.claim == *claim)
        });
        let read_at = |claim: &ClaimId| known.loads.get(claim).copied();
        let oldest = view
            .replicas
            .iter()
            .map(|replica| &replica.claim)
            .min_by_key(|claim| read_at(claim).unwrap_or(Timestamp::MIN));
        let Some(claim) = oldest.filter(|claim| !is_fresh(known.loads.get(*claim), LOAD_LIFE, now))
        else {
            return;
        };
        known.last_read = Some(now);
        known.loads.insert(claim.clone(), now);
        match self.store.load::<Beat>(&Beat::key_of(claim)).await {
            Ok(Some(beat)) => self.dispatcher.report(model, claim, beat.value.load),
            Ok(None) => {}
            // Only the choice of a replica is the worse for it.
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the load of a replica could not be read"
            ),
        }
    }
}
