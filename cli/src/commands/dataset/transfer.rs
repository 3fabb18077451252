//! Files into datasets and out of them.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use diogenes_api::batches::FileBody;
use diogenes_api::control::{ExportExamples, ImportExamples, JobBody};
use diogenes_core::batches::{FilePurpose, MAX_FILE_BYTES};
use diogenes_core::jobs::JobStatus;
use diogenes_core::tenancy::ProjectId;
use diogenes_formats::Format;
use indicatif::{DecimalBytes, HumanCount, ProgressBar};
use serde_json::Value;

use super::args::{ExportArgs, ImportArgs};
use super::path;
use crate::client::{Client, decode};
use crate::commands::options::in_project;
use crate::commands::{file, output, progress};
use crate::exit::{Failure, Kind};

/// How often a job is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

pub(super) async fn import(
    client: &Client,
    args: ImportArgs,
    format: output::Format,
) -> Result<(), Failure> {
    let (name, query) = (args.dataset.name.as_str(), in_project(args.dataset.project.as_ref()));
    let shown = args.file.display().to_string();
    if shown.starts_with("s3://") || shown.starts_with("gs://") {
        let text =
            format!("`{shown}` is not on this machine; download it first, then import the file");
        return Err(Kind::Config.because(text));
    }
    let known = args.format.or_else(|| Format::of_name(&shown));
    if known.is_none() {
        let text = format!(
            "the name `{shown}` does not tell the format; use --format csv, jsonl or parquet"
        );
        return Err(Kind::Config.because(text));
    }
    let file = send(client, name, &query, &args.file).await?;
    let body = ImportExamples {
        file: file.id,
        format: known.map(|format| format.to_string()),
        map: args.map,
        encoding: args.encoding,
        delimiter: args.delimiter,
        on_error: Some(args.on_error),
        skip_duplicates: args.skip_duplicates,
    };
    let job = client.post_to(&path(name, &["import"]), &query, &body).await?;
    if args.no_wait {
        let id = decode::<JobBody>(job.clone())?.id;
        return output::result(format, &job, || {
            Ok(format!("job {id} imports `{shown}`; look at it with `diogenes job show {id}`"))
        });
    }
    let job = follow(client, job, args.dataset.project.as_ref(), "importing").await?;
    let result = job.result.clone().unwrap_or_default();
    let number = |name: &str| result.get(name).and_then(Value::as_u64).unwrap_or_default();
    let text = |name: &str| result.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if result.get("encoding_was_detected") == Some(&Value::Bool(true))
        && text("encoding") != "utf-8"
    {
        let encoding = text("encoding");
        output::note(&format!("the file was read as {encoding}; if that is wrong, say --encoding"));
    }
    let left_out = result.get("left_out_columns").and_then(Value::as_array);
    if let Some(left_out) = left_out.filter(|columns| !columns.is_empty()) {
        let names: Vec<_> = left_out.iter().take(20).filter_map(Value::as_str).collect();
        output::note(&format!("columns that no --map takes: {}", names.join(", ")));
    }
    if let Some(rejected) = result.get("rejected_file").and_then(Value::as_str) {
        let to = args.reject_file.unwrap_or_else(|| {
            let file = args.file.file_name().map_or_else(Default::default, ToOwned::to_owned);
            PathBuf::from(format!("{}.rejected.jsonl", file.to_string_lossy()))
        });
        save(client, name, &query, rejected, &to).await?;
        let told = match number("rejected") {
            1 => "one row was left out".into(),
            count => format!("{} rows were left out", HumanCount(count)),
        };
        output::note(&format!("{told}; see {}", to.display()));
    }
    output::result(format, &result, || {
        let duplicates = match number("duplicates") {
            0 => String::new(),
            count => format!(", {} were there already", HumanCount(count)),
        };
        Ok(format!(
            "imported {} of {} rows into `{name}`{duplicates}; it is {name}@v{} now",
            HumanCount(number("imported")),
            HumanCount(number("rows")),
            number("version")
        ))
    })
}

