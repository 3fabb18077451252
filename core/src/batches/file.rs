use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::jobs::Creator;
use crate::ordered_id::ordered_ids;
use crate::ports::{BlobError, BlobKey, Key, Query, Table};
use crate::tenancy::ProjectId;

/// The largest file in bytes, OpenAI's limit for one of a batch.
pub const MAX_FILE_BYTES: u64 = 200 * 1000 * 1000;
/// How many bytes the files of a project may have in all, unless the operator says otherwise.
pub const FILE_QUOTA: u64 = 100_000_000_000;
/// How long the files of batches are kept that do not say so.
pub const FILE_LIFE: Duration = Duration::from_hours(30 * 24);
/// The longest name of a file, in characters.
pub const MAX_FILE_NAME: usize = 255;

ordered_ids! {
    /// A file's id: `file-` and 32 hexadecimal digits that sort by the time of its creation.
    FileId, "file-";
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilePurpose {
    /// The requests of a batch.
    Batch,
    /// The answers of a batch, or the requests of it that failed.
    BatchOutput,
    /// Data for evaluations.
    Evals,
    /// Anything else that is kept.
    UserData,
}

impl FilePurpose {
    /// Those that callers may give.
    pub const OF_CALLERS: [Self; 3] = [Self::Batch, Self::Evals, Self::UserData];

    /// The name in JSON and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BatchOutput => "batch_output",
            Self::Evals => "evals",
            Self::UserData => "user_data",
        }
    }

    /// The purpose of this name.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Batch, Self::BatchOutput, Self::Evals, Self::UserData];
        all.into_iter().find(|purpose| purpose.as_str() == text)
    }
}

/// A file of a project; its content is a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    pub id: FileId,
    pub project: ProjectId,
    pub purpose: FilePurpose,
    pub filename: String,
    pub bytes: u64,
    pub created_at: Timestamp,
    pub created_by: Creator,
    /// From then on it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl FileRecord {
    /// What every blob of a file begins with.
    pub const BLOBS: &'static str = "files";

    /// Where a file's record stands.
    pub fn key_of(project: &ProjectId, id: &FileId) -> Key {
        Key::new(format!("FILES#{project}"), id.as_str())
    }

    /// Lists the files of a project by their ids, and so by their times of creation.
    pub fn of_project(project: &ProjectId) -> Query {
        Query::new(Table::Main, format!("FILES#{project}"), "")
    }

    /// Where the content of a file is.
    pub fn blob_of(project: &ProjectId, id: &FileId) -> Result<BlobKey, BlobError> {
        BlobKey::new(format!("{}/{project}/{id}", Self::BLOBS))
    }
}

impl Entity for FileRecord {
    const KIND: &'static str = "file";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.id)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
}
