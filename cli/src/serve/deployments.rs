//! Deployments of prompts: what measures them, what carries them on, and what answers for them.

use std::sync::Arc;

use anyhow::Context as _;
use diogenes_api::control::{DeploymentsArea, DeploymentsParts, Entrance};
use diogenes_api::deployments::{DeploymentLoop, Warmth};
use diogenes_api::proxy::{Gateway, Trials};
use diogenes_core::deployments::{Deployments, TrialBook};
use diogenes_core::ports::{Clock, Entropy, StateStore};
use diogenes_core::prompts::{PromptShelf, Prompts};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// The name of this process among those that measure.
const ROUTER: &str = "serve";

/// The deployments of this process.
pub(super) struct Rollouts {
    deployments: Deployments,
    store: Arc<dyn StateStore>,
    book: Arc<TrialBook>,
    shelf: Arc<PromptShelf>,
    clock: Arc<dyn Clock>,
    bell: Arc<Notify>,
}

impl Rollouts {
    pub(super) fn new(
        store: &Arc<dyn StateStore>,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
        shelf: &Arc<PromptShelf>,
    ) -> Self {
        let prompts = Prompts::new(store.clone(), clock.clone(), entropy.clone());
        let (store, clock) = (store.clone(), clock.clone());
        Self {
            deployments: Deployments::new(store.clone(), prompts, clock.clone(), entropy.clone()),
            book: Arc::new(TrialBook::new(store.clone(), clock.clone(), ROUTER)),
            store,
            shelf: shelf.clone(),
            clock,
            bell: Arc::default(),
        }
    }

    /// What takes note of requests.
    pub(super) fn trials(&self) -> Trials {
        Trials::new(self.book.clone(), self.bell.clone())
    }

    /// What answers for deployments.
    pub(super) fn area(&self, entrance: Entrance, gateway: Arc<Gateway>) -> DeploymentsArea {
        let parts = DeploymentsParts {
            warmth: self.warmth(gateway),
            shelf: self.shelf.clone(),
            book: self.book.clone(),
            bell: self.bell.clone(),
        };
        DeploymentsArea::new(entrance, self.deployments.clone()).with_parts(parts)
    }

    fn warmth(&self, gateway: Arc<Gateway>) -> Arc<Warmth> {
        let (deployments, store) = (self.deployments.clone(), self.store.clone());
        Arc::new(Warmth { deployments, gateway, store, clock: self.clock.clone() })
    }

    /// Carries deployments on from now on.
    pub(super) fn spawn(self, gateway: Arc<Gateway>) -> RunningRollouts {
        let warmth = self.warmth(gateway);
        let Self { deployments, book, shelf, clock, bell, .. } = self;
        let all = DeploymentLoop { deployments, warmth, book, shelf, clock, bell };
        let (stop, stopped) = oneshot::channel();
        RunningRollouts { stop, running: tokio::spawn(all.run(stopped)) }
    }
}

/// Deployments that are carried on.
pub(super) struct RunningRollouts {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl RunningRollouts {
    /// Lets them rest until the next start.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        // Nobody is left to hear that the loop has ended already.
        let _ = self.stop.send(());
        self.running.await.context("the loop of deployments has crashed")
    }
}
