//! The state of one machine in one SQLite file.
//!
//! Writes go through one thread and one connection; reads have threads and connections of
//! their own and, thanks to the write-ahead log, wait for no commit. A commit returns when it
//! is on the disk (`synchronous=FULL`). Other processes may have the same file open.

mod data_dir;
mod error;
mod open;
mod read;
mod row;
mod schema;
mod store;
mod workers;
mod write;

#[cfg(test)]
mod tests;

pub use data_dir::{DataDir, DataDirError};
pub use error::OpenError;
pub use read::ItemSize;
pub use store::SqliteStore;
