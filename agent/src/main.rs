//! `diogenes-agent`: the program on a GPU instance. `diogenes-agent --help` tells the rest.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser as _;
use diogenes_agent::deadman::KernelClock;
use diogenes_agent::{Args, Aws, Metadata, World};
use diogenes_backends::system::SystemClock;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let settings = Args::parse().settings();
    let filter = EnvFilter::try_from_env("DIOGENES_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let world = World {
        metadata: Metadata::from_env(),
        connect: Box::new(Aws),
        clock: Arc::new(SystemClock),
        boot_clock: Arc::new(KernelClock),
        output: Box::new(std::io::stdout()),
    };
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    diogenes_agent::run(settings, world, stop).await.context("the agent could not start")
}
