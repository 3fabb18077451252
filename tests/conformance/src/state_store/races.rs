//! Many callers at once.

use std::sync::Arc;

use diogenes_core::ports::{Bound, Expect, StateStore, StoreError, Version, Write};
use serde_json::json;

use super::Fixture;
use super::support::{check, key, listing, put, race};

const TASKS: usize = 32;

/// Whether the commit won; any failure but a conflict breaks the check.
fn won(result: Result<Vec<Option<Version>>, StoreError>) -> bool {
    match result {
        Ok(_) => true,
        Err(StoreError::Conflict(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

async fn winners(fixture: &Fixture, writes: impl Fn(usize) -> Vec<Write>) -> Vec<usize> {
    let results = race(TASKS, |task| {
        let (store, writes) = (fixture.shared(), writes(task));
        async move { won(store.commit(&writes).await).then_some(task) }
    });
    results.await.into_iter().flatten().collect()
}

/// Of many that expect nothing, one creates, and its document stands.
pub async fn one_of_many_creates(fixture: &Fixture) {
    let at = key("p", "a");
    let winners = winners(fixture, |task| vec![put(&at, task, Expect::Absent)]).await;
    assert_eq!(winners.len(), 1);
    assert_eq!(fixture.document(&at).await, Some(json!(winners[0])));
}

/// Of many that expect one version, one updates.
pub async fn one_of_many_updates(fixture: &Fixture) {
    let at = key("p", "a");
    let version = fixture.put(&at, "start").await;
    let expect = Expect::Version(version);
    let winners = winners(fixture, |task| vec![put(&at, task, expect.clone())]).await;
    assert_eq!(winners.len(), 1);
    assert_eq!(fixture.document(&at).await, Some(json!(winners[0])));
}

/// Commits that share one guarded key and write others: one happens, whole, the rest not at all.
pub async fn one_of_many_overlapping_commits_wins(fixture: &Fixture) {
    let shared = key("p", "shared");
    let expect = Expect::Version(fixture.put(&shared, "start").await);
    let winners = winners(fixture, |task| {
        let mut writes: Vec<_> = (0..3)
            .map(|part| {
                let at = key("p", &format!("{task:02}-{part}"));
                put(&at, task, Expect::Absent)
            })
            .collect();
        writes.insert(task % 4, put(&shared, task, expect.clone()));
        writes
    })
    .await;
    assert_eq!(winners.len(), 1);
    let winner = winners[0];
    assert_eq!(fixture.document(&shared).await, Some(json!(winner)));
    let expected: Vec<_> =
        (0..3).map(|part| format!("{winner:02}-{part}")).chain(["shared".into()]).collect();
    assert_eq!(fixture.sorts(&listing("p", "")).await, expected);
}

/// Read, change, write under the version that was read: every change is in the end.
pub async fn no_update_is_lost(fixture: &Fixture) {
    const ROUNDS: u64 = 4;
    let at = key("p", "a");
    fixture.put(&at, 0).await;
    race(TASKS, |_| {
        let (store, at) = (fixture.shared(), at.clone());
        async move {
            for _ in 0..ROUNDS {
                let mut item = store.get(&at).await.unwrap().unwrap();
                loop {
                    let sum = item.document.as_u64().unwrap() + 1;
                    let write = put(&at, sum, Expect::Version(item.version));
                    match store.commit(&[write]).await {
                        Ok(_) => break,
                        Err(StoreError::Conflict(lost)) => item = lost.standing.unwrap(),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        }
    })
    .await;
    assert_eq!(fixture.document(&at).await, Some(json!(TASKS as u64 * ROUNDS)));
}

/// Two items that change together keep their sum, with a third only checked.
pub async fn transfers_keep_the_sum(fixture: &Fixture) {
    let [from, to, open] = ["from", "to", "open"].map(|sort| key("p", sort));
    fixture.put(&from, TASKS).await;
    fixture.put(&to, 0).await;
    let open_version = fixture.put(&open, true).await;
    race(TASKS, |_| {
        let store = fixture.shared();
        let (from, to) = (from.clone(), to.clone());
        let guard = check(&open, Expect::Version(open_version.clone()));
        async move {
            loop {
                let (left, right) = (
                    store.get(&from).await.unwrap().unwrap(),
                    store.get(&to).await.unwrap().unwrap(),
                );
                let writes = [
                    put(&from, left.document.as_u64().unwrap() - 1, Expect::Version(left.version)),
                    guard.clone(),
                    put(&to, right.document.as_u64().unwrap() + 1, Expect::Version(right.version)),
                ];
                if won(store.commit(&writes).await) {
                    break;
                }
            }
        }
    })
    .await;
    assert_eq!(fixture.document(&from).await, Some(json!(0)));
    assert_eq!(fixture.document(&to).await, Some(json!(TASKS)));
}

async fn add_repeatedly(store: Arc<dyn StateStore>, times: usize, bound: Bound) -> Vec<i64> {
    let mut values = Vec::new();
    for _ in 0..times {
        match store.add(&key("c", "a"), 1, bound, None).await {
            Ok(value) => values.push(value),
            Err(StoreError::Bound(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    values
}

/// No addition is lost or doubled: every value on the way is returned once.
pub async fn adds_sum_up(fixture: &Fixture) {
    let seen = race(TASKS, |_| add_repeatedly(fixture.shared(), 10, Bound::None));
    let mut seen = seen.await.concat();
    seen.sort_unstable();
    let expected: Vec<_> = (1..).take(TASKS * 10).collect();
    assert_eq!(seen, expected);
}

/// A bound lets through exactly as many additions as fit.
pub async fn bounded_adds_stop_at_the_bound(fixture: &Fixture) {
    let seen = race(TASKS, |_| add_repeatedly(fixture.shared(), 2, Bound::AtMost(20)));
    let mut seen = seen.await.concat();
    seen.sort_unstable();
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
    assert_eq!(fixture.add(&key("c", "a"), 0).await, 20);
}
