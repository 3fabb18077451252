//! Server-sent events as whole frames: the one reader of streams in this workspace.
//!
//! The proxy uses it where an event has to be looked at, and copies bytes elsewhere; the CLI and the
//! end-to-end tests read answers with it.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// Cuts a stream into frames, as the HTML standard says: lines end with LF, CR or CRLF, and a
/// blank line ends a frame. A frame that never ends is none.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    /// How much of the buffer was looked at.
    seen: usize,
    /// Where the current line begins.
    line: usize,
    /// Whether the last line ended with a CR, whose LF may be yet to come.
    after_return: bool,
    begun: bool,
}

/// One frame: the lines up to a blank one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    raw: Bytes,
    /// The length of a byte order mark at its beginning.
    mark: usize,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Reader {
    /// Takes the next piece of the stream, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame that has come whole.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let unseen = self.buffer.get(self.seen..).unwrap_or_default();
            let Some(offset) = memchr2(b'\n', b'\r', unseen) else {
                self.seen = self.buffer.len();
                return None;
            };
            let end = self.seen + offset;
            let is_blank = end == self.line;
            let is_return = self.buffer.get(end) == Some(&b'\r');
            self.seen = end + 1;
            self.line = end + 1;
            let of_return = std::mem::replace(&mut self.after_return, is_return);
            if is_blank && of_return && !is_return {
                // The second half of a CRLF ends no line of its own.
                continue;
            }
            if is_blank {
                return Some(self.cut(end + 1));
            }
        }
    }

    /// What has come of a frame that is not whole.
    pub fn rest(&self) -> &[u8] {
        &self.buffer
    }

    fn cut(&mut self, mut end: usize) -> Frame {
        if self.after_return && self.buffer.get(end) == Some(&b'\n') {
            end += 1;
            self.after_return = false;
        }
        let raw = self.buffer.split_to(end).freeze();
        (self.seen, self.line) = (0, 0);
        let is_first = !std::mem::replace(&mut self.begun, true);
        let mark =
            if is_first && raw.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Frame { raw, mark }
    }
}

impl Frame {
    /// Its bytes, with the blank line that ends it.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// Its data, the lines joined; none of a frame of comments alone.
    pub fn data(&self) -> Option<Cow<'_, str>> {
        let mut values = self.values("data");
        let mut data = values.next()?;
        for value in values {
            let data = data.to_mut();
            data.push('\n');
            data.push_str(&value);
        }
        Some(data)
    }

    /// Its comments, without the colon.
    pub fn comments(&self) -> impl Iterator<Item = String> {
        self.values("").map(Cow::into_owned)
    }

    /// The values of the lines with this name; a comment has none.
    fn values(&self, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
        let text = self.raw.get(self.mark..).unwrap_or_default();
        lines(text).filter_map(move |line| {
            let rest = line.strip_prefix(name.as_bytes())?;
            let value = match rest.strip_prefix(b":") {
                Some(value) => value.strip_prefix(b" ").unwrap_or(value),
                // A name without a value.
                None if rest.is_empty() => rest,
                None => return None,
            };
            // Events are read in large numbers: nothing is copied unless a byte is wrong.
            Some(match std::str::from_utf8(value) {
                Ok(value) => Cow::Borrowed(value),
                Err(_) => String::from_utf8_lossy(value),
            })
        })
    }
}

/// The lines of a text that say something.
fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = std::iter::from_fn(move || {
        let end = memchr2(b'\n', b'\r', text).unwrap_or(text.len());
        let (line, rest) = text.split_at_checked(end).filter(|_| !text.is_empty())?;
        text = rest.get(1..).unwrap_or_default();
        Some(line)
    });
    lines.filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<Frame> {
        let mut reader = Reader::default();
        let mut frames = Vec::new();
        for piece in pieces {
            reader.push(piece);
            frames.extend(std::iter::from_fn(|| reader.next_frame()));
        }
        frames
    }

    /// What the frames say, empty ones left out.
    fn said(frames: &[Frame]) -> Vec<String> {
        let all = frames.iter().flat_map(|frame| {
            frame.comments().map(|text| format!(":{text}")).chain(frame.data().map(Cow::into_owned))
        });
        all.collect()
    }

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut_and_whatever_ends_its_lines() {
        let text = ": diogenes {\"phase\":\"é\"}\n\nevent: x\ndata: {\"a\":1}\n\ndata: a\ndata:b\n\ndata: [DONE]\n\n";
        let expected = [":diogenes {\"phase\":\"é\"}", "{\"a\":1}", "a\nb", "[DONE]"];
        for end in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', end);
            for at in 0..=text.len() {
                let (a, b) = text.as_bytes().split_at(at);
                let frames = read(&[a, b]);
                assert_eq!(said(&frames), expected, "{end:?} cut at {at}");
                let raw: Vec<u8> = frames.iter().flat_map(|frame| frame.raw().to_vec()).collect();
                // The LF of a CRLF that was cut there is left for the next frame.
                assert!(text.as_bytes().starts_with(&raw) && raw.len() + 1 >= text.len());
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(said(&read(&bytes)), expected);
        }
    }

    #[test]
    fn a_frame_without_its_blank_line_is_not_whole() {
        assert_eq!(read(&[b"data: {\"a\":1}\n"]), []);
        let mut reader = Reader::default();
        reader.push(b"data: 1\n\ndata: 2");
        assert!(reader.next_frame().is_some() && reader.next_frame().is_none());
        assert_eq!(reader.rest(), b"data: 2");
    }

    #[test]
    fn blank_lines_names_and_a_byte_order_mark_say_nothing() {
        assert_eq!(said(&read(&[b"\xef\xbb\xbfdata: 1\n\n\n\nid: 3\nretry: 5\n\n"])), ["1"]);
        assert_eq!(said(&read(&[b"data\n\n"])), [""]);
        assert_eq!(said(&read(&[b"data:  two spaces\n\n"])), [" two spaces"]);
    }
}
