use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::file::{FileId, FilePurpose};
use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::jobs::Creator;
use crate::ordered_id::ordered_ids;
use crate::ports::{BlobError, BlobKey, Key, Query, Table};
use crate::tenancy::ProjectId;

/// The largest part in bytes, OpenAI's limit.
pub const MAX_PART_BYTES: u64 = 64 << 20;
/// How long parts may be added, OpenAI's limit.
pub const UPLOAD_LIFE: Duration = Duration::from_hours(1);
/// The most parts that make up a file.
pub const MAX_PARTS: usize = 1_000;
/// How long the record of an upload is kept.
const RECORD_LIFE: Duration = Duration::from_hours(24);

ordered_ids! {
    /// An upload's id: `upload_` and 32 hexadecimal digits.
    UploadId, "upload_";
    /// A part's id: `part_` and 32 hexadecimal digits.
    PartId, "part_";
}

/// Where an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UploadStatus {
    /// Parts may be added.
    Pending,
    Completed,
    Cancelled,
}

/// A file that comes in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub id: UploadId,
    pub project: ProjectId,
    pub purpose: FilePurpose,
    pub filename: String,
    /// What all parts come to.
    pub bytes: u64,
    pub status: UploadStatus,
    pub created_at: Timestamp,
    pub created_by: Creator,
    /// No part is taken any more from then on.
    pub expires_at: Timestamp,
    /// How long the file is kept; for ever when absent.
    #[serde(default, with = "crate::duration::option", skip_serializing_if = "Option::is_none")]
    pub life: Option<Duration>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileId>,
}

impl Upload {
    /// What every blob of a part begins with.
    pub const BLOBS: &'static str = "uploads";

    pub(super) fn key_of(project: &ProjectId, id: &UploadId) -> Key {
        Key::new(format!("UPLOADS#{project}"), id.as_str())
    }

    /// Lists the uploads of a project.
    pub fn of_project(project: &ProjectId) -> Query {
        Query::new(Table::Main, format!("UPLOADS#{project}"), "")
    }

    /// Whether parts may be added.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.status == UploadStatus::Pending && now < self.expires_at
    }

    /// Where a part of it is.
    pub fn part_of(&self, part: &PartId) -> Result<BlobKey, BlobError> {
        BlobKey::new(format!("{}/{}/{}/{part}", Self::BLOBS, self.project, self.id))
    }

    pub(super) fn parts(&self) -> Result<BlobKey, BlobError> {
        BlobKey::new(format!("{}/{}/{}", Self::BLOBS, self.project, self.id))
    }
}

impl Entity for Upload {
    const KIND: &'static str = "upload";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.id)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.created_at, RECORD_LIFE))
    }
}
