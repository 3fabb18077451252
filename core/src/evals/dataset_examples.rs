use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::error::EvalError;
use super::examples::{EvalExample, ExampleReader, ExampleSource};
use super::pin::DatasetPin;
use crate::datasets::{DatasetError, DatasetRef, Datasets, Snapshot, SnapshotReader};
use crate::tenancy::{Allowed, Principal, may};

/// The examples of datasets.
#[derive(Clone)]
pub struct DatasetExamples {
    datasets: Datasets,
}

impl DatasetExamples {
    pub fn new(datasets: Datasets) -> Self {
        Self { datasets }
    }
}

#[async_trait]
impl ExampleSource for DatasetExamples {
    async fn pin(&self, by: &Principal, reference: &str) -> Result<DatasetPin, EvalError> {
        let allowed = Allowed::<may::DatasetsRead>::check(Arc::new(by.clone()))?;
        let wrong = |error| EvalError::invalid("dataset", format!("is not one: {error}"));
        let reference: DatasetRef = reference.parse().map_err(wrong)?;
        let snapshot = self.datasets.resolve(&allowed, &by.project, &reference).await?;
        Ok(DatasetPin {
            name: snapshot.name.to_string(),
            version: snapshot.number,
            digest: snapshot.digest.to_string(),
            examples: snapshot.examples,
            place: serde_json::to_value(&snapshot).unwrap_or_default(),
        })
    }

    async fn open(&self, pin: &DatasetPin) -> Result<Box<dyn ExampleReader>, EvalError> {
        let snapshot: Snapshot = serde_json::from_value(pin.place.clone()).map_err(|error| {
            EvalError::Examples(format!("`{}` cannot be found again: {error}", pin.reference()))
        })?;
        Ok(Box::new(OpenSnapshot(self.datasets.open(&snapshot).await?)))
    }
}

struct OpenSnapshot(SnapshotReader);

#[async_trait]
impl ExampleReader for OpenSnapshot {
    async fn read(&self, positions: Range<u64>) -> Result<Vec<EvalExample>, EvalError> {
        let examples = self.0.read(positions).await?;
        let example = |example: crate::datasets::Example| EvalExample {
            id: example.id.to_string(),
            input: example.content.input,
            expected: example.content.expected.filter(|expected| *expected != Value::Null),
            metadata: example.content.metadata,
            tags: example.content.tags,
            source: example.content.source,
        };
        Ok(examples.into_iter().map(example).collect())
    }
}

impl From<DatasetError> for EvalError {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Store(error) => Self::Store(error),
            error => Self::Dataset(error),
        }
    }
}
