//! [`Blobs`] over the `object_store` crate: a folder of this machine.

use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use diogenes_core::ports::{BlobError, BlobKey, BlobWriter, Blobs};
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};

/// How much a writer gathers before it passes it on, in bytes: more than the least part of S3.
const PART: usize = 8 << 20;

/// Blobs in a folder, or in whatever else the crate knows.
#[derive(Clone, Debug)]
pub struct ObjectBlobs {
    store: Arc<dyn ObjectStore>,
}

impl ObjectBlobs {
    /// Blobs in a folder, which is made if it does not exist.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn in_folder(folder: &FilePath) -> Result<Self, BlobError> {
        let unavailable = |reason: String, source| BlobError::Unavailable { reason, source };
        std::fs::create_dir_all(folder).map_err(|error| {
            unavailable(format!("{} cannot be made", folder.display()), Some(error.into()))
        })?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| {
            unavailable(format!("{} cannot be used", folder.display()), Some(error.into()))
        })?;
        Ok(Self { store: Arc::new(store.with_automatic_cleanup(true)) })
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
        let mode = if only_if_absent { PutMode::Create } else { PutMode::Overwrite };
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = self.store.put_opts(&path(key), content.into(), options).await;
        put.map(|_| ()).map_err(|error| converted(key, error))
    }

    async fn writer(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        let upload = self.store.put_multipart(&path(key)).await;
        let upload = upload.map_err(|error| converted(key, error))?;
        Ok(Box::new(Writer { key: key.clone(), upload, part: Vec::new(), size: 0 }))
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
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
}

struct Writer {
    key: BlobKey,
    upload: Box<dyn MultipartUpload>,
    part: Vec<u8>,
    size: u64,
}

impl Writer {
    async fn flush(&mut self) -> Result<(), BlobError> {
        let part: PutPayload = std::mem::take(&mut self.part).into();
        self.upload.put_part(part).await.map_err(|error| converted(&self.key, error))
    }
}

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.part.extend_from_slice(bytes);
        self.size += bytes.len() as u64;
        if self.part.len() >= PART { self.flush().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, BlobError> {
        if !self.part.is_empty() || self.size == 0 {
            self.flush().await?;
        }
        self.upload.complete().await.map_err(|error| converted(&self.key, error))?;
        Ok(self.size)
    }

    async fn abort(mut self: Box<Self>) {
        if let Err(error) = self.upload.abort().await {
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
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
            if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
                return Some(error.to_string());
            }
        }
        cause = error.source();
    }
    None
}
