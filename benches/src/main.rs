//! Measures `diogenes serve` beside nginx, the bare upstream and other gateways, in one run.
//!
//! The upstream (mock-vllm, as fast as it can) and the clients are pinned to one core, the proxy
//! under test to another. Every round measures all of them one after the other, so that a noisy
//! neighbour hits all; medians over the rounds are reported. Authentication, limits, a budget and
//! metrics of `serve` are on.
#![expect(clippy::print_stdout, reason = "the report is what the program prints")]

mod batches;
mod chunked;
mod cold;
mod group;
mod load;
mod peer;
mod peers;
mod prompts;
mod ready;
mod report;
mod request;
mod serve;
mod sse;
mod started;
mod subject;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::Parser;

use report::{Results, Round};
use subject::Subject;

/// Measure `diogenes serve` beside nginx, the bare upstream and other gateways.
///
/// Needs nginx, wrk and two quiet cores. The programs are built by `make bench`, and the other
/// gateways installed by `scripts/bench_peers.sh`.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  diogenes-bench --rounds 3
  diogenes-bench --batch 50000
  diogenes-bench --prompts
  diogenes-bench --peers ~/.cache/diogenes-bench
  diogenes-bench --peers ~/.cache/diogenes-bench --only vllm-router,litellm --rounds 1 --seconds 1")]
struct Args {
    /// Where the release programs are.
    #[arg(long, value_name = "FOLDER", default_value = "target/release")]
    programs: PathBuf,
    /// Measure other gateways too: those that are installed in this folder.
    #[arg(long, value_name = "FOLDER")]
    peers: Option<PathBuf>,
    /// Of the other gateways only these, which must be installed.
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "peers")]
    only: Vec<String>,
    /// Measure a batch of this many lines instead, and callers beside one. Needs no nginx.
    #[arg(long, value_name = "LINES", conflicts_with = "peers")]
    batch: Option<usize>,
    /// Measure requests that name a prompt instead, beside those that bring its messages. Needs no nginx.
    #[arg(long, conflicts_with_all = ["peers", "batch"])]
    prompts: bool,
    /// Rounds; medians over them are reported.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each load.
    #[arg(long, default_value_t = 2)]
    seconds: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // What was started is in process groups of its own, which the terminal does not interrupt.
    tokio::select! {
        outcome = run(Args::parse()) => outcome,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    if let Some(lines) = args.batch {
        println!("{}", batches::measure(&args.programs, lines, args.rounds).await?);
        return Ok(());
    }
    if args.prompts {
        println!("{}", prompts::measure(&args.programs, args.rounds, args.seconds).await?);
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    // LiteLLM imports Python modules that lie two folders above it, so two of ours are.
    let places = folder.path().join("peers");
    std::fs::create_dir(&places)?;
    let serve = serve::Serve::start(&args.programs, folder.path()).await?;
    let idle_memory = serve.memory_mib()?;
    let nginx = peers::NGINX
        .start(Path::new(""), &nginx_version()?, &places, &serve.upstream)
        .await
        .context("nginx does not serve")?;
    let mut subjects = vec![serve.direct()];
    subjects.extend(nginx);
    subjects.push(serve.plain());
    if let Some(installed) = &args.peers {
        subjects.extend(serve.armed().await?);
        // Programs run in folders of their own.
        let installed = std::path::absolute(installed)?;
        for peer in peers::chosen(&args.only)? {
            let version = match peer.version(&installed) {
                Err(error) if args.only.is_empty() => {
                    note(&format!("left out: {error:#}"));
                    continue;
                }
                version => version?,
            };
            match peer.start(&installed, &version, &places, &serve.upstream).await {
                Ok(ways) => subjects.extend(ways),
                Err(error) if args.only.is_empty() => {
                    note(&format!("left out: {}: {error:#}", peer.name));
                }
                Err(error) => return Err(error.context(peer.name)),
            }
        }
    }
    if args.peers.is_some() {
        for subject in &subjects {
            // Whoever fails here fails in the first round, which says so.
            let _ = load::measure(subject, folder.path(), load::WARM_UP, args.seconds);
        }
    }
    let rounds = measure(&mut subjects, folder.path(), &args).await?;
    let results = Results { subjects: &subjects, rounds: &rounds };
    println!("{}\n\nMultiples of nginx's:\n\n{}\n", results.table(), results.ratios());
    for line in verdict::lines(&results) {
        println!("{line}");
    }
    println!(
        "memory of `serve`: {idle_memory:.1} MiB idle, {:.1} MiB after the load",
        serve.memory_mib()?
    );
    if args.peers.is_none() {
        println!("{}", cold::measure(&args.programs, 15).await?);
    }
    Ok(())
}

/// Other gateways that fail are left out from then on.
async fn measure(
    subjects: &mut Vec<Subject>,
    folder: &Path,
    args: &Args,
) -> anyhow::Result<Vec<Round>> {
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let mut failed = Vec::new();
        for subject in subjects.iter() {
            let ours = subject.group.is_none() || subject.name.starts_with("diogenes");
            match Round::measure(subject, folder, args.seconds).await {
                Ok(round) => {
                    note(&format!("round {number}/{}: {}", args.rounds, round.summary()));
                    rounds.push(round);
                }
                Err(error) if ours || subject.name == "nginx" => {
                    return Err(error.context(format!("round {number}, {}", subject.name)));
                }
                Err(error) => {
                    note(&format!("left out: {}: {error:#}", subject.name));
                    failed.push(subject.name.clone());
                }
            }
        }
        subjects.retain(|subject| !failed.contains(&subject.name));
    }
    Ok(rounds)
}

fn nginx_version() -> anyhow::Result<String> {
    let output = Command::new("nginx").arg("-v").output();
    let output =
        output.context("nginx does not run; install it with `apt-get install nginx-light`")?;
    // `nginx version: nginx/1.22.1`
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(text.trim().rsplit('/').next().unwrap_or("unknown").to_owned())
}

#[expect(clippy::print_stderr, reason = "progress of long work")]
fn note(text: &str) {
    eprintln!("{text}");
}
