//! What the requests share: configuration, the scheduler's two queues, counters, and the last request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::metrics::Histogram;
use crate::text::mix;
use crate::{Args, Faults};

/// Counters of inference requests, as `GET /mock/stats` answers them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Inference requests that arrived and had the right key, failed ones too.
    pub requests: u64,
    /// Requests running or waiting now.
    pub in_flight: u64,
    /// Of these, the ones that wait for a free sequence.
    pub waiting: u64,
    /// Requests answered to their end.
    pub completed: u64,
    /// Requests whose client went away before the end.
    pub cancelled: u64,
    /// Path and query of the last request.
    pub last_path: String,
    /// Headers of the last request, lower case; repeated ones joined by `, `.
    pub last_headers: BTreeMap<String, String>,
    /// Body of the last request.
    pub last_body: String,
}

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) args: Args,
    pub(crate) names: Vec<String>,
    token_interval: Duration,
    pub(crate) counters: Counters,
    /// True once loaded.
    pub(crate) ready: watch::Sender<bool>,
    /// Whether the port accepts connections.
    pub(crate) listening: watch::Sender<bool>,
    /// True once a `die_after` fault fired.
    pub(crate) dead: watch::Sender<bool>,
    pub(crate) faults: watch::Sender<Faults>,
    /// Arrivals since the faults were set.
    since_faults: AtomicU64,
    ids: AtomicU64,
    slots: Arc<Semaphore>,
    last: Mutex<Option<Arrived>>,
    started: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) running: AtomicU64,
    pub(crate) waiting: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) aborted: AtomicU64,
    pub(crate) stopped: AtomicU64,
    pub(crate) at_length: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) generation_tokens: AtomicU64,
    pub(crate) time_to_first_token: Histogram,
    pub(crate) request_latency: Histogram,
}

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) path: http::Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What is to happen to a request by the faults that are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Serve(Faults),
    Fail { status: u16, retry_after: Option<u32> },
    Die,
}

impl Engine {
    pub(crate) fn new(args: Args) -> Arc<Self> {
        Arc::new(Self {
            names: args.names(),
            token_interval: args.token_interval(),
            counters: Counters::default(),
            ready: watch::Sender::new(false),
            listening: watch::Sender::new(false),
            dead: watch::Sender::new(false),
            faults: watch::Sender::new(args.faults),
            since_faults: AtomicU64::new(0),
            ids: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(args.max_num_seqs.clamp(1, Semaphore::MAX_PERMITS))),
            last: Mutex::new(None),
            started: now_seconds(),
            args,
        })
    }

    /// From one token of an answer to the next, with as many running as there are now.
    pub(crate) fn token_interval(&self) -> Duration {
        let shared = self.args.shared_tokens_per_second;
        if shared <= 0.0 {
            return self.token_interval;
        }
        let running = self.counters.running.load(Relaxed) as f64;
        let share = Duration::try_from_secs_f64(running / shared).unwrap_or_default();
        share.max(self.token_interval)
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.since_faults.store(0, Relaxed);
        self.faults.send_replace(faults);
    }

    /// Counts an arrival, remembers it, and says what becomes of it.
    pub(crate) fn arrive(&self, arrived: Arrived) -> Verdict {
        *self.last() = Some(arrived);
        self.counters.requests.fetch_add(1, Relaxed);
        let faults = *self.faults.borrow();
        if faults == Faults::default() {
            return Verdict::Serve(faults);
        }
        let earlier = self.since_faults.fetch_add(1, Relaxed);
        if faults.die_after.is_some_and(|after| earlier >= after) {
            Verdict::Die
        } else if earlier < faults.fail_first {
            Verdict::Fail { status: faults.fail_status, retry_after: faults.fail_retry_after }
        } else {
            Verdict::Serve(faults)
        }
    }

    /// A request id in vLLM's form: the client's `X-Request-Id`, or 32 hexadecimal digits, after the prefix.
    pub(crate) fn request_id(&self, prefix: &str, from_client: Option<&str>) -> String {
        if let Some(id) = from_client {
            return format!("{prefix}{id}");
        }
        let serial = self.ids.fetch_add(1, Relaxed);
        let high = mix(serial ^ (self.started << 32));
        format!("{prefix}{high:016x}{:016x}", mix(high))
    }

    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.counters;
        let waiting = counters.waiting.load(Relaxed);
        let mut stats = Stats {
            requests: counters.requests.load(Relaxed),
            in_flight: waiting + counters.running.load(Relaxed),
            waiting,
            completed: counters.completed.load(Relaxed),
            cancelled: counters.cancelled.load(Relaxed),
            ..Stats::default()
        };
        if let Some(last) = self.last().as_ref() {
            stats.last_path = last.path.to_string();
            stats.last_body = String::from_utf8_lossy(&last.body).into_owned();
            for (name, value) in &last.headers {
                let value = String::from_utf8_lossy(value.as_bytes());
                let joined: &mut String = stats.last_headers.entry(name.to_string()).or_default();
                if !joined.is_empty() {
                    joined.push_str(", ");
                }
                joined.push_str(&value);
            }
        }
        stats
    }

    fn last(&self) -> MutexGuard<'_, Option<Arrived>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn now_seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was sent; the answer ended by itself.
    Stopped,
    /// All was sent; a token limit ended the answer.
    AtLength,
    /// A fault ended it.
    Aborted,
}

