//! What a `scripted-upstream` does with a request, sent along with the request itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The header that carries a script.
pub const SCRIPT_HEADER: &str = "x-script";

/// One step of a script.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Read the request's body. Every script begins with this unless it is [`Script::early`].
    ReadBody,
    /// Write these bytes at once.
    Send(Vec<u8>),
    /// Write these bytes so many times.
    Repeat(Vec<u8>, usize),
    /// Write these bytes one by one, with a pause in between.
    Drip(Vec<u8>, Duration),
    /// Do nothing for so long.
    Pause(Duration),
    /// Keep the connection open, and write nothing until the other side closes it.
    Silence,
    /// Close the sending half, and nothing else.
    Finish,
    /// Close the connection.
    Close,
    /// Close the connection with a reset.
    Reset,
    /// Close the port for so long, and every other connection; both are closed when the next step
    /// begins.
    Refuse(Duration),
    /// End the process.
    Die,
}

/// What a replica does with one request. A script that does not end the connection leaves it open
/// for the next request.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Script(Vec<Step>);

impl Script {
    /// A script that starts once the request has been read.
    pub fn new() -> Self {
        Self(vec![Step::ReadBody])
    }

    /// A script that starts when only the request's head has been read.
    pub fn early() -> Self {
        Self(Vec::new())
    }

    /// Adds a step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// Adds bytes to write at once.
    #[must_use]
    pub fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Adds the end of the connection.
    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    /// Adds a pause.
    #[must_use]
    pub fn pause(self, millis: u64) -> Self {
        self.then(Step::Pause(Duration::from_millis(millis)))
    }

    /// Whether the process does not survive it.
    pub fn is_deadly(&self) -> bool {
        self.0.iter().any(|step| matches!(step, Step::Die))
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The script as the value of [`SCRIPT_HEADER`].
    pub fn encode(&self) -> String {
        let json = serde_json::to_string(self).expect("a script is JSON");
        assert!(json.is_ascii(), "bytes are numbers");
        json
    }

    /// What [`Script::encode`] has made.
    pub fn decode(value: &str) -> Self {
        serde_json::from_str(value).expect("a script")
    }
}
