//! The dead-man switch: ends the instance when the control plane has gone quiet or the instance
//! has grown too old, whatever state the rest of the agent is in.
//!
//! It runs in a thread of its own that waits for nobody: no lock, no runtime, no log, no network.
//! What the rest of the agent knows comes in through a channel; if nothing comes, time runs out.

mod clock;
mod end;
mod switch;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use diogenes_core::ports::Version;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub use clock::{BootClock, KernelClock};
pub use end::Shutdown;
pub use switch::{Cause, Limits, Switch, WITHOUT_ORDERS};

/// What the rest of the agent tells the switch.
enum Message {
    Limits(Limits),
    Lease(Version, Duration),
    End(Duration, String),
}

/// The agent's end of the switch.
pub struct DeadMan {
    messages: mpsc::Sender<Message>,
    clock: Arc<dyn BootClock>,
}

/// What the switch does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It ends the instance.
    Ends(Cause),
    /// A step of the shutdown did not work.
    Failed(String),
}

impl DeadMan {
    /// Starts the thread, which looks at `clock` every `tick`, and gives its news.
    pub fn start(
        mut switch: Switch,
        clock: Arc<dyn BootClock>,
        shutdown: Shutdown,
        tick: Duration,
    ) -> io::Result<(Self, UnboundedReceiver<News>)> {
        let (messages, heard) = mpsc::channel();
        let (tell, news) = unbounded_channel();
        let times = Arc::clone(&clock);
        thread::Builder::new().name("dead-man".into()).spawn(move || {
            let cause = loop {
                match heard.recv_timeout(tick) {
                    Ok(Message::Limits(limits)) => switch.arm(limits),
                    Ok(Message::Lease(version, at)) => switch.saw_lease(version, at),
                    Ok(Message::End(at, reason)) => switch.end_at(at, reason),
                    Err(RecvTimeoutError::Timeout) => {}
                    // The rest of the agent is gone; the switch stands.
                    Err(RecvTimeoutError::Disconnected) => thread::sleep(tick),
                }
                if let Some(cause) = switch.due(times.since_boot()) {
                    break cause;
                }
            };
            // Whether anybody still listens makes no difference.
            let _ = tell.send(News::Ends(cause));
            end::end(&shutdown, &|failure| drop(tell.send(News::Failed(failure))));
        })?;
        Ok((Self { messages, clock }, news))
    }

    /// Sets the control plane's limits.
    pub fn arm(&self, limits: Limits) {
        self.tell(Message::Limits(limits));
    }

    /// Reports the version of the lease that a read which began at `at` found.
    pub fn saw_lease(&self, version: Version, at: Duration) {
        self.tell(Message::Lease(version, at));
    }

    /// Ends the instance in a while.
    pub fn end_in(&self, delay: Duration, reason: impl Into<String>) {
        let at = self.clock.since_boot().saturating_add(delay);
        self.tell(Message::End(at, reason.into()));
    }

    /// The time on the switch's clock.
    pub fn now(&self) -> Duration {
        self.clock.since_boot()
    }

    fn tell(&self, message: Message) {
        // Once the thread ends the machine it hears nothing more, and need not.
        let _ = self.messages.send(message);
    }
}
