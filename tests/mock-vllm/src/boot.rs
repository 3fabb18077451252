//! Loading: its phases, and the log that vLLM writes meanwhile.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::{Args, Error};

/// Where the start-up log goes: nowhere in a library, to stdout (vLLM's logger) and stderr (uvicorn's) in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    Silent,
    Process,
}

impl Log {
    /// A line of the engine process.
    fn engine(self, place: &str, message: impl Display) {
        self.vllm("EngineCore_DP0", "INFO", place, message);
    }

    /// A line of the API server process.
    pub(crate) fn api(self, place: &str, message: impl Display) {
        self.vllm("APIServer", "INFO", place, message);
    }

    fn vllm(self, process: &str, level: &str, place: &str, message: impl Display) {
        let (pid, time) = (std::process::id(), jiff::Timestamp::now().strftime("%m-%d %H:%M:%S"));
        self.write(
            std::io::stdout(),
            format_args!("({process} pid={pid}) {level} {time} [{place}] {message}"),
        );
    }

    /// A line of uvicorn.
    pub(crate) fn uvicorn(self, message: impl Display) {
        let pid = std::process::id();
        self.write(std::io::stderr(), format_args!("(APIServer pid={pid}) INFO:     {message}"));
    }

    fn write(self, mut to: impl Write, line: impl Display) {
        if self == Self::Process {
            // It does not stop because nobody reads its log any more.
            let _ = writeln!(to, "{line}");
        }
    }
}

/// Goes through the phases of loading. Does not return if the engine is never to be healthy.
pub(crate) async fn load(engine: &Engine, log: Log) -> Result<(), Error> {
    let args: &Args = &engine.args;
    let began = Instant::now();
    let model = args.root();
    log.api("utils.py:299", format_args!("version 0.32.0, model {model}"));
    log.engine(
        "core.py:97",
        format_args!("Initializing a V1 LLM engine (v0.32.0) with config: model='{model}'"),
    );
    log.engine("gpu_model_runner.py:4112", format_args!("Starting to load model {model}..."));
    let weights = phase(args.load_weights_delay).await;
    if let Some(code) = args.exit_during_boot {
        traceback(log, model);
        return Err(Error::ExitDuringBoot { code });
    }
    log.engine("default_loader.py:314", format_args!("Loading weights took {weights:.2} seconds"));
    log.engine(
        "gpu_model_runner.py:4198",
        format_args!("Model loading took 14.99 GiB memory and {weights:.6} seconds"),
    );
    if args.never_healthy {
        std::future::pending::<()>().await;
    }
    let compile = phase(args.compile_delay).await;
    log.engine("monitor.py:48", format_args!("torch.compile takes {compile:.2} s in total"));
    log.engine("kv_cache_utils.py:1307", "GPU KV cache size: 430,544 tokens");
    let graphs = phase(args.graphs_delay).await;
    log.engine(
        "gpu_model_runner.py:5147",
        format_args!("Graph capturing finished in {graphs:.0} secs, took 0.61 GiB"),
    );
    let took = began.elapsed().as_secs_f64();
    log.engine(
        "core.py:272",
        format_args!("init engine (profile, create kv cache, warmup model) took {took:.2} seconds"),
    );
    Ok(())
}

/// Waits and returns the seconds it took.
async fn phase(delay: Duration) -> f64 {
    let began = Instant::now();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    began.elapsed().as_secs_f64()
}

/// The last lines of a vLLM whose model did not fit.
fn traceback(log: Log, model: &str) {
    const LINES: [&str; 6] = [
        "EngineCore failed to start.",
        "Traceback (most recent call last):",
        "  File \"/usr/local/lib/python3.12/dist-packages/vllm/v1/engine/core.py\", line 946, in run_engine_core",
        "    engine_core = EngineCoreProc(*args, engine_index=dp_rank, **kwargs)",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 22.06 GiB",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': 1}",
    ];
    log.vllm("EngineCore_DP0", "ERROR", "core.py:955", format_args!("could not load {model}"));
    for line in LINES {
        log.write(std::io::stderr(), line);
    }
}
