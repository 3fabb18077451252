use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::answer::{InvokeError, Part};
use super::desk::{Desk, Parcel};
use super::function::Function;
use super::runtime_api;
use super::socket;
use crate::aws::logs::Log;
use crate::aws::process::Process;

/// How long a process may take until it asks for its first event
/// (<https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>).
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// How long the rest of a dead process's answer is waited for: it lies in a local socket.
const REST: Duration = Duration::from_secs(1);

/// How long the end of an answer waits for the process to be free again, so that a caller who
/// comes back at once finds it free, as it would over a network.
const LINGER: Duration = Duration::from_millis(250);

/// One execution environment: a process and its runtime API.
#[derive(Debug)]
pub(super) struct Instance {
    function: Arc<Function>,
    desk: Arc<Desk>,
    process: Process,
    api: AbortHandle,
}

/// Whether an instance can serve again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits for its next event.
    Reusable,
    /// It has ended.
    Ended,
}

impl Instance {
    /// Starts a process.
    pub(super) fn start(function: Arc<Function>, log: Log) -> io::Result<Self> {
        let (listener, address) = socket::listen()?;
        let desk = Arc::new(Desk::new());
        let process = Process::start(command(&function, address), log, Signal::KILL)?;
        let api = tokio::spawn(runtime_api::serve(listener, desk.clone(), function.arn()));
        Ok(Self { function, desk, process, api: api.abort_handle() })
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// Runs one invocation from its start to the next question of the process for an event.
    /// The last part of the answer is to be sent when the instance can be used again.
    pub(super) async fn run(
        &self,
        id: &str,
        payload: Bytes,
        parts: &mpsc::Sender<Part>,
    ) -> (Fate, Option<Part>) {
        if let Err(error) = self.ready(id).await {
            return (Fate::Ended, Some(Part::Failed(error)));
        }
        self.process.signal(Signal::CONT);
        let end = SystemTime::now() + self.function.timeout;
        let deadline = end.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let parcel = Parcel { id: id.to_owned(), payload, deadline };
        let Some(polls) = self.desk.hand_over(parcel, parts.clone()) else {
            let how = self.process.exited().await;
            return (Fate::Ended, Some(Part::Failed(exit_error(id, &how))));
        };
        let mut said = false;
        let mut time = pin!(tokio::time::sleep(self.function.timeout));
        let error = loop {
            tokio::select! {
                () = self.desk.asked_more_often_than(polls) => break None,
                how = self.process.exited() => break Some(exit_error(id, &how)),
                () = &mut time => {
                    self.process.signal(Signal::KILL);
                    self.process.exited().await;
                    break Some(timed_out(id, self.function.timeout));
                }
                () = self.lingers(), if !said => {
                    said = true;
                    if let Some(last) = self.desk.last() {
                        let _ = parts.send(last).await;
                    }
                }
            }
        };
        if error.is_some() {
            // What it has sent before it ended comes first.
            let _ = timeout(REST, self.desk.read_wholly()).await;
        } else if self.function.freeze {
            self.process.signal(Signal::STOP);
        }
        let fate = if error.is_some() { Fate::Ended } else { Fate::Reusable };
        let error = error.unwrap_or_else(|| {
            InvokeError::function("Runtime.NoResponse", "it has asked without an answer")
        });
        (fate, self.desk.last().or((!said).then_some(Part::Failed(error))))
    }

    /// Waits until the process has finished its answer and then does not ask for the next event.
    async fn lingers(&self) {
        self.desk.finished().await;
        tokio::time::sleep(LINGER).await;
    }

    /// Waits until the process has asked for its first event.
    async fn ready(&self, id: &str) -> Result<(), InvokeError> {
        tokio::select! {
            () = self.desk.asked_more_often_than(0) => Ok(()),
            how = self.process.exited() => {
                Err(self.desk.init_error().unwrap_or_else(|| exit_error(id, &how)))
            }
            () = tokio::time::sleep(INIT_LIMIT) => {
                self.process.signal(Signal::KILL);
                Err(timed_out(id, INIT_LIMIT))
            }
        }
    }
}

/// The program of a function with its environment.
fn command(function: &Function, api: SocketAddr) -> Command {
    let stream = format!("2026/01/01/[$LATEST]{:032x}", u32::from(api.port()));
    let mut command = Command::new(&function.program);
    command
        .env_clear()
        .envs(function.variables(&api.to_string(), &stream))
        .current_dir(function.program.parent().unwrap_or("/".as_ref()));
    command
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.api.abort();
    }
}

fn exit_error(id: &str, how: &str) -> InvokeError {
    InvokeError::function("Runtime.ExitError", format!("RequestId: {id} Error: {how}"))
}

fn timed_out(id: &str, after: Duration) -> InvokeError {
    let seconds = after.as_secs_f64();
    let message = format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds");
    InvokeError::function("Sandbox.Timedout", message)
}
