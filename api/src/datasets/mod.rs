//! The jobs that import files into datasets and export datasets to files.

mod arguments;
mod export;
mod import;
mod reading;
mod source;

pub use arguments::{ExportArguments, ImportArguments, OnError};
pub use export::ExportRunner;
pub use import::ImportRunner;
