//! Running the mock inside a test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::boot::Log;
use crate::engine::Engine;
use crate::run::load_and_serve;
use crate::server::ReservedPort;
use crate::{Args, Error, Faults, Stats};

/// A mock that runs in the background of this process, on a free port of the loopback address.
///
/// Dropping it stops it at once, as a crash would.
#[derive(Debug)]
pub struct MockVllm {
    engine: Arc<Engine>,
    addr: SocketAddr,
    stop: watch::Sender<Option<Duration>>,
    /// None once its end was seen.
    task: Option<JoinHandle<Result<(), Error>>>,
}

impl MockVllm {
    /// A mock that is ready at once and as fast as possible, until told otherwise.
    pub fn builder() -> Builder {
        Builder { args: Args { port: 0, quiet: true, ..Args::default() } }
    }

    /// Where it listens, or will.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Counters and the last request, as now.
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The faults that are set.
    pub fn faults(&self) -> Faults {
        *self.engine.faults.borrow()
    }

    /// Replaces the faults. Requests that arrive from now on are served by them.
    pub fn set_faults(&self, faults: Faults) {
        self.engine.set_faults(faults);
    }

    /// Closes or reopens the port, and returns when that is done; while it loads, when it has loaded. The other
    /// faults stay.
    pub async fn refuse_connections(&self, refuse: bool) {
        let mut listening = self.engine.listening.subscribe();
        let mut dead = self.engine.dead.subscribe();
        self.engine.faults.send_modify(|faults| faults.refuse_connections = refuse);
        // Both senders live in the engine, which this holds.
        tokio::select! {
            _ = listening.wait_for(|listening| *listening != refuse) => {}
            _ = dead.wait_for(|dead| *dead) => {}
        }
    }

    /// Waits until it is loaded and listens; the error if it ends before.
    pub async fn ready(&mut self) -> Result<(), Error> {
        let engine = Arc::clone(&self.engine);
        let (mut ready, mut listening) = (engine.ready.subscribe(), engine.listening.subscribe());
        let ready = async {
            let _ = ready.wait_for(|ready| *ready).await;
            let _ = listening.wait_for(|listening| *listening).await;
        };
        tokio::select! {
            () = ready => Ok(()),
            ended = self.ended() => ended,
        }
    }

    /// Waits until it ends: by a fault, which is an error, or by [`MockVllm::shutdown`] from elsewhere.
    pub async fn ended(&mut self) -> Result<(), Error> {
        let Some(task) = &mut self.task else {
            return Ok(());
        };
        let ended = task.await;
        self.task = None;
        // A task that was cancelled has ended as it was asked to.
        ended.unwrap_or(Ok(()))
    }

    /// Waits until the counters are as `wanted`; the last counters seen if they are not within `deadline`.
    pub async fn wait_for(
        &self,
        deadline: Duration,
        wanted: impl Fn(&Stats) -> bool,
    ) -> Result<Stats, Stats> {
        let end = tokio::time::Instant::now() + deadline;
        loop {
            let stats = self.stats();
            if wanted(&stats) {
                return Ok(stats);
            }
            if tokio::time::Instant::now() >= end {
                return Err(stats);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops as on SIGTERM: requests in flight have `grace` to end.
    pub async fn shutdown(mut self, grace: Duration) -> Result<(), Error> {
        self.stop.send_replace(Some(grace));
        self.ended().await
    }
}

impl Drop for MockVllm {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What a mock in a test is to be like; see [`MockVllm::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    args: Args,
}

impl Builder {
    /// The model, served under this name.
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.args.model = name.into();
        self
    }

    /// The key that requests to `/v1` must carry.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.args.api_key = Some(key.into());
        self
    }

    /// Completion tokens of an answer that nothing ends earlier.
    pub fn tokens(mut self, tokens: u32) -> Self {
        self.args.tokens = tokens;
        self
    }

    /// Tokens per second of one answer; 0, the default, is as fast as possible.
    pub fn tokens_per_second(mut self, rate: f64) -> Self {
        self.args.tokens_per_second = rate;
        self
    }

    /// Tokens per second of all answers together; 0, the default, is no bound.
    pub fn shared_tokens_per_second(mut self, rate: f64) -> Self {
        self.args.shared_tokens_per_second = rate;
        self
    }

    /// Time to first token; none by default.
    pub fn ttft(mut self, ttft: Duration) -> Self {
        self.args.ttft = ttft;
        self
    }

    /// Requests that run at once; more are waiting.
    pub fn max_num_seqs(mut self, sequences: usize) -> Self {
        self.args.max_num_seqs = sequences;
        self
    }

    /// How long loading takes, in one phase. The port refuses connections meanwhile.
    pub fn load_delay(mut self, delay: Duration) -> Self {
        self.args.load_weights_delay = delay;
        self
    }

    /// The faults to begin with.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.args.faults = faults;
        self
    }

    /// Anything else that has a flag.
    pub fn configure(mut self, change: impl FnOnce(&mut Args)) -> Self {
        change(&mut self.args);
        self
    }

    /// Starts it in the background of the current runtime and returns as soon as the port is known; see
    /// [`MockVllm::ready`]. Without a load delay it is ready at once.
    pub async fn start(self) -> Result<MockVllm, Error> {
        let port = ReservedPort::bind(&self.args.host, self.args.port).await?;
        let addr = port.addr();
        let delay = self.args.load_weights_delay + self.args.compile_delay + self.args.graphs_delay;
        let at_once =
            delay.is_zero() && !self.args.never_healthy && !self.args.faults.refuse_connections;
        let engine = Engine::new(self.args);
        let stop = watch::Sender::new(None);
        let task =
            tokio::spawn(load_and_serve(Arc::clone(&engine), port, stop.subscribe(), Log::Silent));
        let mut mock = MockVllm { engine, addr, stop, task: Some(task) };
        if at_once {
            mock.ready().await?;
        }
        Ok(mock)
    }
}
