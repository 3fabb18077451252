use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use diogenes_api::jobs::{
    BadArguments, CommandArguments, CommandSpec, Commands, Ended, Handler, Stop, Work, read,
};
use diogenes_core::jobs::{ClaimError, Job, JobOutcome};
use serde_json::json;
use tokio::io::BufReader;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::guard;
use super::output::{lines, progress};

/// How much of a log is written at once at most, in bytes.
const MOST_PART: usize = 64 * 1024;
/// How many lines at most.
const MOST_LINES: usize = 1_000;
/// How long output is waited for that comes after the program's end.
const REST: Duration = Duration::from_secs(1);
/// How long the guard may take beyond the program's grace.
const GUARD_GRACE: Duration = Duration::from_secs(3);
/// How often the last lines are tried to be written.
const LAST_TRIES: u64 = 5;
/// How much of the last line is in the message of a failure, in characters.
const MOST_TOLD: usize = 200;

/// Runs the programs of jobs of the kind `command`.
pub(crate) struct CommandJobs {
    commands: Commands,
}

impl CommandJobs {
    pub(crate) fn new(commands: Commands) -> Self {
        Self { commands }
    }
}

#[async_trait]
impl Handler for CommandJobs {
    async fn run(&self, work: &Work) -> Ended {
        let (job, arguments) = (work.job().await, work.arguments().await);
        let given = match read::<CommandArguments>(arguments) {
            Ok(given) => given,
            Err(error) => return refused(&error),
        };
        let Some(spec) = self.commands.get(&given.command) else {
            // Another worker may have it.
            return Ended::failed(format!("this worker has no command `{}`", given.command));
        };
        let line = match spec.line(&given) {
            Ok(line) => line,
            Err(error) => return refused(&error),
        };
        let child = match start(spec, &line, &job) {
            Ok(child) => child,
            Err(error) => {
                return Ended::failed(format!("`{}` could not be started: {error}", given.command));
            }
        };
        Run { work, spec, log: Log::new(), last: String::new() }.attend(child).await
    }
}

fn refused(problem: &BadArguments) -> Ended {
    let message = format!("its arguments make no sense: {problem}");
    Ended::with(JobOutcome::Failed { message, is_final: true })
}

/// Starts the program behind its guard, which ends it when the other end of its standard input is
/// closed: also where this process is killed.
fn start(spec: &CommandSpec, line: &[String], job: &Job) -> io::Result<Child> {
    // This very program, also after an upgrade has replaced its file.
    let mut command = std::process::Command::new("/proc/self/exe");
    command
        .arg0("diogenes")
        .args([guard::COMMAND, "--grace", &diogenes_core::duration::format(spec.kill_grace), "--"])
        .args(line)
        // Most likely the operator's own key, or the worker's.
        .env_remove("DIOGENES_API_KEY")
        .envs(&spec.env)
        .env("DIOGENES_JOB_ID", job.id.to_string())
        .env("DIOGENES_JOB_ATTEMPT", job.attempt.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What a terminal sends to this process must not reach the guard.
        .process_group(0);
    if let Some(directory) = &spec.directory {
        if !directory.is_dir() {
            let problem = format!("its `directory` `{}` is not a directory", directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, problem));
        }
        command.current_dir(directory);
    }
    Command::from(command).spawn()
}

/// A program that runs.
struct Run<'a> {
    work: &'a Work,
    spec: &'a CommandSpec,
    log: Log,
    /// The last line of its output that was not empty.
    last: String,
}

