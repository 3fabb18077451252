use std::ffi::OsString;
use std::time::Duration;

use clap::FromArgMatches;
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use serde_json::Value;

use super::options::Options;
use super::output;
use crate::exit::{Failure, Kind};

/// The variable by which a shell asks for completions instead of running a command.
const VARIABLE: &str = "DIOGENES_COMPLETE";
/// How long somebody who pressed the tab key waits for the names of models.
const PATIENCE: Duration = Duration::from_secs(2);

/// Print a completion script for a shell.
///
/// The script asks `diogenes` itself, which asks the server for the names of models. Load it when
/// the shell starts, so that it fits the installed version.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  echo 'source <(diogenes completions bash)' >> ~/.bashrc
  echo 'source <(diogenes completions zsh)' >> ~/.zshrc
  echo 'diogenes completions fish | source' > ~/.config/fish/completions/diogenes.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let shell = shells.completer(&args.shell.to_string()).ok_or_else(|| {
        Kind::Other.because(format!("there are no completions for `{}`", args.shell))
    })?;
    shell.write_registration(VARIABLE, "diogenes", "diogenes", "diogenes", &mut script).map_err(
        |error| Failure {
            kind: Kind::Other,
            error: anyhow::Error::new(error).context("the script cannot be written"),
        },
    )?;
    output::drawn(&String::from_utf8_lossy(&script))
}

/// Answers a shell that asks for completions, and then ends the program; otherwise does nothing.
pub(crate) fn answer_shell() {
    CompleteEnv::with_factory(crate::usage::command).var(VARIABLE).complete();
}

/// Completes an argument with the names of the models.
pub(super) fn models() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        // A server that cannot be asked has nothing to suggest.
        let names = names().unwrap_or_default();
        names.into_iter().map(CompletionCandidate::new).collect()
    })
}

fn names() -> Option<Vec<String>> {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let client = options(words)?.client().ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let listed = runtime.block_on(async {
        let list = client.get(&["v1", "models"], &[]);
        tokio::time::timeout(PATIENCE, list).await.ok()?.ok()
    })?;
    let models = listed.get("data").and_then(Value::as_array)?;
    let id = |model: &Value| model.get("id").and_then(Value::as_str).map(str::to_owned);
    Some(models.iter().filter_map(id).collect())
}

/// The options of a command line that is not finished yet.
fn options(words: impl Iterator<Item = OsString>) -> Option<Options> {
    let matches = crate::usage::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    let mut matches = &matches;
    while let Some((_, within)) = matches.subcommand() {
        matches = within;
    }
    Options::from_arg_matches(matches).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_an_unfinished_line_count() {
        for line in [
            "diogenes --url http://h:1 chat",
            "diogenes logs --url http://h:1 --follow",
            "diogenes model show --url http://h:1",
            "diogenes model --url http://h:1 delete",
        ] {
            let options = options(line.split(' ').map(OsString::from)).expect(line);
            let url = options.url.map(|url| url.to_string());
            assert_eq!(url.as_deref(), Some("http://h:1"), "{line}");
        }
    }
}
