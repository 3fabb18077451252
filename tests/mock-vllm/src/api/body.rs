//! Bodies that keep the pace, wait for their turn, and break off as the faults say.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::{AcquireError, OwnedSemaphorePermit};
use tokio::time::{Instant, Sleep};

use super::reply::{Event, Events, Pace};
use crate::Faults;
use crate::engine::{Engine, Outcome, Ticket};

/// The error that makes the server close the connection without ending the body.
#[derive(Debug, thiserror::Error)]
#[error("cut by a fault")]
pub(crate) struct Cut;

/// How a body breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Not,
    /// What was written is flushed while this is pending.
    Flushing,
    Cut,
    Stall,
}

impl Break {
    fn start(faults: &Faults) -> Self {
        if faults.cut_after.is_some() { Self::Flushing } else { Self::Stall }
    }

    fn poll<T>(&mut self, ticket: &mut Ticket, cx: &Context<'_>) -> Poll<Option<Result<T, Cut>>> {
        match self {
            Self::Flushing => {
                *self = Self::Cut;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Cut => {
                ticket.finish(Outcome::Aborted);
                Poll::Ready(Some(Err(Cut)))
            }
            // The connection itself notices when the client leaves.
            Self::Stall | Self::Not => Poll::Pending,
        }
    }
}

/// A plain body.
pub(crate) struct WholeBody {
    bytes: Bytes,
    /// Of the whole, although less may be sent.
    length: u64,
    ticket: Ticket,
    outcome: Outcome,
    broken: Break,
}

impl WholeBody {
    /// Cut or stalled bodies break off in the middle.
    pub(crate) fn new(mut bytes: Bytes, ticket: Ticket, outcome: Outcome, faults: &Faults) -> Self {
        let length = bytes.len() as u64;
        let mut broken = Break::Not;
        if faults.cut_after.is_some() || faults.stall_after.is_some() {
            bytes.truncate(bytes.len() / 2);
            broken = Break::start(faults);
        }
        Self { bytes, length, ticket, outcome, broken }
    }
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if !this.bytes.is_empty() {
            if this.broken == Break::Not {
                this.ticket.finish(this.outcome);
            }
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.bytes)))));
        }
        match this.broken {
            Break::Not => Poll::Ready(None),
            Break::Flushing | Break::Cut | Break::Stall => this.broken.poll(&mut this.ticket, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.broken == Break::Not && self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

type Turn = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// A stream of events.
pub(crate) struct EventBody {
    engine: Arc<Engine>,
    ticket: Ticket,
    faults: Faults,
    prompt_tokens: u32,
    outcome: Outcome,
    /// The wait for a free sequence, while it lasts.
    turn: Option<Turn>,
    events: std::vec::IntoIter<Event>,
    next: Option<Event>,
    sent: u32,
    /// Whether the first token is there.
    started: bool,
    due: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    broken: Break,
}

impl EventBody {
    pub(crate) fn new(
        engine: Arc<Engine>,
        mut ticket: Ticket,
        faults: Faults,
        prompt_tokens: u32,
        outcome: Outcome,
        events: Events,
    ) -> Self {
        let turn: Option<Turn> = if let Some(slot) = ticket.try_slot() {
            ticket.run(slot, prompt_tokens);
            None
        } else {
            Some(Box::pin(ticket.slots().acquire_owned()))
        };
        let mut events = events.0.into_iter();
        let next = events.next();
        let (sent, started, due, sleep, broken) = (0, false, None, None, Break::Not);
        Self {
            engine,
            ticket,
            faults,
            prompt_tokens,
            outcome,
            turn,
            events,
            next,
            sent,
            started,
            due,
            sleep,
            broken,
        }
    }

    /// Waits until the event that is next is due.
    fn poll_pace(&mut self, pace: Pace, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
            return Poll::Ready(());
        }
        let delay = match pace {
            Pace::First if !self.started => self.engine.args.ttft,
            Pace::First | Pace::Now => Duration::ZERO,
            Pace::Token => self.engine.token_interval(),
        };
        if delay.is_zero() {
            return Poll::Ready(());
        }
        // Counted from the last due time, so that late wake-ups do not add up.
        let now = Instant::now();
        let due = self
            .due
            .unwrap_or(now)
            .checked_add(delay)
            .unwrap_or(now + Duration::from_hours(24 * 365));
        self.due = Some(due);
        let mut sleep = Box::pin(tokio::time::sleep_until(due));
        if sleep.as_mut().poll(cx).is_pending() {
            self.sleep = Some(sleep);
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Some(turn) = &mut this.turn {
            // The semaphore is never closed; if it were, the stream would end here.
            let Ok(slot) = ready!(turn.as_mut().poll(cx)) else {
                return Poll::Ready(None);
            };
            this.ticket.run(slot, this.prompt_tokens);
            this.turn = None;
        }
        if this.broken == Break::Not
            && (this.faults.cut_after.is_some_and(|after| this.sent >= after)
                || this.faults.stall_after.is_some_and(|after| this.sent >= after))
        {
            this.broken = Break::start(&this.faults);
        }
        if this.broken != Break::Not {
            return this.broken.poll(&mut this.ticket, cx);
        }
        let Some(event) = &this.next else {
            return Poll::Ready(None);
        };
        let pace = event.pace;
        ready!(this.poll_pace(pace, cx));
        let Some(event) = std::mem::replace(&mut this.next, this.events.next()) else {
            return Poll::Ready(None);
        };
        if pace == Pace::First && !this.started {
            this.started = true;
            this.ticket.first_token();
        }
        this.sent += 1;
        this.ticket.tokens(event.tokens);
        if this.next.is_none() {
            this.ticket.finish(this.outcome);
        }
        let bytes = if this.faults.malformed_sse && event.tokens > 0 {
            malformed(&event.bytes)
        } else {
            event.bytes
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

/// The first half of an event, ended as if it were whole.
fn malformed(event: &Bytes) -> Bytes {
    let half = event.slice(..event.len() / 2);
    let mut broken = BytesMut::with_capacity(half.len() + 2);
    broken.put(half);
    broken.put_slice(b"\n\n");
    broken.freeze()
}
