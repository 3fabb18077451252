use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getppid, kill_process_group,
    set_parent_process_death_signal, waitid,
};
use tokio::sync::watch;

use super::logs::Log;

/// A program that runs for a test, the leader of a process group of its own.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    /// Whether the pid is still ours. Held while signalling: a pid is free once it is waited for.
    alive: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<String>>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Process {
    /// Starts a program, whose output goes to `log`. When this process ends, in whatever way, it
    /// gets the signal `orphaned`.
    pub(super) fn start(mut command: Command, log: Log, orphaned: Signal) -> io::Result<Self> {
        let (output, input) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input).process_group(0);
        signal_with_parent(&mut command, orphaned);
        let alive = Arc::new(Mutex::new(true));
        let (exited, exit) = watch::channel(None);
        let (started, start) = mpsc::sync_channel(1);
        let life = alive.clone();
        // The signal of a parent's death is that of the *thread* which has spawned: this one
        // lives as long as the process does.
        let keeper = thread::spawn(move || {
            let child = command.spawn();
            // It holds the writing ends of the pipe.
            drop(command);
            match child {
                Ok(child) => {
                    let _ = started.send(Ok(Pid::from_child(&child)));
                    log.read(output);
                    let _ = exited.send(Some(describe(reap(child, &life))));
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        });
        let pid = start.recv().map_err(io::Error::other)??;
        Ok(Self { pid, alive, exit, keeper: Mutex::new(Some(keeper)) })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it still runs, or is stopped.
    pub(super) fn is_alive(&self) -> bool {
        *self.alive.lock().unwrap()
    }

    /// Sends a signal to its group, unless it has gone.
    pub(super) fn signal(&self, signal: Signal) {
        let alive = self.alive.lock().unwrap();
        if *alive {
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Waits for its end and says how it ended, in Lambda's words.
    pub(super) async fn exited(&self) -> String {
        let mut exit = self.exit.clone();
        let end = exit.wait_for(Option::is_some).await;
        end.ok().and_then(|end| end.clone()).unwrap_or_default()
    }

    /// Kills it and waits until it has gone.
    pub(super) fn end(&self) {
        self.signal(Signal::KILL);
        if let Some(keeper) = self.keeper.lock().unwrap().take() {
            let _ = keeper.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits for the end. The pid stays taken until nobody can signal it any more.
fn reap(mut child: Child, alive: &Mutex<bool>) -> Option<ExitStatus> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(Pid::from_child(&child)), options)
        .is_err_and(|error| error == rustix::io::Errno::INTR)
    {}
    let mut alive = alive.lock().unwrap();
    *alive = false;
    child.wait().ok()
}

/// How Lambda words the end of a runtime.
fn describe(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.code(), status.signal())) {
        Some((Some(0), _)) | None => "Runtime exited without providing a reason".to_owned(),
        Some((Some(code), _)) => format!("Runtime exited with error: exit status {code}"),
        Some((None, Some(signal))) => {
            let name = if signal == Signal::KILL.as_raw() { "killed" } else { "terminated" };
            format!("Runtime exited with error: signal: {name}")
        }
        Some((None, None)) => "Runtime exited with error".to_owned(),
    }
}

/// Sends the child this signal when the thread that spawns it ends.
#[expect(unsafe_code, reason = "there is no safe way to act between fork and exec")]
fn signal_with_parent(command: &mut Command, signal: Signal) {
    let parent = std::process::id();
    let act = move || {
        set_parent_process_death_signal(Some(signal))?;
        // The parent may have ended before the line above.
        let still =
            getppid().is_some_and(|pid| pid.as_raw_nonzero().get().unsigned_abs() == parent);
        if still { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: between fork and exec only two system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(act) };
}
