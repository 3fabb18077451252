use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use serde_json::json;

use super::*;
use crate::audit::{AuditFilter, AuditLog};
use crate::ports::StateStore;
use crate::prompts::{
    LabelMove, NewVersion, Percent, Prompt, PromptError, PromptShelf, PromptStatus, PromptUpdate,
    Prompts, Selector, Side,
};
use crate::tenancy::{Allowed, Permission, Permissions, Principal, ProjectId, may};
use crate::testing::{ManualClock, MemoryStore, SeededEntropy};

pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<dyn StateStore>,
    pub(super) prompts: Prompts,
    pub(super) deployments: Deployments,
    pub(super) shelf: PromptShelf,
    pub(super) book: TrialBook,
}

impl World {
    /// With the prompt `a`, of which `production` is the first of two versions.
    pub(super) async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
        Self::over(store, clock, 1).await
    }

    pub(super) async fn over(
        store: Arc<dyn StateStore>,
        clock: Arc<ManualClock>,
        seed: u64,
    ) -> Self {
        let entropy = Arc::new(SeededEntropy::new(seed));
        let prompts = Prompts::new(store.clone(), clock.clone(), entropy.clone());
        let deployments = Deployments::new(store.clone(), prompts.clone(), clock.clone(), entropy);
        let shelf = PromptShelf::new(store.clone(), clock.clone());
        let book = TrialBook::new(store.clone(), clock.clone(), "serve");
        let world = Self { clock, store, prompts, deployments, shelf, book };
        for text in ["one", "two"] {
            let content = json!({"messages": [{"role": "user", "content": text}]});
            let content = serde_json::from_value(content).unwrap();
            let new = NewVersion { content, ..NewVersion::default() };
            world.prompts.push(&Allowed::operator(), &project(), "a", new).await.unwrap();
        }
        world.label(1).await.unwrap();
        world
    }

    async fn label(&self, to: u32) -> Result<Prompt, PromptError> {
        let label = "production".parse().unwrap();
        let to = Some(Selector::Number(to));
        let wanted = LabelMove { label, to, from: None, reason: String::new() };
        self.prompts.move_label(&Allowed::operator(), &project(), "a", &wanted).await
    }

    pub(super) async fn create(&self, kind: StrategyKind) -> Result<Deployment, DeploymentError> {
        let strategy = Strategy {
            kind,
            auto_rollback: true,
            rollback_threshold: None,
            on_inconclusive: OnInconclusive::default(),
        };
        self.create_with(strategy, 2).await
    }

    pub(super) async fn create_with(
        &self,
        strategy: Strategy,
        to: u32,
    ) -> Result<Deployment, DeploymentError> {
        let new = NewDeployment {
            prompt: "a".into(),
            to_version: Selector::Number(to),
            environment: "production".parse().unwrap(),
            strategy,
            skip_approval: true,
            metadata: [("team".to_owned(), "a".to_owned())].into(),
        };
        self.deployments.create(&Allowed::operator(), &project(), new).await
    }

    pub(super) async fn tick(&self) -> Option<Deployment> {
        self.book.flush().await.unwrap();
        let open = self.deployments.open().await.unwrap();
        let open = open.first()?;
        self.deployments.tick(open, &OpenGates).await.unwrap().deployment
    }

    /// Makes a request of a unit, and returns the version that it met.
    pub(super) async fn ask(&self, unit: &str, has_failed: &dyn Fn(u32) -> bool) -> u32 {
        let wanted = "a".parse().unwrap();
        self.shelf.changed(&project(), &"a".parse().unwrap());
        let found = self.shelf.find(&project(), &wanted, &|| unit.to_owned()).await.unwrap();
        let number = found.version.number;
        if let Some(at) = &found.assignment {
            let latency = Some(Duration::from_millis(100));
            let outcome = Outcome { has_failed: has_failed(number), latency, cost: None };
            self.book.note(&project(), at, &outcome);
        }
        number
    }

    async fn prompt(&self) -> Prompt {
        self.prompts.get(&Allowed::operator(), &project(), "a").await.unwrap()
    }

    async fn live(&self) -> u32 {
        self.prompt().await.number_of(&Selector::Default).unwrap()
    }

    /// Requests of so many units, each of its own.
    async fn traffic(&self, name: &str, units: usize, has_failed: &dyn Fn(u32) -> bool) {
        for unit in 0..units {
            self.ask(&format!("{name}-{unit}"), has_failed).await;
        }
    }
}

