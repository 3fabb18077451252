//! Watches a stream for its end and for the tokens it tells of, without touching a byte.

use memchr::memmem;
use serde::Deserialize;

/// How much of the end is remembered: enough for `data: [DONE]` and line ends.
const TAIL: usize = 32;
/// The longest usage object that is waited for.
const MAX_USAGE: usize = 4096;

/// How a whole stream of a route ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// With `data: [DONE]`.
    Done,
    /// With one of the final `response.…` events.
    Response,
}

/// Tokens that a request used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

impl Usage {
    pub(crate) fn total(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    ending: Ending,
    tail: Vec<u8>,
    final_event: bool,
    usage: UsageScanner,
    count_events: bool,
    events: u64,
}

impl Watch {
    /// `count_events` has every event counted, for an estimate where no usage is told.
    pub(super) fn new(ending: Ending, count_events: bool) -> Self {
        Self {
            ending,
            tail: Vec::with_capacity(2 * TAIL),
            final_event: false,
            usage: UsageScanner::default(),
            count_events,
            events: 0,
        }
    }

    pub(super) fn observe(&mut self, bytes: &[u8]) {
        self.usage.observe(bytes);
        if self.count_events {
            self.events += memmem::find_iter(bytes, b"data: {").count() as u64;
        }
        if self.ending == Ending::Response {
            self.final_event |= ["completed", "failed", "incomplete"]
                .iter()
                .any(|end| memmem::find(bytes, format!("\"response.{end}\"").as_bytes()).is_some());
        }
        self.tail
            .extend_from_slice(bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default());
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
    }

    /// Whether the stream has come to its proper end. `framed` tells that the transfer coding
    /// says so too.
    pub(super) fn is_complete(&self, framed: bool) -> bool {
        match self.ending {
            Ending::Done => {
                self.tail.trim_ascii_end().ends_with(b"data: [DONE]")
                    || self.tail.trim_ascii_end().ends_with(b"data:[DONE]")
            }
            Ending::Response => framed || self.final_event,
        }
    }

    /// What must come before another event: nothing behind a blank line, else one.
    pub(super) fn separator(&self) -> &'static str {
        let at_boundary = self.tail.is_empty()
            || self.tail.ends_with(b"\n\n")
            || self.tail.ends_with(b"\r\n\r\n");
        if at_boundary { "" } else { "\n\n" }
    }

    /// The tokens used: as told, or else one completion token per event.
    pub(super) fn usage(&self) -> Usage {
        self.usage.found.unwrap_or(Usage { prompt: 0, completion: self.events })
    }
}

/// The usage object of a whole answer.
pub(super) fn usage_of(body: &[u8]) -> Option<Usage> {
    let mut scanner = UsageScanner::default();
    scanner.observe(body);
    scanner.found
}

/// Finds the last `"usage": {…}` of an answer. Inside a JSON string its quotes are escaped, so
/// that generated text cannot be mistaken for it.
#[derive(Debug, Default)]
struct UsageScanner {
    found: Option<Usage>,
    /// What has come of an object that is not whole yet.
    pending: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default, alias = "input_tokens")]
    prompt_tokens: u64,
    #[serde(default, alias = "output_tokens")]
    completion_tokens: u64,
}

impl UsageScanner {
    fn observe(&mut self, bytes: &[u8]) {
        const MARK: &[u8] = b"\"usage\":";
        if let Some(at) = memmem::rfind(bytes, MARK) {
            let rest = bytes.get(at + MARK.len()..).unwrap_or_default();
            self.pending = Some(rest.get(..MAX_USAGE).unwrap_or(rest).to_vec());
        } else if let Some(pending) = &mut self.pending {
            pending.extend_from_slice(bytes.get(..MAX_USAGE).unwrap_or(bytes));
        }
        let Some(pending) = &self.pending else { return };
        let mut values =
            serde_json::Deserializer::from_slice(pending).into_iter::<Option<WireUsage>>();
        match values.next() {
            // Nothing but white space, or a part of the object: the rest may come.
            None if pending.len() < MAX_USAGE => {}
            Some(Err(error)) if error.is_eof() && pending.len() < MAX_USAGE => {}
            Some(Ok(Some(usage))) => {
                self.found = Some(Usage {
                    prompt: usage.prompt_tokens,
                    completion: usage.completion_tokens,
                });
                self.pending = None;
            }
            Some(Ok(None) | Err(_)) | None => self.pending = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(pieces: &[&str]) -> Watch {
        let mut watch = Watch::new(Ending::Done, true);
        for piece in pieces {
            watch.observe(piece.as_bytes());
        }
        watch
    }

    #[test]
    fn a_stream_is_complete_with_done_however_it_is_cut_into_pieces() {
        let text = "data: {\"x\":1}\n\ndata: [DONE]\n\n";
        for at in 0..text.len() {
            let (a, b) = text.split_at(at);
            assert!(watch(&[a, b]).is_complete(true), "{a:?} {b:?}");
        }
        assert!(!watch(&["data: {\"x\":\"[DONE]\"}\n\n"]).is_complete(true));
        assert!(!watch(&["data: {\"x\":1}\n\n"]).is_complete(true));
        assert!(!watch(&[]).is_complete(true));
    }

    #[test]
    fn an_error_event_gets_a_line_of_its_own() {
        assert_eq!(watch(&["data: {\"x\""]).separator(), "\n\n");
        assert_eq!(watch(&["data: {}\n"]).separator(), "\n\n");
        assert_eq!(watch(&["data: {}\n\n"]).separator(), "");
        assert_eq!(watch(&[]).separator(), "");
    }

    #[test]
    fn usage_is_found_however_the_stream_is_cut_inside_it() {
        let text = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n";
        let inside = text.find("\"usage\":").unwrap() + 8;
        for at in inside..text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(watch(&[a, b]).usage(), Usage { prompt: 3, completion: 4 }, "{a:?}");
        }
    }

    #[test]
    fn generated_text_is_not_taken_for_usage_and_null_is_none() {
        let text = r#"data: {"text":"\"usage\":{\"prompt_tokens\":99}","usage":null}"#;
        assert_eq!(watch(&[text]).usage(), Usage { prompt: 0, completion: 1 });
    }

    #[test]
    fn usage_of_the_responses_api_is_understood() {
        let body = br#"{"usage": {"input_tokens": 5, "output_tokens": 6}}"#;
        assert_eq!(usage_of(body), Some(Usage { prompt: 5, completion: 6 }));
    }
}
