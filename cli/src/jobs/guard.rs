//! The hidden command that stands between a worker and a program of a job: the program ends with its
//! worker, however that ends.
//!
//! The worker holds the other end of this process's standard input. When that closes, the program's
//! group gets SIGTERM and, after a grace, SIGKILL. A kernel has nothing that does as much: a signal
//! at the parent's death (`prctl(2)`) reaches the child alone, and not what that has started.

use std::io::Read as _;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// The name of the command.
pub(crate) const COMMAND: &str = "run-guarded";
/// What shells answer for a program that cannot be started.
const NOT_STARTED: u8 = 127;

/// Run a program that ends when standard input closes.
#[derive(Debug, clap::Args)]
pub(crate) struct GuardArgs {
    /// How long the program may take to end after SIGTERM
    #[arg(long, value_parser = diogenes_core::duration::parse)]
    grace: Duration,
    /// The program and its arguments
    #[arg(required = true, last = true)]
    program: Vec<std::ffi::OsString>,
}

/// Runs the program to its end. Returns its exit code, or 128 and the number of the signal that has
/// ended it, as shells do.
#[expect(clippy::print_stderr, reason = "it is part of the program's output")]
pub(crate) async fn run(args: GuardArgs) -> std::io::Result<u8> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let Some((program, arguments)) = args.program.split_first() else { return Ok(NOT_STARTED) };
    let started = Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            eprintln!("`{}` could not be started: {error}", program.display());
            return Ok(NOT_STARTED);
        }
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let status = tokio::select! {
        status = child.wait() => status?,
        () = input_closed() => ended(&mut child, group, args.grace).await?,
        _ = terminate.recv() => ended(&mut child, group, args.grace).await?,
        _ = interrupt.recv() => ended(&mut child, group, args.grace).await?,
        _ = hang_up.recv() => ended(&mut child, group, args.grace).await?,
    };
    // What the program has left behind ends with it.
    send(group, Signal::KILL);
    Ok(code(status))
}

async fn ended(
    child: &mut Child,
    group: Option<Pid>,
    grace: Duration,
) -> std::io::Result<ExitStatus> {
    send(group, Signal::TERM);
    if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
        return status;
    }
    send(group, Signal::KILL);
    child.wait().await
}

fn send(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // It may have ended.
        let _ = kill_process_group(group, signal);
    }
}

/// Returns once the worker has closed its end, or is gone.
async fn input_closed() {
    let (closed, told) = oneshot::channel();
    // Not a task: a read of standard input cannot be given up, and would keep the program.
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut piece = [0; 64];
        while input.read(&mut piece).is_ok_and(|read| read > 0) {}
        let _ = closed.send(());
    });
    let _ = told.await;
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let of_signal = || status.signal().map(|signal| 128 + signal);
    let code = status.code().or_else(of_signal).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}
