//! Routes, and their names.

use super::editor::{CatalogEditor, check_owner};
use super::{Catalog, CatalogError, Listed, Precondition};
use crate::audit::{Action, Actor, Change};
use crate::fleet::{RouteName, Source, name_for_route, release_by_route};
use crate::gateway::{ProviderName, RouteSpec, Routes};
use crate::name::{ModelName, nearest};
use crate::ports::Write;

/// How many names one commit claims or gives up, beside its other writes.
pub(super) const MOST_NAMES: usize = 48;

impl CatalogEditor {
    /// Adds or changes a route; returns whether it is new, and the catalog with it. The same spec
    /// again changes nothing. Its name is claimed with it, so that no model takes it.
    pub async fn apply_route(
        &self,
        actor: &Actor,
        name: &ModelName,
        spec: &RouteSpec,
        precondition: &Precondition,
    ) -> Result<(bool, Catalog), CatalogError> {
        spec.validate()?;
        let summary = || spec.models().map(ModelName::as_str).collect::<Vec<_>>().join(", ");
        loop {
            let (mut catalog, expect) = self.read().await?;
            let what = format!("route `{name}`");
            precondition.check(catalog.routes.get(name), &what)?;
            let claim = self.claim(name).await?;
            self.check_targets(&catalog, name, spec).await?;
            let is_new = self.put(&mut catalog.routes, name, spec, what)?;
            if is_new.is_none() && claim.is_none() {
                return Ok((false, catalog));
            }
            let target = format!("route/{name}");
            let change = is_new
                .map(|_| Change::of_installation(Action::route_apply(), target, summary()))
                .into_iter()
                .collect();
            let claim = claim.into_iter().collect();
            if self.commit(&catalog, expect, claim, change, actor).await? {
                return Ok((is_new.unwrap_or(false), catalog));
            }
        }
    }

    /// Deletes a route and frees its name; returns it, and the catalog without it.
    pub async fn delete_route(
        &self,
        actor: &Actor,
        name: &ModelName,
        precondition: &Precondition,
    ) -> Result<(Listed<RouteSpec>, Catalog), CatalogError> {
        loop {
            let (mut catalog, expect) = self.read().await?;
            let route = catalog.routes.remove(name);
            let route = route.ok_or_else(|| CatalogError::NoRoute(name.clone()))?;
            precondition.check(Some(&route), &format!("route `{name}`"))?;
            check_owner(route.source, || format!("route `{name}`"))?;
            let target = format!("route/{name}");
            let change = Change::of_installation(Action::route_delete(), target, "");
            let freed = release_by_route(&*self.store, name).await?.into_iter().collect();
            if self.commit(&catalog, expect, freed, vec![change], actor).await? {
                return Ok((route, catalog));
            }
        }
    }

    /// Deletes the routes of the configuration that its file no longer has, so that models of the
    /// file may take their names.
    pub async fn retire_routes(&self, file: &Routes) -> Result<(), CatalogError> {
        loop {
            let (mut catalog, expect) = self.read().await?;
            let gone = catalog.routes.iter();
            let gone = gone
                .filter(|(name, route)| route.source == Source::Config && !file.contains_key(*name))
                .map(|(name, _)| name.clone());
            let gone: Vec<ModelName> = gone.take(MOST_NAMES).collect();
            if gone.is_empty() {
                return Ok(());
            }
            let (mut freed, mut changes) = (Vec::new(), Vec::new());
            for name in &gone {
                catalog.routes.remove(name);
                freed.extend(release_by_route(&*self.store, name).await?);
                let target = format!("route/{name}");
                let change =
                    Change::of_installation(Action::route_delete(), target, "by the configuration");
                changes.push(change);
            }
            self.commit(&catalog, expect, freed, changes, &Actor::operator()).await?;
        }
    }

    /// The write by which a route claims its name; none if it has it.
    pub(super) async fn claim(&self, name: &ModelName) -> Result<Option<Write>, CatalogError> {
        match name_for_route(&*self.store, name).await? {
            RouteName::Own => Ok(None),
            RouteName::Free(claim) => Ok(Some(claim)),
            RouteName::Taken(model) => Err(CatalogError::NameTaken { name: name.clone(), model }),
        }
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
}
