//! Parquet, row by row. Files are not trusted: what they say of their size is checked before it is
//! believed.

mod write;

use std::io::{self, BufReader, Read, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use diogenes_core::datasets::MOST_EXAMPLES;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use serde_json::{Map, Number, Value};
pub(crate) use write::ParquetWriter;

use crate::error::{BadRow, FormatError};
use crate::rows::{Cells, Row, Rows, Source};

/// The largest page, in bytes once it is unpacked. Writers make them of a mebibyte.
const MAX_PAGE: u64 = 64 << 20;
/// The largest description of a file, in bytes: its columns, and where they are.
const MAX_FOOTER: u64 = 64 << 20;
/// The most columns.
const MOST_COLUMNS: usize = 4_096;

pub(crate) struct ParquetRows {
    rows: RowIter<'static>,
    columns: Vec<String>,
    row: u64,
    all_rows: u64,
    size: u64,
}

impl ParquetRows {
    pub(crate) fn new(source: Box<dyn Source>) -> Result<Self, FormatError> {
        let size = source.size();
        let file =
            SharedSource { source: Arc::new(Mutex::new(source)), size, is_open: Arc::default() };
        check_footer(&file)?;
        let is_open = file.is_open.clone();
        let reader =
            guarded(|| SerializedFileReader::new(file))?.map_err(|error| damaged(&error))?;
        is_open.store(true, Ordering::Relaxed);
        let metadata = reader.metadata();
        let file_metadata = metadata.file_metadata();
        let all_rows = u64::try_from(file_metadata.num_rows()).unwrap_or_default();
        if all_rows > MOST_EXAMPLES {
            return Err(FormatError::unusable(format!(
                "the file has {all_rows} rows; a dataset may have {MOST_EXAMPLES} examples"
            )));
        }
        let columns: Vec<_> = file_metadata
            .schema_descr()
            .root_schema()
            .get_fields()
            .iter()
            .map(|field| field.name().to_owned())
            .collect();
        if columns.len() > MOST_COLUMNS {
            return Err(FormatError::unusable(format!(
                "there are more than {MOST_COLUMNS} columns"
            )));
        }
        for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
            match column.compression() {
                Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => {}
                other => {
                    return Err(FormatError::unusable(format!(
                        "the file is compressed with {other}; write it with snappy or zstd"
                    )));
                }
            }
        }
        let rows = RowIter::from_file_into(Box::new(reader));
        Ok(Self { rows, columns, row: 0, all_rows, size })
    }
}

/// Refuses a file that is none, or whose description is too large.
fn check_footer(file: &SharedSource) -> Result<(), FormatError> {
    let not_one = || {
        FormatError::unusable(
            "this is not a whole Parquet file: its end is missing; was it copied to its end?",
        )
    };
    let start = file.size.checked_sub(8).filter(|_| file.size >= 12).ok_or_else(not_one)?;
    let end = file.bytes(start, 8)?;
    let (length, magic) = end.split_at_checked(4).ok_or_else(not_one)?;
    if magic == b"PARE" {
        return Err(FormatError::unusable("the file is encrypted; decrypt it first"));
    }
    if magic != b"PAR1" {
        return Err(not_one());
    }
    let length = length.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    if length > MAX_FOOTER || length + 12 > file.size {
        return Err(FormatError::unusable(
            "the end of the Parquet file makes no sense; it is damaged",
        ));
    }
    Ok(())
}

impl Rows for ParquetRows {
    fn columns(&self) -> Option<&[String]> {
        Some(&self.columns)
    }

    fn next(&mut self) -> Result<Option<Result<Row<'_>, BadRow>>, FormatError> {
        let Some(row) = guarded(|| self.rows.next())? else {
            if self.row < self.all_rows {
                return Err(FormatError::unusable(format!(
                    "the file ends after {} of {} rows; it is damaged",
                    self.row, self.all_rows
                )));
            }
            return Ok(None);
        };
        let row = row.map_err(|error| damaged(&error))?;
        self.row += 1;
        if self.row > MOST_EXAMPLES {
            return Err(FormatError::unusable(
                "the file has more rows than it says; it is damaged",
            ));
        }
        let mut values = Vec::with_capacity(self.columns.len());
        for (name, field) in row.into_columns() {
            match value(field) {
                Ok(value) => values.push(value),
                Err(reason) => return Ok(Some(Err(BadRow::new(self.row, Some(&name), reason)))),
            }
        }
        Ok(Some(Ok(Row { line: self.row, cells: Cells::Values(values) })))
    }

    fn shown(&self) -> String {
        format!("row {}", self.row)
    }

    fn bytes_read(&self) -> u64 {
        let share = u128::from(self.size) * u128::from(self.row);
        let bytes = share.checked_div(u128::from(self.all_rows)).unwrap_or_default();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// What the crate answers, also where it panics, as it does on some files that are damaged.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, FormatError> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| FormatError::unusable("the Parquet file is damaged"))
}

