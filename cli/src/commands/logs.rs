use std::time::Duration;

use diogenes_api::control::{LogPage, ModelPage};
use serde_json::Value;

use super::completions::models;
use super::options::Options;
use super::output::{self, Format};
use crate::client::{Client, decode};
use crate::exit::{Failure, Kind};

/// How often a followed log is asked for more.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The most that one call returns.
const MOST: &str = "1048576";

/// Print the log of a model's inference server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes logs demo
  diogenes logs demo --follow              # continues with the next replica
  diogenes logs Qwen/Qwen3-8B --lines 1000 | grep -i error")]
pub(crate) struct LogsArgs {
    /// The model
    #[arg(add = models())]
    model: String,
    /// Keep printing as the log grows, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Number of last lines to start with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = crate::wording::number::<usize>)]
    lines: usize,
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(args: LogsArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let logs = Logs { client: &client, model: &args.model };
    let format = args.options.output;
    let first = match logs.newest(MOST).await {
        Err(failure) if failure.kind == Kind::NotFound && args.follow => {
            logs.check_model().await?;
            output::note(&format!(
                "model `{}` has no log yet; waiting for it to start",
                args.model
            ));
            logs.first().await?
        }
        page => page?,
    };
    let first_is_empty = first.text.is_empty();
    let page = LogPage { text: last_lines(&first.text, args.lines).to_owned(), ..first };
    print(&page, format, args.follow)?;
    if format == Format::Table {
        if let Some(reason) = &page.failure {
            output::note(&format!(
                "--- that is the log of an earlier replica: since then `{}` could not be started: \
                 {reason}",
                args.model
            ));
        } else if first_is_empty {
            output::note("--- the log is empty: the inference server has printed nothing");
        }
    }
    if args.follow { follow(&logs, page, format).await } else { Ok(()) }
}

/// The logs of one model.
struct Logs<'a> {
    client: &'a Client,
    model: &'a str,
}

impl Logs<'_> {
    async fn read(&self, query: &[(&str, &str)]) -> Result<LogPage, Failure> {
        let mut whole = vec![("model", self.model)];
        whole.extend_from_slice(query);
        decode(self.client.get(&["api", "v1", "cluster", "logs"], &whole).await?)
    }

    /// The end of the newest log.
    async fn newest(&self, max_bytes: &str) -> Result<LogPage, Failure> {
        self.read(&[("max_bytes", max_bytes)]).await
    }

    /// What follows `page`.
    async fn after(&self, page: &LogPage) -> Result<LogPage, Failure> {
        let offset = page.next_offset.to_string();
        let claim = page.claim.as_str();
        self.read(&[("claim", claim), ("offset", &offset), ("max_bytes", MOST)]).await
    }

    /// Waits for the first log.
    async fn first(&self) -> Result<LogPage, Failure> {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.newest(MOST).await {
                Err(failure) if failure.kind == Kind::NotFound => {}
                page => return page,
            }
        }
    }

    /// A model that nobody registered will never have a log.
    async fn check_model(&self) -> Result<(), Failure> {
        let models: ModelPage = decode(self.client.get_all(&["api", "v1", "models"], &[]).await?)?;
        let answers = |name: &str, aliases: &[diogenes_core::name::ModelName]| {
            name == self.model || aliases.iter().any(|alias| alias.as_str() == self.model)
        };
        if models.data.iter().any(|model| answers(model.name.as_str(), &model.spec.aliases)) {
            return Ok(());
        }
        Err(Kind::NotFound.because(format!(
            "model `{}` is not registered; `diogenes model list` shows those that are",
            self.model
        )))
    }
}

async fn follow(logs: &Logs<'_>, mut page: LogPage, format: Format) -> Result<(), Failure> {
    let mut is_away = false;
    loop {
        match next(logs, &page).await {
            Ok(step) => {
                if std::mem::take(&mut is_away) {
                    output::note("--- the server is back");
                }
                match step {
                    Step::More(more) => {
                        print(&more, format, true)?;
                        page = more;
                        continue;
                    }
                    Step::Replica(newest) => {
                        output::note(&format!("--- the next replica ({})", newest.claim));
                        page = LogPage { text: String::new(), next_offset: 0, ..newest };
                        continue;
                    }
                    Step::Nothing => {}
                }
            }
            // The server may come back, as `ps --watch` knows too.
            Err(failure) if failure.kind == Kind::Unavailable => {
                if !std::mem::replace(&mut is_away, true) {
                    output::note(&format!("--- waiting for the server: {:#}", failure.error));
                }
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What has become of a log since a page of it was read.
enum Step {
    /// It has grown.
    More(LogPage),
    /// It is complete, and this is the log of the replica after it.
    Replica(LogPage),
    Nothing,
}

async fn next(logs: &Logs<'_>, page: &LogPage) -> Result<Step, Failure> {
    match logs.after(page).await {
        // The log was removed: the newest is another.
        Err(failure) if failure.kind == Kind::NotFound => {}
        more => {
            let more = more?;
            if !more.text.is_empty() {
                return Ok(Step::More(more));
            }
        }
    }
    // Only when the old log is read to its end: nothing of it is lost.
    match logs.newest("1").await {
        Ok(newest) if newest.claim != page.claim => Ok(Step::Replica(newest)),
        Ok(_) => Ok(Step::Nothing),
        Err(failure) if failure.kind == Kind::NotFound => Ok(Step::Nothing),
        Err(failure) => Err(failure),
    }
}

/// Text as it is; as JSON one page, or with `stream` one page a line.
fn print(page: &LogPage, format: Format, stream: bool) -> Result<(), Failure> {
    let value = || serde_json::to_value(page).unwrap_or(Value::Null);
    match format {
        Format::Table => output::coloured(&page.text),
        Format::Json if stream => output::line(&value().to_string()),
        Format::Json => output::line(&output::json(&value())),
        Format::Yaml if stream => output::piece(&format!("---\n{}", output::yaml(&value())?)),
        Format::Yaml => output::piece(&output::yaml(&value())?),
    }
}

/// The last `lines` lines; an unfinished one counts.
fn last_lines(text: &str, lines: usize) -> &str {
    if lines == 0 {
        return "";
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    let start = body.rmatch_indices('\n').nth(lines - 1).map_or(0, |(at, _)| at + 1);
    text.get(start..).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole_and_as_many_as_asked_for() {
        for (text, lines, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\n", 5, "a\nb\n"),
            ("a\n\n\n", 2, "\n\n"),
            ("a\nb\n", 0, ""),
            ("", 3, ""),
        ] {
            assert_eq!(last_lines(text, lines), expected, "{text:?} {lines}");
        }
    }
}