pub(super) fn project() -> ProjectId {
    ProjectId::default()
}

fn percent(share: u8) -> Percent {
    share.try_into().unwrap()
}

fn gradual() -> StrategyKind {
    let interval = Duration::from_mins(5);
    StrategyKind::Gradual { initial: percent(5), increment: None, interval }
}

fn never(_: u32) -> bool {
    false
}

#[test]
fn a_version_without_faults_goes_up_the_ladder_as_fast_as_requests_come() {
    block_on(async {
        let world = World::new().await;
        world.create(gradual()).await.unwrap();
        assert_eq!(world.tick().await.unwrap().share(), percent(5));
        // Time alone brings no evidence.
        world.clock.advance(Duration::from_hours(48));
        assert_eq!(world.tick().await.unwrap().share(), percent(5));
        for (share, units) in [(20, 900), (50, 400), (100, 400)] {
            world.traffic(&share.to_string(), units, &never).await;
            world.clock.advance(Duration::from_mins(5));
            let after = world.tick().await.unwrap();
            if share < 100 {
                assert_eq!(after.share(), percent(share));
            } else {
                assert_eq!(after.status(), Status::Completed);
            }
        }
        assert_eq!(world.live().await, 2);
        assert!(world.prompt().await.splits.is_empty());
        assert_eq!(world.tick().await, None, "nothing is under way");
    });
}

#[test]
fn a_version_that_fails_loses_its_requests_at_once_and_stays_to_be_looked_at() {
    block_on(async {
        let world = World::new().await;
        let created = world.create(gradual()).await.unwrap();
        world.tick().await;
        world.traffic("x", 400, &|number| number == 2).await;
        let ended = world.tick().await.unwrap();
        let reason = &ended.end().unwrap().reason;
        assert_eq!(ended.status(), Status::RolledBack);
        assert!(reason.contains("failed requests") && reason.contains("5 %"), "{reason}");
        assert_eq!((world.live().await, world.ask("y", &never).await), (1, 1));
        let by = Allowed::operator();
        let listed = world
            .deployments
            .list(&by, &project(), &DeploymentFilter::default(), 10, None)
            .await
            .unwrap();
        let [reverse, first] = &listed.deployments[..] else { panic!("{listed:?}") };
        let (reverse, first) =
            if reverse.reverts.is_some() { (reverse, first) } else { (first, reverse) };
        assert_eq!(
            (first.id.clone(), reverse.reverts.clone()),
            (created.id.clone(), Some(created.id))
        );
        assert_eq!((reverse.from_version, reverse.to_version), (2, 1));
        assert_eq!(reverse.status(), Status::Completed);
        let audit = AuditLog::new(world.store.clone(), world.clock.clone());
        let filter = AuditFilter::default();
        let records =
            audit.list(&Allowed::operator(), &project(), &filter, 50, None).await.unwrap().records;
        let actions: Vec<_> = records.iter().map(|record| record.action.as_str()).collect();
        assert!(actions.contains(&"deployment.roll_back"), "{actions:?}");
    });
}

#[test]
fn faults_that_hit_both_versions_are_no_reason_to_go_back() {
    block_on(async {
        let world = World::new().await;
        world.create(gradual()).await.unwrap();
        world.tick().await;
        world.traffic("outage", 1000, &|_| true).await;
        assert_eq!(world.tick().await.unwrap().status(), Status::InProgress);
    });
}

#[test]
fn a_slow_version_is_rolled_back() {
    block_on(async {
        let world = World::new().await;
        world.create(gradual()).await.unwrap();
        // Before its first share, so that it is known what is slow.
        world.traffic("before", 60, &never).await;
        assert!(world.tick().await.unwrap().slow_above.is_some());
        for unit in 0..400 {
            let wanted = "a".parse().unwrap();
            world.shelf.changed(&project(), &"a".parse().unwrap());
            let name = || format!("slow-{unit}");
            let found = world.shelf.find(&project(), &wanted, &name).await.unwrap();
            let at = found.assignment.unwrap();
            let millis = if at.side == Side::Candidate { 900 } else { 80 };
            let latency = Some(Duration::from_millis(millis));
            world.book.note(&project(), &at, &Outcome { has_failed: false, latency, cost: None });
        }
        let ended = world.tick().await.unwrap();
        assert!(ended.end().unwrap().reason.contains("slow answers"), "{:?}", ended.end());
    });
}

