mod logs;
mod run;
mod wanted;

use clap::Subcommand;
use diogenes_api::control::{JobBody, JobPageBody, TemplateBody, TemplateList, WebhookSecret};
use diogenes_core::Timestamp;
use diogenes_core::jobs::{JobStatus, Needs};
use diogenes_core::tenancy::ProjectId;
use serde_json::{Value, json};

use self::logs::Tail;
pub(super) use self::wanted::{Argument, Wanted, argument, pair, read as arguments, set};
use super::options::Options;
use super::{confirmation, output, time};
use crate::client::{Client, decode};
use crate::exit::Failure;

/// How often a log is read anew that is followed.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// Create jobs, list them, show them, cancel them and begin again with them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes job run http --arg url=https://example.com/hook --wait
  diogenes job list --status running
  diogenes job show 0123456789abcdef0123456789abcdef
  diogenes job logs 0123456789abcdef0123456789abcdef --follow
  diogenes job retry 0123456789abcdef0123456789abcdef")]
pub(crate) struct JobArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Run(Box<run::RunArgs>),
    List(ListArgs),
    Show(OneArgs),
    Logs(LogsArgs),
    Cancel(CancelArgs),
    Retry(RetryArgs),
    WebhookSecret(WebhookSecretArgs),
    Templates(TemplatesArgs),
}

/// List the jobs of a project, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes job list
  diogenes job list --status discarded   # those that need a look
  diogenes job list --kind batch -o json | jq -r '.data[].id'")]
struct ListArgs {
    /// The project [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
    /// Only those with this status
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<JobStatus>,
    /// Only those of this kind, such as `batch`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only those of this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
}

/// Show a job: how far it is, and what it is to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes job show 0123456789abcdef0123456789abcdef
  diogenes job show 0123456789abcdef0123456789abcdef -o yaml")]
struct OneArgs {
    #[command(flatten)]
    job: Which,
}

/// Print the log of a job.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes job logs 0123456789abcdef0123456789abcdef
  diogenes job logs 0123456789abcdef0123456789abcdef --follow")]
struct LogsArgs {
    #[command(flatten)]
    job: Which,
    /// Go on until the job has ended
    #[arg(short, long)]
    follow: bool,
}

/// Ask for the end of a job.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes job cancel 0123456789abcdef0123456789abcdef --yes")]
struct CancelArgs {
    #[command(flatten)]
    job: Which,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

/// Begin again with a job that was cancelled or discarded.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes job list --status discarded
  diogenes job retry 0123456789abcdef0123456789abcdef")]
struct RetryArgs {
    #[command(flatten)]
    job: Which,
}

/// Print what receivers of webhooks check signatures with.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes job webhook-secret
  diogenes job run http --arg url=https://example.com/hook --callback https://example.com/done")]
struct WebhookSecretArgs {
    /// The project [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
}

/// List the jobs that the operator has prepared.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes job templates
  diogenes job templates -o json | jq '.data[] | {name, schema}'")]
struct TemplatesArgs {}

#[derive(Debug, clap::Args)]
struct Which {
    /// The job's id
    id: String,
    /// The project of the job [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
}

impl Which {
    fn path<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["api", "v1", "jobs", &*self.id], more].concat()
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.project.iter().map(|project| ("project", project.as_str())).collect()
    }
}

fn status(text: &str) -> Result<JobStatus, String> {
    JobStatus::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
        format!("use one of {}", JobStatus::ALL.map(|status| format!("`{status}`")).join(", "))
    })
}

pub(super) async fn run(args: JobArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Run(args) => run::run(&client, *args, format).await,
        Action::List(args) => {
            let status = args.status.map(JobStatus::as_str);
            let mut query: Vec<(&str, &str)> = Vec::new();
            query.extend(args.project.as_ref().map(|project| ("project", project.as_str())));
            query.extend(status.map(|status| ("status", status)));
            query.extend(args.kind.as_deref().map(|kind| ("kind", kind)));
            query.extend(args.queue.as_deref().map(|queue| ("queue", queue)));
            let page = client.get_all(&["api", "v1", "jobs"], &query).await?;
            output::result(format, &page, || {
                let jobs = decode::<JobPageBody>(page.clone())?.data;
                if jobs.is_empty() {
                    output::note("no jobs");
                    return Ok(String::new());
                }
                Ok(table(&jobs, Timestamp::now()))
            })
        }
        Action::Templates(TemplatesArgs {}) => {
            let list = client.get(&["api", "v1", "jobs", "templates"], &[]).await?;
            output::result(format, &list, || {
                let templates = decode::<TemplateList>(list.clone())?.data;
                if templates.is_empty() {
                    output::note("no templates; add one to `[jobs.templates]` of the server");
                    return Ok(String::new());
                }
                let row = |template: TemplateBody| {
                    vec![template.name, template.kind, template.description]
                };
                let rows = templates.into_iter().map(row);
                Ok(output::table(&["NAME", "KIND", "DESCRIPTION"], rows))
            })
        }
        Action::WebhookSecret(WebhookSecretArgs { project }) => {
            let query: Vec<_> =
                project.iter().map(|project| ("project", project.as_str())).collect();
            let secret = client.get(&["api", "v1", "webhooks", "secret"], &query).await?;
            output::result(format, &secret, || Ok(decode::<WebhookSecret>(secret.clone())?.secret))
        }
        Action::Show(OneArgs { job }) => {
            show(&client.get(&job.path(&[]), &job.query()).await?, format)
        }
        Action::Logs(LogsArgs { job, follow }) => logs(&client, &job, follow).await,
        Action::Cancel(CancelArgs { job, yes }) => {
            let question = format!("cancel job `{}`?", job.id);
            if !yes && !confirmation::ask(&format!("cancelling `{}`", job.id), &question)? {
                output::note("nothing was cancelled");
                return Ok(());
            }
            show(&client.post_to(&job.path(&["cancel"]), &job.query(), &json!({})).await?, format)
        }
        Action::Retry(RetryArgs { job }) => {
            show(&client.post_to(&job.path(&["retry"]), &job.query(), &json!({})).await?, format)
        }
    }
}

