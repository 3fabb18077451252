//! The loop that looks after the fleet in a process that also serves requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::{later, since};
use diogenes_core::fleet::{Outcome, ReconcileError, Reconciler};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock, Topic, Wake, WakeError};
use tokio::sync::oneshot;
use tokio::sync::{Notify, mpsc};

use crate::proxy::Dispatcher;

/// How often everything is reconciled, whatever the triggers say.
const EVERY: Duration = Duration::from_secs(30);
/// How long to wait after a failed reconcile.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The only router is in this process, and the loop publishes a drain before it reconciles again.
/// A request that found the replica before that is counted as in flight.
pub const ROUTER_LAG: Duration = Duration::from_millis(50);

/// Triggers a reconcile in the loop of this process, and wakes its worker of jobs.
#[derive(Clone, Debug)]
pub struct ChannelWake {
    models: mpsc::UnboundedSender<ModelName>,
    queues: Arc<Notify>,
    /// Everybody else who waits for a queue.
    waiting: Arc<Notify>,
}

impl ChannelWake {
    /// Rings when something may be due in a queue.
    pub fn bell(&self) -> Arc<Notify> {
        self.queues.clone()
    }

    /// Rings at the same times for all who wait at that moment, and who must not take the ring of
    /// this process's worker.
    pub fn rings(&self) -> Arc<Notify> {
        self.waiting.clone()
    }
}

/// The receiving end of [`ChannelWake`].
pub type Triggers = mpsc::UnboundedReceiver<ModelName>;

/// A trigger and its receiving end. It is unbounded: the loop merges what has piled up.
pub fn channel() -> (ChannelWake, Triggers) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (ChannelWake { models: sender, queues: Arc::default(), waiting: Arc::default() }, receiver)
}

#[async_trait]
impl Wake for ChannelWake {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        let model = match topic {
            Topic::Model(model) => model.clone(),
            Topic::Queue(_) => {
                self.queues.notify_one();
                self.waiting.notify_waiters();
                return Ok(());
            }
        };
        self.models.send(model).map_err(|_| WakeError::NoReceiver {
            topic: topic.clone(),
            reason: "the fleet's loop has stopped".into(),
        })
    }
}

/// When to look at each model again though nothing happens.
type NextChecks = BTreeMap<ModelName, Timestamp>;

/// Runs the reconciler on triggers and by the clock, and publishes what it finds.
pub struct FleetLoop {
    /// What it runs; nobody else does.
    pub reconciler: Reconciler,
    /// Where it publishes.
    pub dispatcher: Arc<Dispatcher>,
    /// What it goes by.
    pub clock: Arc<dyn Clock>,
    /// What it is woken by.
    pub triggers: Triggers,
}

impl FleetLoop {
    /// Runs until `stop` resolves, and returns the reconciler, which nobody else uses by then.
    /// `started` is told once every model was published.
    pub async fn run(
        mut self,
        started: oneshot::Sender<()>,
        mut stop: oneshot::Receiver<()>,
    ) -> Reconciler {
        let mut next_checks = NextChecks::new();
        let mut next_full = self.full(&mut next_checks).await;
        // Nobody waits any more when the start was given up.
        let _ = started.send(());
        loop {
            let due = next_checks.values().min().copied().unwrap_or(next_full).min(next_full);
            let pause = since(self.clock.now(), due);
            let mut names = BTreeSet::new();
            tokio::select! {
                _ = &mut stop => return self.reconciler,
                name = self.triggers.recv() => match name {
                    Some(name) => { names.insert(name); }
                    None => return self.reconciler,
                },
                () = tokio::time::sleep(pause) => {}
            }
            // A herd of requests triggers once each; one reconcile serves them all.
            while let Ok(name) = self.triggers.try_recv() {
                names.insert(name);
            }
            let now = self.clock.now();
            if next_full <= now {
                next_full = self.full(&mut next_checks).await;
                continue;
            }
            let due = next_checks.iter().filter(|(_, at)| **at <= now);
            names.extend(due.map(|(name, _)| name.clone()));
            for name in names {
                self.one(name, &mut next_checks).await;
            }
        }
    }

    async fn one(&self, name: ModelName, next_checks: &mut NextChecks) {
        let result = self.reconciler.reconcile(&name).await;
        self.take_over(name, result, next_checks).await;
    }

    /// Reconciles everything; returns when to do so again.
    async fn full(&self, next_checks: &mut NextChecks) -> Timestamp {
        let error = match self.reconciler.reconcile_all().await {
            Ok(round) => {
                next_checks.clear();
                for one in round.models {
                    self.take_over(one.model, one.result, next_checks).await;
                }
                for error in &round.errors {
                    tracing::error!(error = error as &dyn std::error::Error, "{error}");
                }
                return later(self.clock.now(), EVERY);
            }
            Err(error) => error,
        };
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the fleet could not be reconciled; trying again soon"
        );
        // Whatever is wrong, callers shall find the models that they may ask for.
        match self.reconciler.views().await {
            Ok(views) => views.into_iter().for_each(|view| self.dispatcher.publish(view)),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the records of the models could not be read"
            ),
        }
        later(self.clock.now(), AFTER_FAILURE)
    }

    /// Publishes how a model stands, and notes when to look at it again. One that could not be
    /// reconciled stands as its records say.
    async fn take_over(
        &self,
        name: ModelName,
        result: Result<Outcome, ReconcileError>,
        next_checks: &mut NextChecks,
    ) {
        let soon = later(self.clock.now(), AFTER_FAILURE);
        let (view, failure, next_check) = match result {
            Ok(Outcome { view, refused: None, next_check, .. }) => (Some(view), None, next_check),
            Ok(Outcome { view, refused, .. }) => (Some(view), refused, Some(soon)),
            Err(error) => (self.reconciler.view(&name).await.ok(), Some(error), Some(soon)),
        };
        match view {
            Some(Some(view)) => self.dispatcher.publish(view),
            Some(None) => self.dispatcher.forget(&name),
            None => {}
        }
        if let Some(error) = failure {
            tracing::error!(
                model = %name, error = &error as &dyn std::error::Error,
                "`{name}` could not be reconciled; trying again soon"
            );
            self.dispatcher.neglect(&name);
        }
        match next_check {
            Some(at) => next_checks.insert(name, at),
            None => next_checks.remove(&name),
        };
    }
}

#[cfg(test)]
mod tests;
