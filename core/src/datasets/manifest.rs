use serde::{Deserialize, Serialize};
use serde_json::json;

use super::names::{ExampleId, Sha256Digest, WriteId};
use super::schema::DatasetSchema;
use crate::sorted_json::SortedJson;

/// The most examples of a chunk.
pub const MOST_IN_CHUNK: u32 = 1_000;
/// The most bytes of a chunk, unless it has only one example.
pub const MAX_CHUNK_BYTES: usize = 256 * 1024;
/// The form of manifests and chunks.
const FORMAT: u32 = 1;
/// The most chunks of a snapshot.
pub(super) const MOST_CHUNKS: usize = 100_000;
/// The most examples of a dataset.
pub const MOST_EXAMPLES: u64 = 10_000_000;

/// What a snapshot is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    pub(super) schema: DatasetSchema,
    /// The changes that wrote chunks, whose ids are in the places of these.
    writes: Vec<WriteId>,
    chunks: Vec<ChunkEntry>,
}

/// A chunk of a snapshot: examples with ascending numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Compact", into = "Compact")]
pub(super) struct ChunkEntry {
    pub(super) digest: Sha256Digest,
    pub(super) examples: u32,
    /// What the numbers in its lines are counted from.
    pub(super) first: u64,
    pub(super) bytes: u32,
    /// Its place among the writes.
    write: u32,
}

type Compact = (Sha256Digest, u32, u64, u32, u32);

impl From<Compact> for ChunkEntry {
    fn from((digest, examples, first, bytes, write): Compact) -> Self {
        Self { digest, examples, first, bytes, write }
    }
}

impl From<ChunkEntry> for Compact {
    fn from(entry: ChunkEntry) -> Self {
        (entry.digest, entry.examples, entry.first, entry.bytes, entry.write)
    }
}

impl ChunkEntry {
    /// Whether it is worth while to go on in it.
    pub(super) fn has_room(&self) -> bool {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        self.examples < MOST_IN_CHUNK && bytes < MAX_CHUNK_BYTES / 8 * 7
    }
}

/// A chunk whose content is kept, without its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptChunk {
    pub(super) digest: Sha256Digest,
    pub(super) examples: u32,
    pub(super) bytes: u32,
    /// What the numbers in its lines are counted from.
    pub(super) first: u64,
}

impl Manifest {
    /// The manifest of a dataset without examples.
    pub(super) fn empty(schema: DatasetSchema) -> Self {
        Self { format: FORMAT, schema, writes: Vec::new(), chunks: Vec::new() }
    }

    /// Whether this version can read it.
    pub(super) fn is_known(&self) -> bool {
        let places = self.chunks.iter().all(|chunk| self.write_of(chunk).is_some());
        self.format == FORMAT && places
    }

    pub(super) fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// The change that wrote a chunk.
    pub(super) fn write_of(&self, chunk: &ChunkEntry) -> Option<&WriteId> {
        self.writes.get(usize::try_from(chunk.write).ok()?)
    }

    pub(super) fn examples(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.examples)).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.bytes)).sum()
    }

    /// The place of the chunk that has the example, if any has.
    pub(super) fn place_of(&self, id: ExampleId) -> Option<usize> {
        self.chunks.partition_point(|chunk| chunk.first <= id.0).checked_sub(1)
    }

    /// Adds a chunk at the end, whose numbers are above all others.
    pub(super) fn push(&mut self, chunk: KeptChunk, write: &WriteId) {
        let write = self.place_of_write(write);
        let KeptChunk { digest, examples, bytes, first } = chunk;
        self.chunks.push(ChunkEntry { digest, examples, first, bytes, write });
    }

    /// Replaces the chunk at `place`; by nothing where none of its examples is left.
    pub(super) fn replace(&mut self, place: usize, chunks: Vec<KeptChunk>, write: &WriteId) {
        if place >= self.chunks.len() {
            return;
        }
        let write = self.place_of_write(write);
        let entries = chunks.into_iter().map(|KeptChunk { digest, examples, bytes, first }| {
            ChunkEntry { digest, examples, first, bytes, write }
        });
        self.chunks.splice(place..=place, entries);
    }

    /// Takes the last chunk off.
    pub(super) fn pop(&mut self) -> Option<ChunkEntry> {
        self.chunks.pop()
    }

    fn place_of_write(&mut self, write: &WriteId) -> u32 {
        // The newest are at the end.
        let place = self.writes.iter().rposition(|known| known == write).unwrap_or_else(|| {
            self.writes.push(write.clone());
            self.writes.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// Forgets the changes of which nothing is left.
    pub(super) fn prune(&mut self) {
        let mut places = vec![None; self.writes.len()];
        let mut kept = Vec::new();
        for chunk in &mut self.chunks {
            let at = usize::try_from(chunk.write).unwrap_or(usize::MAX);
            let (Some(place), Some(write)) = (places.get_mut(at), self.writes.get(at)) else {
                continue;
            };
            let place = *place.get_or_insert_with(|| {
                kept.push(write.clone());
                u32::try_from(kept.len() - 1).unwrap_or(u32::MAX)
            });
            chunk.write = place;
        }
        self.writes = kept;
    }

    /// The digest of what it says: schema and examples, wherever they are kept.
    pub(super) fn digest(&self) -> Sha256Digest {
        let entries = self.chunks.iter();
        let chunks: Vec<_> =
            entries.map(|chunk| json!([chunk.digest, chunk.examples, chunk.first])).collect();
        let canonical = json!({"format": self.format, "schema": self.schema, "chunks": chunks});
        Sha256Digest::of(SortedJson(&canonical).to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    fn chunk(first: u64, examples: u32) -> KeptChunk {
        KeptChunk { digest: Sha256Digest::of(b"x"), examples, bytes: 10, first }
    }

    #[test]
    fn changes_of_which_nothing_is_left_are_forgotten_and_the_digest_stays() {
        let entropy = SeededEntropy::new(1);
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let writes: Vec<_> = (0..3).map(|_| WriteId::new(now, &entropy)).collect();
        let mut manifest = Manifest::empty(DatasetSchema::default());
        for (write, first) in writes.iter().zip([1, 11, 21]) {
            manifest.push(chunk(first, 10), write);
        }
        assert_eq!((manifest.examples(), manifest.bytes()), (30, 30));
        let places = [0, 1, 10, 11, 25, 99].map(|number| manifest.place_of(ExampleId(number)));
        assert_eq!(places, [None, Some(0), Some(0), Some(1), Some(2), Some(2)]);
        manifest.replace(1, Vec::new(), &writes[0]);
        let digest = manifest.digest();
        manifest.prune();
        assert_eq!((manifest.writes.len(), manifest.digest()), (2, digest));
        assert_eq!(manifest.write_of(&manifest.chunks()[1]), Some(&writes[2]));
        let read: Manifest = serde_json::from_value(json!(manifest)).unwrap();
        assert!(read == manifest && read.is_known());
    }
}
