//! The suite of Blobs on the S3 of the emulated AWS.
#![expect(clippy::unwrap_used, reason = "fixtures are not test functions")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diogenes_backends::blobs::{ObjectBlobs, S3Settings};
use diogenes_conformance::blobs::Fixture;
use diogenes_core::testing::MemoryBlobs;
use diogenes_e2e::aws::emulator::Emulator;
use diogenes_e2e::aws::front::{Front, REGION};

async fn emulated() -> Fixture {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    if diogenes_e2e::aws::skipped() {
        // A check needs some blobs.
        return Fixture::new(Arc::new(MemoryBlobs::default()));
    }
    let front = Front::start(Emulator::shared().await).await;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let bucket = format!("conformance-{}-{number}", std::process::id());
    front.create_bucket(&bucket).await;
    let settings = S3Settings {
        bucket,
        region: REGION.into(),
        access_key_id: "conformance".into(),
        secret_access_key: "not-checked".into(),
        session_token: None,
        endpoint: Some(front.endpoint().into()),
    };
    Fixture::new(Arc::new(ObjectBlobs::in_bucket(&settings).unwrap())).keeping(front)
}

diogenes_conformance::blobs_suite!(emulated);
