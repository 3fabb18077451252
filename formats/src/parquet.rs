//! Parquet, row by row. Files are not trusted: what they say of their size is checked before it is
//! believed.

use std::io::{self, BufReader, Read, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use diogenes_core::datasets::{Example, MOST_EXAMPLES};
use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;
use serde_json::{Map, Number, Value};

use crate::error::{BadRow, FormatError};
use crate::export::{Column, Kind};
use crate::rows::{Cells, Row, Rows, Source};

/// The largest page, in bytes once it is unpacked. Writers make them of a mebibyte.
const MAX_PAGE: u64 = 64 << 20;
/// The largest description of a file, in bytes: its columns, and where they are.
const MAX_FOOTER: u64 = 64 << 20;
/// The most columns.
const MOST_COLUMNS: usize = 4_096;
/// The most rows of a group that is written, and about the most bytes.
const GROUP_ROWS: usize = 50_000;
const GROUP_BYTES: usize = 16 << 20;

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
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(start + filled as u64, rest)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
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
        let count = self.source.read_at(self.at, buffer)?;
        if !self.is_checked {
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

/// Writes examples in groups of rows.
pub(crate) struct ParquetWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Column>,
    gathered: Vec<Gathered>,
    rows: usize,
    bytes: usize,
}

/// The values of a column since the last group, and for each row whether there is one.
enum Gathered {
    Texts(Vec<ByteArray>, Vec<i16>),
    Integers(Vec<i64>, Vec<i16>),
    Numbers(Vec<f64>, Vec<i16>),
    Booleans(Vec<bool>, Vec<i16>),
}

impl Gathered {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Texts(Vec::new(), Vec::new()),
            Kind::Integer => Self::Integers(Vec::new(), Vec::new()),
            Kind::Number => Self::Numbers(Vec::new(), Vec::new()),
            Kind::Boolean => Self::Booleans(Vec::new(), Vec::new()),
        }
    }

    /// Adds what an example has in the column, and returns about how many bytes that are.
    fn push(&mut self, column: &Column, example: &Example) -> usize {
        fn put<T>(values: &mut Vec<T>, levels: &mut Vec<i16>, value: Option<T>) -> usize {
            levels.push(i16::from(value.is_some()));
            values.extend(value);
            size_of::<T>()
        }
        let value = column.value(example);
        match self {
            Self::Texts(values, levels) => {
                let text = column.text(example);
                let length = text.as_ref().map_or(0, |text| text.len());
                length + put(values, levels, text.map(|text| ByteArray::from(&*text)))
            }
            Self::Integers(values, levels) => put(values, levels, value.and_then(Value::as_i64)),
            Self::Numbers(values, levels) => put(values, levels, value.and_then(Value::as_f64)),
            Self::Booleans(values, levels) => put(values, levels, value.and_then(Value::as_bool)),
        }
    }
}

impl<W: Write + Send> ParquetWriter<W> {
    pub(crate) fn new(to: W, columns: Vec<Column>) -> Result<Self, FormatError> {
        let field = |column: &Column| {
            let name = column.name();
            let (physical, is_text) = match column.kind {
                Kind::Text => (Physical::BYTE_ARRAY, true),
                Kind::Integer => (Physical::INT64, false),
                Kind::Number => (Physical::DOUBLE, false),
                Kind::Boolean => (Physical::BOOLEAN, false),
            };
            let mut builder =
                Type::primitive_type_builder(&name, physical).with_repetition(Repetition::OPTIONAL);
            if is_text {
                builder = builder
                    .with_converted_type(ConvertedType::UTF8)
                    .with_logical_type(Some(LogicalType::String));
            }
            builder.build().map(Arc::new)
        };
        let fields = columns.iter().map(field).collect::<ParquetResult<_>>().map_err(unwritten)?;
        let schema = Type::group_type_builder("example").with_fields(fields).build();
        let schema = Arc::new(schema.map_err(unwritten)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let writer = SerializedFileWriter::new(to, schema, Arc::new(properties.build()));
        let gathered = columns.iter().map(|column| Gathered::of(column.kind)).collect();
        Ok(Self { writer: writer.map_err(unwritten)?, columns, gathered, rows: 0, bytes: 0 })
    }

    pub(crate) fn write(&mut self, example: &Example) -> Result<(), FormatError> {
        for (column, gathered) in self.columns.iter().zip(&mut self.gathered) {
            self.bytes += gathered.push(column, example);
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.end_group().map_err(unwritten)?;
        }
        Ok(())
    }

    fn end_group(&mut self) -> ParquetResult<()> {
        let mut group = self.writer.next_row_group()?;
        for gathered in &mut self.gathered {
            let Some(mut column) = group.next_column()? else { break };
            match gathered {
                Gathered::Texts(values, levels) => {
                    column.typed::<ByteArrayType>().write_batch(values, Some(levels), None)?;
                    (*values, *levels) = (Vec::new(), Vec::new());
                }
                Gathered::Integers(values, levels) => {
                    column.typed::<Int64Type>().write_batch(values, Some(levels), None)?;
                    (*values, *levels) = (Vec::new(), Vec::new());
                }
                Gathered::Numbers(values, levels) => {
                    column.typed::<DoubleType>().write_batch(values, Some(levels), None)?;
                    (*values, *levels) = (Vec::new(), Vec::new());
                }
                Gathered::Booleans(values, levels) => {
                    column.typed::<BoolType>().write_batch(values, Some(levels), None)?;
                    (*values, *levels) = (Vec::new(), Vec::new());
                }
            }
            column.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<W, FormatError> {
        if self.rows > 0 {
            self.end_group().map_err(unwritten)?;
        }
        self.writer.into_inner().map_err(unwritten)
    }
}

fn unwritten(error: ParquetError) -> FormatError {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => FormatError::Io(*error),
            Err(error) => FormatError::Io(io::Error::other(error)),
        },
        error => FormatError::Io(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests;
