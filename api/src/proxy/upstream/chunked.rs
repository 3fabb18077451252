use bytes::{Buf, BytesMut};

/// The longest chunk-size line or trailer that is read.
const MAX_LINE: usize = 4096;

/// Decodes the chunked transfer coding (RFC 9112 §7.1).
#[derive(Debug, Default)]
pub(super) struct ChunkedDecoder {
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
    Broken,
}

/// The coding was broken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl ChunkedDecoder {
    /// Moves every payload byte that `input` holds to `output`, and removes what it has read.
    /// Returns whether the body is complete; bytes behind it stay in `input`. Once the coding was
    /// broken, it stays so: what follows cannot be told apart from payload.
    pub(super) fn decode(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Result<bool, Malformed> {
        let decoded = self.advance(input, output);
        if decoded.is_err() {
            self.state = State::Broken;
        }
        decoded
    }

    fn advance(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<bool, Malformed> {
        loop {
            match self.state {
                State::Size => {
                    let Some((line, length)) = first_line(input)? else {
                        return Ok(false);
                    };
                    let size = chunk_size(line)?;
                    input.advance(length);
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    if input.is_empty() {
                        return Ok(false);
                    }
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    if output.is_empty() && here == input.len() {
                        *output = input.split_to(here);
                    } else {
                        output.extend_from_slice(input.get(..here).unwrap_or_default());
                        input.advance(here);
                    }
                    let left = left - here as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                }
                State::DataEnd => {
                    if input.len() < 2 {
                        return Ok(false);
                    }
                    if !input.starts_with(b"\r\n") {
                        return Err(Malformed);
                    }
                    input.advance(2);
                    self.state = State::Size;
                }
                State::Trailers => {
                    let Some((line, length)) = first_line(input)? else {
                        return Ok(false);
                    };
                    if line.is_empty() {
                        self.state = State::Done;
                    }
                    input.advance(length);
                }
                State::Done => return Ok(true),
                State::Broken => return Err(Malformed),
            }
        }
    }
}

/// The first line without its end, if it is whole, and its length with it.
fn first_line(input: &[u8]) -> Result<Option<(&[u8], usize)>, Malformed> {
    match memchr::memchr(b'\n', input) {
        Some(end) if end <= MAX_LINE => {
            let line = input.get(..end).unwrap_or_default();
            Ok(Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1)))
        }
        None if input.len() <= MAX_LINE => Ok(None),
        _ => Err(Malformed),
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Malformed);
    }
    u64::from_str_radix(text, 16).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: &[u8] =
        b"5\r\nhello\r\n1;ext=1\r\n \r\nA\r\n0123456789\r\n0\r\nx-trailer: 1\r\n\r\nNEXT";

    #[test]
    fn any_split_of_the_input_gives_the_same_payload() {
        for step in 1..=WIRE.len() {
            let mut decoder = ChunkedDecoder::default();
            let (mut input, mut all) = (BytesMut::new(), Vec::new());
            let mut done = false;
            for piece in WIRE.chunks(step) {
                input.extend_from_slice(piece);
                let mut output = BytesMut::new();
                done = decoder.decode(&mut input, &mut output).expect("well-formed");
                all.extend_from_slice(&output);
            }
            assert!(done, "step {step}");
            assert_eq!(all, b"hello 0123456789", "step {step}");
            assert_eq!(&input[..], b"NEXT", "step {step}");
        }
    }

    #[test]
    fn broken_coding_is_refused() {
        for wire in [&b"zz\r\n"[..], b"\r\n", b"5\r\nhelloXX", b"-1\r\n", b"fffffffffffffffff\r\n"]
        {
            let mut input = BytesMut::from(wire);
            let mut decoder = ChunkedDecoder::default();
            let result = decoder.decode(&mut input, &mut BytesMut::new());
            assert_eq!(result, Err(Malformed), "{wire:?}");
            let result = decoder.decode(&mut BytesMut::from("0\r\n\r\n"), &mut BytesMut::new());
            assert_eq!(result, Err(Malformed), "{wire:?}, then an end");
        }
    }

    #[test]
    fn an_endless_size_line_is_refused() {
        let mut input = BytesMut::from(&vec![b'1'; MAX_LINE + 1][..]);
        let result = ChunkedDecoder::default().decode(&mut input, &mut BytesMut::new());
        assert_eq!(result, Err(Malformed));
    }
}
