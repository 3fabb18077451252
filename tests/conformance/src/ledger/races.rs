//! Many callers at once, some of which die, while answers get lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diogenes_core::gateway::ledger::StoreLedger;
use diogenes_core::ports::{Account, Amount, Clock as _, Ledger, LedgerError, Settlement, Unit};
use tokio::task::JoinSet;

use super::faulty::{Assertion, Dice, Faulty};
use super::{Fixture, LIFE, amounts, charge, reservation, tokens};
use crate::state_store::race;

const TASKS: usize = 16;

/// As many reservations as fit under the cap, and not one more.
pub async fn concurrent_reservations_stop_at_the_cap(fixture: &Fixture) {
    let [key, project] = ["key#a", "project#p"].map(tokens);
    let reserved = race(TASKS, |task| {
        let (ledger, now) = (Arc::clone(&fixture.ledger), fixture.clock.now());
        let charges = [charge(&project, 1000, 3), charge(&key, 20, 3)];
        async move {
            let id = reservation(&task.to_string());
            match ledger.reserve(&id, &charges, now + LIFE, now).await {
                Ok(()) => true,
                Err(LedgerError::Refused(refusal)) => {
                    assert_eq!(refusal.left, Amount::saturating(2));
                    false
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    assert_eq!(reserved.await.into_iter().filter(|reserved| *reserved).count(), 6);
    assert_eq!((fixture.charged(&key).await, fixture.charged(&project).await), (18, 18));
}

/// Of many who settle one reservation, one does.
pub async fn concurrent_settlements_settle_once(fixture: &Fixture) {
    let account = tokens("key#a");
    fixture.reserve("1", &[charge(&account, 100, 50)]).await;
    let settled = race(TASKS, |task| {
        let (ledger, now) = (Arc::clone(&fixture.ledger), fixture.clock.now());
        async move {
            let used = amounts(&[task as u64]);
            match ledger.settle(&reservation("1"), &used, now).await.unwrap() {
                Settlement::Done { .. } => Some(task as u64),
                Settlement::Repeated { .. } => None,
            }
        }
    });
    let winners: Vec<_> = settled.await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(fixture.charged(&account).await, winners[0]);
}

/// The accounts of the next check, and what may stand in them.
fn accounts(now: diogenes_core::Timestamp) -> [(Account, u64); 3] {
    [
        (tokens("key#a"), 2_000),
        (Account::window("project#p", Unit::Tokens, now + LIFE), 5_000),
        (Account::lasting("run#r", Unit::NanoDollars), 4_000),
    ]
}

/// Reserves and settles one request, as a caller does who repeats what failed; returns whether a
/// cap refused it.
async fn request(
    ledger: Arc<dyn Ledger>,
    dice: Arc<Dice>,
    number: usize,
    now: diogenes_core::Timestamp,
) -> bool {
    let id = reservation(&number.to_string());
    let mut charges = Vec::new();
    for (account, cap) in accounts(now) {
        if dice.below(3) > 0 {
            charges.push(charge(&account, cap, dice.below(40)));
        }
    }
    if charges.is_empty() {
        return false;
    }
    loop {
        match ledger.reserve(&id, &charges, now + LIFE, now).await {
            Ok(()) => break,
            Err(LedgerError::Refused(_)) => return true,
            Err(LedgerError::Store(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    for _ in 0..dice.below(5) {
        tokio::task::yield_now().await;
    }
    let used: Vec<_> = charges
        .iter()
        .map(|charge| Amount::saturating(dice.below(charge.amount.get() + 1)))
        .collect();
    // One in five forgets it, one in five does it twice.
    for _ in 0..[0, 1, 1, 1, 2][usize::try_from(dice.below(5)).unwrap()] {
        while let Err(error) = ledger.settle(&id, &used, now).await {
            assert!(matches!(error, LedgerError::Store(_)), "{error:?}");
        }
    }
    false
}

/// What is settled and what is reserved never pass a cap together: a thousand requests, a tenth of
/// whose callers die, over a store that fails and loses answers.
pub async fn caps_hold_whatever_fails(fixture: &Fixture) {
    let requests = if fixture.is_remote { 60 } else { 1_000 };
    let now = fixture.clock.now();
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    let caps = accounts(now);
    // After every commit, by the records themselves.
    let assertion: Assertion = Box::new(move |books| {
        counted.fetch_add(1, Ordering::Relaxed);
        for (account, cap) in &caps {
            let stands = books.get(account).copied().unwrap_or(0);
            assert!(stands <= *cap, "{stands} of {cap} in {account}");
        }
    });
    let assertion = (!fixture.is_remote).then_some(assertion);
    let faulty = Arc::new(Faulty::new(Arc::clone(&fixture.store), 1, assertion));
    let ledger: Arc<dyn Ledger> = Arc::new(StoreLedger::new(faulty.clone()));
    let dice = Arc::new(Dice::new(2));
    let mut running = JoinSet::new();
    let mut killed = 0;
    for number in 0..requests {
        let handle = running.spawn(request(ledger.clone(), dice.clone(), number, now));
        if dice.below(10) == 0 {
            for _ in 0..dice.below(8) {
                tokio::task::yield_now().await;
            }
            handle.abort();
            killed += 1;
        }
    }
    let mut refused = false;
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(by_a_cap) => refused |= by_a_cap,
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
    assert!(killed > 0);
    assert!(fixture.is_remote || commits.load(Ordering::Relaxed) > requests / 2);
    // The counters say what the records say, also of those that nobody settled.
    fixture.pass(LIFE);
    for swept in [false, true] {
        let books = faulty.audit().await;
        for (account, cap) in accounts(now) {
            let stands = books.get(&account).copied().unwrap_or(0);
            assert_eq!(fixture.charged(&account).await, stands, "{account}, swept: {swept}");
            assert!(stands <= cap, "{stands} of {cap} in {account}");
        }
        fixture.ledger.sweep(requests, fixture.now()).await.unwrap();
    }
    assert!(refused || fixture.is_remote, "no cap was ever reached");
}
