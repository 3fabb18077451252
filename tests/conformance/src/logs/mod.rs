//! The promises of [`LogSource`].

pub mod following;
pub mod tail;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diogenes_core::fleet::ClaimId;
use diogenes_core::name::ModelName;
use diogenes_core::ports::{LogChunk, LogSource};

/// How long a log is waited for.
const DEADLINE: Duration = Duration::from_secs(20);
/// More than any log here has.
const MOST: usize = 64 * 1024;

/// Makes the logs that a source reads.
#[async_trait]
pub trait Servers: Send + Sync {
    /// An inference server of `model` starts, and has printed nothing yet.
    async fn start(&self, model: &ModelName, claim: &ClaimId);

    /// It prints whole lines, at most 40 in all.
    async fn print(&self, model: &ModelName, claim: &ClaimId, lines: &[u8]);
}

/// A source for one check.
pub struct Fixture {
    source: Arc<dyn LogSource>,
    servers: Box<dyn Servers>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A source of no log yet, and who makes logs.
    pub fn new(source: Arc<dyn LogSource>, servers: impl Servers + 'static) -> Self {
        Self { source, servers: Box::new(servers), _keep: Box::new(()) }
    }

    /// Keeps what the source stands on until the check ends.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        Self { _keep: Box::new(what), ..self }
    }

    /// Starts a server that prints this.
    async fn started(&self, claim: &ClaimId, lines: &str) {
        self.servers.start(&model(), claim).await;
        self.servers.print(&model(), claim, lines.as_bytes()).await;
        self.until_tail(|tail| tail.claim == *claim && tail.text == lines).await;
    }

    async fn tail(&self, max_bytes: usize) -> Option<LogChunk> {
        self.source.tail(&model(), max_bytes).await.unwrap()
    }

    async fn read_from(&self, claim: &ClaimId, offset: u64, max_bytes: usize) -> Option<LogChunk> {
        self.source.read_from(&model(), claim, offset, max_bytes).await.unwrap()
    }

    /// Waits until the end of the newest log is as it should be.
    async fn until_tail(&self, fits: impl Fn(&LogChunk) -> bool) -> LogChunk {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.tail(MOST).await {
                Some(tail) if fits(&tail) => return tail,
                last => assert!(Instant::now() < deadline, "last seen: {last:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

fn model() -> ModelName {
    "org/model".parse().unwrap()
}

fn claim(id: &str) -> ClaimId {
    ClaimId::new(id)
}
