use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::entity::{Entity, StoreExt as _};
use crate::fleet::{Model, ModelSpec, RegistryError};
use crate::name::ModelName;
use crate::ports::{Expect, Key, StateStore, StoreError, Write};

/// The claim of a model to a name or an alias, or of a route to its name. It is put under `Absent`
/// in the commit that writes the model or the route, so that of those that want a name at the same
/// time only one gets it.
///
/// Models that version 0.1.0 wrote have none until they are applied again. A model's claim counts
/// only while the model answers to the name: versions that know no claims leave them behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameClaim {
    /// The name or alias.
    pub name: ModelName,
    #[serde(flatten)]
    pub holder: NameHolder,
}

/// Whose a name is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameHolder {
    /// That of the model that answers to it, or did so last.
    Model(ModelName),
    /// That of the route with this name.
    Route {
        /// Who answered to a name such as `openai/gpt-oss-20b` before; it gets the claim back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        former_model: Option<ModelName>,
    },
}

/// What a route that wants a name has to do for it.
#[derive(Debug)]
pub(crate) enum RouteName {
    /// Nothing: it has the name.
    Own,
    /// To put its claim in the commit that writes the route.
    Free(Write),
    /// To take another: this model answers to it.
    Taken(ModelName),
}

impl NameClaim {
    /// Where the claim to `name` stands.
    pub fn key_of(name: &ModelName) -> Key {
        Key::new(format!("NAME#{name}"), "NAME")
    }

    /// Whether a name such as `openai/gpt-oss-20b` is or has been a model's: then its requests do not
    /// leave for a provider.
    pub async fn is_of_a_model(
        store: &dyn StateStore,
        name: &ModelName,
    ) -> Result<bool, StoreError> {
        let claim = store.load::<Self>(&Self::key_of(name)).await?;
        Ok(claim.is_some_and(|claim| claim.value.model().is_some()))
    }

    /// The model that answers to the name, or did so last.
    fn model(&self) -> Option<&ModelName> {
        match &self.holder {
            NameHolder::Model(model) => Some(model),
            NameHolder::Route { former_model } => former_model.as_ref(),
        }
    }

    fn is_held_by(&self, model: &ModelName) -> bool {
        matches!(&self.holder, NameHolder::Model(holder) if holder == model)
    }
}

impl Entity for NameClaim {
    const KIND: &'static str = "name claim";

    fn key(&self) -> Key {
        Self::key_of(&self.name)
    }
}

/// Refuses a name that another of the `listed` models answers to: the listing knows those without
/// claims. Of two that share an alias already, the older one keeps it. `live` is what stands of
/// the model itself.
pub(super) fn check(
    listed: &[Model],
    name: &ModelName,
    spec: &ModelSpec,
    live: Option<&Model>,
) -> Result<(), RegistryError> {
    for other in listed.iter().filter(|other| other.name != *name) {
        let keeps = |wanted: &ModelName| {
            live.is_some_and(|model| {
                model.answers_to(wanted.as_str()) && model.seniority() < other.seniority()
            })
        };
        let taken = std::iter::once(name)
            .chain(&spec.aliases)
            .find(|wanted| other.answers_to(wanted.as_str()) && !keeps(wanted));
        if let Some(taken) = taken {
            return Err(taken_by(taken, other));
        }
    }
    Ok(())
}

/// The writes by which `model` claims its names and gives up those of its `live` record that it no
/// longer has.
pub(super) async fn claims(
    store: &dyn StateStore,
    model: &Model,
    live: Option<&Model>,
) -> Result<Vec<Write>, RegistryError> {
    let wanted = names(model);
    let held = live.map(names).unwrap_or_default();
    let mut writes = Vec::new();
    for name in &wanted {
        let standing = store.load::<NameClaim>(&NameClaim::key_of(name)).await?;
        let expect = match standing {
            None => Expect::Absent,
            Some(claim) => match &claim.value.holder {
                NameHolder::Route { .. } => return Err(RegistryError::IsRoute((*name).clone())),
                NameHolder::Model(holder) if *holder == model.name => {
                    if held.contains(name) {
                        continue;
                    }
                    // Nobody else believed it; from now on it counts.
                    claim.unchanged()
                }
                NameHolder::Model(holder) => {
                    if let Some(owner) = owner(store, name, holder).await? {
                        return Err(taken_by(name, &owner));
                    }
                    claim.unchanged()
                }
            },
        };
        let holder = NameHolder::Model(model.name.clone());
        let claim = NameClaim { name: (*name).clone(), holder };
        writes.push(claim.put(expect)?);
    }
    for freed in held.difference(&wanted) {
        writes.extend(release(store, freed, &model.name).await?);
    }
    Ok(writes)
}

