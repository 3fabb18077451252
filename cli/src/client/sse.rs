/// One thing that a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A line that begins with a colon, without it.
    Comment(String),
    /// The data of an event, its lines joined.
    Data(String),
}

/// Reads server-sent events from pieces of any size, as the HTML standard says: lines end with
/// LF, CR or CRLF, and only a blank line completes an event. Names, ids and retry times of
/// events are passed over; OpenAI's API has none that matter.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    line: Vec<u8>,
    data: Option<String>,
    after_return: bool,
    begun: bool,
}

impl Reader {
    /// Takes the next piece and returns what it completes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => events.extend(self.end_of_line()),
                _ => self.line.push(byte),
            }
        }
        events
    }

    fn end_of_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let mut line: &[u8] = &line;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return self.data.take().map(Event::Data);
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => Some(Event::Comment(value.to_owned())),
            "data" => {
                match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                }
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<Event> {
        let mut reader = Reader::default();
        pieces.iter().flat_map(|piece| reader.push(piece)).collect()
    }

    fn data(text: &str) -> Event {
        Event::Data(text.into())
    }

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut_and_whatever_ends_its_lines() {
        let text = ": diogenes {\"phase\":\"é\"}\n\nevent: x\ndata: {\"a\":1}\n\ndata: a\ndata:b\n\ndata: [DONE]\n\n";
        let expected = [
            Event::Comment("diogenes {\"phase\":\"é\"}".into()),
            data("{\"a\":1}"),
            data("a\nb"),
            data("[DONE]"),
        ];
        for end in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', end);
            for at in 0..=text.len() {
                let (a, b) = text.as_bytes().split_at(at);
                assert_eq!(read(&[a, b]), expected, "{end:?} cut at {at}");
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(read(&bytes), expected);
        }
    }

    #[test]
    fn an_event_without_its_blank_line_is_none() {
        assert_eq!(read(&[b"data: {\"a\":1}\n"]), []);
        assert_eq!(read(&[b"data: {\"a\":1}"]), []);
    }

    #[test]
    fn blank_lines_names_and_a_byte_order_mark_are_passed_over() {
        assert_eq!(read(&[b"\xef\xbb\xbfdata: 1\n\n\n\nid: 3\nretry: 5\n\n"]), [data("1")]);
        assert_eq!(read(&[b"data\n\n"]), [data("")]);
        assert_eq!(read(&[b"data:  two spaces\n\n"]), [data(" two spaces")]);
    }
}