fn damaged(error: &ParquetError) -> FormatError {
    FormatError::unusable(format!("the Parquet file cannot be read: {error}"))
}

fn value(field: Field) -> Result<Value, String> {
    let float = |number: f64| {
        let number = Number::from_f64(number).map(Value::Number);
        number.ok_or_else(|| "is NaN or infinite, which JSON does not have; use null".to_owned())
    };
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(is) => Value::Bool(is),
        Field::Byte(number) => number.into(),
        Field::Short(number) => number.into(),
        Field::Int(number) => number.into(),
        Field::Long(number) => number.into(),
        Field::UByte(number) => number.into(),
        Field::UShort(number) => number.into(),
        Field::UInt(number) => number.into(),
        Field::ULong(number) => number.into(),
        Field::Float16(number) => float(number.into())?,
        // The shortest text that is this number, and not its digits in twice the precision.
        Field::Float(number) => {
            float(number.to_string().parse().unwrap_or_else(|_| number.into()))?
        }
        Field::Double(number) => float(number)?,
        Field::Str(text) => Value::String(text),
        Field::Bytes(bytes) => match String::from_utf8(bytes.data().to_vec()) {
            Ok(text) => Value::String(text),
            Err(_) => return Err("is binary; only text can be taken".into()),
        },
        Field::Group(row) => {
            let fields = row.into_columns().into_iter();
            let fields = fields.map(|(name, field)| Ok((name, value(field)?)));
            Value::Object(fields.collect::<Result<Map<_, _>, String>>()?)
        }
        Field::ListInternal(list) => {
            let items = list.elements().iter().map(|item| value(item.clone()));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Field::MapInternal(map) => {
            let entries = map.entries().iter().map(|(name, field)| {
                let name = match value(name.clone())? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Ok((name, value(field.clone())?))
            });
            Value::Object(entries.collect::<Result<Map<_, _>, String>>()?)
        }
        field @ (Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_)) => Value::String(field.to_string()),
    })
}

/// A source from which several read at once.
#[derive(Clone)]
struct SharedSource {
    source: Arc<Mutex<Box<dyn Source>>>,
    size: u64,
    /// Whether its description was read: from then on only pages are.
    is_open: Arc<AtomicBool>,
}

impl SharedSource {
    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        source.seek(SeekFrom::Start(at))?;
        source.read(buffer)
    }

    fn bytes(&self, start: u64, length: usize) -> io::Result<Vec<u8>> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        source.seek(SeekFrom::Start(start))?;
        source.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Length for SharedSource {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for SharedSource {
    type T = BufReader<PageStart>;

    /// Once the file is open, the crate asks this for the header of a page.
    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let is_checked = !self.is_open.load(Ordering::Relaxed);
        let page = PageStart { source: self.clone(), at: start, is_checked };
        Ok(BufReader::with_capacity(4096, page))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        Ok(self.bytes(start, length)?.into())
    }
}

/// Reads from the beginning of a page on, unless it says that it unpacks to more than there may be.
struct PageStart {
    source: SharedSource,
    at: u64,
    is_checked: bool,
}

impl Read for PageStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = self.source.read_at(self.at, buffer)?;
        if !self.is_checked {
            // A read may bring fewer bytes than the size takes.
            while (1..LONGEST_START).contains(&count) {
                let rest = buffer.get_mut(count..).unwrap_or_default();
                match self.source.read_at(self.at + count as u64, rest)? {
                    0 => break,
                    more => count += more,
                }
            }
            let bytes = buffer.get(..count).unwrap_or_default();
            let size = unpacked_size(bytes)
                .ok_or_else(|| io::Error::other("the header of a page makes no sense"))?;
            if size > MAX_PAGE {
                let reason =
                    format!("a page would unpack to {size} bytes; there may be {MAX_PAGE} in one");
                return Err(io::Error::other(reason));
            }
            self.is_checked = true;
        }
        self.at += count as u64;
        Ok(count)
    }
}

/// The most bytes of a page's header up to the end of its size: two fields, each of a byte and a
/// number of up to five.
const LONGEST_START: usize = 12;

/// What a page's header says that it unpacks to: its second field in the compact form of Thrift, in
/// which each field begins with a byte for its distance to the one before and its type.
fn unpacked_size(header: &[u8]) -> Option<u64> {
    const NEXT_I32: u8 = 0x15;
    let mut bytes = header.iter().copied();
    let mut number = || {
        if bytes.next()? != NEXT_I32 {
            return None;
        }
        let mut number = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = bytes.next()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    };
    let _kind = number()?;
    let zigzag = number()?;
    // A negative size is refused later; here it is only not to pass for a small one.
    Some(if zigzag & 1 == 0 { zigzag >> 1 } else { u64::MAX })
}

#[cfg(test)]
mod tests;
