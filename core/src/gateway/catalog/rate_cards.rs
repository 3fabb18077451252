use std::collections::BTreeSet;

use super::editor::{CatalogEditor, check_owner, without};
use super::versions::{CardVersions, told};
use super::{Catalog, CatalogError, Listed};
use crate::audit::{Action, Actor, Change};
use crate::fleet::Source;
use crate::gateway::prices::RateCard;
use crate::name::ModelName;

impl CatalogEditor {
    /// Sets what a model of the fleet costs; returns whether the model had no rate card before,
    /// and the catalog with it. The same rate card again changes nothing.
    pub async fn apply_rate_card(
        &self,
        actor: &Actor,
        name: &ModelName,
        card: &RateCard,
    ) -> Result<(bool, Catalog), CatalogError> {
        card.validate()?;
        match self.model_of(name).await? {
            Some(model) if model == *name => {}
            Some(model) => return Err(CatalogError::CardOfAlias { alias: name.clone(), model }),
            None => return Err(CatalogError::NoModel(name.clone())),
        }
        loop {
            let (mut catalog, expect) = self.read().await?;
            let standing = catalog.rate_cards.get(name).map(|listed| listed.spec.clone());
            let what = format!("the rate card of `{name}`");
            let Some(is_new) = self.put(&mut catalog.rate_cards, name, card, what)? else {
                return Ok((false, catalog));
            };
            let version = CardVersions::with(&*self.store, name, standing.as_ref(), card).await?;
            let target = format!("rate-card/{name}");
            let change = Change::of_installation(Action::rate_card_apply(), target, told(card)?);
            let version = version.into_iter().collect();
            if self.commit(&catalog, expect, version, vec![change], actor).await? {
                return Ok((is_new, catalog));
            }
        }
    }

    /// Deletes the rate card of a model, which costs nothing from then on; returns it, and the
    /// catalog without it.
    pub async fn delete_rate_card(
        &self,
        actor: &Actor,
        name: &ModelName,
    ) -> Result<(Listed<RateCard>, Catalog), CatalogError> {
        self.edit(actor, |catalog| {
            let card = catalog.rate_cards.remove(name);
            let card = card.ok_or_else(|| CatalogError::NoRateCard(name.clone()))?;
            check_owner(card.source, || format!("the rate card of `{name}`"))?;
            let (target, version) = (format!("rate-card/{name}"), card.spec.version.clone());
            Ok((card, Some(Change::of_installation(Action::rate_card_delete(), target, version))))
        })
        .await
    }

    /// Deletes the rate cards of models that are not there any more, so that a new model of such a
    /// name does not cost what the old one did; those of the configuration stay. Returns their names,
    /// and the catalog without them.
    pub async fn delete_orphaned_rate_cards(
        &self,
        actor: &Actor,
    ) -> Result<(BTreeSet<ModelName>, Catalog), CatalogError> {
        loop {
            let (mut catalog, expect) = self.read().await?;
            let cards = catalog.rate_cards.iter();
            let cards = cards.filter(|(_, card)| card.source == Source::Api);
            let orphans = self.missing_models(cards.map(|(name, _)| name)).await?;
            if orphans.is_empty() {
                return Ok((orphans, catalog));
            }
            catalog.rate_cards.retain(|name, _| !orphans.contains(name));
            let changes = orphans.iter().map(|name| {
                let (action, target) = (Action::rate_card_delete(), format!("rate-card/{name}"));
                Change::of_installation(action, target, "with its model")
            });
            if self.commit(&catalog, expect, vec![], changes.collect(), actor).await? {
                return Ok((orphans, catalog));
            }
        }
    }

    /// The names that are not a model's own: nobody's, or an alias.
    pub async fn missing_models<'a>(
        &self,
        names: impl IntoIterator<Item = &'a ModelName>,
    ) -> Result<BTreeSet<ModelName>, CatalogError> {
        without(names, async |name| Ok(self.model_of(name).await?.as_ref() == Some(name))).await
    }
}
