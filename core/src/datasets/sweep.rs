//! Removing the chunks and manifests that no snapshot names any more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::error::DatasetError;
use super::names::{DatasetId, WriteId};
use super::reader::read_manifest;
use super::record::{BLOBS, Dataset, DatasetPointer, Snapshot};
use crate::Timestamp;
use crate::daily::turn_of_sweeping;
use crate::entity::StoreExt;
use crate::ports::{BlobKey, Blobs, StateStore};
use crate::tenancy::ProjectId;

/// Removes what deleted datasets, snapshots that were not kept, cut-off changes and crashes have left.
#[derive(Clone)]
pub struct DatasetSweeper {
    store: Arc<dyn StateStore>,
    blobs: Arc<dyn Blobs>,
}

impl DatasetSweeper {
    /// A sweeper over these ports.
    pub fn new(store: Arc<dyn StateStore>, blobs: Arc<dyn Blobs>) -> Self {
        Self { store, blobs }
    }

    /// The same as [`sweep`](Self::sweep) for what was begun a day before `now`, unless somebody has done
    /// it within a day: for processes that come and go.
    pub async fn sweep_daily(&self, now: Timestamp) -> Result<usize, DatasetError> {
        match turn_of_sweeping(&*self.store, "DATASETS", now).await? {
            Some(before) => self.sweep(before).await,
            None => Ok(0),
        }
    }

    /// Removes blobs that no snapshot names, of changes that were begun before `before`: those of
    /// younger ones may be on their way. Returns how many.
    ///
    /// A later change never takes over a blob that no snapshot names: it writes in a place of its own,
    /// and shares what the newest snapshot has, under the condition that this still is the newest.
    pub async fn sweep(&self, before: Timestamp) -> Result<usize, DatasetError> {
        let mut old: HashMap<(ProjectId, DatasetId), Vec<BlobKey>> = HashMap::new();
        for (key, _) in self.blobs.list(&BlobKey::new(BLOBS)?).await? {
            let Some((project, dataset, write)) = owner(&key) else { continue };
            if write.made_at().is_some_and(|at| at < before) {
                old.entry((project, dataset)).or_default().push(key);
            }
        }
        let mut swept = 0;
        for ((project, dataset), keys) in old {
            let named = self.named(&project, &dataset).await?;
            for key in keys.into_iter().filter(|key| !named.contains(key)) {
                self.blobs.delete(&key).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    /// The blobs that the snapshots of a dataset name.
    async fn named(
        &self,
        project: &ProjectId,
        id: &DatasetId,
    ) -> Result<HashSet<BlobKey>, DatasetError> {
        let mut named = HashSet::new();
        let key = DatasetPointer::key_of(project, id);
        let Some(pointer) = self.store.load::<DatasetPointer>(&key).await? else {
            return Ok(named);
        };
        let key = Dataset::key_of(project, &pointer.value.name);
        let dataset = self.store.load::<Dataset>(&key).await?.map(|stored| stored.value);
        let Some(dataset) = dataset.filter(|dataset| dataset.id == *id) else { return Ok(named) };
        let mut query = Snapshot::newest_first(&dataset);
        // Read after the blobs were listed: what was committed since then is too young to be swept.
        let mut snapshots = vec![dataset.head.clone()];
        loop {
            let (page, next) = self.store.load_page::<Snapshot>(&query).await?;
            snapshots.extend(page.into_iter().map(|stored| stored.value));
            let Some(next) = next else { break };
            query.cursor = Some(next);
        }
        for snapshot in snapshots {
            if !named.insert(snapshot.blob_of()?) {
                continue;
            }
            let manifest = match read_manifest(&*self.blobs, &snapshot).await {
                Ok(manifest) => manifest,
                // It was removed since it was listed, or is damaged: what it shares is named by others.
                Err(DatasetError::Damaged { .. }) if snapshot.number != dataset.head.number => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            for chunk in manifest.chunks() {
                if let Some(write) = manifest.write_of(chunk) {
                    named.insert(snapshot.chunk_blob(write, &chunk.digest)?);
                }
            }
        }
        Ok(named)
    }
}

/// Whose a blob is, where that can be told from its key.
fn owner(key: &BlobKey) -> Option<(ProjectId, DatasetId, WriteId)> {
    let mut segments = key.as_str().split('/').skip(1);
    let project = segments.next()?.parse().ok()?;
    let dataset = DatasetId::from_caller(segments.next()?)?;
    Some((project, dataset, WriteId::from_caller(segments.next()?)?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pollster::block_on;

    use super::*;
    use crate::datasets::tests::{World, contents, project};
    use crate::datasets::{DatasetUpdate, NewDataset};
    use crate::ports::Clock as _;
    use crate::tenancy::Allowed;

    #[test]
    fn only_what_no_snapshot_names_is_removed() {
        block_on(async {
            let world = World::new();
            for name in ["kept", "gone"] {
                world.create(name, NewDataset::default()).await.unwrap();
                for _ in 0..3 {
                    world.add(name, contents(10)).await.unwrap();
                }
            }
            let (by, project) = (Allowed::operator(), project());
            let sweeper = DatasetSweeper::new(world.store.clone(), world.blobs.clone());
            let later = world.clock.now() + Duration::from_secs(1);
            assert_eq!(sweeper.sweep(later).await.unwrap(), 0);
            world.datasets.delete(&by, &project, "gone").await.unwrap();
            // Four manifests and three chunks.
            assert_eq!(sweeper.sweep(later).await.unwrap(), 7);
            let update = DatasetUpdate { keep_snapshots: Some(1), ..DatasetUpdate::default() };
            world.datasets.update(&by, &project, "kept", &update).await.unwrap();
            assert_eq!(sweeper.sweep(later).await.unwrap(), 5);
            assert_eq!(world.inputs("kept").await.len(), 30);
            // What is on its way is left alone.
            let dataset = world.datasets.get(&Allowed::operator(), &project, "kept").await.unwrap();
            let mut intake = world.datasets.intake(&dataset);
            let mut builder = crate::datasets::ChunkBuilder::default();
            builder.push(1, &contents(1)[0]).unwrap();
            intake.keep(builder.take().unwrap()).await.unwrap();
            assert_eq!(sweeper.sweep(world.clock.now()).await.unwrap(), 0);
            assert_eq!(sweeper.sweep_daily(later).await.unwrap(), 0, "it is not a day old");
            let next_day = later + Duration::from_hours(24);
            assert_eq!(sweeper.sweep_daily(next_day).await.unwrap(), 0, "it was done within a day");
            assert_eq!(sweeper.sweep(next_day).await.unwrap(), 1);
        });
    }
}