impl Run<'_> {
    async fn attend(mut self, mut child: Child) -> Ended {
        let (to, mut output) = mpsc::channel(256);
        let readers = [
            child.stdout.take().map(|out| tokio::spawn(lines(BufReader::new(out), to.clone()))),
            child.stderr.take().map(|out| tokio::spawn(lines(BufReader::new(out), to.clone()))),
        ];
        drop(to);
        // To close it ends the program; and it closes where this is dropped.
        let mut input = child.stdin.take();
        let mut stop = self.work.stop();
        let (mut why, mut deadline) = (Stop::No, None);
        let mut is_open = true;
        let status = loop {
            tokio::select! {
                line = output.recv(), if is_open => match line {
                    Some(line) => {
                        if let Err(ended) = self.take(line).await {
                            return ended;
                        }
                    }
                    None => is_open = false,
                },
                () = tokio::time::sleep_until(self.log.due()), if !self.log.is_empty() => {
                    if let Err(ended) = self.flush().await {
                        return ended;
                    }
                }
                status = child.wait() => break status,
                told = stopped(&mut stop), if why == Stop::No => {
                    why = told;
                    input = None;
                    deadline = Some(Instant::now() + self.spec.kill_grace + GUARD_GRACE);
                }
                () = until(deadline) => {
                    // The guard is stuck, and with it whoever waits for this job.
                    let _ = child.start_kill();
                    deadline = None;
                }
            }
        };
        drop(input);
        let rest = async {
            while let Some(line) = output.recv().await {
                self.take(line).await?;
            }
            Ok(())
        };
        // A program may have left its output to one that goes on.
        if let Ok(Err(ended)) = tokio::time::timeout(REST, rest).await {
            return ended;
        }
        for reader in readers.into_iter().flatten() {
            reader.abort();
        }
        // The server may be starting anew.
        for again in 0..LAST_TRIES {
            if let Err(ended) = self.flush().await {
                return ended;
            }
            if self.log.is_empty() || why != Stop::No {
                break;
            }
            tokio::time::sleep(Duration::from_secs(again)).await;
        }
        match status {
            Ok(status) => self.ended(status, why),
            Err(error) => Ended::failed(format!("the program could not be waited for: {error}")),
        }
    }

    fn ended(&self, status: ExitStatus, why: Stop) -> Ended {
        if status.success() {
            return Ended::with(JobOutcome::Completed { result: Some(json!({"exit_code": 0})) });
        }
        if why != Stop::No {
            return Ended::stopped(why);
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        let mut message = match code {
            Some(code) => format!("the program exited with code {code}"),
            None => "the program was killed".to_owned(),
        };
        if !self.last.is_empty() {
            message.push_str("; its last line: ");
            message.extend(self.last.chars().take(MOST_TOLD));
        }
        let is_final = code.is_some_and(|code| self.spec.final_codes.contains(&code));
        Ended::with(JobOutcome::Failed { message, is_final })
    }

    /// Takes a line of output. An error is the end of this attempt.
    async fn take(&mut self, line: String) -> Result<(), Ended> {
        if let Some(progress) = progress(&line) {
            self.work.progress(progress);
            return Ok(());
        }
        if !line.trim().is_empty() {
            self.last.clone_from(&line);
        }
        self.log.push(line);
        if self.log.is_full() { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        if self.log.is_empty() {
            return Ok(());
        }
        let lines = self.log.take();
        match self.work.log(lines.clone()).await {
            Ok(()) => Ok(()),
            // The program goes on: a beat will tell when it must not.
            Err(ClaimError::Store(_)) => {
                self.log.put_back(lines);
                Ok(())
            }
            Err(error @ (ClaimError::Lost | ClaimError::Changed)) => {
                Err(Ended::failed(error.to_string()))
            }
        }
    }
}

/// Lines that are yet to be written.
struct Log {
    lines: Vec<String>,
    bytes: usize,
    /// How many parts were written.
    parts: u32,
    last: Instant,
}

impl Log {
    fn new() -> Self {
        Self { lines: Vec::new(), bytes: 0, parts: 0, last: Instant::now() }
    }

    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push(line);
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes >= MOST_PART || self.lines.len() >= MOST_LINES
    }

    /// When to write what there is: soon at first, and less and less often, as a log has a bounded
    /// number of parts.
    fn due(&self) -> Instant {
        let seconds = match self.parts {
            0..100 => 1,
            100..400 => 5,
            _ => 30,
        };
        self.last + Duration::from_secs(seconds)
    }

    /// Keeps lines that could not be written for the next time, as far as there is room.
    fn put_back(&mut self, lines: Vec<String>) {
        self.parts = self.parts.saturating_sub(1);
        let bytes = lines.iter().map(String::len).sum::<usize>();
        if bytes < MOST_PART && lines.len() < MOST_LINES {
            self.lines.splice(0..0, lines);
            self.bytes += bytes;
        } else {
            let lost = format!("({} lines were lost: they could not be written)", lines.len());
            self.lines.insert(0, lost);
        }
    }

    fn take(&mut self) -> Vec<String> {
        (self.bytes, self.last) = (0, Instant::now());
        self.parts += 1;
        std::mem::take(&mut self.lines)
    }
}

/// Returns once the program is to end, and why.
async fn stopped(stop: &mut watch::Receiver<Stop>) -> Stop {
    // Whoever tells lives as long as the job.
    stop.wait_for(|stop| *stop != Stop::No).await.map_or(Stop::Shutdown, |stop| *stop)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