#[test]
fn a_canary_gets_everything_once_it_is_shown_to_be_no_worse_or_its_time_is_over() {
    block_on(async {
        for longest in [None, Some(Duration::from_hours(1))] {
            let world = World::new().await;
            let share = percent(20);
            world.create(StrategyKind::Canary { share, longest }).await.unwrap();
            world.tick().await;
            world.traffic("x", 400, &never).await;
            world.clock.advance(Duration::from_hours(2));
            let deployment = world.tick().await.unwrap();
            let is_over = deployment.status() == Status::Completed;
            assert_eq!(is_over, longest.is_some(), "{deployment:?}");
        }
    });
}

#[test]
fn blue_and_green_are_reachable_and_change_over_at_once_and_back() {
    block_on(async {
        let world = World::new().await;
        let kind = StrategyKind::BlueGreen { switch_after: None };
        let id = world.create(kind).await.unwrap().id.to_string();
        world.tick().await;
        let at = |prompt: &Prompt, label: &str| {
            prompt.number_of(&Selector::Label(label.parse().unwrap()))
        };
        let prompt = world.prompt().await;
        assert_eq!((at(&prompt, "blue"), at(&prompt, "green")), (Some(1), Some(2)));
        assert_eq!(world.ask("x", &never).await, 1);
        let by = Allowed::operator();
        world.deployments.promote(&by, &project(), &id).await.unwrap();
        assert_eq!(world.ask("x", &never).await, 2);
        let by = Allowed::operator();
        let (_, reverse) = world.deployments.roll_back(&by, &project(), &id, "no").await.unwrap();
        assert_eq!((world.ask("x", &never).await, reverse.unwrap().to_version), (1, 1));
    });
}

#[test]
fn there_is_one_deployment_at_a_time_and_its_label_stays_where_it_is() {
    block_on(async {
        let world = World::new().await;
        let first = world.create(gradual()).await.unwrap();
        let error = world.create(gradual()).await.unwrap_err().to_string();
        assert!(error.contains("under way") && error.contains(first.id.as_str()), "{error}");
        assert!(matches!(world.label(2).await, Err(PromptError::UnderDeployment { .. })));
        let (by, id) = (Allowed::operator(), first.id.to_string());
        world.deployments.cancel(&by, &project(), &id, "no").await.unwrap();
        world.label(2).await.unwrap();
        let error = world.create(gradual()).await.unwrap_err().to_string();
        assert!(error.contains("is live"), "{error}");
    });
}

#[test]
fn what_cannot_be_done_names_the_status_and_what_can() {
    block_on(async {
        let world = World::new().await;
        let id = world.create(gradual()).await.unwrap().id.to_string();
        let (by, it) = (Allowed::operator(), &world.deployments);
        let error = it.approve(&by, &project(), &id, "").await.unwrap_err().to_string();
        assert!(error.contains("PENDING_GATES and cannot be approved"), "{error}");
        world.tick().await;
        let by = Allowed::operator();
        it.pause(&by, &project(), &id).await.unwrap();
        it.resume(&by, &project(), &id).await.unwrap();
        it.cancel(&by, &project(), &id, "").await.unwrap();
        let error = it.pause(&by, &project(), &id).await.unwrap_err().to_string();
        assert!(error.contains("it has ended"), "{error}");
    });
}

