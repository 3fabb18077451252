use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use pollster::block_on;

use super::{StoreLedger, TrancheLedger};
use crate::Timestamp;
use crate::ports::{
    Account, Amount, Charge, Clock as _, Estimate, GRACE, Ledger, LedgerError, Refusal,
    ReservationId, Settlement, StoreError, Unit,
};
use crate::testing::{ManualClock, MemoryStore, SeededEntropy};

const LIFE: Duration = Duration::from_mins(10);
const MINUTE: Duration = Duration::from_mins(1);

/// The ledger beneath: counts the writes, sees that the caps hold after each, and fails on demand.
struct Beneath {
    ledger: StoreLedger,
    caps: Mutex<HashMap<Account, Amount>>,
    writes: AtomicU64,
    loses_answers: AtomicBool,
    hangs: AtomicBool,
}

impl Beneath {
    async fn answer<T>(&self, result: Result<T, LedgerError>) -> Result<T, LedgerError> {
        self.writes.fetch_add(1, SeqCst);
        let caps = self.caps.lock().unwrap().clone();
        for (account, cap) in caps {
            let charged = self.ledger.charged(&account).await.unwrap();
            assert!(charged <= cap, "{charged} of {cap} in {account}");
        }
        if self.hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.loses_answers.load(SeqCst) {
            return Err(StoreError::Unknown { reason: "lost".into(), source: None }.into());
        }
        result
    }
}

#[async_trait]
impl Ledger for Beneath {
    async fn reserve(
        &self,
        id: &ReservationId,
        charges: &[Charge],
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.answer(self.ledger.reserve(id, charges, expires_at, now).await).await
    }

    async fn settle(
        &self,
        id: &ReservationId,
        used: &[Amount],
        now: Timestamp,
    ) -> Result<Settlement, LedgerError> {
        self.answer(self.ledger.settle(id, used, now).await).await
    }

    async fn charged(&self, account: &Account) -> Result<Amount, LedgerError> {
        self.ledger.charged(account).await
    }

    async fn sweep(&self, most: usize, now: Timestamp) -> Result<Vec<Estimate>, LedgerError> {
        self.ledger.sweep(most, now).await
    }
}

