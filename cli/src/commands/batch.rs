use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use diogenes_api::batches::{BatchBody, BatchList, BatchUsage};
use diogenes_api::control::CallbackBody;
use diogenes_core::Timestamp;
use diogenes_core::batches::{BatchEndpoint, BatchStatus, FilePurpose, WINDOW_NAME};
use diogenes_core::money::{Dollars, parse_dollars};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};

use super::options::Options;
use super::{confirmation, file, job, output, progress, time};
use crate::client::{Client, decode};
use crate::exit::{Failure, Kind};

const PATH: [&str; 2] = ["v1", "batches"];
/// How often a batch is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Run files of requests when there is time: OpenAI's batches, on your own models.
///
/// A batch wakes its model, answers every request of its file, and lets the model go. It goes on
/// after a restart of the server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes batch create questions.jsonl --wait
  diogenes batch create texts.jsonl --endpoint /v1/embeddings --not-before 2026-12-01T02:00:00Z
  diogenes batch list
  diogenes batch results batch_0123456789abcdef0123456789abcdef > answers.jsonl

A line of the file:
  {\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"demo\",\"messages\":[…]}}")]
pub(crate) struct BatchArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Cancel(CancelArgs),
    Results(ResultsArgs),
}

/// Upload a file of requests, and create a batch of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes batch create questions.jsonl
  diogenes batch create questions.jsonl --wait && echo done
  diogenes batch create texts.jsonl --endpoint /v1/embeddings --metadata run=nightly
  diogenes batch create questions.jsonl --callback https://example.com/done

Exit codes with --wait: 0 if every request was answered with success, 1 if not.")]
struct CreateArgs {
    /// The file, one request a line
    file: PathBuf,
    /// The endpoint that the requests are for
    #[arg(long, value_name = "PATH", default_value = "/v1/chat/completions", value_parser = endpoint)]
    endpoint: BatchEndpoint,
    /// Begin no sooner than this time, such as `2026-12-01T02:00:00Z`; at most 24 hours ahead
    #[arg(long, value_name = "TIME")]
    not_before: Option<Timestamp>,
    /// Keep this with the batch; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Tell this URL, by a signed request, that it has ended
    #[arg(long, value_name = "URL")]
    callback: Option<String>,
    /// Wait until it has ended, and show how far it is
    #[arg(short, long)]
    wait: bool,
}

/// List the batches of your project, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes batch list
  diogenes batch list -o json | jq -r '.data[] | select(.status == \"in_progress\").id'")]
struct ListArgs {}

/// Show a batch: how far it is, and what is wrong with its file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes batch show batch_0123456789abcdef0123456789abcdef
  diogenes batch show batch_0123456789abcdef0123456789abcdef --wait")]
struct ShowArgs {
    /// The batch's id
    id: String,
    /// Wait until it has ended, and show how far it is
    #[arg(short, long)]
    wait: bool,
}

/// Ask for the end of a batch. What was answered is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes batch cancel batch_0123456789abcdef0123456789abcdef --yes")]
struct CancelArgs {
    /// The batch's id
    id: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

/// Print what came of a batch that has ended, one answer a line, in the order of its file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes batch results batch_0123456789abcdef0123456789abcdef > answers.jsonl
  diogenes batch results batch_0123456789abcdef0123456789abcdef --errors | jq .response.body.error")]
struct ResultsArgs {
    /// The batch's id
    id: String,
    /// The requests that failed instead
    #[arg(long)]
    errors: bool,
}

/// The body of the request for a batch.
#[derive(Debug, Serialize)]
struct Request<'a> {
    input_file_id: &'a str,
    endpoint: BatchEndpoint,
    completion_window: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<CallbackBody>,
}