#[test]
fn only_who_may_approve_skips_the_approval() {
    block_on(async {
        let world = World::new().await;
        let permissions = Permissions::of(&[Permission::DeploymentsWrite]);
        let writer = Arc::new(Principal { permissions, ..Principal::operator() });
        let by = Allowed::<may::DeploymentsWrite>::check(writer).unwrap();
        let new = |skip_approval| NewDeployment {
            prompt: "a".into(),
            to_version: Selector::Latest,
            environment: "production".parse().unwrap(),
            strategy: Strategy {
                kind: StrategyKind::Immediate,
                auto_rollback: false,
                rollback_threshold: None,
                on_inconclusive: OnInconclusive::default(),
            },
            skip_approval,
            metadata: [].into(),
        };
        let refused = world.deployments.create(&by, &project(), new(true)).await;
        assert!(matches!(refused, Err(DeploymentError::Denied(_))));
        let created = world.deployments.create(&by, &project(), new(false)).await.unwrap();
        assert_eq!(created.status(), Status::PendingApproval);
        assert_eq!(world.tick().await.unwrap().status(), Status::PendingApproval);
        let (by, id) = (Allowed::operator(), created.id.to_string());
        world.deployments.approve(&by, &project(), &id, "looks good").await.unwrap();
        assert_eq!(world.tick().await.unwrap().status(), Status::Completed);
        assert_eq!(world.live().await, 2);
    });
}

#[test]
fn a_prompt_that_is_archived_or_deleted_ends_its_deployment() {
    block_on(async {
        for is_deleted in [false, true] {
            let world = World::new().await;
            world.create(gradual()).await.unwrap();
            world.tick().await;
            let by = Allowed::operator();
            let status = Some(PromptStatus::Archived);
            let update = PromptUpdate { status, ..PromptUpdate::default() };
            world.prompts.update(&by, &project(), "a", &update).await.unwrap();
            if is_deleted {
                world.prompts.delete(&by, &project(), "a").await.unwrap();
            }
            let ended = world.tick().await.unwrap();
            assert_eq!(ended.status(), Status::Failed);
            assert_eq!(world.tick().await, None);
        }
    });
}

#[test]
fn a_handful_of_users_cannot_be_divided() {
    block_on(async {
        let world = World::new().await;
        world.create(gradual()).await.unwrap();
        for _ in 0..10 {
            world.traffic("user", 3, &never).await;
        }
        let ended = world.tick().await.unwrap();
        let reason = &ended.end().unwrap().reason;
        assert_eq!(ended.status(), Status::Failed);
        assert!(reason.contains("30 requests came from 3 users"), "{reason}");
    });
}

#[test]
fn facts_outlive_the_process_and_a_bad_unit_counts_once() {
    block_on(async {
        let world = World::new().await;
        let id = world.create(gradual()).await.unwrap().id.to_string();
        world.tick().await;
        let bad = |_: u32| true;
        world.traffic("x", 30, &bad).await;
        world.tick().await;
        let book = TrialBook::new(world.store.clone(), world.clock.clone(), "serve");
        let world = World { book, ..world };
        world.traffic("x", 30, &bad).await;
        world.tick().await;
        let by = Allowed::operator();
        let standing = world.deployments.standing(&by, &project(), &id, &OpenGates).await.unwrap();
        let errors = &standing.evidence.metrics[0];
        assert_eq!(errors.candidate + errors.live, 30);
        let Facts { candidate, live, units, .. } = standing.facts;
        assert_eq!(candidate.requests + live.requests, 60);
        assert_eq!(units[1].candidate + units[1].live, 30);
    });
}

#[test]
fn a_test_waits_for_evidence_as_long_as_it_is_told() {
    block_on(async {
        for (action, status) in [
            (InconclusiveAction::Hold, Status::InProgress),
            (InconclusiveAction::Promote, Status::InProgress),
            (InconclusiveAction::Rollback, Status::RolledBack),
        ] {
            let world = World::new().await;
            let after = Duration::from_hours(1);
            let strategy = Strategy {
                kind: gradual(),
                auto_rollback: true,
                rollback_threshold: None,
                on_inconclusive: OnInconclusive { action, after },
            };
            world.create_with(strategy, 2).await.unwrap();
            world.tick().await;
            world.clock.advance(Duration::from_mins(59));
            assert_eq!(world.tick().await.unwrap().share(), percent(5));
            world.clock.advance(Duration::from_mins(2));
            let then = world.tick().await.unwrap();
            let share = if action == InconclusiveAction::Promote { 20 } else { 5 };
            assert_eq!((then.status(), then.share()), (status, percent(share)));
        }
    });
}