pub(super) async fn export(
    client: &Client,
    args: ExportArgs,
    format: output::Format,
) -> Result<(), Failure> {
    let (name, query) = (args.reference.dataset.as_str(), in_project(args.project.as_ref()));
    let shown = args.file.display().to_string();
    let to_terminal = args.file == Path::new("-");
    let wanted = args.format.or_else(|| Format::of_name(&shown)).ok_or_else(|| {
        let text = format!(
            "the name `{shown}` does not tell the format; use --format csv, jsonl or parquet"
        );
        Kind::Config.because(text)
    })?;
    if to_terminal && wanted == Format::Parquet && io::stdout().is_terminal() {
        return Err(Kind::Config.because("Parquet is not for a terminal; name a file"));
    }
    let body = ExportExamples {
        format: Some(wanted.to_string()),
        snapshot: Some(args.reference.snapshot.to_string()),
    };
    let job = client.post_to(&path(name, &["export"]), &query, &body).await?;
    let job = follow(client, job, args.project.as_ref(), "exporting").await?;
    let result = job.result.clone().unwrap_or_default();
    let Some(file) = result.get("file").and_then(Value::as_str) else {
        return Err(
            Kind::Other.because("the export has no file; use a `diogenes` of the same version")
        );
    };
    save(client, name, &query, file, &args.file).await?;
    if to_terminal {
        return Ok(());
    }
    output::result(format, &result, || {
        let number = |name: &str| result.get(name).and_then(Value::as_u64).unwrap_or_default();
        Ok(format!(
            "wrote {} examples of {name}@v{} to {shown}, {}",
            HumanCount(number("exported")),
            number("version"),
            DecimalBytes(number("bytes"))
        ))
    })
}

/// Sends a file, and shows how far it is.
async fn send(
    client: &Client,
    name: &str,
    query: &[(&str, &str)],
    from: &Path,
) -> Result<FileBody, Failure> {
    let unreadable = |error: io::Error| Failure {
        kind: Kind::Config,
        error: anyhow::Error::new(error).context(format!("cannot read {}", from.display())),
    };
    let meta = from.metadata().map_err(unreadable)?;
    if meta.is_dir() {
        return Err(Kind::Config.because(format!("{} is a folder; name a file", from.display())));
    }
    let size = meta.len();
    let bar =
        progress::bar(size, "{spinner} uploading {bar:30} {bytes}/{total_bytes}, {eta} to go");
    let content = tokio::fs::File::open(from).await.map_err(unreadable)?;
    let filename = from.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy());
    let mut query = query.to_vec();
    query.push(("filename", &filename));
    let shown = bar.clone();
    let sent = move |sent| {
        if let Some(bar) = &shown {
            bar.set_position(sent);
        }
    };
    let answer = client.send_file(&path(name, &["files"]), &query, content, size, sent).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    match answer {
        // On AWS an event carries some megabytes, and what is larger comes in parts.
        Err(failure) if failure.is_body_too_large() && size <= MAX_FILE_BYTES => {
            file::upload(client, from, FilePurpose::Evals).await
        }
        answer => answer,
    }
}

/// Waits until a job has ended, and fails unless it was completed.
async fn follow(
    client: &Client,
    job: Value,
    project: Option<&ProjectId>,
    what: &'static str,
) -> Result<JobBody, Failure> {
    let mut job: JobBody = decode(job)?;
    let mut bar: Option<ProgressBar> = None;
    while !job.status.is_final() {
        if bar.is_none() {
            bar = progress::bar(0, &format!("{{spinner}} {what} {{msg}}"));
        }
        if let (Some(bar), Some(progress)) = (&bar, &job.progress) {
            let share = (100 * progress.done).checked_div(progress.total).unwrap_or_default();
            bar.set_message(format!("{share} % {}", progress.message));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        job = decode(client.get(&["api", "v1", "jobs", &job.id], &in_project(project)).await?)?;
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    if job.status == JobStatus::Completed {
        return Ok(job);
    }
    let why = job
        .failure
        .map_or_else(|| format!("job `{}` was {}", job.id, job.status), |failure| failure.message);
    Err(Kind::JobFailed.because(why))
}

/// Writes a file of the server to one here; what is half written does not take its name.
async fn save(
    client: &Client,
    name: &str,
    query: &[(&str, &str)],
    id: &str,
    to: &Path,
) -> Result<(), Failure> {
    let unwritten = |error: io::Error| Failure {
        kind: Kind::Other,
        error: anyhow::Error::new(error).context(format!("cannot write {}", to.display())),
    };
    let mut answer = client.download_at(&path(name, &["files", id]), query).await?;
    if to == Path::new("-") {
        while let Some(piece) = answer.chunk().await.map_err(|error| client.broken(error))? {
            output::bytes(&piece)?;
        }
        return Ok(());
    }
    let mut half = to.as_os_str().to_owned();
    half.push(".part");
    let half = PathBuf::from(half);
    let written = async {
        let mut out = std::fs::File::create(&half).map_err(unwritten)?;
        while let Some(piece) = answer.chunk().await.map_err(|error| client.broken(error))? {
            out.write_all(&piece).map_err(unwritten)?;
        }
        std::fs::rename(&half, to).map_err(unwritten)
    };
    let written = written.await;
    if written.is_err() {
        // What is wrong is told already.
        let _ = std::fs::remove_file(&half);
    }
    written
}
