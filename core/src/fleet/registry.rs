use std::collections::BTreeSet;
use std::sync::Arc;

use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity, StoreExt, Stored};
use crate::fleet::name_claim;
use crate::fleet::{Control, Model, ModelSpec, Source, SpecError};
use crate::name::ModelName;
use crate::ports::{Clock, Cursor, Expect, Query, StateStore, StoreError, Topic, Wake, Write};

/// Registers models and carries out operators' words about them. It writes what is wanted;
/// the reconciler makes it so.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    wake: Arc<dyn Wake>,
    rule: SpecRule,
    actor: Option<Actor>,
}

/// What the backend of an installation asks of a spec beyond [`ModelSpec::validate`].
#[derive(Clone, Copy, Debug)]
pub struct SpecRule {
    /// The spec as it is registered, its placements in the backend's own form; or what is wrong
    /// with it.
    pub admit: fn(ModelSpec) -> Result<ModelSpec, SpecError>,
    /// Whether there are places to choose from: a ladder is refused where there are none.
    pub has_places: bool,
    /// Whether it can read SSM parameters: references to them are refused where it cannot.
    pub has_parameters: bool,
}

impl Default for SpecRule {
    fn default() -> Self {
        Self { admit: Ok, has_places: true, has_parameters: true }
    }
}

/// An operator's word about a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start a replica now, as a request would.
    Up,
    /// Drain every replica; the next request starts one again. Takes a pin away.
    Down,
    /// Keep at least one replica, whatever the demand.
    Pin,
    /// Let the demand decide again.
    Unpin,
}

/// Why a model was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Nobody registered it.
    #[error("model `{0}` is not registered; add it with `diogenes model apply`")]
    NotFound(ModelName),
    /// It belongs to the configuration.
    #[error(
        "model `{0}` is defined in the configuration of `diogenes serve`; change it there and restart"
    )]
    ReadOnly(ModelName),
    /// The spec makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Another model answers to the name.
    #[error("model `{other}` already uses the name `{name}`; choose another name or alias")]
    NameTaken {
        name: ModelName,
        /// Who has it.
        other: ModelName,
    },
    /// A route has the name, and the model would take its requests.
    #[error(
        "`{0}` is the name of a route; choose another name or alias, or delete the route first"
    )]
    IsRoute(ModelName),
    /// The store failed.
    #[error("the models could not be read or written")]
    Store(#[from] StoreError),
}

