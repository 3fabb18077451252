//! Many callers at once, some of which die, while answers get lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diogenes_core::Timestamp;
use diogenes_core::ports::{Account, Amount, Clock as _, Ledger, LedgerError, Settlement, Unit};
use tokio::task::{JoinError, JoinSet};

use super::faulty::{Check, Dice, Faulty};
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

/// One run of the next check.
#[derive(Clone, Copy)]
struct Run {
    seed: u64,
    requests: usize,
    /// How many of them are under way together.
    at_once: usize,
    now: Timestamp,
}

impl Run {
    /// The accounts, and what may stand in them: a fraction of what the requests want.
    fn accounts(&self) -> [(Account, u64); 3] {
        let Self { seed, now, .. } = self;
        let cap = |share| share * self.requests as u64;
        [
            (tokens(&format!("key#{seed}")), cap(2)),
            (Account::window(format!("project#{seed}"), Unit::Tokens, *now + LIFE), cap(5)),
            (Account::lasting(format!("run#{seed}"), Unit::NanoDollars), cap(4)),
        ]
    }
}

/// Reserves and settles one request, as a caller does who repeats what failed; returns whether a
/// cap refused it.
async fn request(ledger: Arc<dyn Ledger>, dice: Arc<Dice>, number: usize, run: Run) -> bool {
    let now = run.now;
    let id = reservation(&format!("{}-{number}", run.seed));
    let mut charges = Vec::new();
    for (account, cap) in run.accounts() {
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

/// What is settled and what is reserved never pass a cap together, though a tenth of the callers
/// die, and the store fails and loses answers. A store in memory sees 1,000 requests with each of
/// five seeds, another one 100 with one; `DIOGENES_SEED` picks the seed of a failure.
pub async fn caps_hold_whatever_fails(fixture: &Fixture) {
    // One of them differs from run to run.
    let clock = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    let fresh = u64::try_from(clock).unwrap();
    let seeds = match std::env::var("DIOGENES_SEED") {
        Ok(seed) => vec![seed.parse().expect("DIOGENES_SEED is a number")],
        Err(_) if fixture.is_remote => vec![fresh],
        Err(_) => vec![1, 2, 3, 4, fresh],
    };
    for seed in seeds {
        let (requests, at_once) = if fixture.is_remote { (100, TASKS) } else { (1_000, 1_000) };
        caps_hold(fixture, Run { seed, requests, at_once, now: fixture.now() }).await;
    }
}

async fn caps_hold(fixture: &Fixture, run: Run) {
    let Run { seed, requests, at_once, .. } = run;
    let replay = format!("replay with DIOGENES_SEED={seed}");
    let commits = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&commits);
    // After every commit, by the records themselves.
    let check: Check = Box::new(move |books| {
        counted.fetch_add(1, Ordering::Relaxed);
        for (account, cap) in run.accounts() {
            let stands = books.get(&account).copied().unwrap_or(0);
            if stands > cap {
                return Err(format!("{stands} of {cap} in {account}"));
            }
        }
        Ok(())
    });
    let faulty = Arc::new(Faulty::new(Arc::clone(&fixture.store), seed, check));
    let ledger = (fixture.over)(faulty.clone());
    let dice = Arc::new(Dice::new(!seed));
    let mut running = JoinSet::new();
    let (mut doomed, mut killed, mut refused) = (Vec::new(), 0, 0);
    let mut end = |ended: Result<bool, JoinError>| match ended {
        Ok(by_a_cap) => refused += usize::from(by_a_cap),
        Err(error) if error.is_cancelled() => killed += 1,
        Err(error) => panic!("{error}; {replay}"),
    };
    for number in 0..requests {
        let handle = running.spawn(request(ledger.clone(), dice.clone(), number, run));
        let done = commits.load(Ordering::Relaxed);
        // Some die at once, some in the midst of it, and half of these have ended by then.
        if dice.below(5) == 0 {
            doomed.push((done + dice.below(2 * TASKS as u64), handle));
        }
        doomed.retain(|(due, handle)| {
            if done >= *due {
                handle.abort();
            }
            done < *due
        });
        tokio::task::yield_now().await;
        while running.len() >= at_once {
            end(running.join_next().await.unwrap());
        }
    }
    while let Some(ended) = running.join_next().await {
        end(ended);
    }
    assert_eq!(faulty.wrong(), None, "{replay}");
    let commits = commits.load(Ordering::Relaxed);
    // Of the few that a slow store sees, all of the doomed may have ended before their time.
    let has_kills = killed > 0 || fixture.is_remote;
    // A tranche is one commit for many requests.
    let least = if fixture.has_tranches { 3 } else { requests as u64 / 4 };
    assert!(has_kills && commits > least, "{killed} killed, {commits}; {replay}");
    assert!(refused > 0, "no cap was ever reached; {replay}");
    // The counters say what the records say, also of those that nobody settled.
    fixture.pass(LIFE);
    for swept in [false, true] {
        let books = faulty.audit().await;
        for (account, cap) in run.accounts() {
            let stands = books.get(&account).copied().unwrap_or(0);
            let charged = fixture.charged(&account).await;
            assert_eq!(charged, stands, "{account}, swept: {swept}; {replay}");
            assert!(stands <= cap, "{stands} of {cap} in {account}; {replay}");
        }
        fixture.ledger.sweep(requests, fixture.now()).await.unwrap();
    }
}
