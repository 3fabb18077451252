use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::answer::{InvokeError, Part};

/// An event on its way to a process.
#[derive(Debug)]
pub(super) struct Parcel {
    /// The id of the invocation.
    pub(super) id: String,
    pub(super) payload: Bytes,
    /// When its time is over, in milliseconds since 1970.
    pub(super) deadline: u128,
}

/// Where a process and its invocations meet: what one process's runtime API knows.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// How often the process has asked for an event: more than before means that it has done.
    polls: watch::Sender<u64>,
    /// How many answers are being read.
    reading: watch::Sender<u32>,
    /// Whether the process has said its last word about its invocation.
    finished: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Option<oneshot::Sender<Parcel>>,
    current: Option<Current>,
    /// Why the process could not start, as it says.
    init_error: Option<InvokeError>,
}

#[derive(Debug)]
struct Current {
    id: String,
    answered: bool,
    parts: mpsc::Sender<Part>,
    last: Option<Part>,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            polls: watch::Sender::new(0),
            reading: watch::Sender::new(0),
            finished: watch::Sender::new(false),
        }
    }

    /// The process asks for its next event, and so has done with the last one.
    pub(super) fn ask(&self) -> oneshot::Receiver<Parcel> {
        let (waiting, event) = oneshot::channel();
        let mut state = self.state.lock().unwrap();
        state.waiting = Some(waiting);
        drop(state);
        self.polls.send_modify(|polls| *polls += 1);
        event
    }

    /// Gives a waiting process an event. Returns how often it had asked until then.
    pub(super) fn hand_over(&self, parcel: Parcel, parts: mpsc::Sender<Part>) -> Option<u64> {
        let mut state = self.state.lock().unwrap();
        let polls = *self.polls.borrow();
        let waiting = state.waiting.take()?;
        state.current = Some(Current { id: parcel.id.clone(), answered: false, parts, last: None });
        self.finished.send_replace(false);
        waiting.send(parcel).ok()?;
        Some(polls)
    }

    /// Waits until the process has asked more often than this.
    pub(super) async fn asked_more_often_than(&self, polls: u64) {
        let mut seen = self.polls.subscribe();
        let _ = seen.wait_for(|now| *now > polls).await;
    }

    /// The process begins to answer; `None` if that is not its invocation, or it has answered.
    pub(super) fn begin_answer(&self, id: &str) -> Option<Answering<'_>> {
        let mut state = self.state.lock().unwrap();
        let current = state.current.as_mut().filter(|current| current.id == id)?;
        if std::mem::replace(&mut current.answered, true) {
            return None;
        }
        let parts = current.parts.clone();
        drop(state);
        self.reading.send_modify(|reading| *reading += 1);
        Some(Answering { desk: self, parts })
    }

    /// Waits until what the process has sent is read.
    pub(super) async fn read_wholly(&self) {
        let mut reading = self.reading.subscribe();
        let _ = reading.wait_for(|reading| *reading == 0).await;
    }

    /// Waits until the process has said its last word.
    pub(super) async fn finished(&self) {
        let mut finished = self.finished.subscribe();
        let _ = finished.wait_for(|finished| *finished).await;
    }

    /// Takes the last word, `End` or `Failed`, if the process has said it.
    pub(super) fn last(&self) -> Option<Part> {
        self.state.lock().unwrap().current.as_mut()?.last.take()
    }

    /// The process could not start.
    pub(super) fn failed_to_start(&self, error: InvokeError) {
        self.state.lock().unwrap().init_error = Some(error);
    }

    /// Why the process could not start.
    pub(super) fn init_error(&self) -> Option<InvokeError> {
        self.state.lock().unwrap().init_error.take()
    }
}

/// An answer that is being read.
#[derive(Debug)]
pub(super) struct Answering<'a> {
    desk: &'a Desk,
    parts: mpsc::Sender<Part>,
}

impl Answering<'_> {
    /// Passes a part on. Nobody may be there any more: the invocation goes on all the same.
    pub(super) async fn send(&self, part: Part) {
        let _ = self.parts.send(part).await;
    }

    /// Keeps the last part until the process has asked for its next event.
    pub(super) fn finish(&self, last: Part) {
        let mut state = self.desk.state.lock().unwrap();
        if let Some(current) = &mut state.current {
            current.last = Some(last);
        }
        drop(state);
        self.desk.finished.send_replace(true);
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.desk.reading.send_modify(|reading| *reading -= 1);
    }
}
