//! Budgets over a store in memory, from the record to the ledger.

#![expect(clippy::unwrap_used, reason = "the fixtures are not inside test functions")]

use std::sync::Arc;
use std::time::Duration;

use diogenes_core::audit::{AuditFilter, AuditLog};
use diogenes_core::gateway::budget::{
    Budget, BudgetError, BudgetId, BudgetScope, Budgets, Period, Spending, Verdict, amounts,
    charges, over_budget, warning,
};
use diogenes_core::gateway::ledger::{StoreLedger, TrancheLedger};
use diogenes_core::keys::{KeyId, Keys, NewKey, Weight};
use diogenes_core::ports::{
    Amount, Clock as _, Ledger, LedgerError, Limits, ReservationId, StateStore,
};
use diogenes_core::tenancy::{
    Allowed, Permission, Principal, ProjectError, ProjectId, Projects, Scope, may,
};
use diogenes_core::testing::{ManualClock, MemoryStore, SeededEntropy};
use pollster::block_on;

struct World {
    clock: Arc<ManualClock>,
    store: Arc<dyn StateStore>,
    keys: Keys,
    budgets: Budgets,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-30T12:00:00Z".parse().unwrap()));
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
        let keys = Keys::new(store.clone(), clock.clone(), Arc::new(SeededEntropy::new(1)));
        let budgets = Budgets::new(store.clone(), clock.clone());
        let world = Self { clock, store, keys, budgets };
        for id in ["team-a", "team-b"] {
            let create =
                world.projects().create(&Allowed::operator(), project(id), String::new()).await;
            create.unwrap();
        }
        world
    }

    fn projects(&self) -> Projects {
        Projects::new(self.store.clone(), self.clock.clone())
    }

    async fn key(&self, of: &str) -> KeyId {
        self.clock.advance(Duration::from_secs(1));
        let new = NewKey {
            project: project(of),
            email: "ada@example.com".into(),
            name: "ada".into(),
            scopes: [Scope::Inference].into(),
            models: None,
            expires_at: None,
            limits: Limits::default(),
            egress: true,
            weight: Weight::default(),
        };
        self.keys.issue(&Allowed::operator(), new).await.unwrap().0.id
    }

    async fn set(&self, id: &str, cap: &str) -> Result<(Budget, bool), BudgetError> {
        self.set_as(&Allowed::operator(), id, cap).await
    }

    async fn set_as(
        &self,
        by: &Allowed<may::BudgetsWrite>,
        id: &str,
        cap: &str,
    ) -> Result<(Budget, bool), BudgetError> {
        self.clock.advance(Duration::from_secs(1));
        let BudgetId { scope, period, .. } = id.parse().unwrap();
        self.budgets.set(by, scope, period, cap.parse().unwrap()).await
    }

    async fn listed(&self, by: &Allowed<may::BudgetsRead>, of: Option<&str>) -> Vec<String> {
        let of = of.map(project);
        let list = self.budgets.list(by, of.as_ref(), 100, None).await.unwrap();
        list.budgets.iter().map(|budget| format!("{} {}", budget.id(), budget.cap)).collect()
    }
}

fn project(id: &str) -> ProjectId {
    id.parse().unwrap()
}

/// Whoever holds a key of `team-a` with this scope.
fn holder<P: diogenes_core::tenancy::Needs>(scope: Scope) -> Allowed<P> {
    let principal = Principal {
        project: project("team-a"),
        key: KeyId::from_caller("shown"),
        permissions: scope.permissions(),
        ..Principal::operator()
    };
    Allowed::check(Arc::new(principal)).unwrap()
}

