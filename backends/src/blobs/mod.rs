//! [`Blobs`] over the `object_store` crate: a folder of this machine, or a bucket of S3.

#[cfg(feature = "blobs-s3")]
mod s3;

use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
#[cfg(feature = "blobs-s3")]
use std::time::Duration;

use async_trait::async_trait;
use diogenes_core::causes::cause;
use diogenes_core::ports::{BlobError, BlobKey, BlobWriter, Blobs};
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
#[cfg(feature = "blobs-s3")]
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{
    Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};

#[cfg(feature = "blobs-s3")]
pub use s3::S3Settings;

/// How much a writer gathers before it passes it on, in bytes: more than the least part of S3.
const PART: usize = 8 << 20;

/// Blobs in a folder, or in whatever else the crate knows.
#[derive(Clone, Debug)]
pub struct ObjectBlobs {
    store: Arc<dyn ObjectStore>,
    /// Where it has URLs that others may read from.
    #[cfg(feature = "blobs-s3")]
    signer: Option<Arc<dyn Signer>>,
    reserve: Option<Reserve>,
}

/// What is left for others of the disk that a folder is on.
#[derive(Clone, Debug)]
struct Reserve {
    folder: PathBuf,
    /// In bytes.
    free: u64,
}

impl ObjectBlobs {
    /// Blobs in a folder, which is made if it does not exist. Nothing is written that would leave
    /// less than `free` bytes of its disk.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn in_folder(folder: &FilePath, free: u64) -> Result<Self, BlobError> {
        let unavailable = |reason: String, source| BlobError::Unavailable { reason, source };
        std::fs::create_dir_all(folder).map_err(|error| {
            unavailable(format!("{} cannot be made", folder.display()), Some(error.into()))
        })?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| {
            unavailable(format!("{} cannot be used", folder.display()), Some(error.into()))
        })?;
        let reserve = Reserve { folder: folder.to_owned(), free };
        let store = Arc::new(store.with_automatic_cleanup(true));
        Ok(Self {
            store,
            #[cfg(feature = "blobs-s3")]
            signer: None,
            reserve: Some(reserve),
        })
    }

    fn check_room(&self, key: &BlobKey, bytes: usize) -> Result<(), BlobError> {
        self.reserve.as_ref().map_or(Ok(()), |reserve| reserve.check(key, bytes))
    }
}

impl Reserve {
    /// Whether there is room for so many bytes more.
    fn check(&self, key: &BlobKey, bytes: usize) -> Result<(), BlobError> {
        // Where the system does not say, writing tells.
        let Ok(disk) = rustix::fs::statvfs(&self.folder) else { return Ok(()) };
        let left = disk.f_bavail.saturating_mul(disk.f_frsize);
        if left >= self.free.saturating_add(bytes as u64) {
            return Ok(());
        }
        let reason = format!("{left} bytes are left of the disk, and {} are kept free", self.free);
        Err(BlobError::NoRoom { key: key.clone(), reason })
    }
}

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn put(
        &self,
        key: &BlobKey,
        content: Vec<u8>,
        only_if_absent: bool,
    ) -> Result<(), BlobError> {
        self.check_room(key, content.len())?;
        let mode = if only_if_absent { PutMode::Create } else { PutMode::Overwrite };
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.store.put_opts(&path(key), content.into(), options).await;
        put.map(|_| ()).map_err(|error| converted(key, error))
    }

    async fn writer(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.check_room(key, 0)?;
        Ok(Box::new(Writer {
            blobs: self.clone(),
            key: key.clone(),
            upload: None,
            part: Vec::new(),
            size: 0,
        }))
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        // All of it is one request. A part is two, as S3 refuses ranges beyond the end.
        if range == (0..u64::MAX) {
            let wrong = |error| converted(key, error);
            let content = self.store.get(&path(key)).await.map_err(wrong)?.bytes().await;
            return content.map(Into::into).map_err(wrong);
        }
        let size = self.size(key).await?.ok_or_else(|| BlobError::NotFound { key: key.clone() })?;
        let range = range.start.min(size)..range.end.min(size);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self.store.get_range(&path(key), range).await;
        bytes.map(Into::into).map_err(|error| converted(key, error))
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError> {
        match self.store.head(&path(key)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(converted(key, error)),
        }
    }

    async fn list(&self, prefix: &BlobKey) -> Result<Vec<(BlobKey, u64)>, BlobError> {
        let found: Vec<_> = self
            .store
            .list(Some(&path(prefix)))
            .try_collect()
            .await
            .map_err(|error| converted(prefix, error))?;
        let mut blobs = found
            .into_iter()
            .map(|meta| Ok((BlobKey::new(meta.location.to_string())?, meta.size)))
            .collect::<Result<Vec<_>, BlobError>>()?;
        blobs.sort();
        Ok(blobs)
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        match self.store.delete(&path(key)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(converted(key, error)),
        }
    }

    #[cfg(feature = "blobs-s3")]
    async fn signed_url(
        &self,
        key: &BlobKey,
        life: Duration,
        file_name: &str,
    ) -> Result<Option<String>, BlobError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let disposition = format!("attachment; filename=\"{file_name}\"");
        let options =
            SignedUrlOptions::new().with_query([("response-content-disposition", disposition)]);
        let url = signer.signed_url_opts(Method::GET, &path(key), life, &options).await;
        url.map(|url| Some(url.into())).map_err(|error| converted(key, error))
    }
}

