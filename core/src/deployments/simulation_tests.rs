//! Many rollouts with random traffic, users that come again, routers that lag behind, writes that are
//! lost and processes that die: never two versions live at once, never a share above what was decided,
//! and every deployment ends.
//!
//! `DIOGENES_ROLLOUTS` sets how many, `DIOGENES_SEED` the first seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pollster::block_on;

use super::tests::{World, project};
use super::*;
use crate::Timestamp;
use crate::ports::{Bound, Clock, Item, Key, Page, Query, StateStore, StoreError, Version, Write};
use crate::prompts::{MOST_LAG, Percent, PromptShelf, Selector, Side};
use crate::tenancy::Allowed;
use crate::testing::{ManualClock, MemoryStore, SeededEntropy};

const USUAL_ROLLOUTS: u64 = 200;
/// Most steps of a rollout; whoever has not ended by then is cancelled.
const STEPS: usize = 400;

/// A store that loses commits: before they happen, or their answers.
struct LossyStore {
    inner: MemoryStore,
    dice: Arc<SeededEntropy>,
    loses: AtomicBool,
}

impl LossyStore {
    async fn lossy<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let lost = || StoreError::Unknown { reason: "it was lost".into(), source: None };
        match if self.loses.load(Ordering::Relaxed) { self.dice.next_u64() % 12 } else { 2 } {
            0 => Err(lost()),
            1 => call.await.and(Err(lost())),
            _ => call.await,
        }
    }
}

#[async_trait]
impl StateStore for LossyStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.inner.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.inner.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        self.lossy(self.inner.commit(writes)).await
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        self.lossy(self.inner.add(key, delta, bound, expires_at)).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        self.inner.count(key).await
    }
}

struct Router {
    shelf: PromptShelf,
    book: TrialBook,
}

struct Rollout {
    dice: Arc<SeededEntropy>,
    store: Arc<LossyStore>,
    world: World,
    routers: Vec<Router>,
    /// How much more often than the live version the candidate fails.
    ratio: u64,
    /// The largest share that was decided.
    most: Percent,
    ended: Option<(Deployment, Timestamp)>,
}

impl Rollout {
    fn new(seed: u64, ratio: u64) -> Self {
        let dice = Arc::new(SeededEntropy::new(seed));
        let clock = Arc::new(ManualClock::default());
        let inner = MemoryStore::new(clock.clone());
        let loses = AtomicBool::new(false);
        let store = Arc::new(LossyStore { inner, dice: dice.clone(), loses });
        let world = block_on(World::over(store.clone(), clock, seed));
        let (most, ended) = (Percent::ZERO, None);
        let mut it = Self { dice, store, world, routers: Vec::new(), ratio, most, ended };
        it.routers = (0..2).map(|number| it.router(number)).collect();
        it
    }

    fn roll(&self, sides: u64) -> u64 {
        self.dice.next_u64() % sides
    }

    fn router(&self, number: usize) -> Router {
        let (store, clock) = (self.world.store.clone(), self.world.clock.clone());
        Router {
            shelf: PromptShelf::new(store.clone(), clock.clone()),
            book: TrialBook::new(store, clock, format!("router-{number}")),
        }
    }

    fn strategy(&self) -> Strategy {
        let percent = |share: u64| Percent::try_from(u8::try_from(share).unwrap()).unwrap();
        let minutes = |most| Duration::from_mins(1 + self.roll(most));
        let increment = (self.roll(2) == 0).then(|| percent(5 + self.roll(40)));
        let kind = match self.roll(8) {
            0 => StrategyKind::Immediate,
            1 => StrategyKind::BlueGreen { switch_after: Some(minutes(30)) },
            2 | 3 => StrategyKind::Canary {
                share: percent(5 + self.roll(40)),
                longest: Some(minutes(60)),
            },
            _ => StrategyKind::Gradual {
                initial: percent(1 + self.roll(40)),
                increment,
                interval: minutes(10),
            },
        };
        let action = match self.roll(3) {
            0 => InconclusiveAction::Hold,
            1 => InconclusiveAction::Promote,
            _ => InconclusiveAction::Rollback,
        };
        let on_inconclusive = OnInconclusive { action, after: minutes(120) };
        Strategy { kind, auto_rollback: true, rollback_threshold: None, on_inconclusive }
    }

    /// A request of somebody, new or known, to one of the routers.
    fn request(&self) {
        let router = &self.routers[usize::try_from(self.roll(2)).unwrap()];
        let name = match self.roll(4) {
            // Somebody who makes a third of all requests of those who come again.
            0 => format!("heavy-{}", self.roll(3)),
            1 => format!("user-{}", self.roll(60)),
            _ => format!("once-{}", self.roll(u64::MAX)),
        };
        let wanted = "a".parse().unwrap();
        let found = block_on(router.shelf.find(&project(), &wanted, &|| name.clone())).unwrap();
        let number = found.version.number;
        let now = self.world.clock.now();
        if let Some((ended, at)) = &self.ended {
            // Routers may be behind for so long.
            let live = if ended.status() == Status::Completed { 2 } else { 1 };
            assert!(number == live || now.duration_since(*at) <= lag(), "{number}: {ended:?}");
        }
        let Some(at) = &found.assignment else { return };
        assert_eq!(number == 2, at.side == Side::Candidate);
        assert!(
            at.side == Side::Live || at.unit.side(self.most) == Side::Candidate,
            "a share above {}",
            self.most
        );
        let rate = 5 * if at.side == Side::Candidate { self.ratio } else { 1 };
        let (has_failed, latency) = (self.roll(100) < rate, Some(Duration::from_millis(80)));
        router.book.note(&project(), at, &Outcome { has_failed, latency, cost: None });
    }

