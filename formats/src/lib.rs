//! Examples of datasets from and to files, row by row: CSV, JSON lines and Parquet.
//!
//! A [`Rows`] reads one row after the other, in memory that is bounded whatever the file is; a
//! [`Mapper`] makes an example of each. An [`ExampleWriter`] goes the other way. What is wrong with a
//! row is told with its place ([`BadRow`]), and the next row can be read; what is wrong with all of
//! the file ends it ([`FormatError`]). Nothing here waits: whoever must not be held up runs it in a
//! thread of its own.

mod csv;
mod decode;
mod error;
mod export;
mod format;
mod jsonl;
mod mapping;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;

pub use decode::{Encoding, EncodingError};
pub use error::{BadRow, FormatError, Place};
pub use export::ExampleWriter;
pub use format::{Format, UnknownFormat};
pub use mapping::{Mapper, Mapping, MappingError};
pub use rows::{Cells, MAX_ROW_BYTES, Row, Rows, Source, open};
