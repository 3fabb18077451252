//! Inference servers as child processes of `diogenes serve`.
//!
//! What is on disk, below the data directory:
//!
//! - `run/<claim>.json`: one record per instance, written before its spawn and completed with
//!   the process after it, so that a `serve` that was killed finds its children again. It holds
//!   the upstream key; only the owner may read it.
//! - `logs/<model>/<claim>.log`: the output of an instance; `/` in a model's name is `~` here
//!   and `:` is `=`.
//!
//! A child leads a process group of its own and carries `DIOGENES_DEPLOYMENT`, `DIOGENES_CLAIM`
//! and `DIOGENES_MODEL` in its environment. It is identified by pid, start time and boot; it
//! lives while any member of its group does.
//!
//! Beside the port this backend does what the agent does on an instance: it writes the beats.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "the feature `process` of diogenes-backends needs Linux: it tells processes apart by `/proc`"
);

mod identity;
mod launch;
mod logs;
mod orphan;
mod orphans;
mod proc;
mod record;
mod reporter;
mod rule;
mod settings;
mod spawn;
mod supervisor;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::fleet::{ClaimId, InstanceId, Phase};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{
    Clock, ComputeBackend, ComputeError, Instance, LaunchError, LaunchRequest, LogChunk, LogSource,
    StateStore, Wake,
};
use rustix::process::Signal;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;

pub use self::rule::RULE;
pub use self::settings::{OnShutdown, ProcessError, ProcessSettings};

use self::logs::Logs;
use self::record::RunDir;
use self::reporter::booting;
use self::table::{Answer, Table, lock};

/// How long a killed group may take to go at a shutdown whose time is over.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Runs inference servers as child processes; see the [module](self).
///
/// When it is dropped it stops looking after its instances; they run on.
pub struct ProcessBackend {
    shared: Arc<Shared>,
}

/// What the backend and its tasks share.
struct Shared {
    settings: ProcessSettings,
    store: Arc<dyn StateStore>,
    wake: Arc<dyn Wake>,
    clock: Arc<dyn Clock>,
    run: RunDir,
    logs: Logs,
    /// Held through a launch, and by whoever must not meet one. Taken before `table`.
    launching: Mutex<()>,
    table: Mutex<Table>,
    /// Tells that an instance has ended.
    ended: Notify,
    /// Tasks other than supervisors.
    tasks: Mutex<Vec<AbortHandle>>,
}