struct World {
    clock: Arc<ManualClock>,
    beneath: Arc<Beneath>,
    ledger: TrancheLedger,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let ledger = StoreLedger::new(Arc::new(MemoryStore::new(clock.clone())));
        let beneath = Arc::new(Beneath {
            ledger,
            caps: Mutex::default(),
            writes: AtomicU64::new(0),
            loses_answers: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
        });
        Self { clock, ledger: TrancheLedger::new(beneath.clone(), "p0"), beneath }
    }

    fn restart(&mut self, process: &str) {
        self.ledger = TrancheLedger::new(self.beneath.clone(), process);
    }

    fn reserve(&self, id: &str, charges: &[Charge]) -> Result<(), LedgerError> {
        let now = self.clock.now();
        block_on(self.ledger.reserve(&ReservationId::new(id, 0), charges, now + LIFE, now))
    }

    fn refused(&self, id: &str, charge: Charge) -> Refusal {
        match self.reserve(id, &[charge]) {
            Err(LedgerError::Refused(refusal)) => *refusal,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    fn settle(&self, id: &str, used: u64) -> Settlement {
        let (id, used) = (ReservationId::new(id, 0), [Amount::saturating(used)]);
        block_on(self.ledger.settle(&id, &used, self.clock.now())).unwrap()
    }

    fn spend(&self, id: &str, charge: &Charge) {
        self.reserve(id, std::slice::from_ref(charge)).unwrap();
        self.settle(id, charge.amount.get());
    }

    fn tend(&self) {
        block_on(self.ledger.tend(self.clock.now())).unwrap();
    }

    fn close(&self) {
        block_on(self.ledger.close(self.clock.now())).unwrap();
    }

    fn charged(&self, account: &Account) -> u64 {
        block_on(self.ledger.charged(account)).unwrap().get()
    }

    fn beneath(&self, account: &Account) -> u64 {
        block_on(self.beneath.ledger.charged(account)).unwrap().get()
    }

    fn writes(&self) -> u64 {
        self.beneath.writes.load(SeqCst)
    }
}

fn key() -> Account {
    Account::lasting("key#a", Unit::NanoDollars)
}

fn charge(account: &Account, cap: u64, amount: u64) -> Charge {
    let [cap, amount] = [cap, amount].map(Amount::saturating);
    Charge { account: account.clone(), cap: Some(cap), amount }
}

/// Eight threads with 125 requests each, some of which nobody settles; returns what was used and
/// how many were refused. At every step, what the callers know of stays within the caps.
fn thousand_requests(world: &World, accounts: &[(Account, u64)], seed: u64) -> (Vec<u64>, u64) {
    let dice = SeededEntropy::new(seed);
    let below = |end: u64| dice.next_u64() % end;
    let books: Vec<_> = accounts.iter().map(|_| AtomicU64::new(0)).collect();
    let refused = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (below, books, refused) = (&below, &books, &refused);
            scope.spawn(move || {
                for number in 0..125 {
                    let id = ReservationId::new(&format!("{seed}-{thread}-{number}"), 0);
                    let bound = 1 + below(1000);
                    let of = |(account, cap): &(Account, u64)| charge(account, *cap, bound);
                    let charges: Vec<_> = accounts.iter().map(of).collect();
                    let now = world.clock.now();
                    match block_on(world.ledger.reserve(&id, &charges, now + LIFE, now)) {
                        Ok(()) => {}
                        Err(LedgerError::Refused(_)) => {
                            refused.fetch_add(1, SeqCst);
                            continue;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                    for (book, (account, cap)) in books.iter().zip(accounts) {
                        let stands = book.fetch_add(bound, SeqCst) + bound;
                        assert!(stands <= *cap, "{stands} of {cap} in {account}");
                    }
                    let used = below(bound + 1);
                    if below(20) > 0 {
                        for book in books {
                            book.fetch_sub(bound - used, SeqCst);
                        }
                        let used = vec![Amount::saturating(used); accounts.len()];
                        block_on(world.ledger.settle(&id, &used, now)).unwrap();
                    }
                }
            });
        }
    });
    (books.into_iter().map(AtomicU64::into_inner).collect(), refused.into_inner())
}

#[test]
fn thousand_requests_take_few_writes_and_close_to_the_unit() {
    let world = World::new();
    let accounts =
        [(key(), 100_000_000), (Account::lasting("route#r", Unit::NanoDollars), 1 << 40)];
    let (used, refused) = thousand_requests(&world, &accounts, 1);
    assert_eq!(refused, 0);
    assert!(world.writes() <= 40, "{} writes", world.writes());
    for ((account, _), used) in accounts.iter().zip(&used) {
        assert_eq!(world.charged(account), *used);
    }
    world.close();
    for ((account, _), used) in accounts.iter().zip(&used) {
        assert_eq!((world.charged(account), world.beneath(account)), (*used, *used));
    }
}

#[test]
fn caps_hold_through_crashes() {
    for seed in 0..8 {
        let mut world = World::new();
        let accounts =
            [(key(), 300_000), (Account::lasting("project#p", Unit::NanoDollars), 900_000)];
        for (account, cap) in &accounts {
            let cap = Amount::saturating(*cap);
            world.beneath.caps.lock().unwrap().insert(account.clone(), cap);
        }
        let mut used = [0, 0];
        for start in 0..6 {
            world.restart(&format!("start-{start}"));
            let before = accounts.each_ref().map(|(account, _)| world.beneath(account));
            let (spent, refused) = thousand_requests(&world, &accounts, seed * 100 + start);
            assert!(start < 2 || refused > 0, "no cap was reached");
            for place in [0, 1] {
                assert!(before[place] + spent[place] <= accounts[place].1, "{before:?}, {spent:?}");
                used[place] += spent[place];
                assert_eq!(world.charged(&accounts[place].0), before[place] + spent[place]);
            }
            // Every other process crashes.
            if start % 2 == 0 {
                world.close();
                for place in [0, 1] {
                    assert_eq!(world.beneath(&accounts[place].0), before[place] + spent[place]);
                }
            }
        }
        for place in [0, 1] {
            let charged = world.beneath(&accounts[place].0);
            assert!((used[place]..=accounts[place].1).contains(&charged), "{charged}");
        }
    }
}

