//! Watches a stream for its end, for events that are none, and for the tokens it tells of,
//! without touching a byte.

use memchr::{memchr, memmem};

use super::dialect::StreamEnd;
use super::usage::{Usage, UsageScanner};

/// How much is kept of the beginning and of the end of a line that came in pieces: enough for
/// `data: [DONE]` and for the name of an event.
const KEPT: usize = 64;

/// What a piece of a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Events, and more may follow.
    Going,
    /// The end of the stream, after so many bytes. What follows is of no interest.
    Ended(usize),
    /// Behind so many bytes an event whose data is not a JSON object.
    Malformed(usize),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    end: StreamEnd,
    line: Line,
    event: Event,
    usage: UsageScanner,
    events: u64,
}

/// A line that has not come whole.
#[derive(Debug, Default)]
struct Line {
    head: Vec<u8>,
    tail: Vec<u8>,
    length: usize,
}

/// What has come of an event.
#[derive(Debug, Default)]
struct Event {
    /// Whether any line of it has come.
    begun: bool,
    /// The first and the last byte of its data.
    data: Option<(u8, u8)>,
    /// Whether it ends the stream.
    is_end: bool,
}

impl Watch {
    pub(super) fn new(end: StreamEnd) -> Self {
        Self {
            end,
            line: Line::default(),
            event: Event::default(),
            usage: UsageScanner::default(),
            events: 0,
        }
    }

    pub(super) fn observe(&mut self, bytes: &[u8]) -> Seen {
        let began_before = self.event.begun || self.line.length > 0;
        let mut at = 0;
        // Where in these bytes the current event begins.
        let mut event_at = 0;
        while let Some(length) = memchr(b'\n', bytes.get(at..).unwrap_or_default()) {
            let piece = bytes.get(at..at + length).unwrap_or_default();
            at += length + 1;
            let is_blank = if self.line.length == 0 {
                self.event.take_line(self.end, piece, piece, piece.len())
            } else {
                self.line.extend(piece);
                let line = std::mem::take(&mut self.line);
                self.event.take_line(self.end, &line.head, &line.tail, line.length)
            };
            if !is_blank {
                continue;
            }
            let event = std::mem::take(&mut self.event);
            if event.is_end {
                self.event.is_end = true;
                self.usage.observe(bytes.get(..at).unwrap_or_default());
                return Seen::Ended(at);
            }
            match event.data {
                Some((b'{', b'}')) => self.events += 1,
                Some(_) => {
                    // Of one that began before, a part has been passed on.
                    self.event.begun = event_at == 0 && began_before;
                    return Seen::Malformed(event_at);
                }
                None => {}
            }
            event_at = at;
        }
        self.line.extend(bytes.get(at..).unwrap_or_default());
        self.usage.observe(bytes);
        Seen::Going
    }

    /// Whether the stream has come to its end, if only its last blank line is missing.
    pub(super) fn is_complete(&self) -> bool {
        let mut event = Event { is_end: self.event.is_end, ..Event::default() };
        event.take_line(self.end, &self.line.head, &self.line.tail, self.line.length);
        event.is_end
    }

    /// What must come before another event: nothing behind a blank line, else one.
    pub(super) fn separator(&self) -> &'static str {
        if self.event.begun || self.line.length > 0 { "\n\n" } else { "" }
    }

    /// The tokens used, if the stream told.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage.found()
    }

    /// The events with data that have come; about as many as tokens, where no usage is told.
    pub(super) fn events(&self) -> u64 {
        self.events
    }
}

impl Line {
    fn extend(&mut self, piece: &[u8]) {
        let room = KEPT.saturating_sub(self.head.len()).min(piece.len());
        self.head.extend_from_slice(piece.get(..room).unwrap_or_default());
        self.tail
            .extend_from_slice(piece.get(piece.len().saturating_sub(KEPT)..).unwrap_or_default());
        let excess = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..excess);
        self.length += piece.len();
    }
}