fn endpoint(text: &str) -> Result<BatchEndpoint, String> {
    BatchEndpoint::parse(text).ok_or_else(|| {
        let known = BatchEndpoint::ALL.map(|endpoint| format!("`{}`", endpoint.as_str()));
        format!("use one of {}", known.join(", "))
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) async fn run(args: BatchArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Create(args) => create(&client, args, format).await,
        Action::List(ListArgs {}) => {
            let page = client.whole_list(&PATH, &[]).await?;
            output::result(format, &page, || {
                let batches = decode::<BatchList>(page.clone())?.data;
                if batches.is_empty() {
                    output::note("no batches; create one with `diogenes batch create FILE`");
                    return Ok(String::new());
                }
                Ok(table(&batches, Timestamp::now()))
            })
        }
        Action::Show(ShowArgs { id, wait }) => {
            let batch = client.get(&[&PATH[..], &[&id]].concat(), &[]).await?;
            if wait { follow(&client, batch, format).await } else { show(&batch, format) }
        }
        Action::Cancel(CancelArgs { id, yes }) => {
            let question = format!("cancel batch `{id}`? What was answered is kept");
            if !yes && !confirmation::ask(&format!("cancelling `{id}`"), &question)? {
                output::note("nothing was cancelled");
                return Ok(());
            }
            let path = [&PATH[..], &[&id, "cancel"]].concat();
            let batch = client.post(&path, &json!({})).await?;
            show(&batch, format)
        }
        Action::Results(args) => results(&client, &args).await,
    }
}

async fn create(client: &Client, args: CreateArgs, format: output::Format) -> Result<(), Failure> {
    let file = file::upload(client, &args.file, FilePurpose::Batch).await?;
    let metadata: BTreeMap<_, _> = args.metadata.into_iter().collect();
    let body = Request {
        input_file_id: &file.id,
        endpoint: args.endpoint,
        completion_window: WINDOW_NAME,
        metadata: Some(metadata).filter(|pairs| !pairs.is_empty()),
        not_before: args.not_before.map(Timestamp::as_second),
        callback: args.callback.map(|url| CallbackBody { url }),
    };
    let batch = client.post(&PATH, &body).await?;
    if args.wait { follow(client, batch, format).await } else { show(&batch, format) }
}

/// Waits until a batch has ended, and fails unless every request was answered with success.
async fn follow(client: &Client, mut value: Value, format: output::Format) -> Result<(), Failure> {
    let mut bar: Option<ProgressBar> = None;
    let mut told = None;
    let batch = loop {
        let batch: BatchBody = decode(value.clone())?;
        if batch.status.is_final() {
            break batch;
        }
        let counts = batch.request_counts;
        if bar.is_none() && counts.total > 0 {
            bar = progress::bar(
                counts.total.into(),
                "{spinner} {msg} {bar:30} {pos}/{len}, {eta} to go",
            );
        }
        let waits_for = job::waits_for(client, &batch.job_id, &[]).await;
        let message = waits_for.unwrap_or_else(|| batch.status.to_string());
        match &bar {
            Some(bar) => {
                bar.set_position(u64::from(counts.completed) + u64::from(counts.failed));
                bar.set_message(message);
            }
            None if told.as_ref() != Some(&message) => {
                output::note(&format!("{}: {message}", batch.id));
                told = Some(message);
            }
            None => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
        value = client.get(&[&PATH[..], &[&batch.id]].concat(), &[]).await?;
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    show(&value, format)?;
    let failed = batch.request_counts.failed;
    if batch.status != BatchStatus::Completed {
        return Err(Kind::Other.because(format!("batch `{}` is {}", batch.id, batch.status)));
    }
    if failed > 0 {
        let message = format!(
            "{failed} of {} requests failed; see them with `diogenes batch results {} --errors`",
            batch.request_counts.total, batch.id
        );
        return Err(Kind::Other.because(message));
    }
    Ok(())
}

async fn results(client: &Client, args: &ResultsArgs) -> Result<(), Failure> {
    let batch = client.get(&[&PATH[..], &[&args.id]].concat(), &[]).await?;
    let batch: BatchBody = decode(batch)?;
    if !batch.status.is_final() {
        let message = format!(
            "batch `{}` is {}; wait for it with `diogenes batch show {} --wait`",
            batch.id, batch.status, batch.id
        );
        return Err(Kind::Other.because(message));
    }
    let file = if args.errors { batch.error_file_id } else { batch.output_file_id };
    let Some(file) = file else {
        let what = if args.errors { "failed" } else { "was answered with success" };
        output::note(&format!("no request of batch `{}` {what}", batch.id));
        return Ok(());
    };
    file::print(client, &file).await
}

fn show(batch: &Value, format: output::Format) -> Result<(), Failure> {
    output::result(format, batch, || {
        let batch: BatchBody = decode(batch.clone())?;
        let counts = batch.request_counts;
        let stamp = |seconds: Option<i64>| {
            let at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
            at.map_or_else(|| "-".into(), time::stamp)
        };
        let ended =
            batch.completed_at.or(batch.failed_at).or(batch.expired_at).or(batch.cancelled_at);
        let mut text = output::details([
            ("id", batch.id.clone()),
            ("status", batch.status.to_string()),
            ("endpoint", batch.endpoint),
            ("model", batch.model.unwrap_or_else(|| "-".into())),
            (
                "requests",
                format!(
                    "{} ({} completed, {} failed)",
                    counts.total, counts.completed, counts.failed
                ),
            ),
            ("usage", batch.usage.map_or_else(|| "-".into(), |usage| bill(&usage))),
            ("input", batch.input_file_id),
            ("output", batch.output_file_id.unwrap_or_else(|| "-".into())),
            ("errors", batch.error_file_id.unwrap_or_else(|| "-".into())),
            ("job", batch.job_id),
            ("created", stamp(Some(batch.created_at))),
            ("ended", stamp(ended)),
        ]);
        for problem in batch.errors.into_iter().flat_map(|errors| errors.data) {
            let line = problem.line.map_or_else(String::new, |line| format!("line {line}: "));
            text.extend(["\n", &line, &problem.message, " (", &problem.code, ")"]);
        }
        Ok(text)
    })
}

/// What the answers of a batch have used, in one line.
fn bill(usage: &BatchUsage) -> String {
    let tokens = format!("{} tokens in, {} out", usage.input_tokens, usage.output_tokens);
    match usage.cost_usd.as_deref().and_then(|cost| parse_dollars(cost).ok()) {
        Some(cost) => format!("{tokens}; {}", Dollars(cost)),
        None => tokens,
    }
}

fn table(batches: &[BatchBody], now: Timestamp) -> String {
    output::table(
        &["ID", "STATUS", "MODEL", "DONE", "FAILED", "AGE"],
        batches.iter().map(|batch| {
            let counts = batch.request_counts;
            let age = Timestamp::from_second(batch.created_at)
                .map_or_else(|_| "-".into(), |at| time::rough(time::since(at, now)));
            vec![
                batch.id.clone(),
                batch.status.to_string(),
                batch.model.clone().unwrap_or_else(|| "-".into()),
                format!("{}/{}", counts.completed + counts.failed, counts.total),
                counts.failed.to_string(),
                age,
            ]
        }),
    )
}