#[test]
fn tranches_shrink_near_the_cap() {
    let world = World::new();
    world.spend("1", &charge(&key(), 1_000_000, 10));
    assert_eq!(world.beneath(&key()), 640);
    for (cap, tranche) in [(160, 10), (320, 20), (32, 2), (15, 1)] {
        let account = Account::lasting(format!("cap#{cap}"), Unit::Tokens);
        world.spend(&cap.to_string(), &charge(&account, cap, 1));
        assert_eq!(world.beneath(&account), tranche);
    }
    // Up to the last unit.
    let account = Account::lasting("last", Unit::Tokens);
    for number in 0..50 {
        world.spend(&format!("last-{number}"), &charge(&account, 50, 1));
    }
    assert_eq!(world.refused("x", charge(&account, 50, 1)).left, Amount::ZERO);
}

#[test]
fn tranches_grow_while_one_follows_the_other_at_once() {
    let world = World::new();
    let spend = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            world.spend(&number.to_string(), &charge(&key(), 1_000_000_000, 10));
        }
    };
    spend(0..65);
    assert_eq!(world.beneath(&key()), (64 + 128) * 10);
    world.clock.advance(Duration::from_secs(1));
    spend(65..193);
    assert_eq!(world.beneath(&key()), (64 + 128 + 64) * 10);
    spend(193..5_000);
    // 64, 128, 256, 512, 1024 and 1024 again and again.
    let before = world.beneath(&key());
    spend(5_000..5_000 + 1024);
    assert_eq!(world.beneath(&key()) - before, 1024 * 10);
}

#[test]
fn idle_tranches_are_given_back_and_forgotten() {
    let world = World::new();
    world.spend("1", &charge(&key(), 1_000_000, 10));
    world.reserve("2", &[charge(&key(), 1_000_000, 10)]).unwrap();
    world.clock.advance(MINUTE * 2);
    world.tend();
    assert_eq!(world.beneath(&key()), 640, "one request is still under way");
    world.settle("2", 3);
    world.tend();
    assert_eq!((world.beneath(&key()), world.charged(&key())), (13, 13));
    world.tend();
    assert_eq!(world.ledger.size(), (0, 2));
}

#[test]
fn weeks_of_windows_leave_nothing_in_memory() {
    let world = World::new();
    for day in 0..60 {
        let ends_at = world.clock.now() + Duration::from_hours(24);
        for number in 0..200 {
            let account = Account::window(format!("key#{}", number % 20), Unit::Tokens, ends_at);
            world.spend(&format!("{day}-{number}"), &charge(&account, 1_000, 7));
            assert_eq!(world.charged(&account), 7 * (number / 20 + 1));
        }
        world.reserve(&format!("{day}-lost"), &[charge(&key(), u64::MAX, 5)]).unwrap();
        for _ in 0..24 {
            world.clock.advance(Duration::from_hours(1));
            world.tend();
        }
        let (accounts, reservations) = world.ledger.size();
        assert!(accounts <= 1 && reservations <= 4096 + 2, "{accounts}, {reservations}");
    }
    assert_eq!(world.charged(&key()), 5 * 60, "what nobody settled counts in full");
    world.close();
    assert_eq!(world.beneath(&key()), 5 * 60);
}

#[test]
fn lowered_cap_is_not_served_from_an_older_tranche() {
    let world = World::new();
    world.spend("1", &charge(&key(), 1_000_000, 10));
    assert_eq!(world.refused("2", charge(&key(), 15, 10)).left.get(), 5);
    world.spend("2", &charge(&key(), 15, 5));
    assert_eq!((world.charged(&key()), world.beneath(&key())), (15, 15));
}

