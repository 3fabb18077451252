use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::versions::{CardVersions, told};
use super::{Catalog, CatalogError, Listed};
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity as _, StoreExt as _};
use crate::fleet::{ModelSpec, NameClaim, Source, owner_of};
use crate::gateway::prices::RateCard;
use crate::gateway::{
    InvalidProvider, ProviderName, ProviderSpec, ProviderSpecs, RouteSpec, Routes,
};
use crate::name::{ModelName, nearest};
use crate::ports::{Clock, Expect, MAX_WRITES, StateStore, StoreError, Write};
use crate::secret::SecretRef;

/// How many targets are looked up at once.
const LOOK_UPS: usize = 16;

/// Changes the catalog. Routers learn of it within seconds.
#[derive(Clone)]
pub struct CatalogEditor {
    pub(super) store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    secrets: SecretRule,
}

/// Where an installation can read the keys of providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretRule {
    /// In its environment and its files.
    Machine,
    /// In SSM parameters.
    Parameters,
}

impl CatalogEditor {
    /// An editor over these ports.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>, secrets: SecretRule) -> Self {
        Self { store, clock, secrets }
    }

    /// The catalog as it stands.
    pub async fn load(&self) -> Result<Catalog, CatalogError> {
        Ok(self.read().await?.0)
    }

    /// Refuses a model that would take the name of a route which it does not have already: the
    /// route's requests, its budget and its word on egress would be passed by. Returns the catalog
    /// that it was checked by.
    pub async fn check_model(
        &self,
        name: &ModelName,
        spec: &ModelSpec,
    ) -> Result<Catalog, CatalogError> {
        let catalog = self.load().await?;
        let names = std::iter::once(name).chain(&spec.aliases);
        for taken in names.filter(|name| catalog.routes.contains_key(*name)) {
            if self.model_of(taken).await?.as_ref() != Some(name) {
                return Err(CatalogError::IsRoute(taken.clone()));
            }
        }
        Ok(catalog)
    }

    /// The targets among `targets` that nobody answers to: models that were deleted, or whose
    /// provider was, and those that a file names before either is there. A name that a deleted
    /// model has had stays out of the reach of providers.
    pub async fn missing_targets<'a>(
        &self,
        catalog: &Catalog,
        targets: impl IntoIterator<Item = &'a ModelName>,
    ) -> Result<BTreeSet<ModelName>, CatalogError> {
        without(targets, |target| self.is_answered(catalog, target)).await
    }

    async fn is_answered(&self, catalog: &Catalog, target: &ModelName) -> Result<bool, StoreError> {
        if self.model_of(target).await?.is_some() {
            return Ok(true);
        }
        if catalog.provider_of(target).is_none() {
            return Ok(false);
        }
        Ok(!NameClaim::exists(&*self.store, target).await?)
    }

    /// Adds or changes a route; returns whether it is new, and the catalog with it. The same spec
    /// again changes nothing.
    pub async fn apply_route(
        &self,
        actor: &Actor,
        name: &ModelName,
        spec: &RouteSpec,
    ) -> Result<(bool, Catalog), CatalogError> {
        spec.validate()?;
        if let Some(model) = self.model_of(name).await? {
            return Err(CatalogError::NameTaken { name: name.clone(), model });
        }
        let summary = || spec.models().map(ModelName::as_str).collect::<Vec<_>>().join(", ");
        loop {
            let (mut catalog, expect) = self.read().await?;
            self.check_targets(&catalog, name, spec).await?;
            let what = format!("route `{name}`");
            let Some(is_new) = self.put(&mut catalog.routes, name, spec, what)? else {
                return Ok((false, catalog));
            };
            let target = format!("route/{name}");
            let change = Change::of_installation(Action::route_apply(), target, summary());
            if self.commit(&catalog, expect, vec![], vec![change], actor).await? {
                return Ok((is_new, catalog));
            }
        }
    }

    /// Deletes a route; returns it, and the catalog without it.
    pub async fn delete_route(
        &self,
        actor: &Actor,
        name: &ModelName,
    ) -> Result<(Listed<RouteSpec>, Catalog), CatalogError> {
        self.edit(actor, |catalog| {
            let route = catalog.routes.remove(name);
            let route = route.ok_or_else(|| CatalogError::NoRoute(name.clone()))?;
            check_owner(route.source, || format!("route `{name}`"))?;
            let target = format!("route/{name}");
            Ok((route, Some(Change::of_installation(Action::route_delete(), target, ""))))
        })
        .await
    }

    /// Adds or changes a provider; returns whether it is new, and the catalog with it. The same
    /// spec again changes nothing.
    pub async fn apply_provider(
        &self,
        actor: &Actor,
        name: &ProviderName,
        spec: &ProviderSpec,
    ) -> Result<(bool, Catalog), CatalogError> {
        spec.validate()?;
        if let Some(reference) = &spec.api_key {
            self.secrets.check(reference)?;
        }
        self.edit(actor, |catalog| {
            let what = format!("provider `{name}`");
            let is_new = self.put(&mut catalog.providers, name, spec, what)?;
            let (action, target) = (Action::provider_apply(), format!("provider/{name}"));
            let change =
                is_new.map(|_| Change::of_installation(action, target, spec.base_url.clone()));
            Ok((is_new.unwrap_or(false), change))
        })
        .await
    }

    /// Deletes a provider that no route leads to; returns it, and the catalog without it.
    pub async fn delete_provider(
        &self,
        actor: &Actor,
        name: &ProviderName,
    ) -> Result<(Listed<ProviderSpec>, Catalog), CatalogError> {
        self.edit(actor, |catalog| {
            let provider = catalog.providers.remove(name);
            let provider = provider.ok_or_else(|| CatalogError::NoProvider(name.clone()))?;
            check_owner(provider.source, || format!("provider `{name}`"))?;
            let routes = catalog.routes_by(name);
            if !routes.is_empty() {
                let names: Vec<_> = routes.iter().map(|route| format!("`{route}`")).collect();
                let kind = if routes.len() == 1 { "the route" } else { "the routes" };
                let routes = format!("{kind} {}", names.join(", "));
                return Err(CatalogError::InUse { provider: name.clone(), routes });
            }
            let target = format!("provider/{name}");
            Ok((provider, Some(Change::of_installation(Action::provider_delete(), target, ""))))
        })
        .await
    }

    /// Makes what the configuration owns in the catalog what its file says, which was checked
    /// where it was read: new definitions are added, changed ones changed, and ones that are no
    /// longer in the file removed.
    pub async fn take_over(
        &self,
        routes: &Routes,
        providers: &ProviderSpecs,
        rate_cards: &BTreeMap<ModelName, RateCard>,
    ) -> Result<Catalog, CatalogError> {
        let actor = Actor::operator();
        loop {
            let (mut catalog, expect) = self.read().await?;
            let now = self.clock.now();
            let (mut changes, mut cards) = (Vec::new(), Vec::new());
            let mut note = |action: Action, target: String| {
                changes.push(Change::of_installation(action, target, "by the configuration"));
            };
            let merged = merge(&mut catalog.routes, routes, now);
            for (name, is_there) in merged {
                let action = if is_there { Action::route_apply() } else { Action::route_delete() };
                note(action, format!("route/{name}"));
            }
            for (name, is_there) in merge(&mut catalog.providers, providers, now) {
                let action =
                    if is_there { Action::provider_apply() } else { Action::provider_delete() };
                note(action, format!("provider/{name}"));
            }
            let cards_before = catalog.rate_cards.clone();
            let mut versions = Vec::new();
            for (name, is_there) in merge(&mut catalog.rate_cards, rate_cards, now) {
                let target = format!("rate-card/{name}");
                let Some(card) = rate_cards.get(&name).filter(|_| is_there) else {
                    note(Action::rate_card_delete(), target);
                    continue;
                };
                let standing = cards_before.get(&name).map(|listed| &listed.spec);
                versions.extend(CardVersions::with(&*self.store, &name, standing, card).await?);
                let summary = format!("by the configuration: {}", told(card)?);
                cards.push(Change::of_installation(Action::rate_card_apply(), target, summary));
            }
            changes.extend(cards);
            if changes.is_empty() {
                return Ok(catalog);
            }
            if self.commit(&catalog, expect, versions, changes, &actor).await? {
                return Ok(catalog);
            }
        }
    }

    /// Makes one change, anew whenever somebody else has changed the catalog meanwhile, and writes
    /// it with its record; without one there is nothing to write. Returns what `change` does, and
    /// the catalog as it is then.
    pub(super) async fn edit<T>(
        &self,
        actor: &Actor,
        change: impl Fn(&mut Catalog) -> Result<(T, Option<Change>), CatalogError>,
    ) -> Result<(T, Catalog), CatalogError> {
        loop {
            let (mut catalog, expect) = self.read().await?;
            let (told, record) = change(&mut catalog)?;
            let Some(record) = record else { return Ok((told, catalog)) };
            if self.commit(&catalog, expect, vec![], vec![record], actor).await? {
                return Ok((told, catalog));
            }
        }
    }

    pub(super) async fn read(&self) -> Result<(Catalog, Expect), CatalogError> {
        Ok(match self.store.load::<Catalog>(&Catalog::key()).await? {
            Some(stored) => {
                let expect = stored.unchanged();
                (stored.value, expect)
            }
            None => (Catalog::default(), Expect::Absent),
        })
    }

    /// Writes the catalog with what belongs to it and a record of each change; false if it was
    /// changed meanwhile.
    pub(super) async fn commit(
        &self,
        catalog: &Catalog,
        expect: Expect,
        mut records: Vec<Write>,
        changes: Vec<Change>,
        actor: &Actor,
    ) -> Result<bool, CatalogError> {
        let now = self.clock.now();
        for change in changes {
            records.push(change.write(actor, now)?);
        }
        // A file may change more than one commit takes; only the catalog itself must be whole.
        let others = records.split_off(records.len().min(MAX_WRITES - 1));
        records.push(catalog.put(expect)?);
        match self.store.commit(&records).await {
            Ok(_) => {}
            Err(StoreError::Conflict(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        for records in others.chunks(MAX_WRITES) {
            self.store.commit(records).await?;
        }
        Ok(true)
    }

    /// Puts a definition that the API brings among others; none if it stands there already, else
    /// whether it is new.
    pub(super) fn put<K: Ord + Clone, T: Clone + PartialEq>(
        &self,
        among: &mut BTreeMap<K, Listed<T>>,
        name: &K,
        spec: &T,
        what: String,
    ) -> Result<Option<bool>, CatalogError> {
        let now = self.clock.now();
        let created_at = match among.get(name) {
            Some(standing) => {
                check_owner(standing.source, || what)?;
                if standing.spec == *spec {
                    return Ok(None);
                }
                Some(standing.created_at)
            }
            None => None,
        };
        let (spec, source) = (spec.clone(), Source::Api);
        let listed =
            Listed { spec, source, created_at: created_at.unwrap_or(now), updated_at: now };
        among.insert(name.clone(), listed);
        Ok(Some(created_at.is_none()))
    }

    /// Refuses targets that nobody can answer for.
    async fn check_targets(
        &self,
        catalog: &Catalog,
        name: &ModelName,
        spec: &RouteSpec,
    ) -> Result<(), CatalogError> {
        for target in spec.models() {
            if target == name || catalog.routes.contains_key(target) {
                let problem =
                    format!("names the route `{target}`; the targets of a route must be models");
                return Err(CatalogError::Target(problem));
            }
            if self.is_answered(catalog, target).await? {
                continue;
            }
            if catalog.provider_of(target).is_some() {
                let problem = format!(
                    "names `{target}`, a former model of this server, whose requests are never \
                     sent to a provider"
                );
                return Err(CatalogError::Target(problem));
            }
            let prefix = target.prefix();
            let near = prefix
                .and_then(|prefix| {
                    nearest(prefix, catalog.providers.keys().map(ProviderName::as_str))
                })
                .map(|near| format!("; did you mean the provider `{near}`?"));
            let problem = format!(
                "names `{target}`, which is neither a registered model nor one of a provider{}",
                near.as_deref().unwrap_or("; add it first")
            );
            return Err(CatalogError::Target(problem));
        }
        Ok(())
    }

    /// The live model that answers to a name.
    pub(super) async fn model_of(&self, name: &ModelName) -> Result<Option<ModelName>, StoreError> {
        Ok(owner_of(&*self.store, name).await?.map(|model| model.name))
    }
}

impl SecretRule {
    fn check(self, reference: &SecretRef) -> Result<(), InvalidProvider> {
        let problem = match (self, reference) {
            (Self::Machine, SecretRef::Ssm(_)) => {
                "is an SSM parameter, which only an installation on AWS can read; use `env` or `file`"
            }
            (Self::Parameters, SecretRef::Env(_) | SecretRef::File(_)) => {
                "must be an SSM parameter here, such as `{\"ssm\": \"/diogenes/STACK/providers/openai\"}`"
            }
            _ => return Ok(()),
        };
        Err(InvalidProvider { field: "api_key", problem })
    }
}

impl fmt::Debug for CatalogEditor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogEditor").finish_non_exhaustive()
    }
}

/// Those of these names of which `is_there` says no. Some are looked up at once.
pub(super) async fn without<'a, F>(
    names: impl IntoIterator<Item = &'a ModelName>,
    is_there: impl Fn(&'a ModelName) -> F,
) -> Result<BTreeSet<ModelName>, CatalogError>
where
    F: Future<Output = Result<bool, StoreError>>,
{
    let distinct: BTreeSet<&ModelName> = names.into_iter().collect();
    let distinct: Vec<&ModelName> = distinct.into_iter().collect();
    let mut missing = BTreeSet::new();
    for some in distinct.chunks(LOOK_UPS) {
        let answers = try_join_all(some.iter().map(|name| is_there(name))).await?;
        let absent = some.iter().zip(answers).filter(|(_, is_there)| !is_there);
        missing.extend(absent.map(|(name, _)| (*name).clone()));
    }
    Ok(missing)
}

pub(super) fn check_owner(
    source: Source,
    what: impl FnOnce() -> String,
) -> Result<(), CatalogError> {
    match source {
        Source::Config => Err(CatalogError::ReadOnly(what())),
        Source::Api => Ok(()),
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
