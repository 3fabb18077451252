//! CSV, whose records are bounded: a quotation mark that is missing must not make one record of the
//! whole file.

use std::collections::HashSet;
use std::io::Read;

use csv_core::ReadRecordResult;

use crate::decode::{Encoding, Utf8Reader};
use crate::error::{BadRow, FormatError};
use crate::rows::{Cells, MAX_ROW_BYTES, Row, Rows, Source, shortened};

/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;
/// The most columns.
const MOST_COLUMNS: usize = 4_096;
/// What may stand between fields, where nobody says.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

pub(crate) struct CsvRows {
    reader: Utf8Reader<Box<dyn Source>>,
    encoding: Encoding,
    parser: csv_core::Reader,
    columns: Vec<String>,
    buffer: Vec<u8>,
    /// What of the buffer was not parsed yet.
    pending: std::ops::Range<usize>,
    bytes_read: u64,
    is_at_end: bool,
    /// The fields of the record at hand, one behind the other.
    text: Vec<u8>,
    ends: Vec<usize>,
    /// How many fields there are.
    fields: usize,
    line: u64,
}

/// What came of reading a record.
enum Reading {
    Record { length: usize },
    TooLong,
    End,
}

impl CsvRows {
    pub(crate) fn new(
        reader: Utf8Reader<Box<dyn Source>>,
        encoding: Encoding,
        delimiter: Option<u8>,
    ) -> Result<Self, FormatError> {
        let mut rows = Self {
            reader,
            encoding,
            parser: csv_core::Reader::new(),
            columns: Vec::new(),
            buffer: vec![0; PIECE],
            pending: 0..0,
            bytes_read: 0,
            is_at_end: false,
            text: vec![0; 4096],
            ends: vec![0; 64],
            fields: 0,
            line: 1,
        };
        rows.fill()?;
        let delimiter = delimiter.unwrap_or_else(|| rows.likely_delimiter());
        rows.parser = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        rows.read_header()?;
        Ok(rows)
    }

    /// Whichever stands most often in the first line.
    fn likely_delimiter(&self) -> u8 {
        let bytes = self.buffer.get(self.pending.clone()).unwrap_or_default();
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let count = |wanted: u8| {
            let mut is_quoted = false;
            let outside = line.iter().filter(|byte| {
                is_quoted ^= **byte == b'"';
                !is_quoted && **byte == wanted
            });
            outside.count()
        };
        let counts = DELIMITERS.map(|delimiter| (count(delimiter), delimiter));
        // Of equal ones the comma, which is the first.
        let best = counts.iter().rev().max_by_key(|(count, _)| *count);
        best.map_or(b',', |(_, delimiter)| *delimiter)
    }