/// One admitted request in the counters. Dropped without [`Ticket::finish`], its client went away.
#[derive(Debug)]
pub(crate) struct Ticket {
    engine: Arc<Engine>,
    state: Progress,
    arrived: Instant,
}

#[derive(Debug)]
enum Progress {
    Waiting,
    Running { _slot: OwnedSemaphorePermit },
    Finished,
}

impl Ticket {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        engine.counters.waiting.fetch_add(1, Relaxed);
        Self { engine: Arc::clone(engine), state: Progress::Waiting, arrived: Instant::now() }
    }

    /// A free slot, to be handed to [`Ticket::run`], if there is one now.
    pub(crate) fn try_slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.engine.slots).try_acquire_owned().ok()
    }

    /// The slots to wait for.
    pub(crate) fn slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.engine.slots)
    }

    /// Waiting becomes running.
    pub(crate) fn run(&mut self, slot: OwnedSemaphorePermit, prompt_tokens: u32) {
        let counters = &self.engine.counters;
        counters.waiting.fetch_sub(1, Relaxed);
        counters.running.fetch_add(1, Relaxed);
        counters.prompt_tokens.fetch_add(prompt_tokens.into(), Relaxed);
        self.state = Progress::Running { _slot: slot };
    }

    pub(crate) fn first_token(&self) {
        self.engine.counters.time_to_first_token.observe(self.arrived.elapsed());
    }

    pub(crate) fn tokens(&self, count: u32) {
        self.engine.counters.generation_tokens.fetch_add(count.into(), Relaxed);
    }

    /// Ends the request; later calls do nothing.
    pub(crate) fn finish(&mut self, outcome: Outcome) {
        if self.leave() {
            let counters = &self.engine.counters;
            counters.request_latency.observe(self.arrived.elapsed());
            if outcome != Outcome::Aborted {
                counters.completed.fetch_add(1, Relaxed);
            }
            let finished = match outcome {
                Outcome::Stopped => &counters.stopped,
                Outcome::AtLength => &counters.at_length,
                Outcome::Aborted => &counters.aborted,
            };
            finished.fetch_add(1, Relaxed);
        }
    }

    /// Leaves its queue; false if it had left already.
    fn leave(&mut self) -> bool {
        let counters = &self.engine.counters;
        match std::mem::replace(&mut self.state, Progress::Finished) {
            Progress::Waiting => counters.waiting.fetch_sub(1, Relaxed),
            Progress::Running { .. } => counters.running.fetch_sub(1, Relaxed),
            Progress::Finished => return false,
        };
        true
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.leave() {
            self.engine.counters.cancelled.fetch_add(1, Relaxed);
            self.engine.counters.aborted.fetch_add(1, Relaxed);
        }
    }
}
