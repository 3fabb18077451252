use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tokio::time::Instant;

use crate::error::ApiError;
use crate::proxy::call::{Call, until};
use crate::proxy::casualties::{Casualties, Suspect};
use crate::proxy::destination::Answerer;
use crate::proxy::pursuit::Reached;
use crate::proxy::refusal;
use crate::proxy::settlement::{Settlement, Used};
use crate::proxy::upstream::{BodyError, ResponseBody};
use crate::proxy::usage::Usage;
use crate::proxy::watch::{Seen, Watch};
use crate::sse::{Frame, Reader};

/// A stream on its way from a replica to a caller.
pub(super) struct Passing {
    body: ResponseBody,
    watch: Watch,
    /// Where events have to be looked at one by one.
    frames: Option<Reader>,
    /// What is settled at the end; none once it is.
    settlement: Option<Settlement>,
    deadline: Option<Instant>,
    /// Tokens of the prompt at a guess, for a stream that tells no usage.
    prompt_tokens: u64,
    /// What goes before the first bytes.
    preface: Option<Bytes>,
    by: Answerer,
    suspect: Suspect,
}

impl Passing {
    pub(super) fn new(
        reached: Reached,
        call: &Call,
        settlement: Settlement,
        casualties: &Arc<Casualties>,
    ) -> Self {
        Self {
            body: reached.response.body,
            watch: Watch::new(call.dialect.stream_end()),
            frames: call.usage_is_ours.then(Reader::default),
            settlement: Some(settlement),
            deadline: call.deadline,
            // Four bytes of English are about a token.
            prompt_tokens: call.body.len() as u64 / 4,
            preface: None,
            by: reached.by,
            suspect: casualties.suspect(call),
        }
    }

    /// The same, with something to say before the first event; both leave in one write, as some
    /// clients lose an event that comes in the packet behind a lone comment.
    pub(super) fn after(mut self, preface: Bytes) -> Self {
        self.preface = Some(preface);
        self
    }

    /// The next bytes for the caller; a broken stream ends in an error event, never silently.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.settlement.as_ref()?;
            let Ok(next) = until(self.deadline, self.body.next()).await else {
                return Some(self.fail(&refusal::out_of_time(&self.by.destination())));
            };
            let bytes = match next {
                Ok(Some(bytes)) => bytes,
                // Its events came to their end; however the connection did is of no interest.
                Ok(None) | Err(_) if self.watch.is_complete() => {
                    self.settle();
                    return self.rest();
                }
                Ok(None) => return Some(self.broke_off(BodyError::Cut)),
                Err(broken) => return Some(self.broke_off(broken)),
            };
            let passed = match self.watch.observe(&bytes) {
                Seen::Going => self.pass(bytes),
                Seen::Ended(length) => {
                    let passed = self.pass(bytes.slice(..length.min(bytes.len())));
                    self.settle();
                    // The connection is of use to the next request, if its last chunk has come.
                    self.body.finish().await;
                    passed
                }
                Seen::Malformed(length) => {
                    let mut passed =
                        BytesMut::from(self.pass(bytes.slice(..length.min(bytes.len()))));
                    let error = refusal::malformed(
                        "contains an event that is not JSON",
                        &self.by.destination(),
                    );
                    passed.extend_from_slice(&self.fail(&error));
                    return Some(passed.freeze());
                }
            };
            if !passed.is_empty() {
                return Some(passed);
            }
        }
    }

    /// What the caller gets of these bytes.
    fn pass(&mut self, bytes: Bytes) -> Bytes {
        let bytes = match &mut self.frames {
            None => bytes,
            Some(reader) => {
                reader.push(&bytes);
                let mut kept = BytesMut::with_capacity(bytes.len());
                while let Some(frame) = reader.next_frame() {
                    if !tells_usage_alone(&frame) {
                        kept.extend_from_slice(frame.raw());
                    }
                }
                kept.freeze()
            }
        };
        match self.preface.take() {
            Some(preface) if !bytes.is_empty() => [preface, bytes].concat().into(),
            preface => {
                self.preface = preface;
                bytes
            }
        }
    }

    /// What is left at the end: a last frame without its blank line.
    fn rest(&mut self) -> Option<Bytes> {
        let rest = self.frames.take().map(|reader| Bytes::copy_from_slice(reader.rest()));
        rest.filter(|rest| !rest.is_empty())
    }

    fn broke_off(&mut self, broken: BodyError) -> Bytes {
        if broken == BodyError::Cut {
            self.suspect.note(self.by.claim());
        }
        self.fail(&refusal::broken(broken, &self.by.destination()))
    }

    fn fail(&mut self, error: &ApiError) -> Bytes {
        let used = self.used();
        if let Some(settlement) = self.settlement.take() {
            settlement.fail(error, Some(used));
        }
        // Of a frame that did not come whole nothing has left.
        let separator = if self.frames.is_some() { "" } else { self.watch.separator() };
        let preface = self.preface.take().unwrap_or_default();
        let preface = String::from_utf8_lossy(&preface);
        format!("{preface}{separator}{}", error.event()).into()
    }

    fn settle(&mut self) {
        let used = self.used();
        if let Some(settlement) = self.settlement.take() {
            settlement.settle(StatusCode::OK, used);
        }
    }

    fn used(&self) -> Used {
        let guess = || match self.watch.events() {
            0 => Usage::default(),
            events => Usage { prompt: self.prompt_tokens, completion: events },
        };
        self.watch.usage().map_or_else(|| Used::Estimated(guess()), Used::Told)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // A client that went away has used its prompt and what was streamed so far.
        let used = match self.watch.events() {
            0 => Used::Estimated(Usage { prompt: self.prompt_tokens, completion: 0 }),
            _ => self.used(),
        };
        if let Some(settlement) = self.settlement.take() {
            settlement.abandon(used);
        }
    }
}

/// Whether this is the event that `stream_options.include_usage` brings: usage and no choice.
fn tells_usage_alone(frame: &Frame) -> bool {
    #[derive(serde::Deserialize)]
    struct Chunk {
        choices: Vec<serde::de::IgnoredAny>,
        usage: Option<serde::de::IgnoredAny>,
    }
    let may_be = memchr::memmem::find(frame.raw(), b"\"usage\"").is_some();
    may_be
        && frame.data().is_some_and(|data| {
            let chunk: Result<Chunk, _> = serde_json::from_str(&data);
            chunk.is_ok_and(|chunk| chunk.choices.is_empty() && chunk.usage.is_some())
        })
}
