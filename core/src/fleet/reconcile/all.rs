//! Every model at once.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use super::{Outcome, ReconcileError, Reconciler, instances_of, oldest};
use crate::Timestamp;
use crate::fleet::{InstanceId, Model, ModelView};
use crate::name::ModelName;
use crate::ports::{Instance, StoreError, within};

/// How long the reconcile of one model may take. Each call of a backend has a shorter limit of its
/// own; a ladder whose rungs have no capacity takes several.
pub(super) const MODEL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the leases of one model may take.
const LEASE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many models are reconciled at once, so that one that hangs delays few others.
const AT_ONCE: usize = 4;

/// What the backend has.
pub(super) struct Listing {
    /// When it was begun.
    pub(super) at: Timestamp,
    /// Every instance of the deployment.
    pub(super) instances: Vec<Instance>,
}

/// What a reconcile of every model came to.
#[derive(Debug)]
pub struct Round {
    /// Each model, also those that only an instance still names.
    pub models: Vec<Reconciled>,
    /// What failed outside of any model.
    pub errors: Vec<ReconcileError>,
}

/// One model of a [`Round`].
#[derive(Debug)]
pub struct Reconciled {
    pub model: ModelName,
    /// What its reconcile came to; one that fails leaves those of the others alone.
    pub result: Result<Outcome, ReconcileError>,
    /// [`Outcome::oldest_launch`], also where the reconcile failed.
    pub oldest_launch: Option<Timestamp>,
}

impl Round {
    /// Everything that failed, also what the backend refused in a reconcile that went on.
    pub fn failures(self) -> impl Iterator<Item = ReconcileError> {
        let of_models = self.models.into_iter().filter_map(|one| match one.result {
            Ok(outcome) => outcome.refused,
            Err(error) => Some(error),
        });
        self.errors.into_iter().chain(of_models)
    }
}

impl Reconciler {
    pub(super) async fn list(&self) -> Result<Listing, ReconcileError> {
        let at = self.clock.now();
        Ok(Listing { at, instances: self.compute.describe().await? })
    }

    /// Reconciles every model, and ends the instances of models that no record knows. The leases
    /// of all claims are bumped before anything else, the backend lists its instances once for
    /// all models, and no model takes longer than its share of the time.
    pub async fn reconcile_all(&self) -> Result<Round, ReconcileError> {
        self.reconcile_knowing(None).await
    }

    /// The same, after the provider has said that it takes this instance back: its replica is
    /// drained at once, whether or not its agent has heard of it too.
    pub async fn reconcile_interrupted(
        &self,
        instance: &InstanceId,
    ) -> Result<Round, ReconcileError> {
        self.reconcile_knowing(Some(instance)).await
    }

    async fn reconcile_knowing(
        &self,
        interrupted: Option<&InstanceId>,
    ) -> Result<Round, ReconcileError> {
        let mut names = self.names().await?;
        let mut bumps: Vec<Work<'_, _>> = Vec::new();
        for name in &names {
            bumps.push(Box::pin(self.bump_in_time(name)));
        }
        let bumped = some_at_once(bumps).await;
        let mut errors: Vec<_> = bumped.into_iter().filter_map(Result::err).collect();
        let listing = self.list().await?;
        for instance in &listing.instances {
            match &instance.model {
                Some(name) if !names.contains(name) => names.push(name.clone()),
                Some(_) => {}
                None => {
                    let ended = self.terminate(&instance.id, "it carries no model tag").await;
                    errors.extend(ended.err());
                }
            }
        }
        let mut models: Vec<Work<'_, _>> = Vec::new();
        for name in names {
            models.push(Box::pin(self.reconcile_in_time(name, &listing, interrupted)));
        }
        Ok(Round { models: some_at_once(models).await, errors })
    }

    async fn bump_in_time(&self, name: &ModelName) -> Result<(), ReconcileError> {
        self.in_time(LEASE_TIMEOUT, async { Ok(self.bump_leases(name).await?) }).await
    }

    async fn reconcile_in_time(
        &self,
        model: ModelName,
        listing: &Listing,
        interrupted: Option<&InstanceId>,
    ) -> Reconciled {
        let work = self.reconcile_by(&model, Some(listing), interrupted);
        let result = self.in_time(MODEL_TIMEOUT, work).await;
        let oldest_launch = match &result {
            Ok(outcome) => outcome.oldest_launch,
            Err(_) => oldest(&instances_of(&model, &[], &listing.instances)),
        };
        Reconciled { model, result, oldest_launch }
    }

    /// Ends `work` where it stands when it takes longer than `limit`.
    pub(super) async fn in_time<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, ReconcileError>>,
    ) -> Result<T, ReconcileError> {
        let done = within(self.timer.as_ref(), limit, work).await;
        done.unwrap_or(Err(ReconcileError::TimedOut { limit }))
    }

    /// Every model as its records say, without the backend; one whose records cannot be read has
    /// none.
    pub async fn views(&self) -> Result<Vec<ModelView>, StoreError> {
        let mut views = Vec::new();
        for name in self.names().await? {
            match self.view(&name).await {
                Ok(view) => views.extend(view),
                Err(error) => tracing::error!(
                    model = %name, error = &error as &dyn std::error::Error,
                    "the records of `{name}` could not be read"
                ),
            }
        }
        Ok(views)
    }

    /// The registered models, by the keys of their records: one that is damaged hides no other.
    pub(super) async fn names(&self) -> Result<Vec<ModelName>, StoreError> {
        let mut names = Vec::new();
        let mut query = Model::all();
        loop {
            let page = self.store.list(&query).await?;
            names.extend(page.items.iter().filter_map(|item| Model::name_at(&item.key)));
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(names),
            }
        }
    }
}

type Work<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The results of all works in their order, with [`AT_ONCE`] of them under way at a time.
///
/// Each is polled whenever one is woken: the simulation polls by hand and wakes nobody, which
/// `futures_util`'s `buffered` would wait for.
async fn some_at_once<T>(works: Vec<Work<'_, T>>) -> Vec<T> {
    let mut waiting = works.into_iter().enumerate();
    let mut under_way = Vec::new();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        loop {
            let free = AT_ONCE.saturating_sub(under_way.len());
            under_way.extend(waiting.by_ref().take(free));
            let before = done.len();
            under_way.retain_mut(|(place, work)| match work.as_mut().poll(context) {
                Poll::Ready(output) => {
                    done.push((*place, output));
                    false
                }
                Poll::Pending => true,
            });
            if under_way.is_empty() && waiting.len() == 0 {
                return Poll::Ready(());
            }
            if done.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, output)| output).collect()
}
