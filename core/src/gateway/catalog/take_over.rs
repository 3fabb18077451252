//! What the configuration owns.

use std::collections::{BTreeMap, BTreeSet};

use super::editor::CatalogEditor;
use super::routes::MOST_NAMES;
use super::versions::{CardVersions, told};
use super::{Catalog, CatalogError, Listed};
use crate::audit::{Action, Actor, Change};
use crate::fleet::Source;
use crate::gateway::prices::RateCard;
use crate::gateway::{ProviderSpecs, Routes};
use crate::name::ModelName;

impl CatalogEditor {
    /// Makes what the configuration owns in the catalog what its file says, which was checked
    /// where it was read: new definitions are added, changed ones changed, and ones that are no
    /// longer in the file removed.
    pub async fn take_over(
        &self,
        routes: &Routes,
        providers: &ProviderSpecs,
        rate_cards: &BTreeMap<ModelName, RateCard>,
    ) -> Result<Catalog, CatalogError> {
        self.retire_routes(routes).await?;
        let actor = Actor::operator();
        loop {
            let (mut catalog, expect) = self.read().await?;
            let now = self.clock.now();
            let (mut changes, mut cards) = (Vec::new(), Vec::new());
            let mut note = |action: Action, target: String| {
                changes.push(Change::of_installation(action, target, "by the configuration"));
            };
            // Claims stand first, so that they are in the commit of the catalog.
            let (mut records, mut later) = (Vec::new(), BTreeSet::new());
            for name in routes.keys() {
                if records.len() == MOST_NAMES {
                    later.insert(name);
                    continue;
                }
                records.extend(self.claim(name).await?);
            }
            let mut due = routes.clone();
            due.retain(|name, spec| {
                if !later.contains(name) {
                    return true;
                }
                // It stays as it is until its turn comes.
                let standing = catalog.routes.get(name);
                let own = standing.filter(|listed| listed.source == Source::Config);
                own.map(|listed| spec.clone_from(&listed.spec)).is_some()
            });
            let claimed = records.len();
            for (name, is_there) in merge(&mut catalog.routes, &due, now) {
                let action = if is_there { Action::route_apply() } else { Action::route_delete() };
                note(action, format!("route/{name}"));
            }
            for (name, is_there) in merge(&mut catalog.providers, providers, now) {
                let action =
                    if is_there { Action::provider_apply() } else { Action::provider_delete() };
                note(action, format!("provider/{name}"));
            }
            let cards_before = catalog.rate_cards.clone();
            for (name, is_there) in merge(&mut catalog.rate_cards, rate_cards, now) {
                let target = format!("rate-card/{name}");
                let Some(card) = rate_cards.get(&name).filter(|_| is_there) else {
                    note(Action::rate_card_delete(), target);
                    continue;
                };
                let standing = cards_before.get(&name).map(|listed| &listed.spec);
                records.extend(CardVersions::with(&*self.store, &name, standing, card).await?);
                let summary = format!("by the configuration: {}", told(card)?);
                cards.push(Change::of_installation(Action::rate_card_apply(), target, summary));
            }
            changes.extend(cards);
            let is_done = later.is_empty();
            if changes.is_empty() && claimed == 0 && is_done {
                return Ok(catalog);
            }
            if self.commit(&catalog, expect, records, changes, &actor).await? && is_done {
                return Ok(catalog);
            }
        }
    }
}

/// Lays what a file says over what stands; returns which names changed, and whether each is
/// there now.
fn merge<K: Ord + Clone, T: Clone + PartialEq>(
    standing: &mut BTreeMap<K, Listed<T>>,
    file: &BTreeMap<K, T>,
    now: crate::Timestamp,
) -> Vec<(K, bool)> {
    let is_gone = |(name, listed): &(&K, &Listed<T>)| {
        listed.source == Source::Config && !file.contains_key(*name)
    };
    let gone: Vec<K> = standing.iter().filter(is_gone).map(|(name, _)| name.clone()).collect();
    standing.retain(|name, _| !gone.contains(name));
    let mut changed: Vec<_> = gone.into_iter().map(|name| (name, false)).collect();
    for (name, spec) in file {
        let old = standing.get(name);
        if old.is_some_and(|old| old.spec == *spec && old.source == Source::Config) {
            continue;
        }
        let created_at = old.map_or(now, |old| old.created_at);
        let (spec, source) = (spec.clone(), Source::Config);
        standing.insert(name.clone(), Listed { spec, source, created_at, updated_at: now });
        changed.push((name.clone(), true));
    }
    changed
}
