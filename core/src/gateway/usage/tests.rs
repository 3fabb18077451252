use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pollster::block_on;

use super::pages::{MOST_NAMES, MOST_SUMS};
use super::*;
use crate::Timestamp;
use crate::days::InvalidDays;
use crate::entity::StoreExt as _;
use crate::gateway::prices::PriceVersion;
use crate::keys::KeyId;
use crate::name::ModelName;
use crate::ports::{
    Amount, Bound, Expect, Item, Key, Page, Query, StateStore, StoreError, Version, Write,
};
use crate::tenancy::{Allowed, Permission, Permissions, Principal, Projects, Subject};
use crate::testing::{ManualClock, MemoryStore};

/// A store whose commits fail as a test wants.
struct Faulty {
    inner: MemoryStore,
    faults: Mutex<VecDeque<Fault>>,
    /// How many reads succeed; all when absent.
    reads_left: Mutex<Option<u32>>,
}

#[derive(Clone, Copy)]
enum Fault {
    /// Nothing is written.
    Down,
    /// It is written, and the answer is lost.
    AnswerLost,
    /// Nothing is written, and the answer is lost.
    Lost,
}

#[async_trait]
impl StateStore for Faulty {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        if let Some(left) = &mut *self.reads_left.lock().unwrap() {
            let Some(less) = left.checked_sub(1) else {
                return Err(StoreError::Unavailable { reason: "it is down".into(), source: None });
            };
            *left = less;
        }
        self.inner.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        self.inner.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        let fault = self.faults.lock().unwrap().pop_front();
        let lost = || StoreError::Unknown { reason: "the answer is lost".into(), source: None };
        match fault {
            None => self.inner.commit(writes).await,
            Some(Fault::Down) => {
                Err(StoreError::Unavailable { reason: "it is down".into(), source: None })
            }
            Some(Fault::AnswerLost) => {
                self.inner.commit(writes).await?;
                Err(lost())
            }
            Some(Fault::Lost) => Err(lost()),
        }
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        self.inner.add(key, delta, bound, expires_at).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        self.inner.count(key).await
    }
}

struct World {
    clock: Arc<ManualClock>,
    store: Arc<Faulty>,
    book: UsageBook,
}

