//! One task per instance: notices its end, ends it when asked, and runs its reporter.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::fleet::{BeatStatus, ClaimId, InstanceId};
use diogenes_core::ports::Exit;
use rustix::process::Signal;
use tokio::process::Child;
use tokio::time::sleep;

use super::Shared;
use super::identity::{Identity, tagged};
use super::record::RunRecord;
use super::reporter::Reporter;
use super::table::{Stop, id_of, lock};
use crate::engine::exit;

/// How often a group is killed again while it does not end: a member may have forked meanwhile.
const AGAIN: Duration = Duration::from_secs(1);

/// Looks after one instance.
struct Supervisor {
    shared: Arc<Shared>,
    record: RunRecord,
    identity: Identity,
    stop: Arc<Stop>,
}

impl Shared {
    /// Looks after the instance of `record` from here on. `child` is its leader, where that is
    /// a child of ours: only then its exit code can be known.
    pub(super) fn supervise(
        self: &Arc<Self>,
        record: RunRecord,
        identity: Identity,
        child: Option<Child>,
    ) {
        let mut table = lock(&self.table);
        let stays = !table.closed;
        let Some(entry) = table.instances.get_mut(&id_of(&record.claim)) else {
            return;
        };
        entry.record = record.clone();
        let supervisor = Supervisor {
            shared: Arc::clone(self),
            record,
            identity,
            stop: Arc::clone(&entry.stop),
        };
        if stays || entry.asked {
            entry.task = Some(tokio::spawn(supervisor.run(child)).abort_handle());
        }
    }

    /// Kills what carries the tags of a claim whose group has ended: a process that left the
    /// group may still hold the GPU.
    pub(super) fn sweep(&self, claim: &ClaimId) {
        let _no_launch = lock(&self.launching);
        let again =
            lock(&self.table).instances.get(&id_of(claim)).is_some_and(|entry| !entry.has_ended());
        if again {
            return;
        }
        for stray in tagged(&self.settings.deployment) {
            if stray.claim == claim.as_str() {
                tracing::warn!(
                    claim = %claim, pid = stray.pid,
                    "process {} outlived the group of its instance and is killed", stray.pid
                );
                stray.signal(Signal::KILL);
            }
        }
    }

    /// Removes the record of an instance that was forgotten, unless its claim was launched again.
    pub(super) fn remove_record(&self, claim: &ClaimId) {
        let _no_launch = lock(&self.launching);
        if lock(&self.table).instances.contains_key(&id_of(claim)) {
            return;
        }
        if let Err(error) = self.run.remove(claim) {
            tracing::warn!(
                claim = %claim, error = &error as &dyn std::error::Error,
                "the run record of claim {claim} could not be removed"
            );
        }
    }
}

impl Supervisor {
    async fn run(self, child: Option<Child>) {
        let adopted = child.is_none();
        let reporter = Reporter::new(Arc::clone(&self.shared), &self.record);
        let reporting = async {
            tokio::select! {
                // What ends is not reported: its health says nothing any more.
                () = self.stop.requested() => std::future::pending().await,
                never = reporter.run(adopted) => never,
            }
        };
        let exit = tokio::select! {
            exit = self.gone(child) => exit,
            never = self.end_when_asked() => match never {},
            never = reporting => match never {},
        };
        self.finish(exit).await;
    }

    /// Returns once the last of the group has ended, with the exit of its leader.
    async fn gone(&self, child: Option<Child>) -> Option<Exit> {
        let exit = match child {
            Some(mut child) => match child.wait().await {
                Ok(status) => Some(exit::of(status)),
                Err(error) => {
                    tracing::warn!(
                        claim = %self.record.claim, error = &error as &dyn std::error::Error,
                        "a child could not be waited for"
                    );
                    None
                }
            },
            None => None,
        };
        self.identity.leader_ended().await;
        let exit = exit.or_else(|| self.record.exit.clone());
        if self.identity.group_is_empty() {
            return exit;
        }
        if exit != self.record.exit {
            let record = RunRecord { exit: exit.clone(), ..self.record.clone() };
            self.persist(record).await;
        }
        if exit.as_ref().is_some_and(|exit| *exit != Exit::Code(0)) {
            // A leader that ends well has handed over to the rest; one that fails has not, and
            // what is left of it only holds memory.
            self.stop.request();
        }
        self.identity.group_ended().await;
        exit
    }

    /// Waits until the instance shall end, and sees to it that it does.
    async fn end_when_asked(&self) -> Infallible {
        self.stop.requested().await;
        self.signal(Signal::TERM).await;
        sleep(self.shared.settings.kill_grace).await;
        loop {
            self.signal(Signal::KILL).await;
            sleep(AGAIN).await;
        }
    }

    async fn signal(&self, signal: Signal) {
        let identity = self.identity.clone();
        // It may have to look through all processes. A panic there is none of ours.
        let _ = tokio::task::spawn_blocking(move || identity.signal(signal)).await;
    }

    /// Records the end and tells everybody.
    async fn finish(self, exit: Option<Exit>) {
        let Self { shared, record, .. } = &self;
        let id = id_of(&record.claim);
        let ended =
            RunRecord { exit: exit.clone(), ended_at: Some(shared.clock.now()), ..record.clone() };
        if !self.is_asked(&id) {
            self.persist(ended.clone()).await;
        }
        let asked = {
            let mut table = lock(&shared.table);
            let asked = table.instances.get(&id).is_none_or(|entry| entry.asked);
            if asked {
                table.forget(&id);
            } else if let Some(entry) = table.instances.get_mut(&id) {
                entry.record = ended;
            }
            asked
        };
        shared.ended.notify_waiters();
        let reason = exit::reason(exit.as_ref());
        tracing::info!(
            model = %record.model, claim = %record.claim,
            "{reason}: process {} of `{}`", self.identity.pid, record.model
        );
        if !asked {
            let status = BeatStatus::Unhealthy { reason };
            shared.try_report(&record.model, &record.claim, status).await;
        }
        shared.reconcile(&record.model).await;
        let (shared, claim) = (Arc::clone(shared), record.claim.clone());
        let _ = tokio::task::spawn_blocking(move || {
            if asked {
                shared.remove_record(&claim);
            }
            shared.sweep(&claim);
        })
        .await;
    }

    fn is_asked(&self, id: &InstanceId) -> bool {
        let table = lock(&self.shared.table);
        table.instances.get(id).is_none_or(|entry| entry.asked)
    }

    /// Writes the record. Without it, a restart finds no process and takes it for ended.
    async fn persist(&self, record: RunRecord) {
        let shared = Arc::clone(&self.shared);
        let written = tokio::task::spawn_blocking(move || shared.run.write(&record)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(
                claim = %self.record.claim, error = &error as &dyn std::error::Error,
                "the end of an instance could not be recorded"
            );
        }
    }
}
