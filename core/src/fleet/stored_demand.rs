use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::entity::{StoreExt, Stored};
use crate::fleet::eta::since;
use crate::fleet::{Beat, HeldCounter, Slot, SlotState, UseStamp};
use crate::name::ModelName;
use crate::ports::{Clock, Demand, DemandSource, Query, ReplicaDemand, StateStore, StoreError};

/// A waiting request stamps at least this often, or it does not count.
const WAITING: Duration = Duration::from_mins(2);
/// What an agent says of its load counts for so long after a router's last stamp. Routers stamp all
/// along a request, so a load that none of them stands for is none of theirs: an agent's word alone
/// keeps no instance alive.
const VOUCHED: Duration = Duration::from_mins(5);

/// The demand as routers and agents write it to the store: use stamps, the load in beats, and
/// the counter of held requests.
pub struct StoredDemand {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    held: HeldCounter,
}

impl StoredDemand {
    /// The demand that stands in `store`.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        let held = HeldCounter::new(store.clone());
        Self { store, clock, held }
    }

    /// What stands beside the model: its slots, and stamps of version 0.1.0. One listing reads
    /// both.
    async fn slots_and_older_stamps(
        &self,
        model: &ModelName,
    ) -> Result<(Vec<Stored<Slot>>, Vec<Stored<UseStamp>>), StoreError> {
        let (mut slots, mut stamps) = (Vec::new(), Vec::new());
        let mut query = Query { sort_prefix: "S".into(), ..Slot::all_of(model) };
        loop {
            let page = self.store.list(&query).await?;
            for item in page.items {
                if UseStamp::is_at(&item.key) {
                    stamps.push(Stored::from_item(item)?);
                } else if Slot::is_at(&item.key) {
                    slots.push(Stored::from_item(item)?);
                }
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok((slots, stamps)),
            }
        }
    }
}

#[async_trait]
impl DemandSource for StoredDemand {
    async fn demand(&self, model: &ModelName) -> Result<Demand, StoreError> {
        let mut demand = Demand::default();
        let (slots, older) = self.slots_and_older_stamps(model).await?;
        let stamps = self.store.load_all::<UseStamp>(UseStamp::all_of(model)).await?;
        for stamp in older.into_iter().chain(stamps) {
            let UseStamp { claim, at, .. } = stamp.value;
            demand.last_request_at = demand.last_request_at.max(Some(at));
            if let Some(claim) = claim {
                let last_used_at = &mut demand.replicas.entry(claim).or_default().last_used_at;
                *last_used_at = (*last_used_at).max(Some(at));
            } else {
                demand.last_arrival_at = demand.last_arrival_at.max(Some(at));
            }
        }
        let now = self.clock.now();
        for slot in slots {
            let serves =
                matches!(slot.value.state, SlotState::Ready { .. } | SlotState::Draining { .. });
            let claim = slot.value.claim;
            let last_used_at = demand.replicas.get(&claim).and_then(|of_it| of_it.last_used_at);
            let vouched = last_used_at.is_some_and(|at| since(at, now) < VOUCHED);
            if !serves || !vouched {
                continue;
            }
            if let Some(beat) = self.store.load::<Beat>(&Beat::key_of(&claim)).await? {
                let entry: &mut ReplicaDemand = demand.replicas.entry(claim).or_default();
                entry.running = beat.value.load.running;
                entry.waiting = beat.value.load.waiting;
            }
        }
        // Reading a counter costs a write, so an idle model's is left alone.
        let asked = demand.last_request_at.is_some_and(|at| since(at, now) < WAITING);
        if asked {
            demand.held = self.held.count(model, now).await?;
        }
        Ok(demand)
    }
}
