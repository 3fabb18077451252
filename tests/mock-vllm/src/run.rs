//! Running the mock as the whole of a program.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::boot::{self, Log};
use crate::engine::Engine;
use crate::server::{self, ReservedPort};
use crate::{Args, Error};

/// Runs the program: until SIGTERM or SIGINT, or until a fault ends it.
pub async fn run(args: Args) -> Result<(), Error> {
    let log = if args.quiet { Log::Silent } else { Log::Process };
    let (grace, ignore) = (args.shutdown_timeout, args.ignore_sigterm);
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Start)?;
    let port = ReservedPort::bind(&args.host, args.port).await?;
    let stop = watch::Sender::new(None);
    let mut served = std::pin::pin!(load_and_serve(Engine::new(args), port, stop.subscribe(), log));
    loop {
        tokio::select! {
            ended = &mut served => return ended,
            Some(()) = terminate.recv() => if !ignore {
                log.uvicorn("Shutting down");
                stop.send_replace(Some(grace));
            },
            Some(()) = interrupt.recv() => { stop.send_replace(Some(grace)); }
        }
    }
}

/// Like [`run`], with a runtime of `args.threads` threads of its own.
pub fn run_blocking(args: Args) -> Result<(), Error> {
    let mut builder = match args.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            if threads > 0 {
                builder.worker_threads(threads);
            }
            builder
        }
    };
    builder.enable_all().build().map_err(Error::Start)?.block_on(run(args))
}

/// Loads, then serves; both at once if the port is to answer while loading.
pub(crate) async fn load_and_serve(
    engine: Arc<Engine>,
    port: ReservedPort,
    mut stop: watch::Receiver<Option<Duration>>,
    log: Log,
) -> Result<(), Error> {
    let addr = port.addr();
    let mut ready = engine.ready.subscribe();
    let serving = async {
        if !engine.args.listen_while_loading {
            tokio::select! {
                _ = ready.wait_for(|ready| *ready) => {}
                _ = stop.wait_for(Option::is_some) => return Ok(()),
            }
        }
        server::serve(Arc::clone(&engine), port, stop, || {
            log.api("api_server.py:1446", format_args!("Starting vLLM server on http://{addr}"));
            log.uvicorn(format_args!("Started server process [{}]", std::process::id()));
            log.uvicorn("Waiting for application startup.");
            log.uvicorn("Application startup complete.");
        })
        .await
    };
    let loading = async {
        boot::load(&engine, log).await?;
        engine.ready.send_replace(true);
        if let Some(after) = engine.args.refuse_connections {
            tokio::time::sleep(after).await;
            engine.faults.send_modify(|faults| faults.refuse_connections = true);
        }
        std::future::pending().await
    };
    tokio::select! {
        ended = serving => ended,
        failed = loading => failed,
    }
}
