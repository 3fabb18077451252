//! `/api/v1/datasets`: datasets, their examples and snapshots, files into them and out of them.

mod area;
mod bodies;
pub(super) mod examples;
pub(super) mod files;
pub(super) mod handlers;
pub(super) mod snapshots;
pub(super) mod transfers;

pub use area::DatasetsArea;
pub(in crate::control) use area::dataset_error;
pub use bodies::{
    CreateDataset, DatasetBody, DatasetList, SchemaBody, SnapshotBody, SnapshotList, UpdateDataset,
};
pub use examples::{AddExamples, AddedExamples, ExampleList, RemoveExamples};
pub use snapshots::{ExampleChangeBody, SnapshotComparison};
pub use transfers::{ExportExamples, ImportExamples};
