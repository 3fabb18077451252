use super::{Outcome, ReconcileError, Reconciler};
use crate::Timestamp;
use crate::entity::StoreExt;
use crate::fleet::{InstanceId, Model};
use crate::name::ModelName;
use crate::ports::Instance;

/// What the backend has.
pub(super) struct Listing {
    /// When it was begun.
    pub(super) at: Timestamp,
    /// Every instance of the deployment.
    pub(super) instances: Vec<Instance>,
}

impl Reconciler {
    pub(super) async fn list(&self) -> Result<Listing, ReconcileError> {
        let at = self.clock.now();
        Ok(Listing { at, instances: self.compute.describe().await? })
    }

    /// Reconciles every model, and ends the instances of models that no record knows. The backend
    /// lists its instances once for all of them. What fails for one model is told after the others
    /// had their turn.
    pub async fn reconcile_all(&self) -> Result<Vec<(ModelName, Outcome)>, ReconcileError> {
        self.reconcile_knowing(None).await
    }

    /// The same, after the provider has said that it takes this instance back: its replica is
    /// drained at once, whether or not its agent has heard of it too.
    pub async fn reconcile_interrupted(
        &self,
        instance: &InstanceId,
    ) -> Result<Vec<(ModelName, Outcome)>, ReconcileError> {
        self.reconcile_knowing(Some(instance)).await
    }

    async fn reconcile_knowing(
        &self,
        interrupted: Option<&InstanceId>,
    ) -> Result<Vec<(ModelName, Outcome)>, ReconcileError> {
        let listing = self.list().await?;
        let models = self.store.load_all::<Model>(Model::all()).await?;
        let mut names: Vec<ModelName> = models.into_iter().map(|model| model.value.name).collect();
        let mut first = None;
        for instance in &listing.instances {
            match &instance.model {
                Some(name) if !names.contains(name) => names.push(name.clone()),
                Some(_) => {}
                None => {
                    if let Err(error) =
                        self.terminate(&instance.id, "it carries no model tag").await
                    {
                        keep_first(&mut first, error);
                    }
                }
            }
        }
        let mut outcomes = Vec::with_capacity(names.len());
        for name in names {
            match self.reconcile_by(&name, Some(&listing), interrupted).await {
                Ok(outcome) => outcomes.push((name, outcome)),
                Err(error) => keep_first(&mut first, error),
            }
        }
        first.map_or(Ok(outcomes), Err)
    }
}

/// Keeps the first error for the caller; those after it go to the log.
pub(super) fn keep_first(first: &mut Option<ReconcileError>, error: ReconcileError) {
    if first.is_none() {
        *first = Some(error);
    } else {
        tracing::error!(error = &error as &dyn std::error::Error, "{error}, again");
    }
}
