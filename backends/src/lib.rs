//! Implementations of the ports of `diogenes-core`, one feature each.
//!
//! - `sqlite`: the state of one machine in one file.
//! - `process`: inference servers as child processes.
//!
//! No type of a vendor is public; its errors are converted where they come in.

#[cfg(feature = "process")]
pub mod process;
#[cfg(feature = "sqlite")]
pub mod sqlite;
