use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::ports::{Expect, StateStore as _, StoreError};
use rusqlite::Connection;
use serde_json::json;

use super::{directory, key, open, put, test_process};

/// Set for the child of the test below: the file that it writes to.
const CHILD: &str = "DIOGENES_TEST_STORE";

/// Commits until it is killed, and says so after each commit that was acknowledged.
async fn write_until_killed(path: &Path) {
    let store = open(path);
    let mut said = std::io::stdout();
    for number in 0_u64.. {
        let pair =
            ["a", "b"].map(|side| put(&format!("{side}{number:06}"), number, Expect::Absent));
        store.commit(&pair).await.unwrap();
        writeln!(said, "ack {number}").unwrap();
        said.flush().unwrap();
    }
}

#[tokio::test]
async fn acknowledged_commits_survive_a_kill() {
    if let Some(path) = std::env::var_os(CHILD) {
        return write_until_killed(path.as_ref()).await;
    }
    for commits in [1, 60, 200] {
        let (_directory, path) = directory();
        let mut child = test_process(
            &std::env::current_exe().unwrap(),
            "sqlite::tests::processes::acknowledged_commits_survive_a_kill",
        )
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = Vec::new();
        let mut next = || {
            // The harness of the child writes its own lines, too.
            let number = |line: String| line.rsplit_once("ack ")?.1.parse::<u64>().ok();
            lines.by_ref().map(Result::unwrap).find_map(number)
        };
        while acknowledged.len() < commits {
            acknowledged.push(next().expect("the child writes until it is killed"));
        }
        child.kill().unwrap();
        // Those that it still said before the signal count as well.
        acknowledged.extend(std::iter::from_fn(next));
        child.wait().unwrap();

        let store = open(&path);
        for number in &acknowledged {
            for side in ["a", "b"] {
                let item = store.get(&key(&format!("{side}{number:06}"))).await.unwrap();
                assert_eq!(item.unwrap().document, json!(number));
            }
        }
        // The one that was under way is there whole or not at all.
        let last = acknowledged.len();
        let [a, b] = ["a", "b"].map(|side| key(&format!("{side}{last:06}")));
        assert_eq!(store.get(&a).await.unwrap().is_some(), store.get(&b).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn reads_do_not_wait_for_a_writer() {
    let (_directory, path) = directory();
    let store = Arc::new(open(&path));
    store.commit(&[put("a", 1, Expect::Any)]).await.unwrap();
    // Another process that holds the write lock stands for a commit that takes long.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let commit = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.commit(&[put("a", 2, Expect::Any)]).await }
    });
    let at = key("a");
    for _ in 0..100 {
        let read = tokio::time::timeout(Duration::from_secs(2), store.get(&at));
        let item = read.await.expect("a read waits").unwrap().unwrap();
        assert_eq!(item.document, json!(1));
    }
    assert!(!commit.is_finished());
    other.execute_batch("ROLLBACK").unwrap();
    commit.await.unwrap().unwrap();
    let item = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!(item.document, json!(2));
}

#[tokio::test]
async fn stores_on_one_file_see_and_exclude_each_other() {
    let (_directory, path) = directory();
    let stores = [open(&path), open(&path)];
    for round in 0..50 {
        let sort = format!("{round:02}");
        let attempts = [0, 1].map(|side| [put(&sort, side, Expect::Absent)]);
        let (first, second) =
            tokio::join!(stores[0].commit(&attempts[0]), stores[1].commit(&attempts[1]));
        let winner = match (first, second) {
            (Ok(_), Err(StoreError::Conflict(_))) => 0,
            (Err(StoreError::Conflict(_)), Ok(_)) => 1,
            other => panic!("{other:?}"),
        };
        for store in &stores {
            let item = store.get(&key(&sort)).await.unwrap().unwrap();
            assert_eq!(item.document, json!(winner));
        }
    }
}