#[test]
fn refusal_says_what_is_in_flight() {
    let world = World::new();
    world.spend("1", &charge(&key(), 100, 30));
    for id in ["2", "3"] {
        world.reserve(id, &[charge(&key(), 100, 20)]).unwrap();
    }
    let in_flight = || {
        let refusal = world.refused("4", charge(&key(), 100, 40));
        (refusal.left.get(), refusal.in_flight.get())
    };
    assert_eq!(in_flight(), (30, 40));
    world.settle("2", 20);
    assert_eq!(in_flight(), (30, 20));
    world.clock.advance(LIFE);
    assert_eq!(in_flight(), (30, 0), "what has expired does not come free");
}

#[test]
fn overshoot_is_beneath_before_it_is_told() {
    let mut world = World::new();
    world.reserve("1", &[charge(&key(), 1_000, 10)]).unwrap();
    assert!(matches!(world.settle("1", 5_000), Settlement::Done { overshoot, .. }
        if overshoot == [Amount::saturating(4_990)]));
    world.restart("p1");
    assert_eq!(world.beneath(&key()), 5_000);
    assert_eq!(world.refused("2", charge(&key(), 1_000, 1)).left, Amount::ZERO);
}

#[test]
fn lost_answers_lose_no_tranche() {
    let world = World::new();
    world.beneath.loses_answers.store(true, SeqCst);
    for _ in 0..3 {
        let result = world.reserve("1", &[charge(&key(), 1_000_000, 10)]);
        assert!(matches!(result, Err(LedgerError::Store(StoreError::Unknown { .. }))));
        assert!(block_on(world.ledger.charged(&key())).is_err(), "it is not known");
    }
    world.beneath.loses_answers.store(false, SeqCst);
    assert_eq!(world.charged(&key()), 0);
    world.spend("1", &charge(&key(), 1_000_000, 10));
    assert_eq!(world.beneath(&key()), 640);
    world.beneath.loses_answers.store(true, SeqCst);
    assert!(block_on(world.ledger.close(world.clock.now())).is_err());
    world.beneath.loses_answers.store(false, SeqCst);
    world.close();
    assert_eq!((world.charged(&key()), world.beneath(&key())), (10, 10));
}

#[test]
fn dropped_calls_lose_no_tranche() {
    let world = World::new();
    let (id, now) = (ReservationId::new("1", 0), world.clock.now());
    let charges = [charge(&key(), 1_000_000, 10)];
    world.beneath.hangs.store(true, SeqCst);
    let mut call = world.ledger.reserve(&id, &charges, now + LIFE, now);
    let poll = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(poll, Poll::Pending));
    drop(call);
    world.beneath.hangs.store(false, SeqCst);
    assert_eq!((world.charged(&key()), world.beneath(&key())), (0, 640));
    world.spend("2", &charges[0]);
    world.close();
    assert_eq!(world.beneath(&key()), 10);
}

#[test]
fn reservation_that_outlasts_the_ledger_counts_in_full() {
    let world = World::new();
    world.reserve("1", &[charge(&key(), 1_000, 10)]).unwrap();
    world.close();
    assert!(matches!(world.settle("1", 3), Settlement::Done { .. }));
    assert_eq!((world.charged(&key()), world.beneath(&key())), (10, 10));
}

#[test]
fn long_reservation_is_beneath_and_finds_what_is_idle() {
    let world = World::new();
    world.spend("1", &charge(&key(), 1_600, 10));
    assert_eq!(world.beneath(&key()), 100);
    let (id, now) = (ReservationId::new("batch", 0), world.clock.now());
    let charges = [charge(&key(), 1_600, 1_590)];
    block_on(world.ledger.reserve(&id, &charges, now + GRACE * 2, now)).unwrap();
    assert_eq!((world.charged(&key()), world.beneath(&key())), (1_600, 1_600));
    world.settle("batch", 90);
    assert_eq!(world.charged(&key()), 100);
}
