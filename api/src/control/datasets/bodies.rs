use std::collections::{BTreeMap, BTreeSet};

use diogenes_core::Timestamp;
use diogenes_core::datasets::{
    Dataset, DatasetSchema, DatasetUpdate, DeclaredSchema, NewDataset, Snapshot,
};
use diogenes_core::prompts::PromptSlug;
use diogenes_core::tenancy::ProjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A dataset that is wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDataset {
    /// What it is called, unique in its project.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The slugs of the prompts that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub prompts: Option<BTreeSet<PromptSlug>>,
    /// What every example must look like; told from the examples when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<DeclaredSchema>,
    /// How many of the newest snapshots are kept; all of them when absent or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_snapshots: Option<u32>,
}

impl CreateDataset {
    pub(super) fn wanted(self) -> NewDataset {
        NewDataset {
            schema: self.schema,
            update: DatasetUpdate {
                description: self.description,
                tags: self.tags,
                metadata: self.metadata,
                prompts: self.prompts,
                keep_snapshots: self.keep_snapshots,
            },
        }
    }
}

/// What is to be changed beside the examples. What is absent stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateDataset {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The slugs of the prompts that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub prompts: Option<BTreeSet<PromptSlug>>,
    /// How many of the newest snapshots are kept; 0 for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_snapshots: Option<u32>,
}

impl From<UpdateDataset> for DatasetUpdate {
    fn from(update: UpdateDataset) -> Self {
        Self {
            description: update.description,
            tags: update.tags,
            metadata: update.metadata,
            prompts: update.prompts,
            keep_snapshots: update.keep_snapshots,
        }
    }
}

/// A dataset.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DatasetBody {
    pub id: String,
    pub name: String,
    #[schema(value_type = String)]
    pub project: ProjectId,
    pub description: String,
    pub tags: BTreeSet<String>,
    pub metadata: BTreeMap<String, String>,
    /// The slugs of the prompts that it is for.
    #[schema(value_type = Vec<String>)]
    pub prompts: BTreeSet<PromptSlug>,
    /// The number of its newest snapshot.
    pub version: u32,
    /// What the newest snapshot says: equal ones say the same.
    pub digest: String,
    /// How many examples the newest snapshot has.
    pub examples: u64,
    /// What they come to.
    pub bytes: u64,
    /// How many of the newest snapshots are kept; null for all of them.
    pub keep_snapshots: Option<u32>,
    pub created_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    pub updated_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<Dataset> for DatasetBody {
    fn from(dataset: Dataset) -> Self {
        Self {
            id: dataset.id.to_string(),
            name: dataset.name.to_string(),
            project: dataset.project,
            description: dataset.description,
            tags: dataset.tags,
            metadata: dataset.metadata,
            prompts: dataset.prompts,
            version: dataset.head.number,
            digest: dataset.head.digest.to_string(),
            examples: dataset.head.examples,
            bytes: dataset.head.bytes,
            keep_snapshots: dataset.keep_snapshots,
            created_by: dataset.created_by,
            created_at: dataset.created_at,
            updated_by: dataset.updated_by,
            updated_at: dataset.updated_at,
        }
    }
}

/// A page of datasets.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DatasetList {
    pub data: Vec<DatasetBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

/// What a dataset said at one time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SnapshotBody {
    pub dataset: String,
    /// 1, 2, …
    pub version: u32,
    pub digest: String,
    pub examples: u64,
    pub bytes: u64,
    /// What was changed.
    pub change: String,
    pub created_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What its examples look like; null in lists.
    pub schema: Option<SchemaBody>,
}

impl SnapshotBody {
    pub(super) fn of(snapshot: Snapshot, schema: Option<&DatasetSchema>) -> Self {
        Self {
            dataset: snapshot.name.to_string(),
            version: snapshot.number,
            digest: snapshot.digest.to_string(),
            examples: snapshot.examples,
            bytes: snapshot.bytes,
            change: snapshot.change,
            created_by: snapshot.created_by,
            created_at: snapshot.created_at,
            schema: schema.map(|schema| SchemaBody {
                is_declared: schema.is_declared(),
                input: schema.input(),
                expected: schema.expected(),
            }),
        }
    }
}

/// What examples look like.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SchemaBody {
    /// Whether somebody said so; if not, it was told from the examples.
    pub is_declared: bool,
    /// The JSON Schema of inputs; null where nothing is known of them.
    pub input: Option<Value>,
    /// The JSON Schema of expected answers; null where nothing is known of them.
    pub expected: Option<Value>,
}

/// A page of snapshots.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SnapshotList {
    /// Newest first.
    pub data: Vec<SnapshotBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}
