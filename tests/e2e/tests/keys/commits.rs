//! What requests write to the database of `serve`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

use std::path::Path;
use std::time::Instant;

use diogenes_e2e::{Config, Model, Serve, eventually};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

/// How often `serve` writes what was used, in seconds.
const FLUSH_SECONDS: u64 = 5;

/// Watches the database from another process.
struct Commits {
    database: Connection,
    last: i64,
}

impl Commits {
    fn of(data_dir: &Path) -> Self {
        let path = data_dir.join("state.db");
        let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut commits = Self { database, last: 0 };
        commits.happened();
        commits
    }

    /// Whether anything was committed since the last look.
    fn happened(&mut self) -> bool {
        let query = "PRAGMA data_version";
        let now = self.database.query_row(query, [], |row| row.get(0)).unwrap();
        std::mem::replace(&mut self.last, now) != now
    }
}

#[tokio::test]
async fn a_key_without_limits_or_budgets_costs_no_write() {
    const REQUESTS: u64 = 50;
    let serve = Serve::start(Config::with([Model::mock("demo", &["--tokens", "3"])])).await;
    let admin = serve.client();
    admin.scale("demo", "up").await;
    admin.until("demo", "ready").await;
    let mut commits = Commits::of(&serve.data_dir());
    let (_, key) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    assert!(commits.happened(), "a new key is committed");
    let client = serve.client_with(&key);

    let began = Instant::now();
    let mut written = 0;
    for turn in 0..REQUESTS {
        if turn % 2 == 0 {
            assert_eq!(client.chat("demo").await.status, 200);
        } else {
            assert!(!client.chat_stream("demo").await.all().await.is_empty());
        }
        written += u64::from(commits.happened());
    }
    // By its timer, and once for the replica, which has just become ready.
    let seconds = began.elapsed().as_secs();
    let by_the_timer = 1 + seconds / FLUSH_SECONDS;
    assert!(written <= by_the_timer + 1, "{written} of {REQUESTS} wrote in {seconds} s");

    eventually("usage is written, all at once", async || {
        let report = admin.get("/api/v1/usage?by=model").await.json();
        let usage = report["total"]["requests"].as_u64();
        if usage == Some(REQUESTS) { Ok(()) } else { Err(usage) }
    })
    .await;
}
