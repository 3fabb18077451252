use std::ops::Range;
use std::sync::Arc;

use super::chunk;
use super::error::DatasetError;
use super::example::Example;
use super::manifest::Manifest;
use super::names::{ExampleId, Sha256Digest};
use super::record::Snapshot;
use super::schema::DatasetSchema;
use crate::ports::{BlobError, BlobKey, Blobs};

/// Reads the examples of one snapshot, a chunk at a time.
#[derive(Clone)]
pub struct SnapshotReader {
    blobs: Arc<dyn Blobs>,
    snapshot: Snapshot,
    manifest: Arc<Manifest>,
    /// At which position each chunk begins, and where the last one ends.
    starts: Arc<[u64]>,
}

impl SnapshotReader {
    pub(super) async fn open(
        blobs: Arc<dyn Blobs>,
        snapshot: Snapshot,
    ) -> Result<Self, DatasetError> {
        let manifest = read_manifest(&*blobs, &snapshot).await?;
        let mut starts = Vec::with_capacity(manifest.chunks().len() + 1);
        let mut start = 0;
        for chunk in manifest.chunks() {
            starts.push(start);
            start += u64::from(chunk.examples);
        }
        starts.push(start);
        Ok(Self { blobs, snapshot, manifest: Arc::new(manifest), starts: starts.into() })
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub fn schema(&self) -> &DatasetSchema {
        &self.manifest.schema
    }

    /// How many examples there are.
    pub fn examples(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    /// The examples at these positions, counted from 0 in the order of their ids. What reaches beyond
    /// the end is cut off there. Only the chunks that have them are read.
    pub async fn read(&self, positions: Range<u64>) -> Result<Vec<Example>, DatasetError> {
        let end = positions.end.min(self.examples());
        let mut examples = Vec::new();
        let mut at = positions.start;
        let mut place = self.starts.partition_point(|start| *start <= at).saturating_sub(1);
        while at < end {
            let start = self.starts.get(place).copied().unwrap_or_default();
            let chunk = self.chunk(place).await?;
            let skipped = usize::try_from(at - start).unwrap_or(usize::MAX);
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
            let before = examples.len();
            examples.extend(chunk.into_iter().skip(skipped).take(wanted));
            at += (examples.len() - before) as u64;
            place += 1;
        }
        Ok(examples)
    }

    /// Up to `limit` examples after `after`, or from the first one on.
    pub async fn after(
        &self,
        after: Option<ExampleId>,
        limit: usize,
    ) -> Result<Vec<Example>, DatasetError> {
        let mut examples = Vec::new();
        let mut place = after.and_then(|id| self.manifest.place_of(id)).unwrap_or(0);
        while examples.len() < limit && place < self.chunks() {
            let chunk = self.chunk(place).await?.into_iter();
            let behind = chunk.filter(|example| after.is_none_or(|after| example.id > after));
            examples.extend(behind.take(limit - examples.len()));
            place += 1;
        }
        Ok(examples)
    }

    /// The example of this id.
    pub async fn find(&self, id: ExampleId) -> Result<Option<Example>, DatasetError> {
        let Some(place) = self.manifest.place_of(id) else { return Ok(None) };
        Ok(self.chunk(place).await?.into_iter().find(|example| example.id == id))
    }

    /// How many chunks there are: pieces that are read at once.
    pub fn chunks(&self) -> usize {
        self.manifest.chunks().len()
    }

    /// The chunk in which the examples after `after` begin.
    pub(super) fn chunk_after(&self, after: Option<ExampleId>) -> usize {
        after.and_then(|id| self.manifest.place_of(id)).unwrap_or(0)
    }

    /// The chunk that has the example at a position, and the position at which it begins.
    pub(super) fn chunk_at(&self, position: u64) -> Option<(usize, u64)> {
        let place = self.starts.partition_point(|start| *start <= position).checked_sub(1)?;
        let start = self.starts.get(place).copied()?;
        (place < self.chunks()).then_some((place, start))
    }

    /// Which chunks there are, by what they say and the number of their first example.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&Sha256Digest, u64)> {
        self.manifest.chunks().iter().map(|chunk| (&chunk.digest, chunk.first))
    }

    /// The examples of one chunk; none where there is no such chunk.
    pub async fn chunk(&self, place: usize) -> Result<Vec<Example>, DatasetError> {
        let Some(entry) = self.manifest.chunks().get(place) else { return Ok(Vec::new()) };
        let text = read_chunk(&*self.blobs, &self.snapshot, &self.manifest, place).await?;
        chunk::parse(&text, entry.first).map_err(|reason| damaged(&self.snapshot, reason))
    }
}

pub(super) async fn read_manifest(
    blobs: &dyn Blobs,
    snapshot: &Snapshot,
) -> Result<Manifest, DatasetError> {
    let bytes = whole(blobs, snapshot, &snapshot.blob_of()?).await?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| damaged(snapshot, format!("its manifest cannot be read: {error}")))?;
    if !manifest.is_known() {
        return Err(damaged(snapshot, "its manifest is of a newer version".into()));
    }
    Ok(manifest)
}

/// The lines of a chunk, which are those that were written.
pub(super) async fn read_chunk(
    blobs: &dyn Blobs,
    snapshot: &Snapshot,
    manifest: &Manifest,
    place: usize,
) -> Result<Vec<u8>, DatasetError> {
    let entry = manifest.chunks().get(place);
    let found = entry.and_then(|entry| Some((entry, manifest.write_of(entry)?)));
    let Some((entry, write)) = found else {
        return Err(damaged(snapshot, "its manifest names a chunk that it does not have".into()));
    };
    let key = snapshot.chunk_blob(write, &entry.digest)?;
    let text = whole(blobs, snapshot, &key).await?;
    if Sha256Digest::of(&text) != entry.digest {
        return Err(damaged(snapshot, format!("`{key}` is not what was written")));
    }
    Ok(text)
}

async fn whole(
    blobs: &dyn Blobs,
    snapshot: &Snapshot,
    key: &BlobKey,
) -> Result<Vec<u8>, DatasetError> {
    match blobs.read(key, 0..u64::MAX).await {
        Ok(bytes) => Ok(bytes),
        Err(BlobError::NotFound { key }) => {
            Err(damaged(snapshot, format!("there is no blob `{key}`")))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn damaged(snapshot: &Snapshot, reason: String) -> DatasetError {
    DatasetError::Damaged { name: snapshot.name.clone(), reason }
}
