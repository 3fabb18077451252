//! What deployments do by themselves.

use async_trait::async_trait;

use super::decide::{Decision, Gates, decide};
use super::error::DeploymentError;
use super::event::Event;
use super::facts::Facts;
use super::record::{Deployment, OpenDeployment};
use super::service::Deployments;
use crate::Timestamp;
use crate::audit::{Action, Actor};
use crate::entity::StoreExt;
use crate::ports::StoreError;

/// The most transitions of one tick; the next one goes on.
const MOST_STEPS: usize = 10;

/// Who knows whether a deployment that is approved may start.
#[async_trait]
pub trait Gatekeeper: Send + Sync {
    /// What stands in its way; it is asked again and again until nothing does.
    async fn gates(&self, deployment: &Deployment) -> Result<Gates, DeploymentError>;
}

/// A gatekeeper that lets everything pass.
#[derive(Clone, Copy, Debug)]
pub struct OpenGates;

#[async_trait]
impl Gatekeeper for OpenGates {
    async fn gates(&self, _: &Deployment) -> Result<Gates, DeploymentError> {
        Ok(Gates::Passed)
    }
}

/// What a tick came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// The deployment as it stands; none where its record is gone.
    pub deployment: Option<Deployment>,
    /// Whether the tick changed something of it.
    pub has_changed: bool,
    /// When the next one is due at the latest; none where only an order or a request can change
    /// something.
    pub next: Option<Timestamp>,
}

impl Deployments {
    /// What is under way, in every project.
    pub async fn open(&self) -> Result<Vec<OpenDeployment>, StoreError> {
        let open = self.store.load_all(OpenDeployment::all()).await?;
        Ok(open.into_iter().map(|stored| stored.value).collect())
    }

    /// Does whatever is due for a deployment. It may be called at any time, twice, or too late: what
    /// was measured must have been written before.
    pub async fn tick(
        &self,
        open: &OpenDeployment,
        gatekeeper: &dyn Gatekeeper,
    ) -> Result<Tick, DeploymentError> {
        let key = Deployment::key_of(&open.project, &open.deployment);
        let mut has_changed = false;
        for _ in 0..MOST_STEPS {
            let Some(stored) = self.store.load::<Deployment>(&key).await? else {
                return Ok(Tick { deployment: None, has_changed, next: None });
            };
            match self.decided(&stored.value, gatekeeper).await? {
                Decision::Wait { until, .. } => {
                    let deployment = Some(stored.value);
                    return Ok(Tick { deployment, has_changed, next: until });
                }
                Decision::Do(event) => {
                    let creator = &stored.value.created_by;
                    let actor = Actor::behind(&creator.subject, &creator.key);
                    let done = self.step(&stored, &event, &actor, action_of(&event)).await?;
                    has_changed |= done.is_some();
                }
            }
        }
        let deployment = self.store.load::<Deployment>(&key).await?.map(|stored| stored.value);
        Ok(Tick { deployment, has_changed, next: Some(self.clock.now()) })
    }

    async fn decided(
        &self,
        deployment: &Deployment,
        gatekeeper: &dyn Gatekeeper,
    ) -> Result<Decision, DeploymentError> {
        let facts = Facts::load(&*self.store, deployment).await?;
        self.decided_on(deployment, &facts, gatekeeper).await
    }

    /// What to do next, as these facts say.
    pub(super) async fn decided_on(
        &self,
        deployment: &Deployment,
        facts: &Facts,
        gatekeeper: &dyn Gatekeeper,
    ) -> Result<Decision, DeploymentError> {
        let prompt = self.prompt_of(deployment).await?;
        let prompt = prompt.as_ref().map(|prompt| &prompt.value);
        let gates = gatekeeper.gates(deployment).await?;
        Ok(decide(deployment, prompt, &gates, facts, self.clock.now()))
    }
}

fn action_of(event: &Event) -> fn() -> Action {
    match event {
        Event::Approved(_) => Action::deployment_approve,
        Event::GatesFailed { .. } | Event::Failed { .. } => Action::deployment_fail,
        Event::Started => Action::deployment_start,
        Event::SlowKnown { .. } => Action::deployment_measure,
        Event::Widened { .. } => Action::deployment_widen,
        Event::Paused(_) => Action::deployment_pause,
        Event::Resumed => Action::deployment_resume,
        Event::Completed { .. } => Action::deployment_complete,
        Event::RolledBack { .. } => Action::deployment_roll_back,
        Event::Cancelled { .. } => Action::deployment_cancel,
    }
}
