use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::fleet::{ClaimId, Progress};
use diogenes_core::ports::StoreError;

use super::{Admitted, FleetLink, Guard, Place, Room, Work};
use crate::proxy::entry::Entry;

/// How often a waiting request asks again for a reconcile, should a wake-up be lost.
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// A router in the process of the fleet's loop. The loop publishes what there is to know, and
/// reads the demand from the router's own counters.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::proxy) struct LocalFleet;

#[async_trait]
impl FleetLink for LocalFleet {
    async fn refresh(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn refresh_models(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn refresh_all(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn ask(&self, entry: &Entry) {
        entry.wake().await;
    }

    async fn enter(&self, entry: &Arc<Entry>, room: Room<'_>) -> Result<Admitted, StoreError> {
        Ok(match entry.seat(room.most, room.of_key) {
            Ok(seat) => Admitted::Place(Place { _seat: seat, _shared: None }),
            Err(limit) => Admitted::Full(limit),
        })
    }

    async fn look(&self, entry: &Entry, _: Timestamp) {
        entry.wake().await;
    }

    fn pause(&self, _: &Progress) -> Duration {
        ASK_AGAIN
    }

    fn in_use(&self, _: &Entry, _: &ClaimId) -> Option<Box<dyn Guard>> {
        None
    }

    fn later(&self, work: Work) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(work);
        }
    }

    async fn settle(&self) {}
}