impl Registry {
    /// A registry over these ports.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>, wake: Arc<dyn Wake>) -> Self {
        Self { store, clock, wake, rule: SpecRule::default(), actor: None }
    }

    /// The same, refusing specs that this installation could never run when they come over the
    /// API. A configuration is checked where it is read.
    #[must_use]
    pub fn with_rule(self, rule: SpecRule) -> Self {
        Self { rule, ..self }
    }

    /// The same on behalf of `actor`: every change leaves an audit record of who made it.
    #[must_use]
    pub fn on_behalf_of(&self, actor: Actor) -> Self {
        Self { actor: Some(actor), ..self.clone() }
    }

    /// What this installation asks of a spec.
    pub fn rule(&self) -> SpecRule {
        self.rule
    }

    /// Every model that is not deleted, by name.
    pub async fn list(&self) -> Result<Vec<Model>, RegistryError> {
        let models = self.store.load_all::<Model>(Model::all()).await?;
        let live = models.into_iter().map(|model| model.value);
        Ok(live.filter(|model| model.deleted_at.is_none()).collect())
    }

    /// One page of models that are not deleted, by name; it may be short.
    pub async fn page(
        &self,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<(Vec<Model>, Option<Cursor>), RegistryError> {
        let query = Query { limit, cursor, ..Model::all() };
        let (models, next) = self.store.load_page::<Model>(&query).await?;
        let live = models.into_iter().map(|model| model.value);
        Ok((live.filter(|model| model.deleted_at.is_none()).collect(), next))
    }

    /// A model that is not deleted.
    pub async fn get(&self, name: &ModelName) -> Result<Model, RegistryError> {
        Ok(self.read(name).await?.value)
    }

    /// Registers or changes a model; returns it, and whether it is new. The same spec again
    /// changes nothing, and [masked](ModelSpec::masked) values stay as they are. Its names are
    /// claimed with it, so that no two models share one, nor a model and a route.
    pub async fn apply(
        &self,
        name: &ModelName,
        spec: ModelSpec,
        source: Source,
    ) -> Result<(Model, bool), RegistryError> {
        spec.validate()?;
        let sent = match source {
            Source::Api => (self.rule.admit)(spec)?,
            Source::Config => spec,
        };
        loop {
            let standing = self.store.load::<Model>(&Model::key_of(name)).await?;
            let live = standing.as_ref().map(|stored| &stored.value);
            let live = live.filter(|model| model.deleted_at.is_none());
            let spec = sent.unmasked(live.map(|model| &model.spec))?;
            let listed = self.list().await?;
            name_claim::check(&listed, name, &spec, live)?;
            if source == Source::Api && !self.rule.has_places {
                check_port(&listed, name, &spec, live)?;
            }
            let now = self.clock.now();
            let (model, expect, is_new) = match &standing {
                None => (
                    Model {
                        name: name.clone(),
                        spec: spec.clone(),
                        source,
                        created_at: now,
                        updated_at: now,
                        deleted_at: None,
                    },
                    Expect::Absent,
                    true,
                ),
                Some(stored) => {
                    let old = &stored.value;
                    let deleted = old.deleted_at.is_some();
                    if old.source == Source::Config && source == Source::Api && !deleted {
                        return Err(RegistryError::ReadOnly(name.clone()));
                    }
                    if old.spec == spec && old.source == source && !deleted {
                        if self.claim_missing(stored).await? {
                            return Ok((old.clone(), false));
                        }
                        continue;
                    }
                    let created_at = if deleted { now } else { old.created_at };
                    let model = Model {
                        name: name.clone(),
                        spec: spec.clone(),
                        source,
                        created_at,
                        updated_at: now,
                        deleted_at: None,
                    };
                    (model, stored.unchanged(), deleted)
                }
            };
            let summary = match &standing {
                Some(stored) if !is_new => changed(&stored.value.spec, &model.spec),
                _ => "registered".into(),
            };
            let claims = name_claim::claims(&*self.store, &model, live).await?;
            match self.save(model, expect, claims, name, Action::model_apply(), summary).await {
                Ok(model) => {
                    self.wake(name).await;
                    return Ok((model, is_new));
                }
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Deletes a model; its replicas are drained and ended.
    pub async fn delete(&self, name: &ModelName, source: Source) -> Result<Model, RegistryError> {
        loop {
            let stored = self.read(name).await?;
            if stored.value.source == Source::Config && source == Source::Api {
                return Err(RegistryError::ReadOnly(name.clone()));
            }
            let mut deleted = stored.value.clone();
            let now = self.clock.now();
            deleted.deleted_at = Some(now);
            deleted.updated_at = now;
            let freed = name_claim::release_all(&*self.store, &deleted).await?;
            let (expect, summary) = (stored.unchanged(), String::new());
            match self.save(deleted, expect, freed, name, Action::model_delete(), summary).await {
                Ok(deleted) => {
                    self.wake(name).await;
                    return Ok(deleted);
                }
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Carries out an operator's word.
    pub async fn order(&self, name: &ModelName, order: Order) -> Result<Control, RegistryError> {
        self.read(name).await?;
        loop {
            let standing = self.store.load::<Control>(&Control::key_of(name)).await?;
            let (mut control, expect) = match standing {
                Some(stored) => {
                    let expect = stored.unchanged();
                    (stored.value, expect)
                }
                None => (Control::new(name.clone()), Expect::Absent),
            };
            let now = self.clock.now();
            let action = match order {
                Order::Up => {
                    control.up_at = Some(now);
                    control.failure = None;
                    Action::model_up()
                }
                Order::Down => {
                    control.down_at = Some(now);
                    control.pinned = false;
                    Action::model_down()
                }
                Order::Pin => {
                    control.pinned = true;
                    control.failure = None;
                    Action::model_pin()
                }
                Order::Unpin => {
                    control.pinned = false;
                    Action::model_unpin()
                }
            };
            match self.save(control, expect, Vec::new(), name, action, String::new()).await {
                Ok(control) => {
                    self.wake(name).await;
                    return Ok(control);
                }
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Claims the names that a model of version 0.1.0 has no claims to; false if the model was
    /// changed meanwhile.
    async fn claim_missing(&self, model: &Stored<Model>) -> Result<bool, RegistryError> {
        let claims = name_claim::claims(&*self.store, &model.value, Some(&model.value)).await?;
        if claims.is_empty() {
            return Ok(true);
        }
        // The record is put as it is, so that the claims stand only with it.
        let mut writes = vec![model.value.put(model.unchanged())?];
        writes.extend(claims);
        Ok(self.store.committed(&writes).await?)
    }

    /// Puts a record with what belongs to it, and in the same commit the audit record of it.
    async fn save<T: Entity>(
        &self,
        record: T,
        expect: Expect,
        with: Vec<Write>,
        name: &ModelName,
        action: Action,
        summary: String,
    ) -> Result<T, StoreError> {
        let mut writes = vec![record.put(expect)?];
        writes.extend(with);
        if let Some(actor) = &self.actor {
            let change = Change::of_installation(action, format!("model/{name}"), summary);
            writes.push(change.write(actor, self.clock.now())?);
        }
        self.store.commit(&writes).await?;
        Ok(record)
    }

    async fn read(&self, name: &ModelName) -> Result<Stored<Model>, RegistryError> {
        let stored = self.store.load::<Model>(&Model::key_of(name)).await?;
        stored
            .filter(|stored| stored.value.deleted_at.is_none())
            .ok_or_else(|| RegistryError::NotFound(name.clone()))
    }

    /// A lost wake is made up for by the next reconcile of all.
    async fn wake(&self, name: &ModelName) {
        if let Err(error) = self.wake.wake(&Topic::Model(name.clone())).await {
            tracing::warn!(model = %name, error = &error as &dyn std::error::Error, "a reconcile could not be requested");
        }
    }
}

/// Refuses a fixed port that another of the `listed` models has too, unless it has stood so far.
fn check_port(
    listed: &[Model],
    name: &ModelName,
    spec: &ModelSpec,
    live: Option<&Model>,
) -> Result<(), SpecError> {
    if live.is_some_and(|model| model.spec.port == spec.port) {
        return Ok(());
    }
    let others = listed.iter().filter(|other| other.name != *name);
    spec.validate_own_port(others.map(|other| (&other.name, &other.spec)))
}

/// Names the keys in which two specs differ; values may be secrets.
fn changed(old: &ModelSpec, new: &ModelSpec) -> String {
    let fields = |spec| match serde_json::to_value(spec) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (old, new) = (fields(old), fields(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let names = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    format!("changed {}", names.map(String::as_str).collect::<Vec<_>>().join(", "))
}
