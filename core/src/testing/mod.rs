//! For tests: stores, clocks and compute backends without a machine behind them.

mod blobs;
mod clock;
mod damage;
mod entropy;
mod examples;
mod fake_cloud;
mod fake_compute;
mod lagging;
mod memory;
pub mod simulation;
mod unavailable;
mod wake;
mod watched;

pub use blobs::MemoryBlobs;
pub use clock::{Impatient, ManualClock, Patient};
pub use damage::unreadable_model;
pub use entropy::SeededEntropy;
pub use examples::MemoryExamples;
pub use fake_cloud::{CloudInstance, FakeCloud, Lag, Order, Pool, Refusal, Shown};
pub use fake_compute::{FakeCompute, FakeInstance, Tags};
pub use lagging::LaggingStore;
pub use memory::MemoryStore;
pub use unavailable::UnavailableStore;
pub use wake::CountingWake;
pub use watched::WatchedStore;