    fn read_header(&mut self) -> Result<(), FormatError> {
        let length = match self.read_record()? {
            Reading::Record { length } => length,
            Reading::TooLong => {
                return Err(FormatError::unusable(
                    "the first line, with the names of the columns, is too long",
                ));
            }
            Reading::End => {
                return Err(FormatError::unusable(
                    "the file is empty; its first line must name the columns",
                ));
            }
        };
        let ends = self.ends.get(..self.fields).unwrap_or_default();
        if ends.len() > MOST_COLUMNS {
            return Err(FormatError::unusable(format!(
                "there are more than {MOST_COLUMNS} columns"
            )));
        }
        let text = self.text.get(..length).unwrap_or_default();
        let text = text_of(text, ends).map_err(|_| {
            FormatError::unusable(format!(
                "the names of the columns are not {}; name the encoding with `--encoding`",
                self.encoding
            ))
        })?;
        let names = (0..ends.len()).map(|place| Cells::text(text, ends, place).unwrap_or_default());
        self.columns = names.map(|name| name.trim().to_owned()).collect();
        let mut known = HashSet::new();
        if let Some(twice) = self.columns.iter().find(|name| !known.insert(name.as_str())) {
            return Err(FormatError::unusable(format!(
                "there are two columns `{}`; rename one of them",
                twice.escape_debug()
            )));
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<(), FormatError> {
        if self.pending.is_empty() && !self.is_at_end {
            let count = self.reader.read(&mut self.buffer)?;
            self.pending = 0..count;
            self.bytes_read += count as u64;
            self.is_at_end = count == 0;
        }
        Ok(())
    }

    /// Reads one record into `text` and `ends`.
    fn read_record(&mut self) -> Result<Reading, FormatError> {
        let (mut length, mut fields, mut is_too_long) = (0, 0, false);
        self.line = self.parser.line();
        let mut is_begun = false;
        loop {
            self.fill()?;
            let input = self.buffer.get(self.pending.clone()).unwrap_or_default();
            if !is_begun {
                // The parser skips empty lines, which belong to no record.
                let empty = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                self.line += input.iter().take(empty).filter(|byte| **byte == b'\n').count() as u64;
                is_begun = empty < input.len() || self.is_at_end;
            }
            let output = self.text.get_mut(length..).unwrap_or_default();
            let ends = self.ends.get_mut(fields..).unwrap_or_default();
            let (result, read, written, ended) = self.parser.read_record(input, output, ends);
            self.pending.start += read;
            length += written;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.text.len() < MAX_ROW_BYTES => {
                    let longer = (2 * self.text.len()).min(MAX_ROW_BYTES);
                    self.text.resize(longer, 0);
                }
                ReadRecordResult::OutputFull => {
                    // The rest of it is read, and forgotten.
                    (is_too_long, length) = (true, 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < 2 * MOST_COLUMNS => {
                    self.ends.resize(2 * self.ends.len(), 0);
                }
                ReadRecordResult::OutputEndsFull => (is_too_long, fields) = (true, 0),
                ReadRecordResult::Record if is_too_long => return Ok(Reading::TooLong),
                ReadRecordResult::Record => {
                    self.fields = fields;
                    return Ok(Reading::Record { length });
                }
                ReadRecordResult::End => return Ok(Reading::End),
            }
        }
    }
}

/// The text of fields that stand one behind the other, or where it is none. Two halves of a letter
/// make no letter if they stand in two fields.
fn text_of<'a>(bytes: &'a [u8], ends: &[usize]) -> Result<&'a str, usize> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.valid_up_to())?;
    match ends.iter().find(|end| !text.is_char_boundary(**end)) {
        None => Ok(text),
        Some(end) => Err(text.floor_char_boundary(*end)),
    }
}

impl Rows for CsvRows {
    fn columns(&self) -> Option<&[String]> {
        Some(&self.columns)
    }

    fn next(&mut self) -> Result<Option<Result<Row<'_>, BadRow>>, FormatError> {
        let length = match self.read_record()? {
            Reading::End => return Ok(None),
            Reading::TooLong => {
                self.fields = 0;
                let reason = format!(
                    "the row has more than {MAX_ROW_BYTES} bytes; perhaps a quotation mark is missing"
                );
                return Ok(Some(Err(BadRow::new(self.line, None, reason))));
            }
            Reading::Record { length } => length,
        };
        let (line, columns) = (self.line, self.columns.len());
        let ends = self.ends.get(..self.fields).unwrap_or_default();
        if ends.len() != columns {
            let reason = match ends.len() {
                1 => format!("has one field, and there are {columns} columns"),
                fields => format!("has {fields} fields, and there are {columns} columns"),
            };
            return Ok(Some(Err(BadRow::new(line, None, reason))));
        }
        let bytes = self.text.get(..length).unwrap_or_default();
        let text = match text_of(bytes, ends) {
            Ok(text) => text,
            Err(at) => {
                let place = ends.partition_point(|end| *end <= at);
                let column = self.columns.get(place).map(String::as_str);
                let reason = format!(
                    "is not valid {}; name the encoding of the file with `--encoding`",
                    self.encoding
                );
                return Ok(Some(Err(BadRow::new(line, column, reason))));
            }
        };
        Ok(Some(Ok(Row { line, cells: Cells::Texts { text, ends } })))
    }