#[test]
fn budgets_are_set_listed_and_deleted_with_a_record_of_it() {
    block_on(async {
        let world = World::new().await;
        let key = world.key("team-a").await;
        let id = format!("key/{key}/usd/day");
        let (budget, is_new) = world.set(&id, "$0.50").await.unwrap();
        assert_eq!((budget.project, is_new), (Some(project("team-a")), true));
        assert!(!world.set(&id, "$0.5").await.unwrap().1, "the same again");
        let (raised, is_new) = world.set(&id, "$2").await.unwrap();
        assert!(!is_new && raised.created_at == budget.created_at);
        world.set(&format!("key/{key}/tokens/day"), "2M").await.unwrap();
        world.set("project/team-b/usd/month", "$100").await.unwrap();
        world.set("route/org/chat/usd/total", "$7").await.unwrap();

        let operator = Allowed::operator();
        let of_key = [format!("key/{key}/usd/day $2.00"), format!("key/{key}/tokens/day 2M")];
        assert_eq!(world.listed(&operator, Some("team-a")).await, of_key);
        assert_eq!(world.listed(&holder(Scope::Read), None).await, of_key);
        let all = world.listed(&operator, None).await;
        assert_eq!(all.len(), 4);
        assert_eq!(all[0], "route/org/chat/usd/total $7.00");
        for (of, budgets) in [(Some(project("team-a")), 2), (None, 1)] {
            let concerning = world.budgets.concerning(of.as_ref()).await.unwrap();
            assert_eq!(concerning.len(), budgets, "{of:?}: {concerning:?}");
        }

        world.clock.advance(Duration::from_secs(1));
        let id: BudgetId = id.parse().unwrap();
        world.budgets.delete(&operator_may(), &id).await.unwrap();
        let again = world.budgets.delete(&operator_may(), &id).await;
        assert!(matches!(again, Err(BudgetError::NotFound(_))), "{again:?}");
        assert_eq!(world.listed(&operator, Some("team-a")).await.len(), 1);

        let log = AuditLog::new(world.store.clone(), world.clock.clone());
        let filter = AuditFilter { action: Some("budget.".into()), ..AuditFilter::default() };
        let page = log.list(&Allowed::operator(), &project("team-a"), &filter, 10, None).await;
        let told: Vec<_> = page.unwrap().records.into_iter().collect();
        let told: Vec<_> =
            told.iter().rev().map(|one| (one.action.as_str(), one.summary.as_str())).collect();
        assert_eq!(
            told,
            [
                ("budget.set", "$0.50"),
                ("budget.set", "from $0.50 to $2.00"),
                ("budget.set", "2M"),
                ("budget.delete", "was $2.00"),
            ]
        );
    });
}

fn operator_may() -> Allowed<may::BudgetsWrite> {
    Allowed::operator()
}

#[test]
fn project_sets_budgets_of_its_keys_and_never_its_own() {
    block_on(async {
        let world = World::new().await;
        let (own, other) = (world.key("team-a").await, world.key("team-b").await);
        let admin = holder(Scope::ProjectAdmin);
        world.set_as(&admin, &format!("key/{own}/usd/day"), "$1").await.unwrap();
        let result = world.set_as(&admin, &format!("key/{other}/usd/day"), "$1").await;
        assert!(matches!(result, Err(BudgetError::NoKey(_))), "{result:?}");
        for id in ["project/team-a/usd/month", "route/chat/usd/day"] {
            match world.set_as(&admin, id, "$1000").await {
                Err(BudgetError::Denied(denied)) => {
                    assert_eq!(denied.permission, Permission::ProjectsAny);
                }
                other => panic!("{other:?}"),
            }
        }
        let result = world.set_as(&admin, "project/team-b/usd/month", "$1").await;
        assert!(
            matches!(result, Err(BudgetError::Project(ProjectError::NotFound(_)))),
            "a project of others does not exist: {result:?}"
        );
        let result =
            world.budgets.list(&holder(Scope::Read), Some(&project("team-b")), 9, None).await;
        assert!(
            matches!(result, Err(BudgetError::Project(ProjectError::NotFound(_)))),
            "{result:?}"
        );
    });
}

#[test]
fn budget_is_read_by_whom_it_concerns() {
    block_on(async {
        let world = World::new().await;
        let (own, other) = (world.key("team-a").await, world.key("team-b").await);
        let of_key = |key: &KeyId| format!("key/{key}/usd/day");
        for id in [&of_key(&own), &of_key(&other), "project/team-a/usd/day", "route/chat/usd/day"] {
            world.set(id, "$1").await.unwrap();
        }
        let get = async |by: &Allowed<may::BudgetsRead>, id: &str| {
            let id: BudgetId = id.parse().unwrap();
            world.budgets.get(by, &id).await.map(|budget| assert_eq!(budget.id(), id))
        };
        let (operator, reader) = (Allowed::operator(), holder(Scope::Read));
        for id in [&of_key(&own), &of_key(&other), "project/team-a/usd/day", "route/chat/usd/day"] {
            get(&operator, id).await.unwrap();
        }
        get(&reader, &of_key(&own)).await.unwrap();
        get(&reader, "project/team-a/usd/day").await.unwrap();
        let result = get(&reader, &of_key(&other)).await;
        assert!(matches!(result, Err(BudgetError::NoKey(_))), "{result:?}");
        let result = get(&reader, "project/team-b/usd/day").await;
        assert!(
            matches!(result, Err(BudgetError::Project(ProjectError::NotFound(_)))),
            "{result:?}"
        );
        for absent in ["route/chat/usd/day", "project/team-a/usd/month"] {
            let result = get(&reader, absent).await;
            assert!(matches!(result, Err(BudgetError::NotFound(_))), "{absent}: {result:?}");
        }
    });
}

