use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_api::proxy::Dispatcher;
use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::{later, since};
use diogenes_core::fleet::{Outcome, Reconciler};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock, Topic, Wake, WakeError};
use tokio::sync::mpsc;
use tokio::sync::oneshot;

/// How often everything is reconciled, whatever the triggers say.
const EVERY: Duration = Duration::from_secs(30);
/// How long to wait after a failed reconcile.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Triggers a reconcile in the loop of this process.
#[derive(Clone, Debug)]
pub(crate) struct ChannelWake(mpsc::UnboundedSender<ModelName>);

/// The receiving end of [`ChannelWake`].
pub(crate) type Triggers = mpsc::UnboundedReceiver<ModelName>;

/// A trigger and its receiving end. It is unbounded: the loop merges what has piled up.
pub(crate) fn channel() -> (ChannelWake, Triggers) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (ChannelWake(sender), receiver)
}

#[async_trait]
impl Wake for ChannelWake {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        let Topic::Model(model) = topic;
        self.0.send(model.clone()).map_err(|_| WakeError::NoReceiver {
            topic: topic.clone(),
            reason: "the fleet's loop has stopped".into(),
        })
    }
}

/// Runs the reconciler on triggers and by the clock, and publishes what it finds.
pub(crate) struct FleetLoop {
    pub(crate) reconciler: Reconciler,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) triggers: Triggers,
}

impl FleetLoop {
    /// Runs until `stop` resolves. `started` is told once every model was published.
    pub(crate) async fn run(
        mut self,
        started: oneshot::Sender<()>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let mut next_checks = BTreeMap::new();
        let mut next_full = self.full(&mut next_checks).await;
        // Nobody waits any more when the start was given up.
        let _ = started.send(());
        loop {
            let due = next_checks.values().min().copied().unwrap_or(next_full).min(next_full);
            let pause = since(self.clock.now(), due);
            let mut names = BTreeSet::new();
            tokio::select! {
                _ = &mut stop => return,
                name = self.triggers.recv() => match name {
                    Some(name) => { names.insert(name); }
                    None => return,
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

    async fn one(&self, name: ModelName, next_checks: &mut BTreeMap<ModelName, Timestamp>) {
        match self.reconciler.reconcile(&name).await {
            Ok(outcome) => self.take_over(&name, outcome, next_checks),
            Err(error) => {
                tracing::error!(
                    model = %name, error = &error as &dyn std::error::Error,
                    "`{name}` could not be reconciled; trying again soon"
                );
                self.dispatcher.neglect(&name);
                next_checks.insert(name, later(self.clock.now(), AFTER_FAILURE));
            }
        }
    }

    /// Reconciles everything; returns when to do so again.
    async fn full(&self, next_checks: &mut BTreeMap<ModelName, Timestamp>) -> Timestamp {
        match self.reconciler.reconcile_all().await {
            Ok(outcomes) => {
                next_checks.clear();
                for (name, outcome) in outcomes {
                    self.take_over(&name, outcome, next_checks);
                }
                later(self.clock.now(), EVERY)
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the fleet could not be reconciled; trying again soon"
                );
                later(self.clock.now(), AFTER_FAILURE)
            }
        }
    }

    fn take_over(
        &self,
        name: &ModelName,
        outcome: Outcome,
        next_checks: &mut BTreeMap<ModelName, Timestamp>,
    ) {
        match outcome.next_check {
            Some(at) => next_checks.insert(name.clone(), at),
            None => next_checks.remove(name),
        };
        match outcome.view {
            Some(view) => self.dispatcher.publish(view),
            None => self.dispatcher.forget(name),
        }
    }
}