    fn shown(&self) -> String {
        let ends = self.ends.get(..self.fields).unwrap_or_default();
        let mut fields = Vec::with_capacity(ends.len());
        let mut start = 0;
        for end in ends {
            let field = self.text.get(start..*end).unwrap_or_default();
            let field = String::from_utf8_lossy(field);
            let is_plain = !field.contains([',', '"', '\n', '\r']);
            let quoted = || format!("\"{}\"", field.replace('"', "\"\""));
            fields.push(if is_plain { field.to_string() } else { quoted() });
            start = *end;
        }
        shortened(&fields.join(","))
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::format::Format;
    use crate::rows::open;

    type Told = Result<(u64, Vec<String>), String>;

    fn rows(bytes: impl Into<Vec<u8>>) -> Result<(Vec<String>, Vec<Told>), String> {
        let source = Box::new(Cursor::new(bytes.into()));
        let opened = open(source, Format::Csv, None, None).map_err(|error| error.to_string())?;
        let mut rows = opened.rows;
        let columns = rows.columns().unwrap().to_vec();
        let mut told = Vec::new();
        while let Some(row) = rows.next().map_err(|error| error.to_string())? {
            told.push(match row {
                Ok(Row { line, cells: Cells::Texts { text, ends } }) => {
                    let fields = (0..ends.len()).map(|n| Cells::text(text, ends, n).unwrap());
                    Ok((line, fields.map(str::to_owned).collect()))
                }
                Ok(row) => panic!("{row:?}"),
                Err(bad) => Err(bad.to_string()),
            });
        }
        Ok((columns, told))
    }

    #[expect(clippy::unnecessary_wraps, reason = "what is told of rows is compared with it")]
    fn ok(line: u64, fields: &[&str]) -> Told {
        Ok((line, fields.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn quoted_fields_have_commas_lines_and_quotes() {
        let (columns, rows) = rows("a,b\r\n\"1,\n\"\"2\",x\r\n\n,\n").unwrap();
        assert_eq!(columns, ["a", "b"]);
        assert_eq!(rows, [ok(2, &["1,\n\"2", "x"]), ok(5, &["", ""])]);
    }

    #[test]
    fn the_delimiter_is_told_from_the_first_line() {
        for delimiter in [",", ";", "\t", "|"] {
            let text = format!("a{delimiter}\"b,;;\"\n1{delimiter}2");
            let (columns, rows) = rows(text).unwrap();
            assert_eq!((columns.len(), rows), (2, vec![ok(2, &["1", "2"])]), "{delimiter:?}");
        }
        assert_eq!(rows("only\nx\n").unwrap().1, [ok(2, &["x"])]);
    }

    #[test]
    fn ragged_rows_are_told_and_the_next_one_is_read() {
        let (_, rows) = rows("a,b\n1\n1,2,3\n1,2\n").unwrap();
        let ragged =
            |line, has: &str| Err(format!("line {line}: has {has}, and there are 2 columns"));
        assert_eq!(rows, [ragged(2, "one field"), ragged(3, "3 fields"), ok(4, &["1", "2"])]);
    }

    #[test]
    fn a_cell_of_100_mb_is_told_and_not_kept() {
        let long = "x".repeat(100 << 20);
        let (_, rows) = rows(format!("a,b\n1,{long}\n3,4\n")).unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows[0].as_ref().unwrap_err().contains("line 2: the row has more than"));
        assert_eq!(rows[1], ok(3, &["3", "4"]));
    }

    #[test]
    fn a_missing_quotation_mark_is_told() {
        let text = format!("a,b\n1,\"2\n{}", "3,4\n".repeat(2 << 20));
        let (_, rows) = rows(text).unwrap();
        assert!(rows[0].as_ref().unwrap_err().contains("a quotation mark is missing"));
    }

    #[test]
    fn bad_bytes_are_told_with_their_column() {
        let text = ["a,b\n".as_bytes(), "äöüß,ä\n".as_bytes(), b"x,\xff\n1,2\n"].concat();
        let (_, rows) = rows(text).unwrap();
        let bad = rows[1].as_ref().unwrap_err();
        assert!(bad.starts_with("line 3, column `b`: is not valid utf-8"), "{bad}");
        assert_eq!(rows[2], ok(4, &["1", "2"]));
    }

    #[test]
    fn half_a_letter_in_each_of_two_fields_is_none() {
        assert_eq!(text_of("aä".as_bytes(), &[1, 3]), Ok("aä"));
        assert_eq!(text_of("aä".as_bytes(), &[2, 3]), Err(1));
        let text = ["a,b\n".as_bytes(), "äöüß,ä\n".as_bytes(), b"x\xc3,\xa4\n"].concat();
        let (_, rows) = rows(text).unwrap();
        let bad = rows[1].as_ref().unwrap_err();
        assert!(bad.starts_with("line 3, column `a`: is not valid"), "{bad}");
    }

    #[test]
    fn a_file_that_is_none_is_refused() {
        for (bytes, reason) in [
            (&b""[..], "the file is empty"),
            (b"\n\n", "the file is empty"),
            (b"a,a\n1,2\n", "two columns `a`"),
            (b"PAR1....", "`--format parquet`"),
            (b"\x1f\x8b....", "compressed"),
        ] {
            assert!(rows(bytes).unwrap_err().contains(reason), "{reason}");
        }
    }
}