impl Event {
    /// Takes a line of which the beginning and the end are given; returns whether it is blank.
    fn take_line(&mut self, end: StreamEnd, head: &[u8], tail: &[u8], length: usize) -> bool {
        let is_return = tail.last() == Some(&b'\r');
        if length == usize::from(is_return) {
            return true;
        }
        let is_first = !std::mem::replace(&mut self.begun, true);
        let head =
            head.strip_prefix(b"\xef\xbb\xbf".as_slice()).filter(|_| is_first).unwrap_or(head);
        if let Some(data) = head.strip_prefix(b"data:") {
            let last = tail.trim_ascii_end().last().copied();
            let data = data.trim_ascii_start();
            let first = data.first().copied().unwrap_or_default();
            let (first, before) =
                self.data.map_or((first, None), |(first, last)| (first, Some(last)));
            let last =
                if data.is_empty() { before.unwrap_or_default() } else { last.unwrap_or_default() };
            self.data = Some((first, last));
            let is_done = data.trim_ascii_end() == b"[DONE]";
            self.is_end |= match end {
                StreamEnd::Done => is_done,
                StreamEnd::Transcript if is_done => true,
                // The type stands at the beginning of the data, or at its end.
                StreamEnd::FinalResponse | StreamEnd::MessageStop | StreamEnd::Transcript => {
                    names_final_type(end, head.get(..KEPT).unwrap_or(head))
                        || names_final_type(
                            end,
                            tail.get(tail.len().saturating_sub(KEPT)..).unwrap_or(tail),
                        )
                }
            };
        } else if let Some(name) = head.strip_prefix(b"event:") {
            self.is_end |= is_final(end, name.trim_ascii());
        }
        false
    }
}

/// Whether this is the name of a final event.
fn is_final(end: StreamEnd, name: &[u8]) -> bool {
    match end {
        StreamEnd::Done => false,
        StreamEnd::FinalResponse => {
            matches!(name, b"response.completed" | b"response.failed" | b"response.incomplete")
        }
        StreamEnd::MessageStop => name == b"message_stop",
        StreamEnd::Transcript => name == b"transcript.text.done",
    }
}

