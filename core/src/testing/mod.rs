//! For tests: stores, clocks and compute backends without a machine behind them.

mod clock;
mod entropy;
mod memory;

pub use clock::ManualClock;
pub use entropy::SeededEntropy;
pub use memory::MemoryStore;
