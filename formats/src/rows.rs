use std::io::{self, Read, Seek, SeekFrom};

use serde_json::{Map, Value};

use crate::csv::CsvRows;
use crate::decode::{Encoding, SAMPLE, Utf8Reader};
use crate::error::{BadRow, FormatError};
use crate::format::Format;
use crate::jsonl::JsonlRows;

/// The longest row, in bytes of its UTF-8. What is longer is skipped without being kept.
pub const MAX_ROW_BYTES: usize = 4 << 20;

/// A file that is read: from its beginning, or anywhere.
pub trait Source: Read + Seek + Send {
    /// How many bytes there are.
    fn size(&self) -> u64;
}

/// Reads one row after the other.
pub trait Rows: Send {
    /// The names of the columns, where all rows have the same.
    fn columns(&self) -> Option<&[String]>;

    /// The next row; `None` after the last one. After a bad row the next one can be read.
    ///
    /// # Errors
    /// When nothing more can be read. After that nothing more may be asked.
    fn next(&mut self) -> Result<Option<Result<Row<'_>, BadRow>>, FormatError>;

    /// The last row as it stands in the file, as far as it can be shown.
    fn shown(&self) -> String;

    /// About how many bytes of the file have been read.
    fn bytes_read(&self) -> u64;
}

/// A row.
#[derive(Debug, PartialEq)]
pub struct Row<'a> {
    /// The line that it begins in, from 1; for Parquet the row.
    pub line: u64,
    pub cells: Cells<'a>,
}

/// What a row says.
#[derive(Debug, PartialEq)]
pub enum Cells<'a> {
    /// The fields of a line, as many as there are columns.
    Texts { text: &'a str, ends: &'a [usize] },
    /// The values of the columns.
    Values(Vec<Value>),
    /// An object with columns of its own.
    Object(Map<String, Value>),
}

impl<'a> Cells<'a> {
    /// The text of a field.
    pub(crate) fn text(text: &'a str, ends: &[usize], place: usize) -> Option<&'a str> {
        let start = match place.checked_sub(1) {
            Some(before) => *ends.get(before)?,
            None => 0,
        };
        text.get(start..*ends.get(place)?)
    }
}

/// Reads a file.
///
/// # Errors
/// When its beginning is not of the format.
pub fn open(
    mut source: Box<dyn Source>,
    format: Format,
    encoding: Option<Encoding>,
    delimiter: Option<u8>,
) -> Result<Opened, FormatError> {
    if format == Format::Parquet {
        return open_parquet(source);
    }
    let mut sample = vec![0; SAMPLE];
    let length = read_up_to(&mut *source, &mut sample)?;
    sample.truncate(length);
    if sample.starts_with(b"PAR1") {
        return Err(FormatError::unusable(
            "this is a Parquet file; say so with `--format parquet`",
        ));
    }
    if sample.starts_with(b"\x1f\x8b") || sample.starts_with(b"PK\x03\x04") {
        return Err(FormatError::unusable("this file is compressed; unpack it first"));
    }
    let is_detected = encoding.is_none();
    let encoding = encoding.unwrap_or_else(|| Encoding::detect(&sample, length < SAMPLE));
    source.seek(SeekFrom::Start(0))?;
    let reader = Utf8Reader::new(source, encoding);
    let rows: Box<dyn Rows> = match format {
        Format::Jsonl => Box::new(JsonlRows::new(reader, encoding)),
        Format::Csv | Format::Parquet => Box::new(CsvRows::new(reader, encoding, delimiter)?),
    };
    Ok(Opened { rows, encoding: Some(encoding), is_detected })
}

/// A file whose rows can be read.
pub struct Opened {
    pub rows: Box<dyn Rows>,
    /// How its characters are bytes; `None` where that is of no interest.
    pub encoding: Option<Encoding>,
    /// Whether nobody has said so.
    pub is_detected: bool,
}

#[cfg(feature = "parquet")]
fn open_parquet(source: Box<dyn Source>) -> Result<Opened, FormatError> {
    let rows = Box::new(crate::parquet::ParquetRows::new(source)?);
    Ok(Opened { rows, encoding: None, is_detected: false })
}

#[cfg(not(feature = "parquet"))]
fn open_parquet(_source: Box<dyn Source>) -> Result<Opened, FormatError> {
    Err(FormatError::unusable("this program was built without Parquet; use CSV or JSON lines"))
}

/// The longest row that is shown, in characters.
const MOST_SHOWN: usize = 10_000;

/// As much of a row as is shown.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(MOST_SHOWN).collect()
}

fn read_up_to(source: &mut dyn Source, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Source for io::Cursor<Vec<u8>> {
    fn size(&self) -> u64 {
        self.get_ref().len() as u64
    }
}

impl Source for std::fs::File {
    fn size(&self) -> u64 {
        self.metadata().map_or(0, |meta| meta.len())
    }
}
