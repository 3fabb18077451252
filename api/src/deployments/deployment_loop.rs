use std::sync::Arc;
use std::time::Duration;

use diogenes_core::deployments::{Deployment, DeploymentError, Deployments, Status, TrialBook};
use diogenes_core::ports::Clock;
use diogenes_core::prompts::PromptShelf;
use tokio::sync::{Notify, oneshot};

use super::warmth::Warmth;

/// How often a rollout is looked at whose requests may have brought evidence.
const ROLLOUT_EVERY: Duration = Duration::from_secs(2);
/// How often one is looked at that waits for somebody.
const WAITING_EVERY: Duration = Duration::from_secs(30);

/// Carries on whatever deployments are under way, and rests while there are none.
pub struct DeploymentLoop {
    pub deployments: Deployments,
    pub warmth: Arc<Warmth>,
    pub book: Arc<TrialBook>,
    pub shelf: Arc<PromptShelf>,
    pub clock: Arc<dyn Clock>,
    /// Rung when something has changed that the loop cannot know.
    pub bell: Arc<Notify>,
}

impl DeploymentLoop {
    /// Runs until it is stopped, and writes what was measured by then.
    pub async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let mut is_away = false;
        loop {
            let next = self.look().await;
            if let Some(error) = next.as_ref().err().filter(|_| !is_away) {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "deployments cannot be carried on; the requests stay divided as they are"
                );
            }
            is_away = next.is_err();
            let next = next.unwrap_or(Some(ROLLOUT_EVERY));
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.bell.notified() => {}
                _ = &mut stopped => break,
            }
        }
        if let Err(error) = self.book.flush().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what was measured last of deployments was not written"
            );
        }
    }

    /// Looks at everything that is under way; returns how long it can wait for the next look, none
    /// for as long as nobody rings.
    async fn look(&self) -> Result<Option<Duration>, DeploymentError> {
        self.book.flush().await?;
        let mut soonest: Option<Duration> = None;
        let open = self.deployments.open().await?;
        self.book.forget_all_but(&open);
        for open in &open {
            let tick = self.deployments.tick(open, &*self.warmth).await?;
            let Some(deployment) = tick.deployment else { continue };
            if tick.has_changed {
                self.shelf.changed(&deployment.project, &deployment.slug);
                told(&deployment);
            }
            if deployment.status().is_final() {
                continue;
            }
            let usual = match deployment.status() {
                Status::PendingApproval => WAITING_EVERY,
                _ => ROLLOUT_EVERY,
            };
            let due = tick.next.map(|next| self.clock.now().duration_until(next));
            let due = due.and_then(|due| Duration::try_from(due).ok());
            let wait = due.unwrap_or(usual).min(usual);
            soonest = Some(soonest.map_or(wait, |soonest| soonest.min(wait)));
        }
        Ok(soonest)
    }
}

fn told(deployment: &Deployment) {
    let (id, reference) = (&deployment.id, deployment.reference());
    let (status, share) = (deployment.status(), deployment.share());
    let (to, why) = (deployment.to_version, deployment.end().map_or("", |end| &end.reason));
    tracing::info!(
        deployment = %id, %status, percentage = share.get(), why,
        "deployment of {reference} to v{to} is {status} at {share}"
    );
}
