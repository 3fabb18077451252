use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use diogenes_core::Timestamp;
use diogenes_core::gateway::translation::{BadEvent, ErrorObject};
use diogenes_core::money::Dollars;
use diogenes_core::ports::Clock;
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::proxy::call::{Call, until};
use crate::proxy::casualties::Suspect;
use crate::proxy::destination::Answerer;
use crate::proxy::dialect::{Dialect, error_object};
use crate::proxy::gateway::Gateway;
use crate::proxy::interpreter::{Interpreter, Translator};
use crate::proxy::keeping::Tape;
use crate::proxy::opening::{Opening, Overture};
use crate::proxy::pursuit::Reached;
use crate::proxy::recovery::StreamBody;
use crate::proxy::refusal;
use crate::proxy::settlement::Settlement;
use crate::proxy::upstream::BodyError;
use crate::proxy::usage::{Usage, Used};
use crate::proxy::watch::{Seen, Watch};
use crate::sse::{Frame, Reader};

/// A stream on its way from a replica to a caller.
pub(super) struct Passing {
    body: StreamBody,
    watch: Watch,
    dialect: Dialect,
    interpreter: Interpreter,
    request_id: HeaderValue,
    /// Where events have to be looked at one by one.
    frames: Option<Framed>,
    /// Until the first content has come, where somebody takes records.
    overture: Option<Overture>,
    /// What is settled at the end; none once it is.
    settlement: Option<Settlement>,
    deadline: Option<Instant>,
    /// What the caller has got, where it is kept.
    tape: Option<Tape>,
    /// Tokens of the prompt at a guess, for a stream that tells no usage.
    prompt_tokens: u64,
    /// What goes before the first bytes.
    preface: Option<Bytes>,
    by: Answerer,
    suspect: Suspect,
    clock: Arc<dyn Clock>,
    /// Whether how it ends is known and counted already.
    is_retold: bool,
}

/// A stream whose events are looked at one by one.
struct Framed {
    reader: Reader,
    /// Where the target speaks another dialect. Else the event that tells usage alone is left out.
    translator: Option<Translator>,
}

