//! A change of a dataset while it is made: chunks are written first, and all of it appears with one
//! commit, or nothing does.

use super::chunk::{self, Chunk, ChunkBuilder};
use super::error::DatasetError;
use super::example::ExampleContent;
use super::manifest::{ChunkEntry, KeptChunk, MOST_CHUNKS, MOST_EXAMPLES, Manifest};
use super::names::{DatasetId, ExampleId, Sha256Digest, WriteId};
use super::reader::{damaged, read_chunk, read_manifest};
use super::record::{Dataset, DigestPointer, Snapshot, change, chunk_blob, manifest_blob};
use super::service::Datasets;
use crate::audit::{Action, Actor};
use crate::entity::{Entity, Stored};
use crate::ports::{BlobKey, Blobs, Expect, StoreError, Write};
use crate::tenancy::{Allowed, ProjectId};

/// Who changes a dataset.
#[derive(Clone, Debug)]
pub(super) struct Author {
    pub(super) subject: String,
    pub(super) actor: Actor,
}

impl Author {
    pub(super) fn of<P>(by: &Allowed<P>) -> Self {
        Self { subject: by.subject.to_string(), actor: Actor::from(by) }
    }
}

/// A change that is not committed yet.
pub(super) struct Draft<'a> {
    service: &'a Datasets,
    dataset: Stored<Dataset>,
    pub(super) manifest: Manifest,
    write: WriteId,
    next: u64,
    /// What was written for it.
    blobs: Vec<BlobKey>,
}

/// What makes a change happen once it is committed.
pub(super) struct Prepared {
    pub(super) dataset: Dataset,
    pub(super) writes: Vec<Write>,
}

impl<'a> Draft<'a> {
    pub(super) async fn begin(
        service: &'a Datasets,
        dataset: Stored<Dataset>,
    ) -> Result<Self, DatasetError> {
        let manifest = read_manifest(&*service.blobs, &dataset.value.head).await?;
        let write = WriteId::new(service.clock.now(), &*service.entropy);
        let next = dataset.value.next;
        Ok(Self { service, dataset, manifest, write, next, blobs: Vec::new() })
    }

    pub(super) fn dataset(&self) -> &Dataset {
        &self.dataset.value
    }

    /// Adds examples at the end; in the last chunk, where that has room.
    pub(super) async fn append(
        &mut self,
        contents: &[ExampleContent],
    ) -> Result<Vec<ExampleId>, DatasetError> {
        let mut builder = ChunkBuilder::default();
        let chunks = self.manifest.chunks();
        let has_room = chunks.last().is_some_and(ChunkEntry::has_room);
        if let Some(place) = chunks.len().checked_sub(1).filter(|_| has_room) {
            let text = self.text(place).await?;
            if let Some(entry) = self.manifest.pop() {
                for (number, rest) in self.lines(&text, entry.first)? {
                    let full = builder.push_rest(number, rest);
                    self.push(full).await?;
                }
            }
        }
        let mut ids = Vec::with_capacity(contents.len());
        for (index, content) in contents.iter().enumerate() {
            self.manifest.schema.widen(content);
            let full = builder
                .push(self.next, content)
                .map_err(|problem| problem.within(format!("examples[{index}]")))?;
            self.push(full).await?;
            ids.push(ExampleId(self.next));
            self.next += 1;
        }
        let last = builder.take();
        self.push(last).await?;
        Ok(ids)
    }

    /// Adds chunks that are kept already, whose numbers are counted from 1.
    pub(super) fn extend(&mut self, chunks: &[KeptChunk], examples: u64, write: &WriteId) {
        for chunk in chunks {
            let first = self.next - 1 + chunk.first;
            self.manifest.push(KeptChunk { first, ..chunk.clone() }, write);
        }
        self.next += examples;
    }