/// The writes by which `model` gives up all its names.
pub(super) async fn release_all(
    store: &dyn StateStore,
    model: &Model,
) -> Result<Vec<Write>, StoreError> {
    let mut writes = Vec::new();
    for name in names(model) {
        writes.extend(release(store, name, &model.name).await?);
    }
    Ok(writes)
}

/// What a route has to do for its name.
pub(crate) async fn name_for_route(
    store: &dyn StateStore,
    name: &ModelName,
) -> Result<RouteName, StoreError> {
    let standing = store.load::<NameClaim>(&NameClaim::key_of(name)).await?;
    let (holder, expect) = match &standing {
        // Models of version 0.1.0 have no claims, but their own name.
        None => (name, Expect::Absent),
        Some(claim) => match &claim.value.holder {
            NameHolder::Route { .. } => return Ok(RouteName::Own),
            NameHolder::Model(holder) => (holder, claim.unchanged()),
        },
    };
    if let Some(owner) = owner(store, name, holder).await? {
        return Ok(RouteName::Taken(owner.name));
    }
    let former = standing.as_ref().and_then(|claim| claim.value.model());
    let former_model = former.filter(|_| outlives_its_model(name)).cloned();
    let claim = NameClaim { name: name.clone(), holder: NameHolder::Route { former_model } };
    Ok(RouteName::Free(claim.put(expect)?))
}

/// The write by which a route gives up its name; none if it had no claim to it.
pub(crate) async fn release_by_route(
    store: &dyn StateStore,
    name: &ModelName,
) -> Result<Option<Write>, StoreError> {
    let key = NameClaim::key_of(name);
    let Some(standing) = store.load::<NameClaim>(&key).await? else { return Ok(None) };
    let expect = standing.unchanged();
    match standing.value.holder {
        NameHolder::Model(_) => Ok(None),
        NameHolder::Route { former_model: None } => Ok(Some(Write::Delete { key, expect })),
        NameHolder::Route { former_model: Some(model) } => {
            let claim = NameClaim { name: name.clone(), holder: NameHolder::Model(model) };
            Ok(Some(claim.put(expect)?))
        }
    }
}

/// The live model that answers to a name.
pub(crate) async fn owner_of(
    store: &dyn StateStore,
    name: &ModelName,
) -> Result<Option<Model>, StoreError> {
    let claim = store.load::<NameClaim>(&NameClaim::key_of(name)).await?;
    // Models of version 0.1.0 have no claims, but their own name.
    let holder = claim.as_ref().and_then(|claim| claim.value.model()).unwrap_or(name);
    owner(store, name, holder).await
}

/// The model that has claimed a name, if it still answers to it.
async fn owner(
    store: &dyn StateStore,
    name: &ModelName,
    holder: &ModelName,
) -> Result<Option<Model>, StoreError> {
    let owner = store.load::<Model>(&Model::key_of(holder)).await?.map(|owner| owner.value);
    Ok(owner.filter(|owner| owner.deleted_at.is_none() && owner.answers_to(name.as_str())))
}

/// Whether the claim to a name such as `openai/gpt-oss-20b` stays when its model gives it up, and
/// stands for nobody: it is how the name is known to have been a model's, so that its requests do
/// not leave for a provider `openai`.
fn outlives_its_model(name: &ModelName) -> bool {
    name.as_str().contains('/')
}

/// Gives up a claim of `owner`, if it has one.
async fn release(
    store: &dyn StateStore,
    name: &ModelName,
    owner: &ModelName,
) -> Result<Option<Write>, StoreError> {
    if outlives_its_model(name) {
        return Ok(None);
    }
    let key = NameClaim::key_of(name);
    let standing = store.load::<NameClaim>(&key).await?;
    let own = standing.filter(|claim| claim.value.is_held_by(owner));
    Ok(own.map(|claim| Write::Delete { key, expect: claim.unchanged() }))
}

/// Every name that a model answers to.
fn names(model: &Model) -> BTreeSet<&ModelName> {
    std::iter::once(&model.name).chain(&model.spec.aliases).collect()
}

fn taken_by(name: &ModelName, other: &Model) -> RegistryError {
    RegistryError::NameTaken { name: name.clone(), other: other.name.clone() }
}
