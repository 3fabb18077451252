//! Measures what a start of each Lambda function costs, beside a function that says hello.
//!
//! Every round starts every program once, one after the other, so that a noisy neighbour hits
//! all of them. A program gets Lambda's environment and a runtime API on 127.0.0.1; the time
//! runs from just before its `exec`. The table is an emulator's and EC2 a fake, both on
//! 127.0.0.1 and without TLS. Ends with 1 if a bound is broken.
#![expect(clippy::print_stdout, reason = "the report is what the program prints")]

mod events;
mod process;
mod replica;
mod report;
mod runtime_api;
mod socket;
mod subjects;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use fake_ec2::FakeEc2;

use replica::Replica;
use report::{STREAM_MIB, Starts};
use subjects::{ROUTER_CHAT, Subject};
use table::{MODEL, Tables};

/// Measure the starts of the Lambda functions beside a function that says hello: exec to the
/// first question for an event, exec to the first answered event, size, and the memory of the
/// router. Ends with 1 if a bound is broken.
#[derive(Debug, Parser)]
struct Args {
    /// Where the release programs are.
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// Rounds; medians over them are reported.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    ensure!(args.rounds > 0, "medians need a round");
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let (tables, ec2) = (Tables::start(), FakeEc2::start()?);
    let replica = Replica::start(&args.programs).await?;
    let subjects = subjects::all(&args.programs, &tables, &ec2, &replica.base_url()).await?;
    let mut all = Vec::new();
    for subject in &subjects {
        // The first start reads the program from the disk, and counts for nothing.
        start(subject, &log).await?;
        all.push(Starts { subject, size_mib: subject.size_mib()?, rounds: Vec::new() });
    }
    for _ in 0..args.rounds {
        for starts in &mut all {
            let start = start(starts.subject, &log).await?;
            starts.rounds.push(start);
        }
    }
    let (table, mut broken) = report::table(&all);
    println!("{table}\n\nmedians of {} rounds", args.rounds);
    let router = subjects.iter().find(|subject| subject.name == ROUTER_CHAT);
    let memory = memory(router.context("no router")?, &log).await?;
    println!("{}", memory.text());
    if memory.peak() >= STREAM_MIB {
        broken.push(format!("the router takes {:.1} MiB of memory", memory.peak()));
    }
    for what in &broken {
        println!("above its bound: {what}");
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One start, measured. The process ends with it.
async fn start(subject: &Subject, log: &Path) -> anyhow::Result<process::Start> {
    let started = subject.start(log).await.map(|(_, start)| start);
    started.with_context(|| {
        format!("{}; it says: {}", subject.name, std::fs::read_to_string(log).unwrap_or_default())
    })
}

/// The most memory that a router has had, in MiB.
struct Memory {
    first: f64,
    streams: Vec<(usize, f64)>,
}

impl Memory {
    fn peak(&self) -> f64 {
        self.streams.iter().map(|(_, mib)| *mib).fold(self.first, f64::max)
    }

    fn text(&self) -> String {
        let first = format!("peak memory of the router: {:.1} MiB after a first chat", self.first);
        let streams = self
            .streams
            .iter()
            .map(|(chunks, mib)| format!(", {mib:.1} MiB after a warm stream of {chunks} chunks"));
        std::iter::once(first).chain(streams).collect()
    }
}

/// Streams through a router that is warm: a stream as they are, and one that is very long.
async fn memory(router: &Subject, log: &Path) -> anyhow::Result<Memory> {
    let (mut process, _) = router.start(log).await?;
    let mut memory = Memory { first: process.peak_mib()?, streams: Vec::new() };
    for tokens in [400, 20_000] {
        let body = process.next(events::chat(MODEL, tokens)).await?;
        let text = String::from_utf8_lossy(&body);
        let chunks = text.matches("data: {").count();
        ensure!(chunks >= tokens && text.contains("[DONE]"), "{chunks} chunks of {tokens}");
        memory.streams.push((tokens, process.peak_mib()?));
    }
    Ok(memory)
}
