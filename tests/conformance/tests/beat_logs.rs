//! The logs that agents carry in their beats.
#![expect(clippy::unwrap_used, reason = "the fixture of a test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_conformance::logs::{Fixture, Servers};
use diogenes_conformance::slots::slot;
use diogenes_core::entity::{Entity, StoreExt as _};
use diogenes_core::fleet::{Beat, BeatLogs, BeatStatus, ClaimId, Load, Phase, SlotState};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock as _, Expect, StateStore};
use diogenes_core::testing::{ManualClock, MemoryStore};

async fn beats() -> Fixture {
    let clock = Arc::new(ManualClock::default());
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
    let source = Arc::new(BeatLogs::new(store.clone()));
    Fixture::new(source, Agents { store, clock, logs: Mutex::default() })
}

diogenes_conformance::logs_suite!(beats);

/// The agents beside the servers, with what those have printed.
struct Agents {
    store: Arc<dyn StateStore>,
    clock: Arc<ManualClock>,
    logs: Mutex<BTreeMap<ClaimId, String>>,
}

impl Agents {
    async fn save(&self, record: impl Entity) {
        self.store.save(record, Expect::Any).await.unwrap();
    }

    async fn beat(&self, claim: &ClaimId, printed: &str) {
        let log = {
            let mut logs = self.logs.lock().unwrap();
            let log = logs.entry(claim.clone()).or_default();
            log.push_str(printed);
            log.clone()
        };
        let now = self.clock.now();
        self.save(Beat {
            claim: claim.clone(),
            instance: None,
            status: BeatStatus::Booting { phase: Phase::Boot },
            load: Load::default(),
            log_tail: log.lines().map(str::to_owned).collect(),
            log_end: log.len() as u64,
            at: now,
            expires_at: now + Duration::from_hours(1),
        })
        .await;
    }
}

#[async_trait]
impl Servers for Agents {
    async fn start(&self, model: &ModelName, claim: &ClaimId) {
        let now = self.clock.now();
        let index = self.logs.lock().unwrap().len();
        self.save(slot(model, index, claim, SlotState::Launching, now)).await;
        self.beat(claim, "").await;
        self.clock.advance(Duration::from_secs(1));
    }

    async fn print(&self, _: &ModelName, claim: &ClaimId, lines: &[u8]) {
        self.beat(claim, &String::from_utf8_lossy(lines)).await;
    }
}
