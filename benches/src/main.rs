//! Measures `diogenes serve` beside nginx and the bare upstream, in one run.
//!
//! The upstream (mock-vllm, as fast as it can) and the clients are pinned to one core, the proxy
//! under test to another. Every round measures all three one after the other, so that a noisy
//! neighbour hits all of them; medians over the rounds are reported. Authentication, limits and
//! metrics of `serve` are on.
#![expect(clippy::print_stdout, reason = "the report is what the program prints")]

mod cold;
mod load;
mod nginx;
mod report;
mod serve;
mod sse;
mod subject;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use report::Round;
use subject::Subject;

/// Measure `diogenes serve` beside nginx and the bare upstream.
#[derive(Debug, Parser)]
struct Args {
    /// Where the release programs are.
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// Rounds; medians over them are reported.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each load.
    #[arg(long, default_value_t = 2)]
    seconds: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let serve = serve::Serve::start(&args.programs, folder.path()).await?;
    let nginx = nginx::Nginx::start(folder.path(), &serve.upstream).await?;
    let subjects = [
        Subject { name: "direct", url: serve.upstream.clone(), key: None, pids: Vec::new() },
        Subject { name: "nginx", url: nginx.url.clone(), key: None, pids: nginx.pids()? },
        Subject {
            name: "diogenes",
            url: serve.url.clone(),
            key: Some(serve.key.clone()),
            pids: vec![serve.pid()],
        },
    ];
    let idle_memory = report::memory_mib(serve.pid())?;
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        for subject in &subjects {
            let round = Round::measure(subject, folder.path(), args.seconds)
                .await
                .with_context(|| format!("round {number}, {}", subject.name))?;
            eprint_progress(number, args.rounds, &round);
            rounds.push(round);
        }
    }
    println!("{}", report::table(&subjects, &rounds));
    println!(
        "memory of `serve`: {idle_memory:.1} MiB idle, {:.1} MiB after the load",
        report::memory_mib(serve.pid())?
    );
    let cold = cold::measure(&args.programs, 15).await?;
    println!("{cold}");
    Ok(())
}

#[expect(clippy::print_stderr, reason = "progress of long work")]
fn eprint_progress(number: usize, rounds: usize, round: &Round) {
    eprintln!("round {number}/{rounds}: {}", round.summary());
}
