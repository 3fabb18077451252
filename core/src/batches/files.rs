use std::sync::Arc;

use super::file::{FILE_QUOTA, FileId, FilePurpose, FileRecord};
use super::upload::Upload;
use crate::entity::{Entity, StoreExt, Stored};
use crate::fleet::eta::later;
use crate::jobs::Creator;
use crate::ports::{
    BlobError, BlobKey, Blobs, Clock, Cursor, Direction, Entropy, Expect, Query, StateStore,
    StoreError,
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
    quota: u64,
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
    /// The project has no room left for it.
    #[error(
        "the files of project `{project}` may have {quota} bytes in all, of which {left} are left; \
         delete files that are no longer needed"
    )]
    Quota { project: ProjectId, quota: u64, left: u64 },
    #[error("the content of the file could not be read or written")]
    Blob(#[from] BlobError),
    #[error("the files could not be read or written")]
    Store(#[from] StoreError),
}

impl FileError {
    /// Whether the write may have happened all the same: what it refers to must stay.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_in_doubt())
    }
}

impl Files {
    /// A service over these ports.
    pub fn new(
        store: Arc<dyn StateStore>,
        blobs: Arc<dyn Blobs>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, blobs, clock, entropy, quota: FILE_QUOTA }
    }

    /// The same where the files of a project may have so many bytes in all.
    #[must_use]
    pub fn with_quota(self, quota: u64) -> Self {
        Self { quota, ..self }
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

    /// How many bytes callers may add to the files of a project, uploads under way counted. Those
    /// that begin at the same moment do not see each other.
    ///
    /// # Errors
    /// [`FileError::Quota`] when that is not as much as `wanted`.
    pub async fn room(&self, project: &ProjectId, wanted: u64) -> Result<u64, FileError> {
        let now = self.clock.now();
        let files = self.total(FileRecord::of_project(project), |file: &FileRecord| file.bytes);
        let open = |upload: &Upload| if upload.is_open(now) { upload.bytes } else { 0 };
        let taken =
            files.await?.saturating_add(self.total(Upload::of_project(project), open).await?);
        let left = self.quota.saturating_sub(taken);
        if left < wanted {
            let (project, quota) = (project.clone(), self.quota);
            return Err(FileError::Quota { project, quota, left });
        }
        Ok(left)
    }

    /// What the records that a query lists have in all.
    async fn total<T: Entity>(
        &self,
        mut query: Query,
        bytes: impl Fn(&T) -> u64,
    ) -> Result<u64, StoreError> {
        let mut total: u64 = 0;
        loop {
            let (page, next) = self.store.load_page::<T>(&query).await?;
            total = page.iter().fold(total, |sum, one| sum.saturating_add(bytes(&one.value)));
            match next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(total),
            }
        }
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

    /// Removes the content of a file that was not made known: nobody could ever read it.
    pub async fn give_up(&self, content: &BlobKey) {
        if let Err(error) = self.blobs.delete(content).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the content of a file without a record was not removed; it is swept later"
            );
        }
    }

    /// A file of the caller's project.
    pub async fn get(&self, by: &Principal, id: &str) -> Result<FileRecord, FileError> {
        self.of_project(&by.project, id).await
    }

    /// A file of a project, for whoever was allowed to before.
    pub async fn of_project(&self, project: &ProjectId, id: &str) -> Result<FileRecord, FileError> {
        Ok(self.stored(project, id).await?.value)
    }

    pub(super) async fn stored(
        &self,
        project: &ProjectId,
        id: &str,
    ) -> Result<Stored<FileRecord>, FileError> {
        let not_found = || FileError::NotFound(id.chars().take(64).collect());
        let id = FileId::from_caller(id).ok_or_else(not_found)?;
        let stored = self.store.load::<FileRecord>(&FileRecord::key_of(project, &id)).await?;
        stored.ok_or_else(not_found)
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
}
