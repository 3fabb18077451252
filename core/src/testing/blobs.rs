use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::ports::{BlobError, BlobKey, BlobWriter, Blobs};

/// Blobs in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryBlobs(Arc<Mutex<BTreeMap<BlobKey, Vec<u8>>>>);

impl MemoryBlobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<BlobKey, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(
        &self,
        key: &BlobKey,
        content: Vec<u8>,
        only_if_absent: bool,
    ) -> Result<(), BlobError> {
        let mut blobs = self.lock();
        if only_if_absent && blobs.contains_key(key) {
            return Err(BlobError::Exists { key: key.clone() });
        }
        blobs.insert(key.clone(), content);
        Ok(())
    }

    async fn writer(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(MemoryWriter { blobs: self.clone(), key: key.clone(), content: Vec::new() }))
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let blobs = self.lock();
        let content = blobs.get(key).ok_or_else(|| BlobError::NotFound { key: key.clone() })?;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        Ok(content.get(place(range.start)..place(range.end)).unwrap_or_default().to_vec())
    }

    async fn size(&self, key: &BlobKey) -> Result<Option<u64>, BlobError> {
        Ok(self.lock().get(key).map(|content| content.len() as u64))
    }

    async fn list(&self, prefix: &BlobKey) -> Result<Vec<(BlobKey, u64)>, BlobError> {
        let folder = format!("{prefix}/");
        let blobs = self.lock();
        let within = blobs.iter().filter(|(key, _)| key.as_str().starts_with(&folder));
        Ok(within.map(|(key, content)| (key.clone(), content.len() as u64)).collect())
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.lock().remove(key);
        Ok(())
    }
}

struct MemoryWriter {
    blobs: MemoryBlobs,
    key: BlobKey,
    content: Vec<u8>,
}

#[async_trait]
impl BlobWriter for MemoryWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.content.extend_from_slice(bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<u64, BlobError> {
        let size = self.content.len() as u64;
        self.blobs.put(&self.key, self.content, false).await?;
        Ok(size)
    }

    async fn abort(self: Box<Self>) {}
}
