//! JSON lines, whose lines are bounded.

use std::io::Read;

use serde_json::Value;

use crate::decode::{Encoding, Utf8Reader};
use crate::error::{BadRow, FormatError};
use crate::rows::{Cells, MAX_ROW_BYTES, Row, Rows, Source, shortened};

/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;

pub(crate) struct JsonlRows {
    reader: Utf8Reader<Box<dyn Source>>,
    encoding: Encoding,
    buffer: Vec<u8>,
    /// What of the buffer was not taken yet.
    pending: std::ops::Range<usize>,
    bytes_read: u64,
    is_at_end: bool,
    text: Vec<u8>,
    line: u64,
}

impl JsonlRows {
    pub(crate) fn new(reader: Utf8Reader<Box<dyn Source>>, encoding: Encoding) -> Self {
        Self {
            reader,
            encoding,
            buffer: vec![0; PIECE],
            pending: 0..0,
            bytes_read: 0,
            is_at_end: false,
            text: Vec::new(),
            line: 0,
        }
    }

    /// Reads a line into `text`. Whether there was one, and whether it is all there.
    fn read_line(&mut self) -> Result<Option<bool>, FormatError> {
        self.text.clear();
        let (mut is_any, mut is_whole) = (false, true);
        loop {
            if self.pending.is_empty() {
                if self.is_at_end {
                    return Ok(is_any.then_some(is_whole));
                }
                let count = self.reader.read(&mut self.buffer)?;
                self.pending = 0..count;
                self.bytes_read += count as u64;
                self.is_at_end = count == 0;
                continue;
            }
            let bytes = self.buffer.get(self.pending.clone()).unwrap_or_default();
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let piece = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            is_any = true;
            if self.text.len() + piece.len() > MAX_ROW_BYTES {
                is_whole = false;
                self.text.clear();
            }
            if is_whole {
                self.text.extend_from_slice(piece);
            }
            self.pending.start += piece.len() + usize::from(end.is_some());
            if end.is_some() {
                return Ok(Some(is_whole));
            }
        }
    }

    fn parse(&self) -> Result<serde_json::Map<String, Value>, BadRow> {
        let bad = |reason: String| BadRow::new(self.line, None, reason);
        let text = std::str::from_utf8(&self.text).map_err(|_| {
            bad(format!(
                "is not valid {}; name the encoding of the file with `--encoding`",
                self.encoding
            ))
        })?;
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(Value::Array(_)) if self.line == 1 => {
                Err(bad("is a list; write an object a line, without brackets around them".into()))
            }
            Ok(_) => Err(bad("is not an object".into())),
            Err(error) => {
                let at = error.column();
                let around = text.get(at.saturating_sub(1)..).unwrap_or_default();
                let is_number =
                    ["NaN", "Infinity", "-Infinity"].iter().any(|word| around.starts_with(word));
                let reason = if is_number {
                    format!("character {at}: JSON has no NaN and no infinity; use null")
                } else if self.line == 1 && text.trim() == "[" {
                    "is a list; write an object a line, without brackets around them".into()
                } else {
                    let told = error.to_string();
                    let told = told.split(" at line ").next().unwrap_or_default();
                    format!("character {at}: is not JSON: {told}")
                };
                Err(bad(reason))
            }
        }
    }
}

impl Rows for JsonlRows {
    fn columns(&self) -> Option<&[String]> {
        None
    }

    fn next(&mut self) -> Result<Option<Result<Row<'_>, BadRow>>, FormatError> {
        loop {
            let Some(is_whole) = self.read_line()? else { return Ok(None) };
            self.line += 1;
            if !is_whole {
                let reason = format!("the line has more than {MAX_ROW_BYTES} bytes");
                return Ok(Some(Err(BadRow::new(self.line, None, reason))));
            }
            if self.text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let row = self.parse();
            let line = self.line;
            return Ok(Some(row.map(|fields| Row { line, cells: Cells::Object(fields) })));
        }
    }

    fn shown(&self) -> String {
        shortened(&String::from_utf8_lossy(&self.text))
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use serde_json::json;

    use super::*;
    use crate::format::Format;
    use crate::rows::open;

    fn rows(bytes: impl Into<Vec<u8>>) -> Vec<Result<(u64, Value), String>> {
        let source = Box::new(Cursor::new(bytes.into()));
        let mut rows = open(source, Format::Jsonl, None, None).unwrap().rows;
        let mut told = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            told.push(match row {
                Ok(Row { line, cells: Cells::Object(fields) }) => Ok((line, json!(fields))),
                Ok(row) => panic!("{row:?}"),
                Err(bad) => Err(bad.to_string()),
            });
        }
        told
    }

    #[test]
    fn lines_are_objects_and_empty_ones_nothing() {
        let rows = rows("{\"a\":1}\r\n\n {\"b\":\"\\u00e4\"}");
        assert_eq!(rows, [Ok((1, json!({"a": 1}))), Ok((3, json!({"b": "ä"})))]);
        assert_eq!(self::rows(""), []);
    }

    #[test]
    fn what_is_not_json_is_told_with_its_line_and_character() {
        let rows = rows("{\"a\":NaN}\n{\"a\":1\n[1]\n{\"a\":2}\n\"\\ud800\"\n");
        let starts = [
            "line 1: character 6: JSON has no NaN",
            "line 2: character 6: is not JSON: EOF",
            "line 3: is not an object",
        ];
        for (row, start) in rows.iter().zip(starts) {
            let bad = row.as_ref().unwrap_err();
            assert!(bad.starts_with(start), "{bad}");
        }
        assert_eq!(rows[3], Ok((4, json!({"a": 2}))));
        assert!(rows[4].is_err());
    }

    #[test]
    fn a_list_is_told_to_be_one() {
        for text in ["[{\"a\":1}]", "[\n{\"a\":1}\n]"] {
            let rows = rows(text);
            assert!(rows[0].as_ref().unwrap_err().contains("an object a line"), "{rows:?}");
        }
    }

    #[test]
    fn a_line_of_100_mb_is_told_and_not_kept() {
        let rows = rows(format!("{{\"a\":\"{}\"}}\n{{\"a\":1}}\n", "x".repeat(100 << 20)));
        assert!(rows[0].as_ref().unwrap_err().contains("line 1: the line has more than"));
        assert_eq!(rows[1], Ok((2, json!({"a": 1}))));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let rows = rows(format!("{{\"a\":{}}}", "[".repeat(100_000)));
        assert!(rows[0].as_ref().unwrap_err().contains("recursion limit"), "{rows:?}");
    }
}
