use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::entity::{Entity, StoreExt as _};
use crate::fleet::{Model, ModelSpec, RegistryError};
use crate::name::ModelName;
use crate::ports::{Expect, Key, StateStore, StoreError, Write};

/// The claim of a model to a name or an alias. It is put under `Absent` in the commit that writes
/// the model, so that of two models that want a name at the same time only one gets it.
///
/// Models that version 0.1.0 wrote have none until they are applied again. A claim counts only
/// while its model answers to the name: versions that know no claims leave them behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameClaim {
    /// The name or alias.
    pub name: ModelName,
    /// The model that answers to it.
    pub model: ModelName,
}

impl NameClaim {
    /// Where the claim to `name` stands.
    pub fn key_of(name: &ModelName) -> Key {
        Key::new(format!("NAME#{name}"), "NAME")
    }

    /// Whether a name such as `openai/gpt-oss-20b` is or has been a model's: then its requests do not
    /// leave for a provider.
    pub async fn exists(store: &dyn StateStore, name: &ModelName) -> Result<bool, StoreError> {
        Ok(store.load::<Self>(&Self::key_of(name)).await?.is_some())
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
            Some(claim) if claim.value.model == model.name => {
                if held.contains(name) {
                    continue;
                }
                // Nobody else believed it; from now on it counts.
                claim.unchanged()
            }
            Some(claim) => {
                if let Some(owner) = owner(store, &claim.value).await? {
                    return Err(taken_by(name, &owner));
                }
                claim.unchanged()
            }
        };
        let claim = NameClaim { name: (*name).clone(), model: model.name.clone() };
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

/// The live model that answers to a name.
pub(crate) async fn owner_of(
    store: &dyn StateStore,
    name: &ModelName,
) -> Result<Option<Model>, StoreError> {
    let claim = store.load::<NameClaim>(&NameClaim::key_of(name)).await?;
    let claim = claim.map(|claim| claim.value);
    // Models of version 0.1.0 have no claims, but their own name.
    let own = || NameClaim { name: name.clone(), model: name.clone() };
    owner(store, &claim.unwrap_or_else(own)).await
}

/// The model that a claim stands for, if it still answers to the name.
async fn owner(store: &dyn StateStore, claim: &NameClaim) -> Result<Option<Model>, StoreError> {
    let owner = store.load::<Model>(&Model::key_of(&claim.model)).await?.map(|owner| owner.value);
    Ok(owner.filter(|owner| owner.deleted_at.is_none() && owner.answers_to(claim.name.as_str())))
}

/// Gives up a claim of `owner`, if it has one. The claim to a name such as `openai/gpt-oss-20b`
/// stays, and stands for nobody: it is how the name is known to have been a model's, so that its
/// requests do not leave for a provider `openai`.
async fn release(
    store: &dyn StateStore,
    name: &ModelName,
    owner: &ModelName,
) -> Result<Option<Write>, StoreError> {
    if name.as_str().contains('/') {
        return Ok(None);
    }
    let key = NameClaim::key_of(name);
    let standing = store.load::<NameClaim>(&key).await?;
    let own = standing.filter(|claim| claim.value.model == *owner);
    Ok(own.map(|claim| Write::Delete { key, expect: claim.unchanged() }))
}

/// Every name that a model answers to.
fn names(model: &Model) -> BTreeSet<&ModelName> {
    std::iter::once(&model.name).chain(&model.spec.aliases).collect()
}

fn taken_by(name: &ModelName, other: &Model) -> RegistryError {
    RegistryError::NameTaken { name: name.clone(), other: other.name.clone() }
}
