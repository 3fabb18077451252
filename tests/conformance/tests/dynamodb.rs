//! The DynamoDB store, on `dynoxide`, or on the endpoint in `DIOGENES_CONFORMANCE_DYNAMODB`.
#![expect(clippy::unwrap_used, reason = "the fixture of a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use diogenes_backends::aws::dynamodb::{DynamoStore, create_table};
use diogenes_conformance::dynoxide;
use diogenes_conformance::state_store::Fixture;
use diogenes_core::Timestamp;
use diogenes_core::testing::ManualClock;

/// The URL of another emulator to run the suite on.
const ENDPOINT: &str = "DIOGENES_CONFORMANCE_DYNAMODB";

fn client() -> Client {
    let endpoint = std::env::var(ENDPOINT).unwrap_or_else(|_| dynoxide::endpoint().to_owned());
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "conformance"))
            .build(),
    )
}

async fn dynamodb() -> Fixture {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let table = format!(
        "conformance-{}-{}-{}",
        since_1970.as_nanos(),
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let client = client();
    create_table(&client, &table).await.unwrap();
    // Ahead of the world's clock, by which an emulator deletes what has expired.
    let clock = Timestamp::try_from(SystemTime::now() + Duration::from_hours(1)).unwrap();
    let clock = Arc::new(ManualClock::new(clock));
    let store = DynamoStore::new(client, &*table, clock.clone());
    Fixture::new(Arc::new(store), clock).keeping(Table(table))
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
