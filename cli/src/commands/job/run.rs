use std::time::Duration;

use diogenes_api::control::{CreateJob, JobBody};
use diogenes_core::Timestamp;
use diogenes_core::jobs::JobStatus;
use diogenes_core::tenancy::ProjectId;
use indicatif::{ProgressBar, ProgressStyle};

use super::logs::Tail;
use super::{Wanted, Which, show};
use crate::client::{Client, decode};
use crate::commands::{controls, output};
use crate::exit::{Failure, Kind};

/// How often a job is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Create a job, and wait for it if you like.
///
/// The kind `http` sends a request to a server, `command` runs a program that the operator has
/// configured. `docs/API.md` describes their arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes job run http --arg url=https://example.com/hook --arg json.text=hello --wait
  diogenes job run command --arg command=train --arg values.rate=0.1 --in 2h --tag run=7
  diogenes job run command --arg command=backup --unique nightly --at 2026-12-01T02:00:00Z
  diogenes job run --template nightly-report --arg values.day=2026-12-01
  echo '{\"url\":\"https://example.com\"}' | diogenes job run http --arguments -

Exit codes with --wait: 0 if the job was completed, 9 if it failed or was cancelled.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    job: Wanted,
    /// Begin no sooner than this time, such as `2026-12-01T02:00:00Z`
    #[arg(long, value_name = "TIME", conflicts_with = "delay")]
    at: Option<Timestamp>,
    /// Begin no sooner than in this time, such as `2h`
    #[arg(long = "in", value_name = "DURATION", value_parser = diogenes_core::duration::parse)]
    delay: Option<Duration>,
    /// A name that no other unfinished job of the kind has
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// The project of the job [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
    /// Wait until it has ended; show its log and how far it is
    #[arg(short, long)]
    wait: bool,
}

pub(super) async fn run(
    client: &Client,
    args: RunArgs,
    format: output::Format,
) -> Result<(), Failure> {
    let body = CreateJob {
        run_at: args.at,
        delay: args.delay,
        unique_key: args.unique,
        ..args.job.body()?.into()
    };
    let query: Vec<_> = args.project.iter().map(|project| ("project", project.as_str())).collect();
    let value = client.post_to(&["api", "v1", "jobs"], &query, &body).await?;
    if !args.wait {
        return show(&value, format);
    }
    let job: JobBody = decode(value)?;
    follow(client, &Which { id: job.id, project: args.project }, format).await
}

/// Waits until a job has ended, and fails unless it was completed.
pub(super) async fn follow(
    client: &Client,
    which: &Which,
    format: output::Format,
) -> Result<(), Failure> {
    let mut shown = Shown::new(&which.id);
    let mut tail = Tail::default();
    let (value, job) = loop {
        // What is written between the two is shown in the next round.
        let value = client.get(&which.path(&[]), &which.query()).await?;
        let job: JobBody = decode(value.clone())?;
        tail.more(client, which, |line| shown.print(line, format)).await?;
        if job.status.is_final() {
            break (value, job);
        }
        shown.tell(&job);
        tokio::time::sleep(LOOK_EVERY).await;
    };
    drop(shown);
    show(&value, format)?;
    if job.status == JobStatus::Completed {
        return Ok(());
    }
    let why = job.failure.map(|failure| format!(": {}", failure.message)).unwrap_or_default();
    Err(Kind::JobFailed.because(format!("job `{}` was {}{why}", job.id, job.status)))
}

/// How far a job is: a bar on a terminal, otherwise a line per change of its state.
struct Shown {
    id: String,
    bar: Option<ProgressBar>,
    told: Option<String>,
}

impl Shown {
    fn new(id: &str) -> Self {
        use std::io::IsTerminal as _;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { id: id.to_owned(), bar, told: None }
    }

    fn tell(&mut self, job: &JobBody) {
        let state = match (&job.waits_for, job.attempt) {
            (Some(what), _) => format!("waiting for {what}"),
            (None, attempt) if attempt > 1 => format!("{}, attempt {attempt}", job.status),
            (None, _) => job.status.to_string(),
        };
        let Some(bar) = &self.bar else {
            if self.told.as_ref() != Some(&state) {
                output::note(&format!("{}: {state}", self.id));
                self.told = Some(state);
            }
            return;
        };
        let progress = job.progress.as_ref();
        let said = progress.map(|progress| progress.message.as_str()).unwrap_or_default();
        let message = if said.is_empty() { state } else { format!("{state}: {said}") };
        let total = progress.map_or(0, |progress| progress.total);
        let template =
            if total > 0 { "{spinner} {msg} {bar:30} {pos}/{len}" } else { "{spinner} {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_length(total);
        bar.set_position(progress.map_or(0, |progress| progress.done));
        bar.set_message(controls::escaped(&message));
    }

    /// Prints a line of the log: to standard output, unless that is for programs.
    fn print(&self, line: &str, format: output::Format) -> Result<(), Failure> {
        let print = || {
            if format == output::Format::Table {
                return output::line(line);
            }
            output::note(line);
            Ok(())
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
