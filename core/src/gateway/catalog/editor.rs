use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::{Catalog, CatalogError, Listed, Precondition};
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity as _, StoreExt as _};
use crate::fleet::{ModelSpec, NameClaim, Source, owner_of};
use crate::gateway::{InvalidProvider, ProviderName, ProviderSpec};
use crate::name::ModelName;
use crate::ports::{Clock, Expect, MAX_WRITES, StateStore, StoreError, Write};
use crate::secret::SecretRef;

/// How many targets are looked up at once.
const LOOK_UPS: usize = 16;

/// Changes the catalog. Routers learn of it within seconds.
#[derive(Clone)]
pub struct CatalogEditor {
    pub(super) store: Arc<dyn StateStore>,
    pub(super) clock: Arc<dyn Clock>,
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
    ///
    /// The registry refuses it too, by the claim of the route, whatever the moment; a route has
    /// none that has not been written since there are such claims.
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

    pub(super) async fn is_answered(
        &self,
        catalog: &Catalog,
        target: &ModelName,
    ) -> Result<bool, StoreError> {
        if self.model_of(target).await?.is_some() {
            return Ok(true);
        }
        if catalog.provider_of(target).is_none() {
            return Ok(false);
        }
        Ok(!NameClaim::is_of_a_model(&*self.store, target).await?)
    }

    /// Adds or changes a provider; returns whether it is new, and the catalog with it. The same
    /// spec again changes nothing.
    pub async fn apply_provider(
        &self,
        actor: &Actor,
        name: &ProviderName,
        spec: &ProviderSpec,
        precondition: &Precondition,
    ) -> Result<(bool, Catalog), CatalogError> {
        spec.validate()?;
        if let Some(reference) = &spec.api_key {
            self.secrets.check(reference)?;
        }
        self.edit(actor, |catalog| {
            let what = format!("provider `{name}`");
            precondition.check(catalog.providers.get(name), &what)?;
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
        precondition: &Precondition,
    ) -> Result<(Listed<ProviderSpec>, Catalog), CatalogError> {
        self.edit(actor, |catalog| {
            let provider = catalog.providers.remove(name);
            let provider = provider.ok_or_else(|| CatalogError::NoProvider(name.clone()))?;
            precondition.check(Some(&provider), &format!("provider `{name}`"))?;
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
