use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use diogenes_api::batches::{FileBody, FileList};
use diogenes_core::Timestamp;
use diogenes_core::batches::FilePurpose;
use indicatif::DecimalBytes;
use reqwest::Method;
use serde_json::{Value, json};

use super::options::Options;
use super::{confirmation, output, progress, time};
use crate::client::{Client, decode};
use crate::exit::{Failure, Kind};

const PATH: [&str; 2] = ["v1", "files"];

/// Upload, list, read and delete files: what batches read, and what they have answered.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes file list
  diogenes file content file-0123456789abcdef0123456789abcdef > answers.jsonl
  diogenes file delete file-0123456789abcdef0123456789abcdef --yes")]
pub(crate) struct FileArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Upload(UploadArgs),
    List(ListArgs),
    Show(ShowArgs),
    Content(ContentArgs),
    Delete(DeleteArgs),
}

/// Upload a file. `diogenes batch create` does it by itself.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes file upload questions.jsonl
  diogenes file upload notes.txt --purpose user_data")]
struct UploadArgs {
    /// The file
    file: PathBuf,
    /// What it is for: `batch`, `evals` or `user_data`. Those of batches are kept for 30 days
    #[arg(long, value_name = "PURPOSE", default_value = "batch", value_parser = of_callers)]
    purpose: FilePurpose,
}

/// List the files of your project, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes file list
  diogenes file list --purpose batch_output
  diogenes file list -o json | jq '[.data[].bytes] | add'")]
struct ListArgs {
    /// Only those for this: `batch`, `batch_output`, `evals` or `user_data`
    #[arg(long, value_name = "PURPOSE", value_parser = purpose)]
    purpose: Option<FilePurpose>,
}

/// Show a file: its name, its size, and until when it is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes file show file-0123456789abcdef0123456789abcdef")]
struct ShowArgs {
    /// The file's id
    id: String,
}

/// Print the content of a file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes file content file-0123456789abcdef0123456789abcdef > answers.jsonl")]
struct ContentArgs {
    /// The file's id
    id: String,
}

/// Delete files, and what is in them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes file delete file-0123456789abcdef0123456789abcdef
  diogenes file list --purpose batch_output -o json | jq -r '.data[].id' | xargs diogenes file delete --yes")]
struct DeleteArgs {
    /// Their ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

fn purpose(text: &str) -> Result<FilePurpose, String> {
    FilePurpose::parse(text)
        .ok_or_else(|| "use `batch`, `batch_output`, `evals` or `user_data`".into())
}

fn of_callers(text: &str) -> Result<FilePurpose, String> {
    let known = FilePurpose::parse(text).filter(|found| FilePurpose::OF_CALLERS.contains(found));
    known.ok_or_else(|| "use `batch`, `evals` or `user_data`".into())
}

pub(super) async fn run(args: FileArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Upload(UploadArgs { file, purpose }) => {
            let file = upload(&client, &file, purpose).await?;
            output::result(format, &json!(file), || Ok(details(&file)))
        }
        Action::List(ListArgs { purpose }) => list(&client, purpose, format).await,
        Action::Show(ShowArgs { id }) => {
            let file = client.get(&[&PATH[..], &[&id]].concat(), &[]).await?;
            output::result(format, &file, || Ok(details(&decode(file.clone())?)))
        }
        Action::Content(ContentArgs { id }) => print(&client, &id).await,
        Action::Delete(DeleteArgs { ids, yes }) => delete(&client, &ids, yes, format).await,
    }
}

/// Uploads a file, and shows how far it is.
pub(super) async fn upload(
    client: &Client,
    path: &Path,
    purpose: FilePurpose,
) -> Result<FileBody, Failure> {
    let unreadable = |error: io::Error| Failure {
        kind: Kind::Config,
        error: anyhow::Error::new(error).context(format!("cannot read {}", path.display())),
    };
    let size = path.metadata().map_err(unreadable)?.len();
    let bar =
        progress::bar(size, "{spinner} uploading {bar:30} {bytes}/{total_bytes}, {eta} to go");
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    let name = path.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy());
    let shown = bar.clone();
    let sent = move |sent| {
        if let Some(bar) = &shown {
            bar.set_position(sent);
        }
    };
    let answer = client.upload(file, size, &name, purpose.as_str(), sent).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    answer
}

/// Prints the content of a file.
pub(super) async fn print(client: &Client, id: &str) -> Result<(), Failure> {
    let mut answer = client.download(&[&PATH[..], &[id, "content"]].concat()).await?;
    while let Some(piece) = answer.chunk().await.map_err(|error| client.broken(error))? {
        output::bytes(&piece)?;
    }
    Ok(())
}

async fn list(
    client: &Client,
    purpose: Option<FilePurpose>,
    format: output::Format,
) -> Result<(), Failure> {
    let filter: Vec<_> = purpose.iter().map(|purpose| ("purpose", purpose.as_str())).collect();
    let page = client.whole_list(&PATH, &filter).await?;
    output::result(format, &page, || {
        let files = decode::<FileList>(page.clone())?.data;
        if files.is_empty() {
            output::note("no files; upload one with `diogenes file upload FILE`");
            return Ok(String::new());
        }
        Ok(table(&files, Timestamp::now()))
    })
}

async fn delete(
    client: &Client,
    ids: &[String],
    yes: bool,
    format: output::Format,
) -> Result<(), Failure> {
    let what = match ids {
        [id] => format!("`{id}`"),
        ids => format!("{} files", ids.len()),
    };
    if !yes && !confirmation::ask(&format!("deleting {what}"), &format!("delete {what}?"))? {
        output::note("nothing was deleted");
        return Ok(());
    }
    let mut deleted: Vec<Value> = Vec::with_capacity(ids.len());
    for id in ids {
        let path = [&PATH[..], &[id]].concat();
        deleted.push(client.call_at(Method::DELETE, &path, &[], None::<&()>).await?);
    }
    output::result(format, &json!({ "data": deleted }), || Ok(format!("deleted {what}")))
}

fn at(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}

fn details(file: &FileBody) -> String {
    let stamp = |seconds| at(seconds).map_or_else(|| "-".into(), time::stamp);
    output::details([
        ("id", file.id.clone()),
        ("name", file.filename.clone()),
        ("purpose", file.purpose.clone()),
        ("bytes", file.bytes.to_string()),
        ("created", stamp(file.created_at)),
        ("kept until", file.expires_at.map_or_else(|| "it is deleted".into(), stamp)),
    ])
}

fn table(files: &[FileBody], now: Timestamp) -> String {
    output::table(
        &["ID", "NAME", "PURPOSE", "SIZE", "AGE"],
        files.iter().map(|file| {
            let age = at(file.created_at)
                .map_or_else(|| "-".into(), |at| time::rough(time::since(at, now)));
            vec![
                file.id.clone(),
                file.filename.clone(),
                file.purpose.clone(),
                DecimalBytes(file.bytes).to_string(),
                age,
            ]
        }),
    )
}
