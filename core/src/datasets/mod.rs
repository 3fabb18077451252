//! Datasets: examples, and snapshots of them that never change.
//!
//! A [`Dataset`] is the record that changes: its newest [`Snapshot`], and the number that the next
//! example gets. A snapshot's manifest names chunks of examples, which are blobs; a change writes the
//! chunks that it touches and shares the others, and appears with one conditional write of the
//! record. A [`DatasetRef`] such as `golden@v3` names a snapshot, [`Datasets::resolve`] finds it, and
//! a [`SnapshotReader`] reads its examples in order, a chunk at a time.

mod chunk;
mod create;
mod diff;
mod draft;
mod edit;
mod error;
mod example;
mod intake;
mod listing;
mod manifest;
mod names;
mod page;
mod reader;
mod record;
mod schema;
mod service;
mod shape;
mod shuffle;
mod sweep;
mod transfer;
mod update;

pub use chunk::{Chunk, ChunkBuilder};
pub use create::NewDataset;
pub use diff::{ExampleChange, SnapshotDiff, compare};
pub use edit::{Added, MOST_AT_ONCE, NewExamples};
pub use error::{DatasetError, DatasetProblem};
pub use example::{
    Example, ExampleContent, MAX_EXAMPLE_BYTES, MAX_EXAMPLE_TAG, MAX_SOURCE, MOST_EXAMPLE_TAGS,
    fingerprint,
};
pub use intake::{ImportMark, Intake, PreparedIntake};
pub use listing::{DatasetFilter, DatasetPage};
pub use manifest::{KeptChunk, MAX_CHUNK_BYTES, MOST_EXAMPLES, MOST_IN_CHUNK};
pub use names::{
    DatasetId, DatasetName, DatasetRef, ExampleId, InvalidDatasetName, LEAST_DIGEST_DIGITS,
    MAX_DATASET_NAME, Sha256Digest, SnapshotSelector, WriteId,
};
pub use page::{ExampleFilter, ExamplePage, Sample};
pub use reader::SnapshotReader;
pub use record::{Dataset, Snapshot};
pub use schema::{Checks, DatasetSchema, DeclaredSchema, MAX_SCHEMA_BYTES};
pub use service::{Datasets, SnapshotPage};
pub use shape::Shape;
pub use shuffle::Shuffle;
pub use sweep::DatasetSweeper;
pub use transfer::{EXPORT, IMPORT, TransferError};
pub use update::DatasetUpdate;

#[cfg(test)]
mod tests;