impl ProcessBackend {
    /// Opens the data directory and takes up the instances of an earlier `serve`. Only one may
    /// have it open; the caller sees to that.
    pub fn open(
        settings: ProcessSettings,
        store: Arc<dyn StateStore>,
        wake: Arc<dyn Wake>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, ProcessError> {
        Handle::try_current().map_err(|_| ProcessError::NoRuntime)?;
        let path = settings.data_dir.clone();
        let unusable = |source| ProcessError::DataDir { path: path.clone(), source };
        let shared = Arc::new(Shared {
            run: RunDir::open(&settings.data_dir).map_err(unusable)?,
            logs: Logs::open(&settings.data_dir).map_err(unusable)?,
            settings,
            store,
            wake,
            clock,
            launching: Mutex::default(),
            table: Mutex::default(),
            ended: Notify::new(),
            tasks: Mutex::default(),
        });
        let backend = Arc::new(Self { shared: Arc::clone(&shared) });
        shared.recover().map_err(unusable)?;
        let around = Arc::clone(&shared);
        let task = tokio::spawn(async move { around.look_around().await });
        lock(&shared.tasks).push(task.abort_handle());
        Ok(backend)
    }

    /// Ends the backend: it launches nothing more. With [`OnShutdown::Stop`] it ends its
    /// instances and returns once they are gone; those that are not after `limit` are killed.
    pub async fn shutdown(&self, mode: OnShutdown, limit: Duration) {
        let shared = &self.shared;
        let ids: Vec<InstanceId> = {
            let mut table = lock(&shared.table);
            table.closed = true;
            table.seen().into_iter().map(|seen| seen.id).collect()
        };
        if mode == OnShutdown::Stop {
            for id in &ids {
                shared.ask_to_end(id);
                shared.end_orphan(id);
            }
            if timeout(limit, shared.all_ended()).await.is_err() {
                let living: Vec<_> = lock(&shared.table)
                    .living()
                    .filter_map(|entry| entry.record.process.clone())
                    .collect();
                for process in living {
                    process.signal(Signal::KILL);
                }
                if timeout(LAST_WAIT, shared.all_ended()).await.is_err() {
                    tracing::warn!("some instances have not ended; the next start will find them");
                }
            }
        }
        shared.stop_tasks();
    }

    /// Where the instance of `claim` logs, if it has a log.
    pub fn log_path(&self, claim: &ClaimId) -> Option<PathBuf> {
        self.shared.logs.find(claim).ok().flatten()
    }
}

#[async_trait]
impl ComputeBackend for ProcessBackend {
    async fn launch(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError> {
        let answer = lock(&self.shared.table).answer(request)?;
        match answer {
            Answer::Known(id) => return Ok(id),
            Answer::Again => {
                // The beat of the instance before must not speak for this one.
                let status = booting(Phase::Boot);
                let (model, claim) = (&request.model, &request.claim);
                self.shared.try_report(model, claim, status).await;
            }
            Answer::Fresh => {}
        }
        let (shared, request) = (Arc::clone(&self.shared), request.clone());
        let launched = spawn_blocking(move || shared.launch(&request)).await;
        launched.unwrap_or_else(|error| Err(spawn::transient("the launch broke off", error.into())))
    }

    async fn describe(&self) -> Result<Vec<Instance>, ComputeError> {
        Ok(lock(&self.shared.table).seen())
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), ComputeError> {
        if let Some(forgotten) = self.shared.ask_to_end(id) {
            let shared = Arc::clone(&self.shared);
            // At worst the record stays, and is of an instance that has ended.
            let _ = spawn_blocking(move || shared.remove_record(&forgotten)).await;
        }
        self.shared.end_orphan(id);
        Ok(())
    }

    /// Zero: an instance is known before it runs.
    fn settle_time(&self) -> Duration {
        Duration::ZERO
    }
}

impl Shared {
    /// Has the supervisor of an instance end it, or forgets one that has ended; then its record
    /// is to be removed.
    fn ask_to_end(&self, id: &InstanceId) -> Option<ClaimId> {
        let mut table = lock(&self.table);
        let entry = table.instances.get_mut(id)?;
        if entry.has_ended() {
            let claim = entry.record.claim.clone();
            table.forget(id);
            return Some(claim);
        }
        entry.asked = true;
        entry.stop.request();
        None
    }

    async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let gone = {
                let table = lock(&self.table);
                table.living().next().is_none() && table.orphans.is_empty()
            };
            if gone {
                return;
            }
            ended.await;
        }
    }

    fn stop_tasks(&self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        for entry in lock(&self.table).instances.values_mut() {
            if let Some(task) = entry.task.take() {
                task.abort();
            }
        }
    }
}

impl Drop for ProcessBackend {
    fn drop(&mut self) {
        self.shared.stop_tasks();
    }
}

impl std::fmt::Debug for ProcessBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessBackend")
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl LogSource for ProcessBackend {
    async fn tail(&self, model: &ModelName, max_bytes: usize) -> io::Result<Option<LogChunk>> {
        let (logs, model) = (self.shared.logs.clone(), model.clone());
        spawn_blocking(move || logs.read_end(&model, max_bytes as u64)).await?
    }

    async fn read_from(
        &self,
        _: &ModelName,
        claim: &ClaimId,
        offset: u64,
        max_bytes: usize,
    ) -> io::Result<Option<LogChunk>> {
        let (logs, claim) = (self.shared.logs.clone(), claim.clone());
        spawn_blocking(move || logs.read_from(&claim, offset, max_bytes as u64)).await?
    }
}
