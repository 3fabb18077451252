//! Ending the machine, by ever rougher means.

use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::geteuid;
use rustix::system::{RebootCommand, reboot};

/// How the instance is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// The program and its arguments that end it in good order.
    pub command: Vec<String>,
    /// Whether the machine may be switched off in other ways when that command does not help:
    /// `systemctl poweroff --force`, then the kernel's own call. Only for a machine that is
    /// the instance's own.
    pub last_resort: bool,
    /// How long one command may take, and how long the machine may live on after it.
    pub patience: Duration,
}

impl Shutdown {
    /// `command` only, with a minute's patience.
    pub fn new(command: Vec<String>) -> Self {
        Self { command, last_resort: false, patience: Duration::from_mins(1) }
    }
}

/// One way to end the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Run(Vec<String>),
    PowerOff,
}

fn steps(shutdown: &Shutdown, root: bool) -> Vec<Step> {
    let mut steps = vec![Step::Run(shutdown.command.clone())];
    if shutdown.last_resort {
        let force = ["systemctl", "poweroff", "--force"];
        steps.push(Step::Run(force.map(str::to_owned).to_vec()));
        if root {
            steps.push(Step::PowerOff);
        }
    }
    steps
}

/// Ends the machine; comes back only by its end. `tell` hears of every step that failed; it must
/// not block.
pub(super) fn end(shutdown: &Shutdown, tell: &dyn Fn(String)) -> ! {
    let steps = steps(shutdown, geteuid().is_root());
    loop {
        for step in &steps {
            match take(step, shutdown.patience) {
                // The machine ends in its own time; if it does not, the next step follows.
                Ok(()) => thread::sleep(shutdown.patience),
                Err(error) => {
                    tell(format!("{} failed: {error}", name(step)));
                    // Steps that fail at once are not repeated in a busy loop.
                    thread::sleep(shutdown.patience / 10);
                }
            }
        }
    }
}

fn name(step: &Step) -> String {
    match step {
        Step::Run(command) => format!("`{}`", command.join(" ")),
        Step::PowerOff => "the kernel's power-off".into(),
    }
}

fn take(step: &Step, patience: Duration) -> io::Result<()> {
    match step {
        Step::Run(command) => {
            let status = run(command, patience)?;
            if status.success() { Ok(()) } else { Err(io::Error::other(status.to_string())) }
        }
        Step::PowerOff => Ok(reboot(RebootCommand::PowerOff)?),
    }
}

/// Runs a command for at most `patience`.
fn run(command: &[String], patience: Duration) -> io::Result<ExitStatus> {
    const LOOK: Duration = Duration::from_millis(20);
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if began.elapsed() >= patience {
            // It may be stuck in the kernel, so it is not waited for.
            let _ = child.kill();
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &[&str]) -> Vec<String> {
        command.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn rougher_means_are_used_only_on_a_machine_of_its_own() {
        let mut shutdown = Shutdown::new(words(&["shutdown", "-h", "now"]));
        assert_eq!(steps(&shutdown, true), [Step::Run(words(&["shutdown", "-h", "now"]))]);
        shutdown.last_resort = true;
        let force = Step::Run(words(&["systemctl", "poweroff", "--force"]));
        assert_eq!(steps(&shutdown, true)[1..], [force, Step::PowerOff]);
        assert_eq!(steps(&shutdown, false).len(), 2);
    }

    #[test]
    fn a_command_that_fails_or_hangs_is_a_failed_step() {
        let step = |command: &[&str]| take(&Step::Run(words(command)), Duration::from_millis(100));
        assert!(step(&["true"]).is_ok());
        assert_eq!(step(&["false"]).unwrap_err().to_string(), "exit status: 1");
        assert_eq!(step(&["sleep", "60"]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(step(&["/nonexistent"]).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(step(&[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
