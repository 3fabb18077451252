//! Text of whatever encoding as UTF-8. What is malformed becomes a byte that UTF-8 does not have, so
//! that it is found in the row that it stands in.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use encoding_rs::{Decoder, DecoderResult, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// How much of a file is looked at to tell its encoding, in bytes.
pub(crate) const SAMPLE: usize = 64 * 1024;
/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;
/// A byte that is never part of UTF-8.
const MALFORMED: u8 = 0xFF;

/// How characters are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

/// The name of an encoding that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not an encoding; use one of the Encoding Standard, such as `utf-8`, `utf-16le`, `latin1`, \
     `windows-1252` or `shift_jis`", .0.escape_debug()
)]
pub struct EncodingError(String);

impl FromStr for Encoding {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, EncodingError> {
        let found = encoding_rs::Encoding::for_label_no_replacement(text.trim().as_bytes());
        found.map(Self).ok_or_else(|| EncodingError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.name().to_ascii_lowercase())
    }
}

impl Encoding {
    pub const UTF_8: Self = Self(UTF_8);

    /// The encoding that a file with this beginning, or `is_whole` this content, seems to have: what its
    /// byte order mark says; UTF-16 where zeros stand at every other place; UTF-8 where most of what is beyond ASCII is valid; or
    /// else Windows-1252, which Latin-1 is a part of.
    pub fn detect(sample: &[u8], is_whole: bool) -> Self {
        if let Some((encoding, _)) = encoding_rs::Encoding::for_bom(sample) {
            return Self(encoding);
        }
        let zeros = |odd: usize| {
            let bytes = sample.iter().skip(odd).step_by(2);
            bytes.filter(|byte| **byte == 0).count()
        };
        let half = sample.len() / 2;
        let (even, odd) = (zeros(0), zeros(1));
        // The comma and the end of a line are there in every script.
        if 50 * odd > half && odd > 8 * even {
            return Self(UTF_16LE);
        }
        if 50 * even > half && even > 8 * odd {
            return Self(UTF_16BE);
        }
        let (mut valid, mut invalid) = (0usize, 0usize);
        for chunk in sample.utf8_chunks() {
            valid += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
            invalid += usize::from(!chunk.invalid().is_empty());
        }
        // The last character may be cut.
        let is_cut = std::str::from_utf8(sample).is_err_and(|error| error.error_len().is_none());
        invalid -= usize::from(is_cut && !is_whole);
        if invalid == 0 || valid > invalid { Self(UTF_8) } else { Self(WINDOWS_1252) }
    }

    pub fn is_utf8(self) -> bool {
        self.0 == UTF_8
    }
}

/// Reads text as UTF-8, without a byte order mark.
pub(crate) struct Utf8Reader<R> {
    inner: R,
    /// `None` for UTF-8, which is passed on as it is.
    decoder: Option<Decoder>,
    raw: Vec<u8>,
    /// What of `raw` was not decoded yet.
    pending: std::ops::Range<usize>,
    /// Decoded text, and what of it was not passed on yet.
    text: Vec<u8>,
    ready: std::ops::Range<usize>,
    is_at_end: bool,
    is_begun: bool,
    is_done: bool,
}

impl<R: Read> Utf8Reader<R> {
    pub(crate) fn new(inner: R, encoding: Encoding) -> Self {
        let decoder = (!encoding.is_utf8()).then(|| encoding.0.new_decoder_with_bom_removal());
        Self {
            inner,
            decoder,
            raw: vec![0; PIECE],
            pending: 0..0,
            text: Vec::new(),
            ready: 0..0,
            is_at_end: false,
            is_begun: false,
            is_done: false,
        }
    }