impl Passing {
    pub(super) fn new(
        reached: Reached,
        call: &Call,
        mut settlement: Settlement,
        gateway: &Gateway,
    ) -> Self {
        let interpreter = reached.interpreter;
        let overture = settlement.draft().map(|_| Overture::new(interpreter.target()));
        Self {
            body: StreamBody::new(reached.response.body, reached.recovery),
            watch: Watch::new(interpreter.target().stream_end()),
            dialect: call.dialect,
            interpreter,
            request_id: call.id.clone(),
            frames: Framed::new(call, interpreter, gateway.clock.now()),
            overture,
            settlement: Some(settlement),
            deadline: call.deadline,
            tape: call.keeping.clone().map(Tape::new),
            prompt_tokens: call.prompt_guess(),
            preface: None,
            by: reached.by,
            suspect: gateway.casualties.suspect(call),
            clock: gateway.clock.clone(),
            is_retold: reached.is_retold,
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
            if let Some(moved) = self.body.moved() {
                if let Some(settlement) = &mut self.settlement {
                    settlement.goes_on_at(&moved);
                }
                self.by = moved.by;
            }
            let bytes = match next {
                Ok(Some(bytes)) => bytes,
                // Its events came to their end; however the connection did is of no interest.
                Ok(None) | Err(_) if self.watch.is_complete() => {
                    let rest = self.rest().unwrap_or_default();
                    let last = self.settle(rest);
                    return (!last.is_empty()).then_some(last);
                }
                Ok(None) => return Some(self.broke_off(BodyError::Cut)),
                Err(broken) => return Some(self.broke_off(broken)),
            };
            self.note_first_content(&bytes);
            let passed = match self.watch.observe(&bytes) {
                Seen::Going => self.pass(&bytes),
                Seen::Ended(length) => {
                    let passed = self.pass(&bytes.slice(..length.min(bytes.len())));
                    let passed = self.settle(passed);
                    // The connection is of use to the next request, if its last chunk has come.
                    self.body.finish().await;
                    passed
                }
                Seen::Malformed(length) => {
                    let mut passed =
                        BytesMut::from(self.pass(&bytes.slice(..length.min(bytes.len()))));
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

    fn note_first_content(&mut self, bytes: &[u8]) {
        let Some(opening) = self.overture.as_mut().and_then(|overture| overture.push(bytes)) else {
            return;
        };
        self.overture = None;
        let draft = self.settlement.as_mut().and_then(Settlement::draft);
        if let Some(draft) = draft.filter(|_| opening == Opening::Content) {
            draft.first_content();
        }
    }

    /// What the caller gets of these bytes.
    fn pass(&mut self, bytes: &Bytes) -> Bytes {
        let (bytes, bad) = match &mut self.frames {
            None => (bytes.clone(), None),
            Some(framed) => framed.pass(bytes),
        };
        if let Some(tape) = &mut self.tape {
            tape.record(&bytes);
        }
        let passed = match self.preface.take() {
            Some(preface) if !bytes.is_empty() => [preface, bytes].concat().into(),
            preface => {
                self.preface = preface;
                bytes
            }
        };
        match bad {
            None => passed,
            Some(bad) => [passed, self.gone_bad(&bad)].concat().into(),
        }
    }

    /// Ends a stream of which an event cannot be translated.
    fn gone_bad(&mut self, bad: &BadEvent) -> Bytes {
        let at = self.by.destination();
        let BadEvent::Failed(object) = bad else {
            return self.fail(&refusal::malformed(&format!("cannot be used: {bad}"), &at));
        };
        // Its own words, in the caller's.
        self.count_failure(&refusal::malformed("broke off with an error", &at));
        match self.ended_by_translator(object) {
            Some(end) => end.into(),
            None => self.interpreter.error_event(object, &self.request_id).into(),
        }
    }

    /// What is left at the end: a last frame without its blank line.
    fn rest(&mut self) -> Option<Bytes> {
        let framed = self.frames.as_mut()?;
        let rest = if framed.translator.is_some() {
            self.pass(&Bytes::from_static(b"\n\n"))
        } else {
            let rest = Bytes::copy_from_slice(framed.reader.rest());
            if let Some(tape) = &mut self.tape {
                tape.record(&rest);
            }
            rest
        };
        (!rest.is_empty()).then_some(rest)
    }

    fn broke_off(&mut self, broken: BodyError) -> Bytes {
        match &self.by {
            Answerer::Provider(hosted) if !self.is_retold => {
                hosted.failed(self.clock.now(), None);
            }
            Answerer::Replica { .. } if broken == BodyError::Cut => {
                self.suspect.note(self.by.claim());
            }
            Answerer::Replica { .. } | Answerer::Provider(_) => {}
        }
        self.fail(&refusal::broken(broken, &self.by.destination()))
    }

    fn fail(&mut self, error: &ApiError) -> Bytes {
        self.count_failure(error);
        let preface = self.preface.take().unwrap_or_default();
        if let Some(end) = self.ended_by_translator(&error_object(error)) {
            return [preface, end.into()].concat().into();
        }
        // Of a frame that did not come whole nothing has left.
        let separator = if self.frames.is_some() { "" } else { self.watch.separator() };
        let preface = String::from_utf8_lossy(&preface);
        let id = self.request_id.to_str().unwrap_or_default();
        format!("{preface}{separator}{}", self.dialect.error_event(error, id)).into()
    }

    fn count_failure(&mut self, error: &ApiError) {
        let used = self.used();
        if let Some(settlement) = self.settlement.take() {
            settlement.fail(error, Some(used));
        }
    }

    /// The end of the stream, where the caller's API has one of its own for errors.
    fn ended_by_translator(&mut self, error: &ErrorObject) -> Option<Vec<u8>> {
        self.frames.as_mut()?.translator.as_mut()?.fail(error)
    }

    /// Settles a whole stream. Behind its last bytes stands what it has cost, if it has a price.
    fn settle(&mut self, last: Bytes) -> Bytes {
        let used = self.used();
        let Some(settlement) = self.settlement.take() else { return last };
        let cost = settlement.cost(used);
        settlement.settle(StatusCode::OK, used);
        if let Some(tape) = self.tape.take() {
            tape.keep(self.by.destination().name());
        }
        match cost {
            Some(cost) => {
                let told = serde_json::json!({ "cost_usd": Dollars(cost).decimal() });
                [last, format!(": diogenes {told}\n\n").into()].concat().into()
            }
            None => last,
        }
    }

    fn used(&self) -> Used {
        let guess = || match self.watch.events() {
            0 => Usage::default(),
            events => Usage::new(self.prompt_tokens, events),
        };
        let told = self.body.used().or_else(|| self.watch.usage());
        let told = told.filter(|usage| usage.is_told_by(self.dialect));
        told.map_or_else(|| Used::Estimated(guess()), Used::Told)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // A client that went away has used its prompt and what was streamed so far.
        let used = match self.watch.events() {
            0 => Used::Estimated(Usage::new(self.prompt_tokens, 0)),
            _ => self.used(),
        };
        if let Some(settlement) = self.settlement.take() {
            settlement.abandon(used);
        }
    }
}

impl Framed {
    /// None where bytes pass as they come.
    fn new(call: &Call, interpreter: Interpreter, now: Timestamp) -> Option<Self> {
        let translator = interpreter.translator(call, now);
        let is_framed = call.usage_is_ours || translator.is_some();
        is_framed.then(|| Self { reader: Reader::default(), translator })
    }

    /// What the caller gets of these bytes, and what is wrong behind that.
    fn pass(&mut self, bytes: &[u8]) -> (Bytes, Option<BadEvent>) {
        self.reader.push(bytes);
        let mut kept = Vec::with_capacity(bytes.len());
        while let Some(frame) = self.reader.next_frame() {
            let Some(translator) = &mut self.translator else {
                if !tells_usage_alone(&frame) {
                    kept.extend_from_slice(frame.raw());
                }
                continue;
            };
            let Some(data) = frame.data() else { continue };
            if let Err(bad) = translator.push(&data, &mut kept) {
                return (kept.into(), Some(bad));
            }
        }
        (kept.into(), None)
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