/// What a job waits for, for keys that may see jobs.
pub(super) async fn waits_for(
    client: &Client,
    job: &str,
    query: &[(&str, &str)],
) -> Option<String> {
    let job = client.get(&["api", "v1", "jobs", job], query).await.ok()?;
    let what = job.get("waits_for")?.as_str()?;
    Some(format!("waiting for {what}"))
}

async fn logs(client: &Client, job: &Which, follow: bool) -> Result<(), Failure> {
    let mut tail = Tail::default();
    loop {
        // What is written between the two is shown in the next round.
        let state: JobBody = decode(client.get(&job.path(&[]), &job.query()).await?)?;
        tail.print(client, job).await?;
        if !follow || state.status.is_final() {
            if !tail.has_shown() {
                output::note("the job has logged nothing");
            }
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn show(job: &Value, format: output::Format) -> Result<(), Failure> {
    output::result(format, job, || {
        let job: JobBody = decode(job.clone())?;
        let stamp = |at: Option<Timestamp>| at.map_or_else(|| "-".into(), time::stamp);
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let failure = job.failure.map(|failure| {
            format!("attempt {}, {}: {}", failure.attempt, time::stamp(failure.at), failure.message)
        });
        let tags: Vec<_> = job.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let progress = job.progress.map(|progress| {
            format!("{}/{} {}", progress.done, progress.total, progress.message).trim().to_owned()
        });
        Ok(output::details([
            ("id", job.id),
            ("status", job.status.to_string()),
            ("kind", job.kind),
            ("queue", format!("{}, priority {}", job.queue, job.priority)),
            ("project", job.project.to_string()),
            ("begins", time::stamp(job.run_at)),
            ("attempt", format!("{} of {}", job.attempt, job.max_attempts)),
            ("needs", dash(needs(&job.needs))),
            ("timeout", dash(job.timeout.map(diogenes_core::duration::format))),
            ("progress", dash(progress)),
            ("waits for", dash(job.waits_for)),
            ("worker", dash(job.worker)),
            ("failure", dash(failure)),
            ("unique key", dash(job.unique_key)),
            ("schedule", dash(job.schedule)),
            ("callback", dash(job.callback)),
            ("tags", if tags.is_empty() { "-".into() } else { tags.join(", ") }),
            ("result", dash(job.result.map(|result| result.to_string()))),
            ("arguments", dash(job.arguments.map(|arguments| arguments.to_string()))),
            ("created", format!("{} by {}", time::stamp(job.created_at), job.created_by)),
            ("started", stamp(job.started_at)),
            ("ended", stamp(job.finished_at)),
        ]))
    })
}

/// What a job needs of its worker, if anything.
fn needs(needs: &Needs) -> Option<String> {
    let counted = |count: u32, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let memory = needs.memory.div_ceil(1 << 20);
    let parts = [
        counted(needs.cpu, "cores"),
        (memory > 0).then(|| format!("{memory} MiB")),
        counted(needs.gpu, "GPUs"),
        needs.command.as_ref().map(|command| format!("the command `{command}`")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn table(jobs: &[JobBody], now: Timestamp) -> String {
    output::table(
        &["ID", "KIND", "STATUS", "PROGRESS", "ATTEMPT", "AGE"],
        jobs.iter().map(|job| {
            let progress = job.progress.as_ref();
            vec![
                job.id.clone(),
                job.kind.clone(),
                job.status.to_string(),
                progress.map_or_else(
                    || "-".into(),
                    |progress| format!("{}/{}", progress.done, progress.total),
                ),
                format!("{}/{}", job.attempt, job.max_attempts),
                time::rough(time::since(job.created_at, now)),
            ]
        }),
    )
}