    /// One of the processes dies and is started anew, or writes what it has seen.
    fn life(&mut self) {
        let which = usize::try_from(self.roll(2)).unwrap();
        match self.roll(20) {
            0 => self.routers[which] = self.router(which),
            // A lost write is tried again.
            _ => drop(block_on(self.routers[which].book.flush())),
        }
        let wanted = block_on(self.routers[which].shelf.refresh());
        wanted.unwrap();
    }

    /// A tick, which may be lost, doubled or cut off.
    fn tick(&mut self) {
        for _ in 0..self.roll(3) {
            let Some(open) = block_on(self.world.deployments.open()).unwrap().pop() else { break };
            // Cut off: the next one goes on.
            let _ = block_on(self.world.deployments.tick(&open, &OpenGates));
        }
        self.look();
    }

    fn look(&mut self) {
        let by = Allowed::operator();
        let filter = DeploymentFilter::default();
        let page = block_on(self.world.deployments.list(&by, &project(), &filter, 9, None));
        let page = page.unwrap().deployments;
        let it = page.into_iter().find(|deployment| deployment.reverts.is_none()).unwrap();
        self.most = self.most.max(it.share());
        let prompt =
            block_on(self.world.prompts.get(&Allowed::operator(), &project(), "a")).unwrap();
        let live = prompt.number_of(&Selector::Default).unwrap();
        let is_open = !block_on(self.world.deployments.open()).unwrap().is_empty();
        assert_eq!(is_open, !it.status().is_final());
        assert_eq!(prompt.splits.len(), usize::from(is_open));
        assert_eq!(live == 2, it.status() == Status::Completed, "{it:?}");
        if let Some(split) = prompt.splits.values().next() {
            assert_eq!((split.share, split.epoch), (it.share(), it.epoch()));
        }
        if it.status().is_final() && self.ended.is_none() {
            self.ended = Some((it, self.world.clock.now()));
        }
    }

    /// How it ended.
    fn run(mut self) -> Deployment {
        let strategy = self.strategy();
        let created = block_on(self.world.create_with(strategy, 2)).unwrap();
        self.store.loses.store(true, Ordering::Relaxed);
        for step in 0..STEPS {
            self.world.clock.advance(Duration::from_secs(self.roll(60)));
            for _ in 0..self.roll(30) {
                self.request();
            }
            self.life();
            self.tick();
            let is_over = self
                .ended
                .as_ref()
                .is_some_and(|(_, at)| self.world.clock.now().duration_since(*at) > lag() + lag());
            if is_over || step == STEPS - 1 {
                break;
            }
        }
        self.store.loses.store(false, Ordering::Relaxed);
        if self.ended.is_none() {
            let (by, id) = (Allowed::operator(), created.id.to_string());
            block_on(self.world.deployments.cancel(&by, &project(), &id, "")).unwrap();
            self.look();
        }
        self.ended.unwrap().0
    }
}

/// How far a router may be behind.
fn lag() -> jiff::SignedDuration {
    MOST_LAG.try_into().unwrap()
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

/// How many rollouts out of all ended with the alarm.
fn alarms(ratio: u64) -> (u64, u64) {
    let (first, count) =
        (setting("DIOGENES_SEED", 1), setting("DIOGENES_ROLLOUTS", USUAL_ROLLOUTS));
    let run = |seed: &u64| {
        let inner = std::panic::catch_unwind(|| Rollout::new(*seed, ratio).run());
        inner.unwrap_or_else(|_| panic!("seed {seed}, ratio {ratio}"))
    };
    let is_alarm = |ended: Deployment| {
        let reason = &ended.end().unwrap().reason;
        ended.status() == Status::RolledBack && reason.contains("the alarm is at")
    };
    let alarms = (first..first + count).filter(|seed| is_alarm(run(seed))).count();
    (u64::try_from(alarms).unwrap(), count)
}

#[test]
fn equal_versions_change_over_and_are_seldom_taken_back() {
    let (alarms, count) = alarms(1);
    let runs = count as f64;
    let most = runs * sequential::ALPHA;
    let most = most + 3.0 * (most * (1.0 - sequential::ALPHA)).sqrt();
    assert!(alarms as f64 <= most, "{alarms} of {count}");
}

#[test]
fn a_version_that_fails_eight_times_as_often_does_not_get_through() {
    let (alarms, count) = alarms(8);
    // Immediate and blue-green rollouts, a fourth of all, have nothing to go by.
    assert!(alarms * 2 > count, "{alarms} of {count}");
}
