use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::names::{DatasetId, DatasetName, Sha256Digest, WriteId};
use crate::Timestamp;
use crate::audit::{Action, Change};
use crate::entity::Entity;
use crate::ports::{BlobError, BlobKey, Direction, Key, Query, Table};
use crate::prompts::PromptSlug;
use crate::tenancy::ProjectId;

/// A dataset: what changes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    pub id: DatasetId,
    pub project: ProjectId,
    pub name: DatasetName,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeSet<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The prompts that it is for.
    #[serde(default)]
    pub prompts: BTreeSet<PromptSlug>,
    /// Its newest snapshot.
    pub head: Snapshot,
    /// The number that the next example gets.
    pub next: u64,
    /// How many of the newest snapshots are kept; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_snapshots: Option<u32>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_by: String,
    pub updated_at: Timestamp,
}

impl Dataset {
    fn partition(project: &ProjectId) -> String {
        format!("DATASETS#{project}")
    }

    pub(super) fn key_of(project: &ProjectId, name: &DatasetName) -> Key {
        Key::new(Self::partition(project), name.as_str())
    }

    /// Lists the datasets of a project by their names.
    pub(super) fn of_project(project: &ProjectId) -> Query {
        Query::new(Table::Main, Self::partition(project), "")
    }
}

impl Entity for Dataset {
    const KIND: &'static str = "dataset";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.name)
    }
}

/// What a dataset said at one time. It never changes, and is all that it takes to read it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub dataset: DatasetId,
    pub project: ProjectId,
    pub name: DatasetName,
    /// 1, 2, …
    pub number: u32,
    /// Of what it says: equal ones say the same.
    pub digest: Sha256Digest,
    /// The change that wrote its manifest.
    pub(super) write: WriteId,
    pub examples: u64,
    /// What its examples come to.
    pub bytes: u64,
    /// What was changed.
    pub change: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

/// What every blob of a dataset begins with.
pub(super) const BLOBS: &str = "datasets";

impl Snapshot {
    /// As callers name it, for good: `name@DIGEST`.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.name, self.digest.short())
    }

    /// A later dataset of the same name has another id, so that it cannot meet what a deletion that
    /// was cut short has left.
    fn partition(project: &ProjectId, dataset: &DatasetId) -> String {
        format!("DATASET-SNAPSHOTS#{project}#{dataset}")
    }

    pub(super) fn key_of(dataset: &Dataset, number: u32) -> Key {
        // Ten digits, so that the order of texts is that of numbers.
        Key::new(Self::partition(&dataset.project, &dataset.id), format!("{number:010}"))
    }

    /// Lists the snapshots of a dataset, newest first.
    pub(super) fn newest_first(dataset: &Dataset) -> Query {
        let partition = Self::partition(&dataset.project, &dataset.id);
        let mut query = Query::new(Table::Main, partition, "");
        query.direction = Direction::Descending;
        query
    }

    pub(super) fn blob_of(&self) -> Result<BlobKey, BlobError> {
        manifest_blob(&self.project, &self.dataset, &self.write, &self.digest)
    }

    pub(super) fn chunk_blob(
        &self,
        write: &WriteId,
        digest: &Sha256Digest,
    ) -> Result<BlobKey, BlobError> {
        chunk_blob(&self.project, &self.dataset, write, digest)
    }
}

pub(super) fn manifest_blob(
    project: &ProjectId,
    dataset: &DatasetId,
    write: &WriteId,
    digest: &Sha256Digest,
) -> Result<BlobKey, BlobError> {
    BlobKey::new(format!("{BLOBS}/{project}/{dataset}/{write}/manifest-{digest}"))
}

pub(super) fn chunk_blob(
    project: &ProjectId,
    dataset: &DatasetId,
    write: &WriteId,
    digest: &Sha256Digest,
) -> Result<BlobKey, BlobError> {
    BlobKey::new(format!("{BLOBS}/{project}/{dataset}/{write}/{digest}"))
}

impl Entity for Snapshot {
    const KIND: &'static str = "snapshot of a dataset";

    fn key(&self) -> Key {
        Key::new(Self::partition(&self.project, &self.dataset), format!("{:010}", self.number))
    }
}

/// Which snapshot a digest is of; the newest where there are several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DigestPointer {
    pub(super) project: ProjectId,
    pub(super) dataset: DatasetId,
    pub(super) digest: Sha256Digest,
    pub(super) number: u32,
}

impl DigestPointer {
    fn partition(project: &ProjectId, dataset: &DatasetId) -> String {
        format!("DATASET-DIGESTS#{project}#{dataset}")
    }

    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self {
            project: snapshot.project.clone(),
            dataset: snapshot.dataset.clone(),
            digest: snapshot.digest.clone(),
            number: snapshot.number,
        }
    }

    /// Lists those that begin with these digits.
    pub(super) fn beginning(dataset: &Dataset, digits: &str) -> Query {
        Query::new(Table::Main, Self::partition(&dataset.project, &dataset.id), digits)
    }
}

impl Entity for DigestPointer {
    const KIND: &'static str = "digest of a snapshot";

    fn key(&self) -> Key {
        Key::new(Self::partition(&self.project, &self.dataset), self.digest.as_str())
    }
}

/// Which name a dataset's id is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DatasetPointer {
    pub(super) id: DatasetId,
    pub(super) project: ProjectId,
    pub(super) name: DatasetName,
}

impl DatasetPointer {
    pub(super) fn key_of(project: &ProjectId, id: &DatasetId) -> Key {
        Key::new(format!("DATASET-IDS#{project}"), id.as_str())
    }
}

impl Entity for DatasetPointer {
    const KIND: &'static str = "pointer to a dataset";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.id)
    }
}

/// What the audit log says of a change.
pub(super) fn change(dataset: &Dataset, action: Action, summary: impl Into<String>) -> Change {
    Change {
        project: dataset.project.clone(),
        action,
        target: format!("dataset/{}", dataset.name),
        summary: summary.into(),
    }
}
