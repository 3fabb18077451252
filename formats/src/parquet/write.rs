//! Examples into Parquet, in groups of rows.

use std::io::{self, Write};
use std::sync::Arc;

use diogenes_core::datasets::Example;
use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use serde_json::Value;

use crate::error::FormatError;
use crate::export::{Column, Kind};

/// The most rows of a group that is written, and about the most bytes.
const GROUP_ROWS: usize = 50_000;
const GROUP_BYTES: usize = 16 << 20;

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
    ///
    /// # Errors
    /// When the column cannot hold it.
    fn push(&mut self, column: &Column, example: &Example) -> Result<usize, FormatError> {
        fn put<T>(values: &mut Vec<T>, levels: &mut Vec<i16>, value: Option<T>) -> usize {
            levels.push(i16::from(value.is_some()));
            values.extend(value);
            size_of::<T>()
        }
        let value = column.value(example).filter(|value| !value.is_null());
        let unfit = || {
            FormatError::unusable(format!(
                "example `{}`: `{}` is {}, which its column cannot hold; export it as CSV or JSON lines",
                example.id,
                column.name(),
                value.unwrap_or(&Value::Null)
            ))
        };
        Ok(match self {
            Self::Texts(values, levels) => {
                let text = column.text(example);
                let length = text.as_ref().map_or(0, |text| text.len());
                length + put(values, levels, text.map(|text| ByteArray::from(&*text)))
            }
            Self::Integers(values, levels) => {
                let whole = value.map(|value| whole(value).ok_or_else(unfit)).transpose()?;
                put(values, levels, whole)
            }
            Self::Numbers(values, levels) => {
                let number = value.map(|value| value.as_f64().ok_or_else(unfit)).transpose()?;
                put(values, levels, number)
            }
            Self::Booleans(values, levels) => {
                let is = value.map(|value| value.as_bool().ok_or_else(unfit)).transpose()?;
                put(values, levels, is)
            }
        })
    }
}

/// An integer of 64 bits; JSON Schema takes `1.0` for one as well.
fn whole(value: &Value) -> Option<i64> {
    /// Above it not every integer is a double.
    const MOST_EXACT: f64 = 9_007_199_254_740_992.0;
    let of_float = || {
        let number = value.as_f64()?;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within 53 bits")]
        (value.is_f64() && number.fract() == 0.0 && number.abs() <= MOST_EXACT)
            .then_some(number as i64)
    };
    value.as_i64().or_else(of_float)
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
            self.bytes += gathered.push(column, example)?;
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
