use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Author, write_manifest};
use super::error::DatasetError;
use super::manifest::Manifest;
use super::names::{DatasetId, DatasetName, WriteId};
use super::record::{Dataset, DatasetPointer, DigestPointer, Snapshot, change};
use super::schema::{Checks, DatasetSchema, DeclaredSchema};
use super::service::Datasets;
use super::update::{DatasetUpdate, checked_update};
use crate::audit::Action;
use crate::entity::{Entity, StoreExt};
use crate::ports::Expect;
use crate::tenancy::{Allowed, ProjectId, in_use, may};

/// A dataset that is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewDataset {
    /// What every example must look like; told from the examples when absent.
    pub schema: Option<DeclaredSchema>,
    /// What stands beside the examples.
    pub update: DatasetUpdate,
}

impl Datasets {
    /// Creates a dataset without examples. That is its first snapshot.
    pub async fn create(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        project: &ProjectId,
        name: &DatasetName,
        new: NewDataset,
    ) -> Result<Dataset, DatasetError> {
        self.reaches(by, project).await?;
        let project_stands = in_use(&*self.store, project).await?;
        checked_update(&new.update)?;
        let schema = match new.schema {
            Some(declared) => DatasetSchema::Declared(declared),
            None => DatasetSchema::default(),
        };
        Checks::of(&schema)?;
        if self.stored(project, name).await?.is_some() {
            return Err(DatasetError::Exists(name.clone()));
        }
        let now = self.clock.now();
        let author = Author::of(by);
        let (id, write) = (DatasetId::new(now, &*self.entropy), WriteId::new(now, &*self.entropy));
        let manifest = Manifest::empty(schema);
        let digest = write_manifest(&*self.blobs, project, &id, &write, &manifest).await?;
        let head = Snapshot {
            dataset: id.clone(),
            project: project.clone(),
            name: name.clone(),
            number: 1,
            digest,
            write,
            examples: 0,
            bytes: 0,
            change: "created".into(),
            created_by: author.subject.clone(),
            created_at: now,
        };
        let mut dataset = Dataset {
            id: id.clone(),
            project: project.clone(),
            name: name.clone(),
            description: String::new(),
            tags: BTreeSet::new(),
            metadata: BTreeMap::new(),
            prompts: BTreeSet::new(),
            head: head.clone(),
            next: 1,
            keep_snapshots: None,
            created_by: author.subject.clone(),
            created_at: now,
            updated_by: author.subject.clone(),
            updated_at: now,
        };
        new.update.apply(&mut dataset);
        let pointer = DatasetPointer { id, project: project.clone(), name: name.clone() };
        let mut writes = vec![
            dataset.put(Expect::Absent)?,
            head.put(Expect::Absent)?,
            DigestPointer::of(&head).put(Expect::Any)?,
            pointer.put(Expect::Absent)?,
            change(&dataset, Action::dataset_create(), "").write(&author.actor, now)?,
        ];
        writes.extend(project_stands);
        if self.store.committed(&writes).await? {
            return Ok(dataset);
        }
        in_use(&*self.store, project).await?;
        Err(DatasetError::Exists(name.clone()))
    }
}