/// Writes in parts what is larger than one, and at once what is not.
struct Writer {
    blobs: ObjectBlobs,
    key: BlobKey,
    upload: Option<Box<dyn MultipartUpload>>,
    part: Vec<u8>,
    size: u64,
}

impl Writer {
    async fn flush(&mut self) -> Result<(), BlobError> {
        self.blobs.check_room(&self.key, self.part.len())?;
        let part: PutPayload = std::mem::take(&mut self.part).into();
        let wrong = |error| converted(&self.key, error);
        let upload = if let Some(upload) = &mut self.upload {
            upload
        } else {
            let begun = self.blobs.store.put_multipart(&path(&self.key)).await.map_err(wrong)?;
            self.upload.insert(begun)
        };
        upload.put_part(part).await.map_err(wrong)
    }
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.size += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            // No part ever grows, which would take twice its memory.
            self.part.reserve_exact(PART.saturating_sub(self.part.len()));
            let room = PART.saturating_sub(self.part.len()).min(rest.len());
            let (now, later) = rest.split_at(room);
            self.part.extend_from_slice(now);
            rest = later;
            if self.part.len() >= PART {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, BlobError> {
        if self.upload.is_some() && !self.part.is_empty() {
            self.flush().await?;
        }
        let written = if let Some(upload) = &mut self.upload {
            upload.complete().await
        } else {
            self.blobs.check_room(&self.key, self.part.len())?;
            let content = std::mem::take(&mut self.part).into();
            self.blobs.store.put(&path(&self.key), content).await
        };
        written.map_err(|error| converted(&self.key, error))?;
        Ok(self.size)
    }

    async fn abort(mut self: Box<Self>) {
        if let Some(upload) = &mut self.upload
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(
                key = %self.key, error = &error as &dyn std::error::Error,
                "a part of a blob that was given up could not be removed"
            );
        }
    }
}

/// Keys have no characters that a path would escape.
fn path(key: &BlobKey) -> Path {
    Path::from(key.as_str())
}

fn converted(key: &BlobKey, error: Error) -> BlobError {
    let key = key.clone();
    match error {
        Error::NotFound { .. } => BlobError::NotFound { key },
        Error::AlreadyExists { .. } => BlobError::Exists { key },
        error => match room(&error) {
            Some(reason) => BlobError::NoRoom { key, reason },
            None => BlobError::Unavailable {
                reason: format!("blob `{key}`"),
                source: Some(error.into()),
            },
        },
    }
}

/// What the system says where the disk or a quota is full.
fn room(error: &Error) -> Option<String> {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let error = cause::<std::io::Error>(error)?;
    let is_full = matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge);
    is_full.then(|| error.to_string())
}
