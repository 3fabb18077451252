use std::sync::Arc;

use super::decide::Decision;
use super::error::DeploymentError;
use super::event::Event;
use super::facts::Facts;
use super::new_deployment::{MAX_REASON, NewDeployment, checked_text};
use super::record::{
    Approval, Deployment, DeploymentId, DeploymentState, End, OpenDeployment, Pause, Status,
};
use super::strategy::{OnInconclusive, Strategy, StrategyKind};
use super::tick::Gatekeeper;
use super::verdict::Evidence;
use crate::Timestamp;
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity, StoreExt, Stored};
use crate::jobs::Creator;
use crate::ports::{Clock, Cursor, Entropy, Expect, StateStore, Write};
use crate::prompts::{Label, Percent, Prompt, PromptError, PromptStatus, Prompts, Selector};
use crate::tenancy::{Allowed, Principal, ProjectError, ProjectId, in_use, may, reached};

/// The most deployments that one page of a filtered listing reads.
const MOST_READS: usize = 5_000;

/// Creates deployments, shows them and carries them on.
#[derive(Clone)]
pub struct Deployments {
    pub(super) store: Arc<dyn StateStore>,
    pub(super) prompts: Prompts,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// Which deployments to show. What is absent does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentFilter {
    /// The prompt's slug or id.
    pub prompt: Option<String>,
    pub environment: Option<Label>,
    pub status: Option<Status>,
}

/// A page of deployments, newest first.
#[derive(Clone, Debug)]
pub struct DeploymentPage {
    pub deployments: Vec<Deployment>,
    pub next: Option<Cursor>,
}

/// How a deployment stands.
#[derive(Clone, Debug)]
pub struct Standing {
    pub deployment: Deployment,
    pub facts: Facts,
    pub evidence: Evidence,
    /// What happens next, as far as it is known.
    pub next: Decision,
}

