//! For tests: stores, clocks and compute backends without a machine behind them.

mod memory;

pub use memory::MemoryStore;
