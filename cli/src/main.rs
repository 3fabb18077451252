//! `diogenes`: your own OpenAI-compatible endpoint that costs nothing while nobody uses it.

mod aws;
mod client;
mod commands;
mod exit;
mod jobs;
mod serve;
mod usage;
mod wording;
mod worker;

use std::process::ExitCode;

use clap::{FromArgMatches, Parser, Subcommand};

use commands::{ClientCommand, RootOptions};
use exit::Failure;

/// A request allocates dozens of small pieces. With the C library's allocator it was measured to
/// take some 8 % more CPU at 32 connections.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Your own OpenAI-compatible endpoint that costs nothing while nobody uses it.
#[derive(Debug, Parser)]
#[command(name = "diogenes", version, about, max_term_width = 100, after_help = commands::HELP)]
struct Cli {
    #[command(flatten)]
    options: RootOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Worker(worker::WorkerArgs),
    #[command(flatten)]
    Client(ClientCommand),
    /// A fake vLLM: the demonstration model's inference server.
    #[command(name = serve::MOCK_VLLM, hide = true)]
    MockVllm(mock_vllm::Args),
    #[command(name = jobs::GUARD, hide = true)]
    RunGuarded(jobs::GuardArgs),
}

fn main() -> ExitCode {
    commands::answer_shell();
    let words: Vec<_> = std::env::args_os().collect();
    let read = usage::command()
        .try_get_matches_from(&words)
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, usage::format_of(&matches))));
    let (cli, format) = match read {
        Ok(read) => read,
        Err(error) => return usage::explain(error, usage::command(), &words),
    };
    run(cli).unwrap_or_else(|failure| {
        commands::output::failure(format, &failure);
        failure.kind.code()
    })
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Client(command) => {
            commands::run(command)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve(args) => {
            cli.options.refuse("serve")?;
            start_logging();
            runtime()?.block_on(serve::run(args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Worker(args) => {
            start_logging();
            runtime()?.block_on(worker::run(args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::MockVllm(args) => match mock_vllm::run_blocking(args) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Ok(ExitCode::from(error.exit_code())),
        },
        Command::RunGuarded(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let code = runtime.and_then(|runtime| runtime.block_on(jobs::run_guarded(args)));
            Ok(ExitCode::from(code.map_err(anyhow::Error::from)?))
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    use anyhow::Context;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    Ok(runtime.context("the async runtime cannot be started")?)
}

/// Logs go to standard error; `DIOGENES_LOG` filters them, as `RUST_LOG` does elsewhere.
fn start_logging() {
    use std::io::IsTerminal;

    use tracing_subscriber::EnvFilter;

    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let filter = Some("DIOGENES_LOG").filter(|name| is_set(name)).map(EnvFilter::try_from_env);
    let filter = filter.and_then(Result::ok).unwrap_or_else(|| EnvFilter::new("info"));
    let json = std::env::var_os("DIOGENES_LOG_FORMAT").is_some_and(|format| format == "json");
    let colours = std::io::stderr().is_terminal() && !is_set("NO_COLOR");
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.with_target(false).with_ansi(colours).init();
    }
}
