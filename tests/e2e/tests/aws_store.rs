//! The suite of the StateStore on the DynamoDB of the emulated AWS, which is another one than the
//! `dynoxide` of the conformance tests where LocalStack is a released one.
#![expect(clippy::unwrap_used, reason = "fixtures are not test functions")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use diogenes_backends::aws::dynamodb::{DynamoStore, create_table};
use diogenes_conformance::state_store::Fixture;
use diogenes_core::Timestamp;
use diogenes_core::testing::{ManualClock, MemoryStore};
use diogenes_e2e::aws::emulator::Emulator;

async fn emulated() -> Fixture {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Ahead of the world's, by which an emulator deletes what has expired.
    let now = Timestamp::try_from(SystemTime::now() + Duration::from_hours(1)).unwrap();
    let clock = Arc::new(ManualClock::new(now));
    if diogenes_e2e::aws::skipped() {
        // A check needs some store.
        return Fixture::new(Arc::new(MemoryStore::new(clock.clone())), clock);
    }
    let emulator = Emulator::shared().await;
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(emulator.endpoint())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "conformance"));
    let client = Client::from_conf(config.build());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let table = format!("conformance-{}-{number}", std::process::id());
    create_table(&client, &table).await.unwrap();
    Fixture::new(Arc::new(DynamoStore::new(client, table, clock.clone())), clock)
}

diogenes_conformance::state_store_suite!(emulated);