#[test]
fn key_that_was_rotated_has_the_budgets_of_the_first() {
    block_on(async {
        let world = World::new().await;
        let first = world.key("team-a").await;
        let rotated = world.keys.rotate(&Allowed::operator(), &first, Duration::ZERO).await;
        let second = rotated.unwrap().0.id;
        let result = world.set(&format!("key/{second}/usd/day"), "$1").await;
        match result {
            Err(BudgetError::Replaced { key, first: of }) => assert_eq!((key, of), (second, first)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn budget_needs_a_key_or_a_project_that_is_in_use() {
    block_on(async {
        let world = World::new().await;
        let result = world.set("key/absent/usd/day", "$1").await;
        assert!(matches!(result, Err(BudgetError::NoKey(_))), "{result:?}");
        let result = world.set("project/absent/usd/day", "$1").await;
        assert!(
            matches!(result, Err(BudgetError::Project(ProjectError::NotFound(_)))),
            "{result:?}"
        );
        world.projects().archive(&Allowed::operator(), &project("team-b")).await.unwrap();
        let result = world.set("project/team-b/usd/day", "$1").await;
        assert!(
            matches!(result, Err(BudgetError::Project(ProjectError::Archived(_)))),
            "{result:?}"
        );
    });
}

#[test]
fn requests_are_refused_by_the_budget_that_is_spent_and_let_in_when_it_starts_anew() {
    block_on(async {
        let world = World::new().await;
        let key = world.key("team-a").await;
        world.set(&format!("key/{key}/usd/day"), "$1").await.unwrap();
        world.set("project/team-a/usd/month", "$3").await.unwrap();
        world.set("project/team-a/tokens/total", "1M").await.unwrap();
        let budgets = world.budgets.concerning(Some(&project("team-a"))).await.unwrap();
        let beneath = Arc::new(StoreLedger::new(world.store.clone()));
        let ledger = TrancheLedger::new(beneath, "process");
        let spending = |cents: u64| Spending {
            tokens: Amount::saturating(cents * 100),
            nano_dollars: Some(Amount::saturating(cents * 10_000_000)),
        };
        let team = project("team-a");
        let counting = || budgets.iter().filter(|budget| budget.counts(&key, &team, None));
        let reserve = async |id: &str, cents: u64| {
            let now = world.clock.now();
            let charges = charges(counting(), &spending(cents), now).unwrap();
            let id = ReservationId::new(id, 0);
            let life = now + Duration::from_mins(10);
            match ledger.reserve(&id, &charges, life, now).await {
                Ok(()) => Ok((id, charges)),
                Err(LedgerError::Refused(refusal)) => {
                    Err(over_budget(counting(), &charges, &refusal).unwrap())
                }
                Err(error) => panic!("{error:?}"),
            }
        };
        let spend = async |id: &str, bound: u64, used: u64| {
            let (id, charges) = reserve(id, bound).await.unwrap();
            let used = amounts(&charges, &spending(used));
            ledger.settle(&id, &used, world.clock.now()).await.unwrap();
        };
        assert_eq!(reserve("0", 101).await.unwrap_err().verdict, Verdict::NeverFits);
        spend("1", 90, 30).await;
        let in_flight = reserve("2", 60).await.unwrap();
        assert_eq!(reserve("3", 20).await.unwrap_err().verdict, Verdict::WaitsForSettlements);
        let used = amounts(&in_flight.1, &spending(60));
        ledger.settle(&in_flight.0, &used, world.clock.now()).await.unwrap();
        let refused = reserve("3", 20).await.unwrap_err();
        assert_eq!(refused.verdict, Verdict::Exhausted);
        assert_eq!(refused.budget.scope, BudgetScope::Key(key.clone()));
        assert_eq!(refused.left.get(), 100_000_000);
        assert_eq!(refused.resets_at, Period::Day.ends_at(world.clock.now()));

        // The account is what the reports read.
        let day = counting().find(|budget| budget.period == Period::Day).unwrap();
        let charged = ledger.charged(&day.account(world.clock.now())).await.unwrap();
        assert_eq!(charged.get(), 900_000_000);
        let warning = warning(day, Amount::ZERO, charged, world.clock.now()).unwrap();
        assert!(world.budgets.is_first(&warning).await.unwrap());
        assert!(!world.budgets.is_first(&warning).await.unwrap());

        // The next day is that of the next month, too.
        world.clock.advance(Duration::from_hours(24));
        spend("4", 100, 100).await;
        assert_eq!(
            ledger.charged(&day.account(world.clock.now())).await.unwrap().get(),
            1_000_000_000
        );
        let tokens = counting().find(|budget| budget.period == Period::Total).unwrap();
        assert_eq!(ledger.charged(&tokens.account(world.clock.now())).await.unwrap().get(), 19_000);
    });
}