/// Whether a part of the data of an event says that its type is a final one. In generated text
/// the quotes would be escaped.
fn names_final_type(end: StreamEnd, data: &[u8]) -> bool {
    let Some(at) = memmem::rfind(data, b"\"type\":") else { return false };
    let value = data.get(at + 7..).unwrap_or_default().trim_ascii_start();
    let name = value.strip_prefix(b"\"").and_then(|value| value.split(|byte| *byte == b'"').next());
    name.is_some_and(|name| is_final(end, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(end: StreamEnd, pieces: &[&[u8]]) -> (Watch, Seen) {
        let mut watch = Watch::new(end);
        let mut seen = Seen::Going;
        for piece in pieces {
            seen = watch.observe(piece);
        }
        (watch, seen)
    }

    fn is_complete(end: StreamEnd, pieces: &[&[u8]]) -> bool {
        watch(end, pieces).0.is_complete()
    }

    /// What is passed on of a stream in these pieces, and how it went.
    fn passed(end: StreamEnd, pieces: &[&[u8]]) -> (Vec<u8>, Seen) {
        let mut watch = Watch::new(end);
        let mut all = Vec::new();
        for piece in pieces {
            let seen = watch.observe(piece);
            match seen {
                Seen::Going => all.extend_from_slice(piece),
                Seen::Ended(length) | Seen::Malformed(length) => {
                    all.extend_from_slice(&piece[..length]);
                    return (all, seen);
                }
            }
        }
        (all, Seen::Going)
    }

    fn with_returns(text: &[u8]) -> Vec<u8> {
        std::str::from_utf8(text).unwrap().replace('\n', "\r\n").into_bytes()
    }

    const CHAT: &[u8] = b": hi\n\ndata: {\"x\":1}\n\ndata: [DONE]\n\n";

    #[test]
    fn a_stream_ends_with_done_however_it_is_cut_into_pieces() {
        for text in [CHAT.to_vec(), with_returns(CHAT), [b"\xef\xbb\xbf", CHAT].concat()] {
            for at in 0..=text.len() {
                let (a, b) = text.split_at(at);
                let (all, seen) = passed(StreamEnd::Done, &[a, b]);
                assert!(matches!(seen, Seen::Ended(_)), "{}", a.escape_ascii());
                assert_eq!(all, text);
            }
        }
    }

    #[test]
    fn what_follows_the_end_is_not_passed_on() {
        for at in 0..CHAT.len() {
            let rest = [&CHAT[at..], b"data: {\"y\":1}\n\n"].concat();
            assert_eq!(passed(StreamEnd::Done, &[&CHAT[..at], &rest]).0, CHAT);
        }
    }

    #[test]
    fn an_end_without_its_blank_line_is_an_end() {
        for end in [&b"data: [DONE]"[..], b"data: [DONE]\n", b"data:[DONE]\r\n"] {
            assert!(
                is_complete(StreamEnd::Done, &[b"data: {}\n\n", end]),
                "{}",
                end.escape_ascii()
            );
        }
        for cut in
            [&b""[..], b"data: [DON", b"data: {\"x\":\"[DONE]\"}\n\n", b"data: {\"x\":1}\n\n"]
        {
            assert!(!is_complete(StreamEnd::Done, &[cut]), "{}", cut.escape_ascii());
        }
    }

    #[test]
    fn the_responses_api_ends_with_a_final_event_alone() {
        let long = "x".repeat(1000);
        for (text, ends) in [
            (
                format!(
                    "event: response.completed\ndata: {{\"response\":{{\"o\":\"{long}\"}}}}\n\n"
                ),
                true,
            ),
            (format!("data: {{\"type\":\"response.failed\",\"o\":\"{long}\"}}\n\n"), true),
            (format!("data: {{\"o\":\"{long}\",\"type\": \"response.incomplete\"}}\n\n"), true),
            (
                format!("data: {{\"o\":\"{long}\",\"type\":\"response.output_text.done\"}}\n\n"),
                false,
            ),
            (
                r#"data: {"type":"x","text":"\"type\":\"response.completed\""}"#.to_owned()
                    + "\n\n",
                false,
            ),
            ("data: [DONE]\n\n".to_owned(), false),
        ] {
            for at in 0..=text.len() {
                let (a, b) = text.as_bytes().split_at(at);
                if text.contains("[DONE]") {
                    assert!(!is_complete(StreamEnd::FinalResponse, &[a, b]));
                    continue;
                }
                let (_, seen) = passed(StreamEnd::FinalResponse, &[a, b]);
                assert_eq!(matches!(seen, Seen::Ended(_)), ends, "{text:.80} cut at {at}");
            }
        }
    }

    #[test]
    fn a_transcript_ends_as_openai_or_as_vllm_ends_it() {
        let delta = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"hi\"}\n\n";
        let done = "data: {\"type\":\"transcript.text.done\",\"text\":\"hi\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":3,\"output_tokens\":2}}\n\n";
        let chunk = "data: {\"object\":\"transcription.chunk\",\"choices\":[{\"delta\":{\"content\":\"\\\"type\\\":\\\"transcript.text.done\\\"\"}}]}\n\n";
        for (text, usage) in [
            (format!("{delta}{done}"), Some(Usage::new(3, 2))),
            (format!("{chunk}data: [DONE]\n\n"), None),
        ] {
            for at in 0..=text.len() {
                let (a, b) = text.as_bytes().split_at(at);
                let (all, seen) = passed(StreamEnd::Transcript, &[a, b]);
                assert!(matches!(seen, Seen::Ended(_)), "{text} cut at {at}");
                assert_eq!(all, text.as_bytes());
                assert_eq!(watch(StreamEnd::Transcript, &[a, b]).0.usage(), usage, "{at}");
            }
        }
        assert!(!is_complete(StreamEnd::Transcript, &[delta.as_bytes(), chunk.as_bytes()]));
    }

    #[test]
    fn an_event_that_is_no_object_is_not_passed_on() {
        let good = b"data: {\"x\":1}\n\n";
        for bad in [
            "data:\n\n",
            "data: oops\n\n",
            "data: {\"x\":\n\n",
            "data: [1]\n\n",
            "event: x\ndata: <html>\n\n",
        ] {
            let text = [&good[..], bad.as_bytes()].concat();
            let (all, seen) = passed(StreamEnd::Done, &[&text]);
            assert_eq!((all.as_slice(), seen), (&good[..], Seen::Malformed(good.len())), "{bad}");
            for at in 1..text.len() {
                let (_, seen) = passed(StreamEnd::Done, &[&text[..at], &text[at..]]);
                assert!(matches!(seen, Seen::Malformed(_)), "{bad} cut at {at}");
            }
        }
        // Data of several lines is one value.
        let (_, seen) = watch(StreamEnd::Done, &[b"data: {\ndata: \"x\":1\ndata:\ndata: }\n\n"]);
        assert_eq!(seen, Seen::Going);
    }

    #[test]
    fn an_error_event_gets_a_line_of_its_own() {
        for (text, separator) in [
            (&b""[..], ""),
            (b"data: {\"x\"", "\n\n"),
            (b"data: {}\n", "\n\n"),
            (b"data: {}\n\n", ""),
            (b"data: {}\r\n\r\n", ""),
            (b"data: {}\n\ndata: bad\n\n", ""),
        ] {
            let (watch, _) = watch(StreamEnd::Done, &[text]);
            assert_eq!(watch.separator(), separator, "{}", text.escape_ascii());
        }
        let (watch, _) = watch(StreamEnd::Done, &[b"data: ba", b"d\n\n"]);
        assert_eq!(watch.separator(), "\n\n", "the first half has been passed on");
    }
}