    /// Gives these examples another content, or removes them where there is none. Returns one that
    /// the dataset does not have, if there is such; then nothing may be committed.
    pub(super) async fn edit(
        &mut self,
        ids: &[ExampleId],
        content: Option<&ExampleContent>,
    ) -> Result<Option<ExampleId>, DatasetError> {
        let mut missing: std::collections::BTreeSet<_> = ids.iter().copied().collect();
        // From the last one on, so that places stay what they are.
        while let Some(id) = missing.last().copied() {
            let Some(place) = self.manifest.place_of(id) else { return Ok(Some(id)) };
            let text = self.text(place).await?;
            let first = self.manifest.chunks().get(place).map_or(0, |entry| entry.first);
            let (mut builder, mut chunks) = (ChunkBuilder::default(), Vec::new());
            for (number, rest) in self.lines(&text, first)? {
                let full = match (missing.remove(&ExampleId(number)), content) {
                    (false, _) => builder.push_rest(number, rest),
                    (true, None) => None,
                    (true, Some(content)) => {
                        self.manifest.schema.widen(content);
                        builder.push(number, content)?
                    }
                };
                chunks.extend(full);
            }
            if missing.contains(&id) {
                return Ok(Some(id));
            }
            chunks.extend(builder.take());
            let mut kept = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                kept.push(self.keep(chunk).await?);
            }
            self.manifest.replace(place, kept, &self.write);
        }
        Ok(None)
    }

    /// Everything that it takes to make the change; `None` where it changes nothing.
    pub(super) async fn prepare(
        &mut self,
        author: &Author,
        action: Action,
        summary: &str,
    ) -> Result<Option<Prepared>, DatasetError> {
        self.manifest.prune();
        let before = &self.dataset.value;
        let examples = self.manifest.examples();
        let full = |most, what| DatasetError::Full { name: before.name.clone(), most, what };
        if examples > MOST_EXAMPLES {
            return Err(full(MOST_EXAMPLES, "examples"));
        }
        if self.manifest.chunks().len() > MOST_CHUNKS {
            return Err(full(MOST_CHUNKS as u64, "pieces of at most 256 KiB"));
        }
        if self.manifest.digest() == before.head.digest {
            return Ok(None);
        }
        let (service, write) = (self.service, &self.write);
        let (project, id) = (&before.project, &before.id);
        let digest = write_manifest(&*service.blobs, project, id, write, &self.manifest).await?;
        self.blobs.push(manifest_blob(project, id, write, &digest)?);
        let now = service.clock.now();
        let head = Snapshot {
            number: before.head.number.saturating_add(1),
            digest,
            write: write.clone(),
            examples,
            bytes: self.manifest.bytes(),
            change: summary.to_owned(),
            created_by: author.subject.clone(),
            created_at: now,
            ..before.head.clone()
        };
        let dataset = Dataset {
            head: head.clone(),
            next: self.next,
            updated_by: author.subject.clone(),
            updated_at: now,
            ..before.clone()
        };
        let summary = format!("v{}: {summary}", head.number);
        let writes = vec![
            dataset.put(self.dataset.unchanged())?,
            head.put(Expect::Absent)?,
            DigestPointer::of(&head).put(Expect::Any)?,
            change(&dataset, action, summary).write(&author.actor, now)?,
        ];
        Ok(Some(Prepared { dataset, writes }))
    }

    /// Removes what was written for a change that does not happen. What is left if that fails is
    /// swept later.
    pub(super) async fn discard(self) {
        for key in &self.blobs {
            if let Err(error) = self.service.blobs.delete(key).await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a blob that nobody needs was not removed; it is swept later"
                );
            }
        }
    }

    async fn text(&self, place: usize) -> Result<Vec<u8>, DatasetError> {
        read_chunk(&*self.service.blobs, &self.dataset().head, &self.manifest, place).await
    }

    fn lines<'b>(&self, text: &'b [u8], first: u64) -> Result<Vec<(u64, &'b [u8])>, DatasetError> {
        chunk::lines(text, first).map_err(|reason| damaged(&self.dataset().head, reason))
    }

    async fn push(&mut self, chunk: Option<Chunk>) -> Result<(), DatasetError> {
        if let Some(chunk) = chunk {
            let kept = self.keep(chunk).await?;
            self.manifest.push(kept, &self.write);
        }
        Ok(())
    }

    async fn keep(&mut self, chunk: Chunk) -> Result<KeptChunk, DatasetError> {
        let Dataset { project, id, .. } = &self.dataset.value;
        let key = chunk_blob(project, id, &self.write, chunk.digest())?;
        self.service.blobs.put(&key, chunk.text, false).await?;
        self.blobs.push(key);
        Ok(chunk.kept)
    }
}

/// Keeps a manifest, and returns its digest.
pub(super) async fn write_manifest(
    blobs: &dyn Blobs,
    project: &ProjectId,
    dataset: &DatasetId,
    write: &WriteId,
    manifest: &Manifest,
) -> Result<Sha256Digest, DatasetError> {
    let digest = manifest.digest();
    let key = manifest_blob(project, dataset, write, &digest)?;
    let json = serde_json::to_vec(manifest).map_err(|source| StoreError::Invalid {
        reason: format!("this manifest cannot be written as JSON: {source}"),
    })?;
    blobs.put(&key, json, false).await?;
    Ok(digest)
}
