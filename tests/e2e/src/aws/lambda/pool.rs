use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::answer::{InvokeError, Part};
use super::events::Dropped;
use super::function::Function;
use super::instance::{Fate, Instance};
use crate::aws::logs::Log;
use crate::aws::process::Process;

/// How many pieces of an answer wait for a reader before the function has to.
const PARTS: usize = 64;

/// One function with its processes.
#[derive(Debug)]
pub(super) struct Pool {
    function: Arc<Function>,
    log: Log,
    state: Mutex<State>,
    /// How many invocations run or wait, of all functions of the host.
    pending: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    /// The one that was used last is used next.
    idle: Vec<Arc<Instance>>,
    all: Vec<Arc<Instance>>,
    running: usize,
    starts: usize,
    invocations: usize,
    dropped: Vec<Dropped>,
    closed: bool,
}

/// Counts an invocation as long as it lives.
#[derive(Debug)]
pub(super) struct Pending(watch::Sender<usize>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.send_modify(|pending| *pending -= 1);
    }
}

impl Pool {
    pub(super) fn new(function: Function, pending: watch::Sender<usize>) -> Self {
        Self { function: Arc::new(function), log: Log::default(), state: Mutex::default(), pending }
    }

    pub(super) fn function(&self) -> &Function {
        &self.function
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Counts something that is to be waited for.
    pub(super) fn pending(&self) -> Pending {
        self.pending.send_modify(|pending| *pending += 1);
        Pending(self.pending.clone())
    }

    /// Starts an invocation, which goes on whoever listens.
    pub(super) fn invoke(self: &Arc<Self>, payload: Bytes) -> mpsc::Receiver<Part> {
        let (parts, answer) = mpsc::channel(PARTS);
        let id = request_id();
        let pending = self.pending();
        match self.take() {
            Ok(instance) => {
                let pool = self.clone();
                tokio::spawn(async move {
                    let (fate, last) = instance.run(&id, payload, &parts).await;
                    pool.put_back(instance, fate);
                    drop(pending);
                    if let Some(last) = last {
                        let _ = parts.send(last).await;
                    }
                });
            }
            Err(error) => parts.try_send(Part::Failed(error)).expect("a channel with room"),
        }
        answer
    }

    /// A waiting process, or a new one.
    fn take(&self) -> Result<Arc<Instance>, InvokeError> {
        let mut state = self.state.lock().unwrap();
        if state.closed {
            return Err(InvokeError::NotFound(self.function.name.clone()));
        }
        if self.function.reserved_concurrency.is_some_and(|limit| state.running >= limit) {
            return Err(InvokeError::Throttled);
        }
        state.invocations += 1;
        let instance = loop {
            match state.idle.pop() {
                Some(instance) if instance.process().is_alive() => break instance,
                Some(dead) => state.all.retain(|other| !Arc::ptr_eq(other, &dead)),
                None => {
                    let started = Instance::start(self.function.clone(), self.log.clone());
                    let instance = Arc::new(started.map_err(|error| {
                        let program = self.function.program.display();
                        let message = format!("cannot run {program}: {error}");
                        InvokeError::function("Runtime.InvalidEntrypoint", message)
                    })?);
                    state.all.push(instance.clone());
                    state.starts += 1;
                    break instance;
                }
            }
        };
        state.running += 1;
        Ok(instance)
    }

    fn put_back(&self, instance: Arc<Instance>, fate: Fate) {
        let mut state = self.state.lock().unwrap();
        state.running -= 1;
        match fate {
            Fate::Reusable => state.idle.push(instance),
            Fate::Ended => state.all.retain(|other| !Arc::ptr_eq(other, &instance)),
        }
    }

    /// Kills every process, also those that serve, and waits until they have gone.
    pub(super) fn kill(&self) {
        let all = self.state.lock().unwrap().all.clone();
        for instance in all {
            instance.process().end();
        }
    }

    /// The same, and starts none any more.
    pub(super) fn close(&self) {
        self.state.lock().unwrap().closed = true;
        self.kill();
        let mut state = self.state.lock().unwrap();
        state.idle.clear();
        state.all.clear();
    }

    /// The living processes.
    pub(super) fn pids(&self) -> Vec<u32> {
        let state = self.state.lock().unwrap();
        let processes = state.all.iter().map(|instance| instance.process());
        processes.filter(|process| process.is_alive()).map(Process::pid).collect()
    }

    /// How many processes were started.
    pub(super) fn starts(&self) -> usize {
        self.state.lock().unwrap().starts
    }

    /// How many invocations were begun, retries included and throttled ones not.
    pub(super) fn invocations(&self) -> usize {
        self.state.lock().unwrap().invocations
    }

    /// Notes an event that was given up.
    pub(super) fn give_up(&self, dropped: Dropped) {
        self.state.lock().unwrap().dropped.push(dropped);
    }

    /// The events that were given up.
    pub(super) fn dropped(&self) -> Vec<Dropped> {
        self.state.lock().unwrap().dropped.clone()
    }
}

/// A fresh id in a UUID's form.
pub(super) fn request_id() -> String {
    // The standard library's hashers are seeded from the system, each otherwise.
    let fresh = || u128::from(RandomState::new().hash_one(0));
    let hex = format!("{:032x}", fresh() << 64 | fresh());
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
