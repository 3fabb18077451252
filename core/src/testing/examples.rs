use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::evals::{DatasetPin, EvalError, EvalExample, ExampleReader, ExampleSource};
use crate::tenancy::Principal;

/// The snapshots of datasets by their names.
type Datasets = BTreeMap<String, Vec<Arc<Vec<EvalExample>>>>;

/// Examples in memory, the same for every project.
#[derive(Clone, Debug, Default)]
pub struct MemoryExamples(Arc<Mutex<Datasets>>);

impl MemoryExamples {
    /// Makes a new snapshot of a dataset, which is there from then on.
    pub fn put(&self, name: &str, examples: Vec<EvalExample>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.to_owned()).or_default().push(Arc::new(examples));
    }

    fn snapshot(
        &self,
        name: &str,
        version: Option<usize>,
    ) -> Option<(usize, Arc<Vec<EvalExample>>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshots = all.get(name)?;
        let version = version.unwrap_or(snapshots.len());
        Some((version, snapshots.get(version.checked_sub(1)?)?.clone()))
    }
}

#[async_trait]
impl ExampleSource for MemoryExamples {
    async fn pin(&self, _: &Principal, reference: &str) -> Result<DatasetPin, EvalError> {
        let no_dataset = || EvalError::NoDataset(reference.to_owned());
        let (name, version) = match reference.split_once("@v") {
            Some((name, version)) => (name, Some(version.parse().map_err(|_| no_dataset())?)),
            None => (reference, None),
        };
        let (version, examples) = self.snapshot(name, version).ok_or_else(no_dataset)?;
        Ok(DatasetPin {
            name: name.to_owned(),
            version: u32::try_from(version).unwrap_or(u32::MAX),
            digest: format!("{name}-{version}"),
            examples: examples.len() as u64,
            place: serde_json::Value::Null,
        })
    }

    async fn open(&self, pin: &DatasetPin) -> Result<Box<dyn ExampleReader>, EvalError> {
        let found = self.snapshot(&pin.name, Some(pin.version as usize));
        let (_, examples) = found.ok_or_else(|| EvalError::NoDataset(pin.reference()))?;
        Ok(Box::new(Snapshot(examples)))
    }
}

struct Snapshot(Arc<Vec<EvalExample>>);

#[async_trait]
impl ExampleReader for Snapshot {
    async fn read(&self, positions: Range<u64>) -> Result<Vec<EvalExample>, EvalError> {
        let place = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
        let (start, end) = (place(positions.start), place(positions.end).min(self.0.len()));
        Ok(self.0.get(start.min(end)..end).unwrap_or_default().to_vec())
    }
}
