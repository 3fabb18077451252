use clap::Subcommand;
use diogenes_api::control::{ChangeSchedule, PutSchedule, ScheduleBody, ScheduleList};
use diogenes_core::Timestamp;
use diogenes_core::tenancy::ProjectId;
use reqwest::Method;
use serde_json::Value;

use super::job::Wanted;
use super::options::{Options, in_project};
use super::{confirmation, output, time};
use crate::client::{Client, decode};
use crate::exit::Failure;

/// Have jobs done again and again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes schedule apply nightly --cron '0 3 * * *' --time-zone Europe/Berlin command --arg command=backup
  diogenes schedule list
  diogenes schedule pause nightly
  diogenes schedule delete nightly")]
pub(crate) struct ScheduleArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Apply(Box<ApplyArgs>),
    List(ListArgs),
    Show(ShowArgs),
    Pause(PauseArgs),
    Resume(ResumeArgs),
    Delete(DeleteArgs),
}

/// Create a schedule, or replace it. A job of it that is at work goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes schedule apply nightly --cron '0 3 * * *' --time-zone Europe/Berlin command --arg command=backup
  diogenes schedule apply ping --cron '*/5 * * * *' http --arg url=https://example.com/ping --timeout 10s
  diogenes schedule apply report --cron @weekly --template report --arg values.kind=weekly

Times that come while a job of the schedule is at work are left out, unless --overlaps is given. After an
outage the time that was missed last is made up for once.")]
struct ApplyArgs {
    /// The schedule's name
    name: String,
    /// When: minute, hour, day of month, month and day of week; or @hourly, @daily, @weekly, @monthly
    #[arg(long, value_name = "CRON")]
    cron: String,
    /// The time zone that this is meant in, such as `Europe/Berlin` [default: UTC]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Begin a job though the one before it has not ended
    #[arg(long)]
    overlaps: bool,
    #[command(flatten)]
    job: Wanted,
    /// The project of the schedule [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
}

/// List the schedules of a project.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes schedule list
  diogenes schedule list -o json | jq -r '.data[].next_at'")]
struct ListArgs {
    /// The project [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
}

/// Show a schedule: when its next job is, and what that is to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes schedule show nightly")]
struct ShowArgs {
    #[command(flatten)]
    schedule: Which,
}

/// Begin none of a schedule's jobs. One that is at work goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes schedule pause nightly")]
struct PauseArgs {
    #[command(flatten)]
    schedule: Which,
}

/// Begin a schedule's jobs again, at the next of its times.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes schedule resume nightly")]
struct ResumeArgs {
    #[command(flatten)]
    schedule: Which,
}

/// Delete a schedule. A job of it that is at work goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes schedule delete nightly --yes")]
struct DeleteArgs {
    #[command(flatten)]
    schedule: Which,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The schedule's name
    name: String,
    /// The project of the schedule [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
}

const PATH: [&str; 3] = ["api", "v1", "schedules"];

pub(super) async fn run(args: ScheduleArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Apply(args) => {
            let body = PutSchedule {
                cron: args.cron,
                time_zone: args.time_zone,
                overlaps: args.overlaps,
                job: args.job.body()?,
            };
            let which = Which { name: args.name, project: args.project };
            show(&change(&client, Method::PUT, &which, Some(&body)).await?, format)
        }
        Action::List(ListArgs { project }) => {
            let list = client.get(&PATH, &in_project(project.as_ref())).await?;
            output::result(format, &list, || {
                let schedules = decode::<ScheduleList>(list.clone())?.data;
                if schedules.is_empty() {
                    output::note("no schedules; create one with `diogenes schedule apply`");
                    return Ok(String::new());
                }
                Ok(table(&schedules, Timestamp::now()))
            })
        }
        Action::Show(ShowArgs { schedule: Which { name, project } }) => {
            let path = [&PATH[..], &[&name]].concat();
            show(&client.get(&path, &in_project(project.as_ref())).await?, format)
        }
        Action::Pause(PauseArgs { schedule }) => {
            let body = ChangeSchedule { paused: true };
            show(&change(&client, Method::PATCH, &schedule, Some(&body)).await?, format)
        }
        Action::Resume(ResumeArgs { schedule }) => {
            let body = ChangeSchedule { paused: false };
            show(&change(&client, Method::PATCH, &schedule, Some(&body)).await?, format)
        }
        Action::Delete(DeleteArgs { schedule, yes }) => {
            let question = format!("delete schedule `{}`?", schedule.name);
            if !yes && !confirmation::ask(&format!("deleting `{}`", schedule.name), &question)? {
                output::note("nothing was deleted");
                return Ok(());
            }
            let deleted = change(&client, Method::DELETE, &schedule, None::<&()>).await?;
            output::result(format, &deleted, || Ok(format!("deleted `{}`", schedule.name)))
        }
    }
}

async fn change(
    client: &Client,
    method: Method,
    which: &Which,
    body: Option<&impl serde::Serialize>,
) -> Result<Value, Failure> {
    let path = [&PATH[..], &[&which.name]].concat();
    client.call_at(method, &path, &in_project(which.project.as_ref()), body).await
}

/// When the next job of a schedule is due, and how it stands.
fn next(schedule: &ScheduleBody, now: Timestamp) -> String {
    match (schedule.paused_at, schedule.next_at) {
        (Some(_), _) => "paused".into(),
        (None, Some(at)) if at > now => format!("in {}", time::rough(time::since(now, at))),
        (None, Some(_)) => "at work, or due".into(),
        (None, None) => "-".into(),
    }
}

fn show(schedule: &Value, format: output::Format) -> Result<(), Failure> {
    output::result(format, schedule, || {
        let schedule: ScheduleBody = decode(schedule.clone())?;
        let next = next(&schedule, Timestamp::now());
        let at = schedule.next_at.filter(|_| schedule.paused_at.is_none());
        let at = at.map(|at| format!("{} ({next})", time::stamp(at))).unwrap_or(next);
        let job = schedule.job;
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        Ok(output::details([
            ("name", schedule.name),
            ("cron", format!("{} in {}", schedule.cron, schedule.time_zone)),
            ("overlaps", if schedule.overlaps { "yes".into() } else { "no".into() }),
            ("next", at),
            ("next job", dash(schedule.next_job)),
            ("kind", dash(job.kind.map(|kind| kind.to_string()))),
            ("queue", dash(job.queue.map(|queue| queue.to_string()))),
            ("arguments", Value::Object(job.arguments).to_string()),
            ("project", schedule.project.to_string()),
            ("changed", format!("{} by {}", time::stamp(schedule.changed_at), schedule.created_by)),
        ]))
    })
}

fn table(schedules: &[ScheduleBody], now: Timestamp) -> String {
    output::table(
        &["NAME", "CRON", "TIME ZONE", "KIND", "NEXT"],
        schedules.iter().map(|schedule| {
            vec![
                schedule.name.clone(),
                schedule.cron.clone(),
                schedule.time_zone.clone(),
                schedule.job.kind.as_ref().map_or_else(|| "-".into(), ToString::to_string),
                next(schedule, now),
            ]
        }),
    )
}