impl Deployments {
    /// A service over these ports.
    pub fn new(
        store: Arc<dyn StateStore>,
        prompts: Prompts,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, prompts, clock, entropy }
    }

    /// Creates a deployment. It waits for its approval, unless that is to be skipped.
    pub async fn create(
        &self,
        by: &Allowed<may::DeploymentsWrite>,
        project: &ProjectId,
        new: NewDeployment,
    ) -> Result<Deployment, DeploymentError> {
        new.check()?;
        if new.skip_approval {
            Allowed::<may::DeploymentsApprove>::check(by.principal().clone())?;
        }
        loop {
            let stands = in_use(&*self.store, project).await?;
            let prompt = self.prompts.reached(by, project, &new.prompt).await?;
            let now = self.clock.now();
            let deployment = self.drafted(by, &prompt.value, &new, now)?;
            let open = OpenDeployment {
                project: project.clone(),
                prompt: deployment.prompt.clone(),
                environment: deployment.environment.clone(),
                deployment: deployment.id.clone(),
            };
            let mut directed = prompt.value.clone();
            deployment.direct(&mut directed, &by.subject.to_string(), now);
            let mut writes = vec![
                deployment.put(Expect::Absent)?,
                open.put(Expect::Absent)?,
                directed.put(prompt.unchanged())?,
                created(&deployment).write(&Actor::from(by), now)?,
            ];
            writes.extend(stands);
            if self.store.committed(&writes).await? {
                return Ok(deployment);
            }
        }
    }

    fn drafted(
        &self,
        by: &Allowed<may::DeploymentsWrite>,
        prompt: &Prompt,
        new: &NewDeployment,
        now: Timestamp,
    ) -> Result<Deployment, DeploymentError> {
        let NewDeployment { environment, .. } = new;
        let slug = prompt.slug.clone();
        if prompt.status == PromptStatus::Archived {
            return Err(PromptError::Archived(slug).into());
        }
        if let Some(split) = prompt.splits.get(environment) {
            let (environment, standing) = (environment.clone(), split.deployment.to_string());
            return Err(DeploymentError::Open { slug, environment, standing });
        }
        let found = |version: &Selector| {
            let missing = || PromptError::missing(&slug, version, prompt.latest);
            prompt.number_of(version).ok_or_else(missing)
        };
        let to_version = found(&new.to_version)?;
        let from_version = found(&Selector::Label(environment.clone()))?;
        if to_version == from_version {
            let problem = format!("v{to_version} is live as `{slug}:{environment}` already");
            return Err(DeploymentError::invalid("to_version", problem));
        }
        let approval = new.skip_approval.then(|| Approval {
            by: by.subject.to_string(),
            at: now,
            comment: String::new(),
        });
        let state = match approval {
            Some(_) => DeploymentState::PendingGates,
            None => DeploymentState::PendingApproval,
        };
        Ok(Deployment {
            id: DeploymentId::new(now, &*self.entropy),
            project: prompt.project.clone(),
            prompt: prompt.id.clone(),
            slug,
            environment: environment.clone(),
            from_version,
            to_version,
            strategy: new.strategy.clone(),
            state,
            shares: vec![Percent::ZERO],
            slow_above: None,
            created_at: now,
            created_by: Creator::new(&by.subject, &by.key),
            approval,
            metadata: new.metadata.clone(),
            reverts: None,
        })
    }

    /// A deployment.
    pub async fn get(
        &self,
        by: &Allowed<may::DeploymentsRead>,
        project: &ProjectId,
        id: &str,
    ) -> Result<Deployment, DeploymentError> {
        Ok(self.stored(by, project, id).await?.value)
    }

    /// One page of the deployments of a project, newest first. A page may be short, even empty; only
    /// a missing cursor ends the listing.
    pub async fn list(
        &self,
        by: &Allowed<may::DeploymentsRead>,
        project: &ProjectId,
        filter: &DeploymentFilter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<DeploymentPage, DeploymentError> {
        reached(&*self.store, by, project).await?;
        let mut query = Deployment::newest_first(project);
        query.cursor = cursor;
        let is_wanted = |deployment: &Deployment| filter.takes(deployment);
        let (deployments, next) =
            self.store.load_wanted(query, limit, MOST_READS, is_wanted).await?;
        Ok(DeploymentPage { deployments, next })
    }

    /// How a deployment stands: what was measured, what that says, and what happens next.
    pub async fn standing(
        &self,
        by: &Allowed<may::DeploymentsRead>,
        project: &ProjectId,
        id: &str,
        gatekeeper: &dyn Gatekeeper,
    ) -> Result<Standing, DeploymentError> {
        let deployment = self.stored(by, project, id).await?.value;
        let facts = Facts::load(&*self.store, &deployment).await?;
        let evidence = Evidence::of(&deployment, &facts);
        let next = self.decided_on(&deployment, &facts, gatekeeper).await?;
        Ok(Standing { deployment, facts, evidence, next })
    }

    /// The models that the live version and the candidate name, where they name one.
    pub async fn models(
        &self,
        deployment: &Deployment,
    ) -> Result<(Option<String>, Option<String>), DeploymentError> {
        let Some(prompt) = self.prompt_of(deployment).await? else { return Ok((None, None)) };
        let model = async |number| {
            let version = self.prompts.version_numbered(&prompt.value, number).await?;
            Ok::<_, PromptError>(version.content.model)
        };
        let (from, to) = (deployment.from_version, deployment.to_version);
        Ok((model(from).await?, model(to).await?))
    }

    /// Approves a deployment, which goes on to its gates.
    pub async fn approve(
        &self,
        by: &Allowed<may::DeploymentsApprove>,
        project: &ProjectId,
        id: &str,
        comment: &str,
    ) -> Result<Deployment, DeploymentError> {
        checked_text("comment", comment, MAX_REASON)?;
        let event = |now| {
            let (by, comment) = (by.subject.to_string(), comment.to_owned());
            Event::Approved(Approval { by, at: now, comment })
        };
        self.order(by, (project, id), &Actor::from(by), Action::deployment_approve, event).await
    }

    /// Gives the candidate all requests at once.
    pub async fn promote(
        &self,
        by: &Allowed<may::DeploymentsApprove>,
        project: &ProjectId,
        id: &str,
    ) -> Result<Deployment, DeploymentError> {
        let event = |_| Event::Completed { reason: format!("promoted by {}", by.subject) };
        self.order(by, (project, id), &Actor::from(by), Action::deployment_complete, event).await
    }

    /// Stops the growth of the share. What is worse is rolled back all the same.
    pub async fn pause(
        &self,
        by: &Allowed<may::DeploymentsWrite>,
        project: &ProjectId,
        id: &str,
    ) -> Result<Deployment, DeploymentError> {
        let event = |now| Event::Paused(Pause { by: by.subject.to_string(), at: now });
        self.order(by, (project, id), &Actor::from(by), Action::deployment_pause, event).await
    }

    /// Lets the share grow again, after a whole interval.
    pub async fn resume(
        &self,
        by: &Allowed<may::DeploymentsWrite>,
        project: &ProjectId,
        id: &str,
    ) -> Result<Deployment, DeploymentError> {
        self.order(by, (project, id), &Actor::from(by), Action::deployment_resume, |_| {
            Event::Resumed
        })
        .await
    }

    /// Ends a deployment that has not been completed; the traffic returns.
    pub async fn cancel(
        &self,
        by: &Allowed<may::DeploymentsWrite>,
        project: &ProjectId,
        id: &str,
        reason: &str,
    ) -> Result<Deployment, DeploymentError> {
        checked_text("reason", reason, MAX_REASON)?;
        let reason = told("cancelled by", by, reason);
        let event = |_| Event::Cancelled { reason: reason.clone() };
        self.order(by, (project, id), &Actor::from(by), Action::deployment_cancel, event).await
    }

    /// Returns the traffic to the version before, also after the deployment was completed; returns
    /// the deployment with the one that takes it back.
    pub async fn roll_back(
        &self,
        by: &Allowed<may::DeploymentsWrite>,
        project: &ProjectId,
        id: &str,
        reason: &str,
    ) -> Result<(Deployment, Option<Deployment>), DeploymentError> {
        checked_text("reason", reason, MAX_REASON)?;
        let reason = told("rolled back by", by, reason);
        loop {
            let stored = self.stored(by, project, id).await?;
            let event = Event::RolledBack { reason: reason.clone() };
            if let Some(done) =
                self.step(&stored, &event, &Actor::from(by), Action::deployment_roll_back).await?
            {
                return Ok(done);
            }
        }
    }

    /// Carries out an order on a deployment.
    async fn order(
        &self,
        by: &Principal,
        (project, id): (&ProjectId, &str),
        actor: &Actor,
        action: fn() -> Action,
        event: impl Fn(Timestamp) -> Event,
    ) -> Result<Deployment, DeploymentError> {
        loop {
            let stored = self.stored(by, project, id).await?;
            let event = event(self.clock.now());
            if let Some((deployment, _)) = self.step(&stored, &event, actor, action).await? {
                return Ok(deployment);
            }
        }
    }

    /// One transition: the deployment, its prompt and the audit record in one commit. None where
    /// somebody else was faster.
    pub(super) async fn step(
        &self,
        stored: &Stored<Deployment>,
        event: &Event,
        actor: &Actor,
        action: fn() -> Action,
    ) -> Result<Option<(Deployment, Option<Deployment>)>, DeploymentError> {
        let now = self.clock.now();
        let before = &stored.value;
        let next = before.after(event, now)?;
        let reverse = match next.state {
            DeploymentState::RolledBack(_) => Some(self.reverse(&next, now)),
            _ => None,
        };
        let mut writes =
            vec![next.put(stored.unchanged())?, changed(&next, action()).write(actor, now)?];
        // Nobody else may write where a deployment is under way, but one that is over can meet
        // another one, or a label that was moved.
        let was_completed = before.status() == Status::Completed;
        let prompt = self.prompt_of(before).await?;
        if was_completed {
            may_return(before, prompt.as_ref().map(|prompt| &prompt.value))?;
        }
        if let Some(prompt) = prompt {
            let mut directed = prompt.value.clone();
            let by = next.created_by.subject.clone();
            next.direct(&mut directed, &by, now);
            if let Some(reverse) = reverse.as_ref().filter(|_| was_completed) {
                reverse.direct(&mut directed, &by, now);
            }
            writes.push(directed.put(prompt.unchanged())?);
        }
        if let Some(reverse) = &reverse {
            writes.push(reverse.put(Expect::Absent)?);
        }
        if next.status().is_final() && !was_completed {
            let key = OpenDeployment::key_of(&next);
            writes.push(Write::Delete { key, expect: Expect::Any });
        }
        let is_done = self.store.committed(&writes).await?;
        Ok(is_done.then_some((next, reverse)))
    }

    /// The deployment that takes another one back.
    fn reverse(&self, of: &Deployment, now: Timestamp) -> Deployment {
        let reason = format!("takes back {}", of.id);
        Deployment {
            id: DeploymentId::new(now, &*self.entropy),
            from_version: of.to_version,
            to_version: of.from_version,
            strategy: Strategy {
                kind: StrategyKind::Immediate,
                auto_rollback: false,
                rollback_threshold: None,
                on_inconclusive: OnInconclusive::default(),
            },
            state: DeploymentState::Completed(End { at: now, started_at: Some(now), reason }),
            shares: vec![Percent::ZERO, Percent::ALL],
            slow_above: None,
            created_at: now,
            approval: None,
            metadata: of.metadata.clone(),
            reverts: Some(of.id.clone()),
            ..of.clone()
        }
    }

    /// The prompt of a deployment, if it is still there.
    pub(super) async fn prompt_of(
        &self,
        deployment: &Deployment,
    ) -> Result<Option<Stored<Prompt>>, DeploymentError> {
        let key = Prompt::key_of(&deployment.project, &deployment.slug);
        let stored = self.store.load::<Prompt>(&key).await?;
        // Another one of the same slug may have taken its place.
        Ok(stored.filter(|stored| stored.value.id == deployment.prompt))
    }

    async fn stored(
        &self,
        by: &Principal,
        project: &ProjectId,
        id: &str,
    ) -> Result<Stored<Deployment>, DeploymentError> {
        if !by.reaches(project) {
            return Err(ProjectError::NotFound(project.clone()).into());
        }
        let not_found = || DeploymentError::NotFound(id.chars().take(64).collect());
        let id = DeploymentId::from_caller(id).ok_or_else(not_found)?;
        let stored = self.store.load(&Deployment::key_of(project, &id)).await?;
        stored.ok_or_else(not_found)
    }
}

