use std::sync::Arc;
use std::time::Duration;

use super::file::{FilePurpose, FileRecord, MAX_FILE_BYTES};
use super::upload::{MAX_PARTS, PartId, UPLOAD_LIFE, Upload, UploadId, UploadStatus};
use super::{FileError, Files, NewFile};
use crate::entity::{Entity, StoreExt, Stored};
use crate::fleet::eta::later;
use crate::jobs::Creator;
use crate::ports::{BlobError, BlobKey, Clock, Entropy, Expect, StateStore, StoreError};
use crate::tenancy::Principal;

/// An upload that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUpload {
    pub purpose: FilePurpose,
    pub filename: String,
    pub bytes: u64,
    /// How long the file is kept; for ever when absent.
    pub life: Option<Duration>,
}

/// Why nothing came of a request about an upload.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is none, or it belongs to another project.
    #[error("No such Upload object: {0}")]
    NotFound(String),
    /// A field makes no sense.
    #[error("`{field}` {problem}")]
    Invalid { field: &'static str, problem: String },
    /// It was completed, cancelled, or has expired.
    #[error("the upload {0}; create another one")]
    Closed(&'static str),
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<StoreError> for UploadError {
    fn from(error: StoreError) -> Self {
        Self::File(error.into())
    }
}

impl From<BlobError> for UploadError {
    fn from(error: BlobError) -> Self {
        Self::File(error.into())
    }
}

/// Takes files in parts.
#[derive(Clone)]
pub struct Uploads {
    store: Arc<dyn StateStore>,
    files: Files,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Uploads {
    /// A service over these ports.
    pub fn new(
        store: Arc<dyn StateStore>,
        files: Files,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, files, clock, entropy }
    }

    /// Begins an upload.
    pub async fn create(&self, by: &Principal, new: NewUpload) -> Result<Upload, UploadError> {
        if new.bytes > MAX_FILE_BYTES {
            let problem = format!("must be at most {MAX_FILE_BYTES}; split the file");
            return Err(UploadError::Invalid { field: "bytes", problem });
        }
        self.files.room(&by.project, new.bytes).await?;
        let now = self.clock.now();
        let upload = Upload {
            id: UploadId::new(now, &*self.entropy),
            project: by.project.clone(),
            purpose: new.purpose,
            filename: new.filename,
            bytes: new.bytes,
            status: UploadStatus::Pending,
            created_at: now,
            created_by: Creator::new(&by.subject, &by.key),
            expires_at: later(now, UPLOAD_LIFE),
            life: new.life,
            file: None,
        };
        Ok(self.store.save(upload, Expect::Absent).await?.value)
    }

    /// An upload that takes parts, and the id and place of the next one.
    pub async fn begin_part(
        &self,
        by: &Principal,
        id: &str,
    ) -> Result<(Upload, PartId, BlobKey), UploadError> {
        let upload = self.pending(by, id).await?.value;
        // Parts that are sent again count again, but nobody fills the disk with them.
        let parts = self.files.blobs().list(&upload.parts()?).await?;
        let taken = parts.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
        if parts.len() >= 2 * MAX_PARTS || taken > upload.bytes.saturating_mul(2) {
            let problem = format!(
                "is too much: there are {} parts of {taken} bytes for an upload of {} already",
                parts.len(),
                upload.bytes
            );
            return Err(UploadError::Invalid { field: "data", problem });
        }
        let part = PartId::new(self.clock.now(), &*self.entropy);
        let key = upload.part_of(&part)?;
        Ok((upload, part, key))
    }

    /// Makes a file of the parts, in this order. `look` sees every piece of it before it becomes one,
    /// and may refuse it then by what it returns.
    pub async fn complete(
        &self,
        by: &Principal,
        id: &str,
        parts: &[String],
        mut look: impl FnMut(Option<&[u8]>) -> Result<(), UploadError> + Send,
    ) -> Result<(Upload, FileRecord), UploadError> {
        let stored = self.pending(by, id).await?;
        let upload = &stored.value;
        let blobs = self.files.blobs();
        let mut keys = Vec::with_capacity(parts.len());
        let wrong = |problem: String| UploadError::Invalid { field: "part_ids", problem };
        if parts.len() > MAX_PARTS {
            return Err(wrong(format!("names more than {MAX_PARTS} parts")));
        }
        let mut bytes = 0;
        for (place, part) in parts.iter().enumerate() {
            let known = PartId::from_caller(part).map(|part| upload.part_of(&part)).transpose()?;
            let size = match &known {
                Some(key) => blobs.size(key).await?,
                None => None,
            };
            let (Some(key), Some(size)) = (known, size) else {
                let part: String = part.chars().take(64).collect();
                return Err(wrong(format!(
                    "names a part that this upload does not have: `{part}`"
                )));
            };
            if parts.iter().take(place).any(|before| before == part) {
                return Err(wrong(format!("names the part `{part}` twice")));
            }
            bytes += size;
            keys.push((key, size));
        }
        if bytes != upload.bytes {
            let problem = format!(
                "names parts of {bytes} bytes in all; the upload was created for {}",
                upload.bytes
            );
            return Err(wrong(problem));
        }
        let (file, target) = self.files.begin(&upload.project)?;
        let mut writer = blobs.writer(&target).await?;
        for (key, size) in &keys {
            let mut at = 0;
            while at < *size {
                let piece = blobs.read(key, at..at + (1 << 20)).await?;
                if piece.is_empty() {
                    break;
                }
                at += piece.len() as u64;
                look(Some(&piece))?;
                writer.write(&piece).await?;
            }
        }
        if let Err(refused) = look(None) {
            writer.abort().await;
            return Err(refused);
        }
        let bytes = writer.finish().await?;
        let record = self.files.record(NewFile {
            id: file,
            project: upload.project.clone(),
            purpose: upload.purpose,
            filename: upload.filename.clone(),
            bytes,
            created_by: upload.created_by.clone(),
            life: upload.life,
        });
        let done = Upload {
            status: UploadStatus::Completed,
            file: Some(record.id.clone()),
            ..upload.clone()
        };
        let changes = [done.put(stored.unchanged())?, record.put(Expect::Absent)?];
        match self.store.commit(&changes).await {
            Ok(_) => {}
            Err(StoreError::Conflict(_)) => {
                blobs.delete(&target).await?;
                return Err(UploadError::Closed("was completed or cancelled meanwhile"));
            }
            Err(error) => return Err(error.into()),
        }
        self.remove_parts(&done).await;
        Ok((done, record))
    }

    /// Gives an upload up; a repeat call succeeds.
    pub async fn cancel(&self, by: &Principal, id: &str) -> Result<Upload, UploadError> {
        let stored = self.stored(by, id).await?;
        match stored.value.status {
            UploadStatus::Cancelled => return Ok(stored.value),
            UploadStatus::Completed => return Err(UploadError::Closed("was completed")),
            UploadStatus::Pending => {}
        }
        let cancelled = Upload { status: UploadStatus::Cancelled, ..stored.value.clone() };
        let saved = self.store.save(cancelled, stored.unchanged()).await?;
        self.remove_parts(&saved.value).await;
        Ok(saved.value)
    }

    async fn stored(&self, by: &Principal, id: &str) -> Result<Stored<Upload>, UploadError> {
        let not_found = || UploadError::NotFound(id.chars().take(64).collect());
        let id = UploadId::from_caller(id).ok_or_else(not_found)?;
        let stored = self.store.load::<Upload>(&Upload::key_of(&by.project, &id)).await?;
        stored.ok_or_else(not_found)
    }

    async fn pending(&self, by: &Principal, id: &str) -> Result<Stored<Upload>, UploadError> {
        let stored = self.stored(by, id).await?;
        match stored.value.status {
            UploadStatus::Completed => Err(UploadError::Closed("was completed")),
            UploadStatus::Cancelled => Err(UploadError::Closed("was cancelled")),
            UploadStatus::Pending if stored.value.expires_at <= self.clock.now() => {
                Err(UploadError::Closed("has expired"))
            }
            UploadStatus::Pending => Ok(stored),
        }
    }

    /// What is left of them if this fails is swept later.
    async fn remove_parts(&self, upload: &Upload) {
        let blobs = self.files.blobs();
        let removed = async {
            for (key, _) in blobs.list(&upload.parts()?).await? {
                blobs.delete(&key).await?;
            }
            Ok::<_, BlobError>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(
                upload = %upload.id, error = &error as &dyn std::error::Error,
                "the parts of an upload were not removed; they are swept later"
            );
        }
    }
}