fn world() -> World {
    let clock = Arc::new(ManualClock::default());
    let inner = MemoryStore::new(clock.clone());
    let store = Arc::new(Faulty { inner, faults: Mutex::default(), reads_left: Mutex::default() });
    World { clock, store, book: UsageBook::new("one") }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOON: &str = "2026-11-27T12:00:00Z";

fn caller(project: &str, key: &str) -> Principal {
    Principal {
        project: project.parse().unwrap(),
        key: KeyId::from_caller(key),
        subject: Subject::new(format!("{key}@example.com")),
        ..Principal::operator()
    }
}

fn used(tokens: u64, nano_dollars: u64) -> Counts {
    Counts {
        requests: 1,
        prompt_tokens: tokens,
        completion_tokens: 1,
        nano_dollars: Amount::saturating(nano_dollars),
        ..Counts::default()
    }
}

impl World {
    fn note(&self, by: &Principal, model: &str, counts: Counts, now: &str) {
        self.note_along(by, model, None, counts, now);
    }

    fn note_along(
        &self,
        by: &Principal,
        model: &str,
        route: Option<&str>,
        counts: Counts,
        now: &str,
    ) {
        let model: ModelName = model.parse().unwrap();
        let provider = model.as_str().split_once('/').map(|(name, _)| name.parse().unwrap());
        let route = route.map(|route| route.parse().unwrap());
        let price = PriceVersion::from(format!("of {now}"));
        let noted = Noted {
            by,
            model: &model,
            provider: provider.as_ref(),
            route: route.as_ref(),
            counts,
            price: Some(&price),
        };
        self.book.note(&noted, at(now));
    }

    fn flush(&self) -> Result<(), StoreError> {
        block_on(self.book.flush(&*self.store, at(NOON)))
    }

    fn fails(&self, faults: impl IntoIterator<Item = Fault>) {
        self.store.faults.lock().unwrap().extend(faults);
    }

    fn records(&self, project: &str) -> Vec<UsageRecord> {
        let query = UsageRecord::of_project(&project.parse().unwrap(), "");
        let records = block_on(self.store.load_all::<UsageRecord>(query)).unwrap();
        records.into_iter().map(|stored| stored.value).collect()
    }

    fn requests(&self) -> u64 {
        self.records("default").iter().map(|record| record.counts.requests).sum()
    }

    fn report(&self, by: &Principal, filter: &Filter) -> Result<UsageReport, UsageError> {
        self.clock.set(at(NOON));
        let usages = Usages::new(self.store.clone(), self.clock.clone());
        block_on(usages.report(&Allowed::check(Arc::new(by.clone())).unwrap(), filter))
    }
}

#[test]
fn requests_are_added_up_per_day_key_model_and_route() {
    let world = world();
    let (ada, bob) = (caller("default", "ada"), caller("default", "bob"));
    world.note(&ada, "demo", used(10, 5), NOON);
    world.note(&ada, "demo", used(20, 6), NOON);
    world.flush().unwrap();
    world.note(&ada, "demo", used(30, 7), "2026-11-27T23:59:59.9Z");
    world.note(&ada, "demo", used(40, 8), "2026-11-28T00:00:00Z");
    world.note_along(&ada, "demo", Some("chat"), used(50, 9), NOON);
    world.note(&bob, "demo", used(60, 10), NOON);
    world.flush().unwrap();
    world.flush().unwrap();
    let found: Vec<_> = world
        .records("default")
        .into_iter()
        .map(|record| {
            let route = record.id.route.map_or_else(String::new, |route| route.to_string());
            let Counts { requests, prompt_tokens, nano_dollars, .. } = record.counts;
            let id = format!("{} {} {} {route}", record.id.day, record.id.key, record.id.model);
            (id, record.subject, requests, prompt_tokens, nano_dollars.get())
        })
        .collect();
    let row = |id: &str, subject: &str, requests, tokens, nano| {
        (id.to_owned(), subject.to_owned(), requests, tokens, nano)
    };
    assert_eq!(
        found,
        [
            row("2026-11-27 ada demo ", "ada@example.com", 3, 60, 18),
            row("2026-11-27 ada demo chat", "ada@example.com", 1, 50, 9),
            row("2026-11-27 bob demo ", "bob@example.com", 1, 60, 10),
            row("2026-11-28 ada demo ", "ada@example.com", 1, 40, 8),
        ]
    );
    assert_eq!(world.book.len(), 0);
}

#[test]
fn what_cannot_be_written_is_kept_and_written_once() {
    let world = world();
    let ada = caller("default", "ada");
    world.note(&ada, "demo", used(1, 1), NOON);
    world.fails([Fault::Down]);
    assert!(matches!(world.flush(), Err(StoreError::Unavailable { .. })));
    assert_eq!(world.requests(), 0);
    world.note(&ada, "demo", used(1, 1), NOON);
    world.flush().unwrap();
    assert_eq!((world.requests(), world.book.len()), (2, 0));
}

#[test]
fn lost_answers_add_nothing_twice() {
    let world = world();
    let ada = caller("default", "ada");
    for round in 1..4 {
        world.note(&ada, "demo", used(1, 1), NOON);
        world.note(&ada, "other", used(1, 1), NOON);
        world.fails([Fault::Lost, Fault::AnswerLost]);
        world.flush().unwrap();
        assert_eq!(world.requests(), 2 * round);
    }
}

#[test]
fn page_whose_answer_stays_lost_is_not_added_again_by_the_next_flush() {
    let world = world();
    let ada = caller("default", "ada");
    world.note(&ada, "demo", used(1, 1), NOON);
    // It is written, and then the store is gone before anybody can see that.
    world.fails([Fault::AnswerLost]);
    *world.store.reads_left.lock().unwrap() = Some(1);
    assert!(world.flush().is_err());
    *world.store.reads_left.lock().unwrap() = None;
    assert_eq!(world.requests(), 1);
    // More of the same record must not be mixed with what is in doubt.
    world.note(&ada, "demo", used(1, 1), NOON);
    world.flush().unwrap();
    assert_eq!((world.requests(), world.book.len()), (2, 0));
}

#[test]
fn several_writers_add_to_one_record() {
    let world = world();
    let ada = caller("default", "ada");
    let books: Vec<_> = (0..12).map(|number| UsageBook::new(format!("writer {number}"))).collect();
    for book in &books {
        let model = "demo".parse().unwrap();
        let counts = used(1, 1);
        let noted =
            Noted { by: &ada, model: &model, provider: None, route: None, counts, price: None };
        book.note(&noted, at(NOON));
        world.fails([Fault::AnswerLost]);
        block_on(book.flush(&*world.store, at(NOON))).unwrap();
    }
    assert_eq!(world.requests(), 12);
}

#[test]
fn many_writers_share_some_records_and_reports_add_them_up() {
    let world = world();
    let ada = caller("default", "ada");
    for number in 0..40 {
        let book = UsageBook::one_of_many(format!("router {number}"));
        let model = "demo".parse().unwrap();
        let counts = used(1, 1);
        let noted =
            Noted { by: &ada, model: &model, provider: None, route: None, counts, price: None };
        book.note(&noted, at(NOON));
        block_on(book.flush(&*world.store, at(NOON))).unwrap();
    }
    let records = world.records("default").len();
    assert!((2..=16).contains(&records), "{records} records");
    assert_eq!(world.requests(), 40);
}

#[test]
fn damaged_record_keeps_no_other_from_being_written() {
    let world = world();
    let ada = caller("default", "ada");
    world.note(&ada, "demo", used(1, 1), NOON);
    world.flush().unwrap();
    let key = UsageRecord::key_of(&world.records("default")[0].id, None);
    let (document, expect) = (serde_json::json!({"day": 7}), Expect::Any);
    let damage = Write::Put { key: key.clone(), document, index: None, expires_at: None, expect };
    block_on(world.store.commit(&[damage])).unwrap();
    world.note(&ada, "demo", used(1, 1), NOON);
    world.note(&ada, "other", used(1, 1), NOON);
    assert!(matches!(world.flush(), Err(StoreError::Corrupt { .. })));
    block_on(world.store.remove(key, Expect::Any)).unwrap();
    assert_eq!(world.requests(), 1);
    world.flush().unwrap();
    assert_eq!(world.requests(), 2);
}

#[test]
fn names_that_callers_choose_are_told_apart_up_to_a_number() {
    let world = world();
    let (ada, bob) = (caller("default", "ada"), caller("default", "bob"));
    for number in 0..MOST_NAMES * 2 {
        world.note(&ada, &format!("openai/model-{number}"), used(1, 1), NOON);
        world.flush().unwrap();
    }
    let records = world.records("default");
    assert_eq!(records.len(), MOST_NAMES + 1);
    let others = records.iter().find(|record| record.id.model.as_str() == "openai/others");
    assert_eq!(others.unwrap().counts.requests, MOST_NAMES as u64);
    // One that is known stays apart, other keys are not concerned, and tomorrow is another day.
    world.note(&ada, "openai/model-0", used(1, 1), NOON);
    world.note(&bob, "openai/new", used(1, 1), NOON);
    world.note(&ada, "openai/new", used(1, 1), "2026-11-28T00:00:00Z");
    world.note(&ada, "own", used(1, 1), NOON);
    world.flush().unwrap();
    let records = world.records("default");
    assert_eq!(records.len(), MOST_NAMES + 4);
    assert_eq!(world.requests(), MOST_NAMES as u64 * 2 + 4);
}

#[test]
fn memory_is_bounded_while_the_store_is_away() {
    let world = world();
    let noted = MOST_SUMS + 500;
    for number in 0..noted {
        let by = caller("default", &format!("key-{}", number % 7));
        world.note(&by, &format!("model-{number}"), used(1, 1), NOON);
        if number % 5000 == 0 {
            world.fails([Fault::Down]);
            assert!(world.flush().is_err());
        }
    }
    assert!(world.book.len() <= MOST_SUMS + 7, "{}", world.book.len());
    world.flush().unwrap();
    assert_eq!(world.requests(), noted as u64);
}

#[test]
fn records_expire_after_the_retention() {
    let world = world();
    world.note(&caller("default", "ada"), "demo", used(1, 1), NOON);
    world.flush().unwrap();
    world.clock.set(at("2027-12-31T23:59:59Z"));
    assert_eq!(world.requests(), 1);
    world.clock.set(at("2028-01-01T00:00:00Z"));
    assert_eq!(world.requests(), 0);
}

fn days(from: &str, to: &str, by: By) -> Filter {
    let day = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    Filter { from: day(from), to: day(to), by, ..Filter::default() }
}

#[test]
fn reports_add_up_what_lies_between_two_days() {
    let world = world();
    let (ada, bob) = (caller("default", "ada"), caller("default", "bob"));
    for (by, model, counts, day) in [
        (&ada, "demo", used(10, 0), "2026-09-30T10:00:00Z"),
        (&ada, "demo", used(20, 0), "2026-10-01T10:00:00Z"),
        (&bob, "demo", used(30, 0), "2026-10-31T10:00:00Z"),
        (&bob, "dear", used(1, 100), "2026-11-01T10:00:00Z"),
        (&ada, "dear", used(2, 300), "2026-11-03T10:00:00Z"),
        (&ada, "late", used(2, 300), "2026-11-04T10:00:00Z"),
    ] {
        world.note(by, model, counts, day);
    }
    world.note_along(&ada, "demo", Some("chat"), used(5, 0), "2026-10-10T10:00:00Z");
    world.flush().unwrap();
    let report = |by| world.report(&ada, &days("2026-10-01", "2026-11-03", by)).unwrap();
    let shown = |report: &UsageReport| -> Vec<(String, u64, u64, u64)> {
        let rows = report.rows.iter().map(|row| {
            let Counts { requests, prompt_tokens, nano_dollars, .. } = row.counts;
            let name = row.name.clone().unwrap_or_else(|| "-".into());
            (name, requests, prompt_tokens, nano_dollars.get())
        });
        rows.collect()
    };
    let row = |name: &str, requests, tokens, nano| (name.to_owned(), requests, tokens, nano);
    let by_model = report(By::Model);
    assert_eq!(shown(&by_model), [row("dear", 2, 3, 400), row("demo", 3, 55, 0)]);
    assert_eq!((by_model.total.requests, by_model.total.tokens()), (5, 63));
    let version = by_model.rows[0].price_version.as_ref().unwrap();
    assert_eq!(version.as_str(), "of 2026-11-03T10:00:00Z");
    assert_eq!(shown(&report(By::Key)), [row("ada", 3, 27, 300), row("bob", 2, 31, 100)]);
    assert_eq!(report(By::Key).rows[0].subject.as_deref(), Some("ada@example.com"));
    assert_eq!(shown(&report(By::Route)), [row("-", 4, 53, 400), row("chat", 1, 5, 0)]);
    assert_eq!(shown(&report(By::Project)), [row("default", 5, 58, 400)]);
    let by_day = shown(&report(By::Day));
    let names: Vec<_> = by_day.iter().map(|(name, ..)| name.as_str()).collect();
    let expected = ["2026-10-01", "2026-10-10", "2026-10-31", "2026-11-01", "2026-11-03"];
    assert_eq!(names, expected);
    // The current month.
    let month = world.report(&ada, &Filter::default()).unwrap();
    assert_eq!(
        (month.from.to_string(), month.to.to_string()),
        ("2026-11-01".into(), "2026-11-27".into())
    );
    assert_eq!(month.total.requests, 3);
    // The month of the last day.
    let month = world.report(&ada, &days("", "2026-10-20", By::Model)).unwrap();
    assert_eq!((month.from.to_string(), month.total.requests), ("2026-10-01".into(), 2));
}

#[test]
fn ranges_that_cannot_be_are_refused_with_their_field() {
    let world = world();
    let ada = caller("default", "ada");
    for (from, to, field) in
        [("2026-11-02", "2026-11-01", "to"), ("2026-11-28", "", "from"), ("2025-10-23", "", "from")]
    {
        match world.report(&ada, &days(from, to, By::Model)) {
            Err(UsageError::Days(InvalidDays { field: found, problem })) => {
                assert_eq!(found, field, "{problem}");
            }
            other => panic!("{from} {to}: {other:?}"),
        }
    }
    let longest = world.report(&ada, &days("2025-10-24", "", By::Model)).unwrap();
    assert!(longest.rows.is_empty());
}

#[test]
fn projects_see_their_own_usage_and_the_installation_sees_all() {
    let world = world();
    let projects = Projects::new(world.store.clone(), world.clock.clone());
    for id in ["team-a", "team-b"] {
        let by = Allowed::operator();
        block_on(projects.create(&by, id.parse().unwrap(), String::new())).unwrap();
    }
    let everywhere = caller("default", "root");
    let own = Principal {
        permissions: Permissions::of(&[Permission::UsageRead]),
        ..caller("team-a", "ada")
    };
    for by in [&everywhere, &own, &caller("team-b", "bob")] {
        world.note(by, "demo", used(1, 1), NOON);
    }
    world.flush().unwrap();
    let names = |by: &Principal, projects: WhichProjects| {
        let filter = Filter { projects, by: By::Project, ..Filter::default() };
        world.report(by, &filter).map(|report| {
            let rows = report.rows.into_iter().filter_map(|row| row.name);
            rows.collect::<Vec<_>>().join(" ")
        })
    };
    let one = |id: &str| WhichProjects::One(id.parse().unwrap());
    assert_eq!(names(&own, WhichProjects::Own).unwrap(), "team-a");
    assert_eq!(names(&own, WhichProjects::All).unwrap(), "team-a");
    assert_eq!(names(&own, one("team-a")).unwrap(), "team-a");
    assert!(matches!(names(&own, one("team-b")), Err(UsageError::NoProject(_))));
    assert_eq!(names(&everywhere, WhichProjects::Own).unwrap(), "default");
    assert_eq!(names(&everywhere, WhichProjects::All).unwrap(), "default team-a team-b");
    assert_eq!(names(&everywhere, one("team-b")).unwrap(), "team-b");
    assert!(matches!(names(&everywhere, one("absent")), Err(UsageError::NoProject(_))));
}
