use std::sync::Arc;

use crate::entity::{StoreExt, Stored};
use crate::fleet::{Control, Model, ModelSource, ModelSpec, SpecError};
use crate::name::ModelName;
use crate::ports::{Clock, Cursor, Expect, Query, StateStore, StoreError, Topic, Wake};

/// Registers models and carries out operators' words about them. It writes what is wanted;
/// the reconciler makes it so.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    wake: Arc<dyn Wake>,
    rule: SpecRule,
}

/// What an installation asks of a spec beyond [`ModelSpec::validate`], such as
/// [`ModelSpec::validate_for_cloud`].
pub type SpecRule = fn(&ModelSpec) -> Result<(), SpecError>;

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
        "model `{0}` belongs to the configuration of `diogenes serve`; change it there and restart"
    )]
    ReadOnly(ModelName),
    /// The spec makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Another model answers to the name.
    #[error("model `{other}` already answers to `{name}`; choose another name or alias")]
    NameTaken {
        /// The name.
        name: ModelName,
        /// Who has it.
        other: ModelName,
    },
    /// The store failed.
    #[error("the models could not be read or written")]
    Store(#[from] StoreError),
}

impl Registry {
    /// A registry over these ports.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>, wake: Arc<dyn Wake>) -> Self {
        Self { store, clock, wake, rule: |_| Ok(()) }
    }

    /// The same, refusing specs that this installation could never run.
    #[must_use]
    pub fn with_rule(self, rule: SpecRule) -> Self {
        Self { rule, ..self }
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
    /// changes nothing.
    pub async fn apply(
        &self,
        name: &ModelName,
        spec: ModelSpec,
        source: ModelSource,
    ) -> Result<(Model, bool), RegistryError> {
        spec.validate()?;
        (self.rule)(&spec)?;
        self.check_names(name, &spec).await?;
        loop {
            let standing = self.store.load::<Model>(&Model::key_of(name)).await?;
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
                    if old.source == ModelSource::Config && source == ModelSource::Api && !deleted {
                        return Err(RegistryError::ReadOnly(name.clone()));
                    }
                    if old.spec == spec && old.source == source && !deleted {
                        return Ok((old.clone(), false));
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
            match self.store.save(model, expect).await {
                Ok(stored) => {
                    self.wake(name).await;
                    return Ok((stored.value, is_new));
                }
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Deletes a model; its replicas are drained and ended.
    pub async fn delete(
        &self,
        name: &ModelName,
        source: ModelSource,
    ) -> Result<Model, RegistryError> {
        loop {
            let stored = self.read(name).await?;
            if stored.value.source == ModelSource::Config && source == ModelSource::Api {
                return Err(RegistryError::ReadOnly(name.clone()));
            }
            let mut deleted = stored.value.clone();
            let now = self.clock.now();
            deleted.deleted_at = Some(now);
            deleted.updated_at = now;
            match self.store.save(deleted, stored.unchanged()).await {
                Ok(stored) => {
                    self.wake(name).await;
                    return Ok(stored.value);
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
            match order {
                Order::Up => {
                    control.up_at = Some(now);
                    control.failure = None;
                }
                Order::Down => {
                    control.down_at = Some(now);
                    control.pinned = false;
                }
                Order::Pin => {
                    control.pinned = true;
                    control.failure = None;
                }
                Order::Unpin => control.pinned = false,
            }
            match self.store.save(control, expect).await {
                Ok(stored) => {
                    self.wake(name).await;
                    return Ok(stored.value);
                }
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn read(&self, name: &ModelName) -> Result<Stored<Model>, RegistryError> {
        let stored = self.store.load::<Model>(&Model::key_of(name)).await?;
        stored
            .filter(|stored| stored.value.deleted_at.is_none())
            .ok_or_else(|| RegistryError::NotFound(name.clone()))
    }

    async fn check_names(&self, name: &ModelName, spec: &ModelSpec) -> Result<(), RegistryError> {
        for other in self.list().await?.iter().filter(|other| other.name != *name) {
            let taken = std::iter::once(name)
                .chain(&spec.aliases)
                .find(|wanted| other.answers_to(wanted.as_str()));
            if let Some(taken) = taken {
                return Err(RegistryError::NameTaken {
                    name: taken.clone(),
                    other: other.name.clone(),
                });
            }
        }
        Ok(())
    }

    /// A lost wake is made up for by the next reconcile of all.
    async fn wake(&self, name: &ModelName) {
        if let Err(error) = self.wake.wake(&Topic::Model(name.clone())).await {
            tracing::warn!(model = %name, error = &error as &dyn std::error::Error, "a reconcile could not be requested");
        }
    }
}
