use std::sync::Arc;

use super::error::{DatasetError, DatasetProblem};
use super::example::Example;
use super::names::{DatasetId, DatasetName, DatasetRef, ExampleId, SnapshotSelector};
use super::reader::SnapshotReader;
use super::record::{Dataset, DatasetPointer, DigestPointer, Snapshot};
use crate::entity::{StoreExt, Stored};
use crate::ports::{Blobs, Clock, Cursor, Entropy, StateStore, StoreError};
use crate::tenancy::{Allowed, Principal, ProjectError, ProjectId, may, reached};

/// Keeps datasets: creates, shows, changes and reads them.
#[derive(Clone)]
pub struct Datasets {
    pub(super) store: Arc<dyn StateStore>,
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// A page of snapshots.
#[derive(Clone, Debug)]
pub struct SnapshotPage {
    /// Newest first.
    pub snapshots: Vec<Snapshot>,
    pub next: Option<Cursor>,
}

impl Datasets {
    /// A service over these ports.
    pub fn new(
        store: Arc<dyn StateStore>,
        blobs: Arc<dyn Blobs>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, blobs, clock, entropy }
    }

    /// A dataset by its name or its id.
    pub async fn get(
        &self,
        by: &Allowed<may::DatasetsRead>,
        project: &ProjectId,
        name: &str,
    ) -> Result<Dataset, DatasetError> {
        Ok(self.reached(by, project, name).await?.value)
    }

    /// The snapshot that is meant. It stays what it is, whatever becomes of the dataset.
    pub async fn resolve(
        &self,
        by: &Allowed<may::DatasetsRead>,
        project: &ProjectId,
        reference: &DatasetRef,
    ) -> Result<Snapshot, DatasetError> {
        let dataset = self.reached(by, project, &reference.dataset).await?.value;
        self.selected(&dataset, &reference.snapshot).await
    }

    /// Reads the examples of a snapshot.
    pub async fn open(&self, snapshot: &Snapshot) -> Result<SnapshotReader, DatasetError> {
        SnapshotReader::open(self.blobs.clone(), snapshot.clone()).await
    }

    /// One example of a snapshot.
    pub async fn example(
        &self,
        by: &Allowed<may::DatasetsRead>,
        project: &ProjectId,
        reference: &DatasetRef,
        id: ExampleId,
    ) -> Result<Example, DatasetError> {
        let snapshot = self.resolve(by, project, reference).await?;
        let found = self.open(&snapshot).await?.find(id).await?;
        found.ok_or(DatasetError::NoExample { name: snapshot.name, id })
    }

    /// The snapshots of a dataset, newest first.
    pub async fn snapshots(
        &self,
        by: &Allowed<may::DatasetsRead>,
        project: &ProjectId,
        name: &str,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<SnapshotPage, DatasetError> {
        let dataset = self.reached(by, project, name).await?.value;
        let mut query = Snapshot::newest_first(&dataset);
        query.limit = limit;
        query.cursor = cursor;
        let (snapshots, next) = self.store.load_page::<Snapshot>(&query).await?;
        let snapshots = snapshots.into_iter().map(|stored| stored.value).collect();
        Ok(SnapshotPage { snapshots, next })
    }

    /// Refuses a project that the principal does not reach.
    pub(super) async fn reaches(
        &self,
        by: &Principal,
        project: &ProjectId,
    ) -> Result<(), DatasetError> {
        Ok(reached(&*self.store, by, project).await?)
    }

    /// The dataset of this name or id, as it stands.
    pub(super) async fn reached(
        &self,
        by: &Principal,
        project: &ProjectId,
        name: &str,
    ) -> Result<Stored<Dataset>, DatasetError> {
        if !by.reaches(project) {
            return Err(ProjectError::NotFound(project.clone()).into());
        }
        self.standing(project, name).await
    }

    /// The same for whoever may already.
    pub(super) async fn standing(
        &self,
        project: &ProjectId,
        name: &str,
    ) -> Result<Stored<Dataset>, DatasetError> {
        let name = self.name_of(project, name).await?;
        let not_found = || DatasetError::NotFound(name.to_string());
        self.stored(project, &name).await?.ok_or_else(not_found)
    }

    /// The name that a caller means by a name or an id.
    async fn name_of(&self, project: &ProjectId, name: &str) -> Result<DatasetName, DatasetError> {
        let Some(id) = DatasetId::from_caller(name) else {
            let wrong = |error| DatasetProblem::new("dataset", format!("is not one: {error}"));
            return Ok(name.parse().map_err(wrong)?);
        };
        let key = DatasetPointer::key_of(project, &id);
        let pointer = self.store.load::<DatasetPointer>(&key).await?;
        Ok(pointer.ok_or_else(|| DatasetError::NotFound(id.to_string()))?.value.name)
    }

    pub(super) async fn stored(
        &self,
        project: &ProjectId,
        name: &DatasetName,
    ) -> Result<Option<Stored<Dataset>>, StoreError> {
        self.store.load(&Dataset::key_of(project, name)).await
    }

    pub(super) async fn selected(
        &self,
        dataset: &Dataset,
        selector: &SnapshotSelector,
    ) -> Result<Snapshot, DatasetError> {
        let missing =
            || DatasetError::NoSnapshot { name: dataset.name.clone(), selector: selector.clone() };
        let number = match selector {
            SnapshotSelector::Latest => return Ok(dataset.head.clone()),
            SnapshotSelector::Number(number) => *number,
            SnapshotSelector::Digest(digits) => {
                let mut query = DigestPointer::beginning(dataset, digits);
                query.limit = 2;
                let (found, _) = self.store.load_page::<DigestPointer>(&query).await?;
                match &found[..] {
                    [] => return Err(missing()),
                    [one] => one.value.number,
                    _ => {
                        let (name, digits) = (dataset.name.clone(), digits.clone());
                        return Err(DatasetError::Ambiguous { name, digits });
                    }
                }
            }
        };
        let snapshot = self.store.load::<Snapshot>(&Snapshot::key_of(dataset, number)).await?;
        Ok(snapshot.ok_or_else(missing)?.value)
    }
}