/// Refuses to take back a deployment after which the label went elsewhere.
fn may_return(deployment: &Deployment, prompt: Option<&Prompt>) -> Result<(), DeploymentError> {
    let Deployment { slug, environment, to_version, .. } = deployment;
    let prompt = prompt.ok_or_else(|| PromptError::NotFound(slug.to_string()))?;
    if let Some(split) = prompt.splits.get(environment) {
        return Err(DeploymentError::Open {
            slug: slug.clone(),
            environment: environment.clone(),
            standing: split.deployment.to_string(),
        });
    }
    let at = prompt.number_of(&Selector::Label(environment.clone()));
    if at != Some(*to_version) {
        let (slug, environment) = (slug.clone(), environment.clone());
        return Err(DeploymentError::Moved { slug, environment, expected: *to_version });
    }
    Ok(())
}

impl DeploymentFilter {
    fn takes(&self, deployment: &Deployment) -> bool {
        let is_prompt =
            |name: &String| name == deployment.slug.as_str() || name == deployment.prompt.as_str();
        self.prompt.as_ref().is_none_or(is_prompt)
            && self.environment.as_ref().is_none_or(|it| *it == deployment.environment)
            && self.status.is_none_or(|status| status == deployment.status())
    }
}

/// Who did something, and why.
fn told(what: &str, by: &Principal, reason: &str) -> String {
    let colon = if reason.is_empty() { "" } else { ": " };
    format!("{what} {}{colon}{reason}", by.subject)
}

fn created(deployment: &Deployment) -> Change {
    let Deployment { from_version, to_version, .. } = deployment;
    let summary = format!("{} from v{from_version} to v{to_version}", deployment.reference());
    Change { summary, ..changed(deployment, Action::deployment_create()) }
}

fn changed(deployment: &Deployment, action: Action) -> Change {
    let Deployment { to_version, .. } = deployment;
    let reason = deployment.end().map_or_else(String::new, |end| format!(": {}", end.reason));
    let share = deployment.share();
    Change {
        project: deployment.project.clone(),
        action,
        target: format!("deployment/{}", deployment.id),
        summary: format!("{} v{to_version} at {share}{reason}", deployment.reference()),
    }
}