    /// Reads until something is pending, or the end is reached.
    fn fill(&mut self) -> io::Result<()> {
        while self.pending.is_empty() && !self.is_at_end {
            match self.inner.read(&mut self.raw) {
                Ok(0) => self.is_at_end = true,
                Ok(count) => self.pending = 0..count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_pending(&mut self, buffer: &mut [u8]) -> usize {
        let bytes = self.raw.get(self.pending.clone()).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(from);
        }
        self.pending.start += count;
        count
    }

    /// Decodes what is pending into text.
    fn decode(&mut self) {
        let Some(decoder) = &mut self.decoder else { return };
        let bytes = self.raw.get(self.pending.clone()).unwrap_or_default();
        self.text.resize(4 * PIECE, 0);
        let (result, read, written) =
            decoder.decode_to_utf8_without_replacement(bytes, &mut self.text, self.is_at_end);
        self.pending.start += read;
        self.ready = 0..written;
        match result {
            DecoderResult::InputEmpty => self.is_done = self.is_at_end,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                self.text.truncate(written);
                self.text.push(MALFORMED);
                self.ready = 0..written + 1;
            }
        }
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.decoder.is_none() {
            self.fill()?;
            if !self.is_begun {
                self.is_begun = true;
                // Files are read in pieces that are longer than the mark.
                let has_mark = self.raw.get(self.pending.clone());
                if has_mark.is_some_and(|bytes| bytes.starts_with(b"\xEF\xBB\xBF")) {
                    self.pending.start += 3;
                    self.fill()?;
                }
            }
            return Ok(self.take_pending(buffer));
        }
        while self.ready.is_empty() {
            if self.is_done {
                return Ok(0);
            }
            self.fill()?;
            self.decode();
        }
        let text = self.text.get(self.ready.clone()).unwrap_or_default();
        let count = text.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), text.get(..count)) {
            to.copy_from_slice(from);
        }
        self.ready.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], encoding: Option<&str>) -> Vec<u8> {
        let encoding =
            encoding.map_or_else(|| Encoding::detect(bytes, true), |name| name.parse().unwrap());
        let mut text = Vec::new();
        Utf8Reader::new(bytes, encoding).read_to_end(&mut text).unwrap();
        text
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn encodings_are_detected() {
        let text = "frage,antwort\näöü,€\n";
        let mark = "\u{feff}".to_owned() + text;
        for bytes in [
            text.as_bytes().to_vec(),
            mark.as_bytes().to_vec(),
            utf16(text, u16::to_le_bytes),
            utf16(text, u16::to_be_bytes),
            utf16(&mark, u16::to_le_bytes),
            utf16(&mark, u16::to_be_bytes),
        ] {
            assert_eq!(String::from_utf8(read(&bytes, None)).unwrap(), text, "{bytes:?}");
        }
        assert_eq!(read(b"caf\xe9", None), "café".as_bytes());
        assert_eq!(read(b"", None), b"");
    }

    #[test]
    fn one_bad_byte_does_not_make_another_encoding() {
        let text = "äöü äöü \u{20ac}".as_bytes();
        let bad = [text, b"\xff"].concat();
        assert!(Encoding::detect(&bad, true).is_utf8());
        assert!(Encoding::detect(b"caf\xc3", false).is_utf8(), "the sample is cut");
        assert!(read(&bad, None).ends_with(b"\xff"));
    }

    #[test]
    fn what_is_malformed_is_not_utf8_either() {
        let mut bytes = utf16("ab", u16::to_le_bytes);
        bytes.extend([0x00, 0xd8]);
        bytes.extend(utf16("cd", u16::to_le_bytes));
        let text = read(&bytes, Some("utf-16le"));
        assert!(std::str::from_utf8(&text).is_err() && text.ends_with(b"cd"), "{text:?}");
    }

    #[test]
    fn names_are_those_of_the_standard() {
        assert_eq!("latin1".parse::<Encoding>().unwrap().to_string(), "windows-1252");
        assert_eq!(read(b"\x83\x65", Some("shift_jis")), "テ".as_bytes());
        assert!("utf-9".parse::<Encoding>().unwrap_err().to_string().contains("`utf-16le`"));
    }

    #[test]
    fn long_texts_come_through_in_pieces() {
        let text = "aé€😀".repeat(100_000);
        assert!(read(&utf16(&text, u16::to_le_bytes), Some("utf-16le")) == text.as_bytes());
        assert!(read(text.as_bytes(), None) == text.as_bytes());
    }
}
