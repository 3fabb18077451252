//! The inference server: a child process in a group of its own.

mod forward;
mod http;
mod load;
mod tail;
mod user;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use diogenes_backends::engine::exit;
use diogenes_backends::engine::start::{Unstartable, start};
use diogenes_core::fleet::{self, Phase, Secrets};
use diogenes_core::ports::Exit;
use diogenes_core::secret::Secret;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use forward::Forward;
pub(crate) use http::{Client, Unanswered};
pub(crate) use load::{Meter, Metrics};
pub(crate) use tail::Log;
use user::User;

/// How long the output of a server that has ended is read on; a descendant may hold it open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often a group that shall end is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a killed process may take to go: one that waits for a GPU driver can take long, and
/// the end of the machine must not wait for it.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// Text that several tasks see.
pub(crate) type Shared<T> = Arc<Mutex<T>>;

/// Locks what is whole after every statement, so that a panic elsewhere leaves nothing torn.
pub(crate) fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running inference server.
pub(crate) struct Server {
    child: Child,
    group: Option<Pid>,
    output: JoinHandle<()>,
}

impl Server {
    /// Starts `engine` on `listen`, as the account `user` if one is given. Its output goes to `log`
    /// and through `forward`, every phase that it announces to `announce`.
    pub(crate) fn start(
        engine: &fleet::Engine,
        listen: SocketAddr,
        user: Option<&str>,
        (key, secrets): (&Secret, &Secrets),
        log: Shared<Log>,
        forward: Forward,
        announce: impl Fn(Phase) + Send + 'static,
    ) -> Result<Self, Unstartable> {
        // One pipe for both streams keeps their order.
        let (output, written) = io::pipe()?;
        let child = start(engine, listen, key, secrets, |command| {
            command.stderr(written.try_clone()?).stdout(written);
            if let Some(user) = user.map(User::named).transpose()? {
                // Of root's groups it keeps none.
                command.uid(user.uid).gid(user.gid);
            }
            Ok(())
        })?;
        let output = Receiver::from_owned_fd(OwnedFd::from(output))?;
        let group = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(group) = group {
            expose_to_the_oom_killer(group);
        }
        let output = tokio::spawn(read(output, log, forward, announce));
        Ok(Self { child, group, output })
    }

    /// Returns once the server has ended and its last words are read. What is left of its group
    /// is killed: it only holds memory.
    pub(crate) async fn ended(&mut self) -> Option<Exit> {
        let exit = self.exit().await;
        self.signal(Signal::KILL);
        // The rest of what was written; a descendant outside the group may hold the pipe open.
        let _ = timeout(LAST_WORDS, &mut self.output).await;
        exit
    }

    /// Ends the server and its group: asks, waits for `grace`, kills.
    pub(crate) async fn stop(mut self, grace: Duration) -> Option<Exit> {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        let exit = timeout(grace, self.exit()).await.unwrap_or_default();
        while !self.group_is_empty() && asked.elapsed() < grace {
            sleep(LOOK).await;
        }
        self.signal(Signal::KILL);
        let exit = match exit {
            Some(exit) => Some(exit),
            None => timeout(AFTER_KILL, self.exit()).await.ok().flatten(),
        };
        let _ = timeout(LAST_WORDS, &mut self.output).await;
        exit
    }

    async fn exit(&mut self) -> Option<Exit> {
        match self.child.wait().await {
            Ok(status) => Some(exit::of(status)),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the inference server could not be waited for"
                );
                None
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group that is gone needs no signal.
            let _ = kill_process_group(group, signal);
        }
    }

    fn group_is_empty(&self) -> bool {
        self.group.is_none_or(|group| test_kill_process_group(group).is_err())
    }
}

/// The unit protects the agent from the kernel's OOM killer, and a child inherits that: without
/// this the server that took all memory would be the last one to go. Failure costs only that.
fn expose_to_the_oom_killer(process: Pid) {
    let path = format!("/proc/{}/oom_score_adj", process.as_raw_nonzero());
    let _ = std::fs::write(path, "500");
}

/// Reads the output to its end.
async fn read(
    mut output: Receiver,
    log: Shared<Log>,
    forward: Forward,
    announce: impl Fn(Phase) + Send + 'static,
) {
    let mut chunk = vec![0; 16 * 1024];
    loop {
        match output.read(&mut chunk).await {
            Ok(0) => break,
            Ok(length) => {
                let fresh = chunk.get(..length).unwrap_or_default();
                forward.send(fresh);
                let reached = lock(&log).push(fresh);
                reached.into_iter().for_each(&announce);
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the output of the inference server could not be read on"
                );
                break;
            }
        }
    }
    let reached = lock(&log).close();
    reached.into_iter().for_each(&announce);
}
