use std::sync::Arc;

use super::file::{FileId, FilePurpose, FileRecord};
use crate::Timestamp;
use crate::entity::{Entity, StoreExt};
use crate::fleet::eta::later;
use crate::jobs::Creator;
use crate::ports::{
    BlobError, BlobKey, Blobs, Clock, Cursor, Direction, Entropy, Expect, StateStore, StoreError,
};
use crate::tenancy::{Principal, ProjectId};

/// The most records that one page of a filtered listing reads.
const MOST_READS: usize = 2_000;

/// Keeps the files of projects.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn StateStore>,
    blobs: Arc<dyn Blobs>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A file whose content is already a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    pub id: FileId,
    pub project: ProjectId,
    pub purpose: FilePurpose,
    pub filename: String,
    pub bytes: u64,
    pub created_by: Creator,
    /// How long it is kept; for ever when absent.
    pub life: Option<std::time::Duration>,
}

/// A page of files.
#[derive(Debug)]
pub struct FilePage {
    pub files: Vec<FileRecord>,
    pub has_more: bool,
}

/// Why nothing came of a request about files.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none, or it belongs to another project.
    #[error("No such File object: {0}")]
    NotFound(String),
    #[error("the content of the file could not be read or written")]
    Blob(#[from] BlobError),
    #[error("the files could not be read or written")]
    Store(#[from] StoreError),
}

impl Files {
    /// A service over these ports.
    pub fn new(
        store: Arc<dyn StateStore>,
        blobs: Arc<dyn Blobs>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, blobs, clock, entropy }
    }

    /// Where contents are.
    pub fn blobs(&self) -> &Arc<dyn Blobs> {
        &self.blobs
    }

    /// An id for a file whose content is about to be written, and where that goes.
    pub fn begin(&self, project: &ProjectId) -> Result<(FileId, BlobKey), BlobError> {
        let id = FileId::new(self.clock.now(), &*self.entropy);
        let key = FileRecord::blob_of(project, &id)?;
        Ok((id, key))
    }

    /// The record of a file, for the commit of what makes it.
    pub fn record(&self, new: NewFile) -> FileRecord {
        let now = self.clock.now();
        FileRecord {
            id: new.id,
            project: new.project,
            purpose: new.purpose,
            filename: new.filename,
            bytes: new.bytes,
            created_at: now,
            created_by: new.created_by,
            expires_at: new.life.map(|life| later(now, life)),
        }
    }

    /// Makes a file known whose content is there.
    pub async fn add(&self, new: NewFile) -> Result<FileRecord, FileError> {
        let stored = self.store.save(self.record(new), Expect::Absent).await?;
        Ok(stored.value)
    }

    /// A file of the caller's project.
    pub async fn get(&self, by: &Principal, id: &str) -> Result<FileRecord, FileError> {
        let not_found = || FileError::NotFound(id.chars().take(64).collect());
        let id = FileId::from_caller(id).ok_or_else(not_found)?;
        self.of_project(&by.project, &id).await?.ok_or_else(not_found)
    }

    /// A file of a project.
    pub async fn of_project(
        &self,
        project: &ProjectId,
        id: &FileId,
    ) -> Result<Option<FileRecord>, StoreError> {
        let stored = self.store.load::<FileRecord>(&FileRecord::key_of(project, id)).await?;
        Ok(stored.map(|stored| stored.value))
    }

    /// One page of the files of the caller's project, those after `after`, newest first unless it
    /// `ascends`.
    pub async fn list(
        &self,
        by: &Principal,
        purpose: Option<FilePurpose>,
        after: Option<&FileId>,
        limit: usize,
        ascends: bool,
    ) -> Result<FilePage, FileError> {
        let mut query = FileRecord::of_project(&by.project);
        query.direction = if ascends { Direction::Ascending } else { Direction::Descending };
        query.cursor = after.map(|id| {
            let key = FileRecord::key_of(&by.project, id);
            Cursor::after(&query, &key.sort, &key)
        });
        let (mut files, mut reads) = (Vec::new(), 0);
        loop {
            // One more tells whether there are more.
            query.limit = (limit + 1).min(crate::ports::MAX_PAGE);
            let (page, next) = self.store.load_page::<FileRecord>(&query).await?;
            reads += page.len();
            let found = page.into_iter().map(|stored| stored.value);
            files.extend(found.filter(|file| purpose.is_none_or(|p| p == file.purpose)));
            if files.len() > limit || next.is_none() || reads >= MOST_READS {
                let has_more = files.len() > limit || next.is_some();
                files.truncate(limit);
                return Ok(FilePage { files, has_more });
            }
            query.cursor = next;
        }
    }

    /// Removes a file of the caller's project.
    pub async fn delete(&self, by: &Principal, id: &str) -> Result<FileRecord, FileError> {
        let file = self.get(by, id).await?;
        self.store.remove(file.key(), Expect::Any).await?;
        // What is left of it if this fails is swept later.
        self.blobs.delete(&FileRecord::blob_of(&file.project, &file.id)?).await?;
        Ok(file)
    }

    /// Removes contents that no record names, made before `before`: of files that have expired, and
    /// of uploads that were cut off. Returns how many.
    pub async fn sweep(&self, before: Timestamp) -> Result<usize, FileError> {
        let mut swept = 0;
        for (key, _) in self.blobs.list(&BlobKey::new(FileRecord::BLOBS)?).await? {
            let mut segments = key.as_str().split('/').skip(1);
            let (Some(project), Some(id)) = (segments.next(), segments.next()) else { continue };
            let (Ok(project), Some(id)) = (project.parse(), FileId::from_caller(id)) else {
                continue;
            };
            if id.made_at().is_none_or(|at| at >= before) {
                continue;
            }
            if self.of_project(&project, &id).await?.is_none() {
                self.blobs.delete(&key).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}
