//! The demand in a store, as routers and agents write it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_conformance::demand::{Callers, Fixture};
use diogenes_core::entity::{Entity, StoreExt as _};
use diogenes_core::fleet::{
    Beat, BeatStatus, ClaimId, HeldCounter, Load, Slot, StoredDemand, UseStamp,
};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock as _, Expect, StateStore};
use diogenes_core::testing::{ManualClock, MemoryStore, UnavailableStore};

use super::ready_slot;

const BASE_URL: &str = "http://10.0.0.7:8000";

async fn stored() -> Fixture {
    let clock = Arc::new(ManualClock::default());
    let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
    let source = StoredDemand::new(store.clone(), clock.clone());
    let unreadable = StoredDemand::new(Arc::new(UnavailableStore), clock.clone());
    let writers = Writers {
        held: HeldCounter::new(store.clone()),
        store,
        clock: clock.clone(),
        running: Mutex::default(),
    };
    Fixture::new(Arc::new(source), clock, writers).or_unreadable(Arc::new(unreadable))
}

diogenes_conformance::demand_suite!(stored);

/// The routers of a model, and the agents beside its replicas.
struct Writers {
    held: HeldCounter,
    store: Arc<dyn StateStore>,
    clock: Arc<ManualClock>,
    running: Mutex<BTreeMap<ModelName, BTreeMap<ClaimId, u32>>>,
}

impl Writers {
    async fn save(&self, record: impl Entity) {
        self.store.save(record, Expect::Any).await.unwrap();
    }

    async fn stamp(&self, model: &ModelName, claim: Option<&ClaimId>) {
        let at = self.clock.now();
        self.save(UseStamp { model: model.clone(), claim: claim.cloned(), at }).await;
    }

    /// The agent tells of one request more or fewer.
    async fn beat(&self, model: &ModelName, claim: &ClaimId, change: i32) {
        let running = {
            let mut running = self.running.lock().unwrap();
            let of_claim = running.entry(model.clone()).or_default().entry(claim.clone());
            let count = of_claim.or_default();
            *count = count.checked_add_signed(change).unwrap();
            *count
        };
        let now = self.clock.now();
        self.save(Beat {
            claim: claim.clone(),
            instance: None,
            status: BeatStatus::Ready { base_url: BASE_URL.into() },
            load: Load { running, waiting: 0 },
            log_tail: Vec::new(),
            log_end: 0,
            at: now,
            expires_at: now + Duration::from_hours(1),
        })
        .await;
    }
}

#[async_trait]
impl Callers for Writers {
    async fn arrive(&self, model: &ModelName) {
        assert!(self.held.enter(model, None, 100, self.clock.now()).await.unwrap());
        self.stamp(model, None).await;
    }

    async fn give_up(&self, model: &ModelName) {
        self.held.leave(model, None, self.clock.now()).await.unwrap();
    }

    async fn ready(&self, model: &ModelName, claim: &ClaimId) {
        let now = self.clock.now();
        let index = self.running.lock().unwrap().get(model).map_or(0, BTreeMap::len);
        self.save(ready_slot(model, index, claim, BASE_URL.into(), now)).await;
        self.beat(model, claim, 0).await;
    }

    async fn begin(&self, model: &ModelName, claim: &ClaimId) {
        self.beat(model, claim, 1).await;
        self.stamp(model, Some(claim)).await;
    }

    async fn go_on(&self, model: &ModelName, claim: &ClaimId) {
        self.stamp(model, Some(claim)).await;
    }

    async fn end(&self, model: &ModelName, claim: &ClaimId) {
        self.beat(model, claim, -1).await;
        self.stamp(model, Some(claim)).await;
    }

    async fn lose_all(&self, model: &ModelName) {
        self.running.lock().unwrap().remove(model);
        for slot in self.store.load_all::<Slot>(Slot::all_of(model)).await.unwrap() {
            let beat = Beat::key_of(&slot.value.claim);
            self.store.remove(slot.value.key(), Expect::Any).await.unwrap();
            self.store.remove(beat, Expect::Any).await.unwrap();
        }
    }
}
