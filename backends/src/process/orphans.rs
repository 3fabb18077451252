//! Processes that carry our tags and that no record knows: their record was lost, or they left
//! the group of an instance that has ended. The fleet sees them and ends them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::fleet::{ClaimId, InstanceId};
use rustix::process::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::identity::{Tagged, tagged};
use super::orphan::Orphan;
use super::table::{id_of, lock};

/// How often an orphan that was asked to end is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How often orphans and old records are looked for.
const LOOK_AROUND: Duration = Duration::from_secs(30);

impl Shared {
    /// Looks for orphans and old records now and then, for ever.
    pub(super) async fn look_around(self: Arc<Self>) {
        loop {
            sleep(LOOK_AROUND).await;
            let shared = Arc::clone(&self);
            let looked = spawn_blocking(move || {
                shared.find_orphans();
                shared.forget_the_old();
            });
            if looked.await.is_err() {
                return;
            }
        }
    }

    /// Looks for orphans anew. Takes some milliseconds; for a thread that may block.
    pub(super) fn find_orphans(&self) {
        let mut found: BTreeMap<InstanceId, Vec<Tagged>> = BTreeMap::new();
        for process in tagged(&self.settings.deployment) {
            let id = id_of(&ClaimId::new(&*process.claim));
            found.entry(id).or_default().push(process);
        }
        let mut table = lock(&self.table);
        // A record may have come or gone, and a process ended, since the look.
        found.retain(|id, processes| {
            processes.retain(Tagged::lives);
            !processes.is_empty() && !table.instances.contains_key(id)
        });
        let before = std::mem::take(&mut table.orphans);
        table.orphans = found
            .into_iter()
            .map(|(id, processes)| {
                let stopping = before.get(&id).is_some_and(|orphan| orphan.stopping);
                if !before.contains_key(&id) {
                    tracing::warn!(
                        instance.id = %id, processes = processes.len(),
                        "processes of claim {id} run without a record"
                    );
                }
                let orphan = Orphan { processes, stopping };
                (id, orphan)
            })
            .collect();
    }

    /// Ends an orphan in the background, if `id` is one.
    pub(super) fn end_orphan(self: &Arc<Self>, id: &InstanceId) {
        let mut table = lock(&self.table);
        let Some(orphan) = table.orphans.get_mut(id) else {
            return;
        };
        if !std::mem::replace(&mut orphan.stopping, true) {
            let shared = Arc::clone(self);
            let id = id.clone();
            let ending = tokio::spawn(async move { shared.until_ended(&id).await });
            drop(table);
            let mut tasks = lock(&self.tasks);
            tasks.retain(|task| !task.is_finished());
            tasks.push(ending.abort_handle());
        }
    }

    async fn until_ended(self: &Arc<Self>, id: &InstanceId) {
        let began = Instant::now();
        let mut terminated: Vec<Tagged> = Vec::new();
        loop {
            let shared = Arc::clone(self);
            // One that it has started meanwhile is to end as well.
            if spawn_blocking(move || shared.find_orphans()).await.is_err() {
                return;
            }
            let processes = match lock(&self.table).orphans.get(id) {
                Some(orphan) => orphan.processes.clone(),
                None => break,
            };
            let over = began.elapsed() >= self.settings.kill_grace;
            for process in processes {
                if over {
                    process.signal(Signal::KILL);
                } else if !terminated.contains(&process) {
                    process.signal(Signal::TERM);
                    terminated.push(process);
                }
            }
            sleep(LOOK).await;
        }
        self.ended.notify_waiters();
        tracing::info!(instance.id = %id, "the processes of claim {id} without a record have ended");
    }
}
