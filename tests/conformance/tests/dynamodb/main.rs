//! The DynamoDB store, on `dynoxide`, or on the endpoint in `DIOGENES_CONFORMANCE_DYNAMODB`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "fixtures are not test functions")]

mod lost_answers;
mod names;
mod older_records;
mod pages;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Config, Credentials, Region};
use diogenes_backends::aws::dynamodb::{DynamoStore, create_table};
use diogenes_conformance::dynoxide;
use diogenes_conformance::state_store::Fixture;
use diogenes_core::Timestamp;
use diogenes_core::testing::ManualClock;

/// The URL of another emulator to run the suite on.
const ENDPOINT: &str = "DIOGENES_CONFORMANCE_DYNAMODB";

fn client() -> Client {
    Client::from_conf(config().build())
}

fn config() -> Builder {
    let endpoint = std::env::var(ENDPOINT).unwrap_or_else(|_| dynoxide::endpoint().to_owned());
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "conformance"))
}

/// A name that no other table has.
fn table_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("conformance-{nanoseconds}-{}-{count}", std::process::id())
}

/// A clock ahead of the world's, by which an emulator deletes what has expired.
fn clock() -> Arc<ManualClock> {
    let now = Timestamp::try_from(SystemTime::now() + Duration::from_hours(1)).unwrap();
    Arc::new(ManualClock::new(now))
}

async fn dynamodb() -> Fixture {
    let (store, clock, table) = store().await;
    Fixture::new(store, clock).keeping(table)
}

/// A store in a new table.
async fn store() -> (Arc<DynamoStore>, Arc<ManualClock>, Table) {
    let table = Table(table_name());
    let client = client();
    create_table(&client, &table.0).await.unwrap();
    let clock = clock();
    (Arc::new(DynamoStore::new(client, &*table.0, clock.clone())), clock, table)
}

/// Deletes its table when the check is over, if the emulator outlives the checks.
struct Table(String);

impl Drop for Table {
    fn drop(&mut self) {
        if std::env::var_os(ENDPOINT).is_none() {
            return;
        }
        let table = self.0.clone();
        let delete = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(client().delete_table().table_name(table).send()).unwrap();
        };
        // A runtime of its own: that of the check is ending.
        let deleted = std::thread::spawn(delete).join();
        assert!(deleted.is_ok() || std::thread::panicking(), "the table was not deleted");
    }
}

diogenes_conformance::state_store_suite!(dynamodb);

mod ledger {
    use diogenes_conformance::ledger::Fixture;

    async fn dynamodb() -> Fixture {
        let (store, clock, table) = super::store().await;
        Fixture::new(store, clock).remote().keeping(table)
    }

    diogenes_conformance::ledger_suite!(dynamodb);
}

mod limiter {
    use std::sync::Arc;

    use diogenes_conformance::limiter::Fixture;
    use diogenes_core::keys::StoreLimiter;

    async fn dynamodb() -> Fixture {
        let (store, clock, table) = super::store().await;
        Fixture::new(Arc::new(StoreLimiter::new(store)), clock, false).keeping(table)
    }

    diogenes_conformance::limiter_suite!(dynamodb);
}
