//! Removing the blobs that nobody removes.

use std::sync::Arc;

use super::FileError;
use super::answer::LineAnswer;
use super::batch::{Batch, BatchId};
use super::file::{FileId, FileRecord};
use super::upload::{Upload, UploadId};
use crate::Timestamp;
use crate::daily::turn_of_sweeping;
use crate::entity::StoreExt;
use crate::ports::{BlobKey, Blobs, StateStore};
use crate::tenancy::ProjectId;

/// Removes what expired files, cut-off uploads and crashes have left of contents.
#[derive(Clone)]
pub struct Sweeper {
    store: Arc<dyn StateStore>,
    blobs: Arc<dyn Blobs>,
}

/// What blobs belong to. Each is below `KIND/PROJECT/ID`.
enum Owner {
    /// Has its content for as long as it has a record.
    File(FileId),
    /// Has parts for less than a sweep is late.
    Upload(UploadId),
    /// Has long answers until it has ended.
    Batch(BatchId),
}

impl Sweeper {
    /// A sweeper over these ports.
    pub fn new(store: Arc<dyn StateStore>, blobs: Arc<dyn Blobs>) -> Self {
        Self { store, blobs }
    }

    /// The same for what was made a day before `now`, unless somebody has done it within a day: for
    /// processes that come and go.
    pub async fn sweep_daily(&self, now: Timestamp) -> Result<usize, FileError> {
        match turn_of_sweeping(&*self.store, "FILES", now).await? {
            Some(before) => self.sweep(before).await,
            None => Ok(0),
        }
    }

    /// Removes blobs that nobody reads any more, of what was made before `before`: younger ones may
    /// be on their way. Returns how many.
    pub async fn sweep(&self, before: Timestamp) -> Result<usize, FileError> {
        let mut swept = 0;
        for kind in [FileRecord::BLOBS, Upload::BLOBS, LineAnswer::BLOBS] {
            for (key, _) in self.blobs.list(&BlobKey::new(kind)?).await? {
                let Some((project, owner)) = Owner::of(&key) else { continue };
                let is_old = owner.made_at().is_some_and(|at| at < before);
                if is_old && !self.reads(&project, &owner).await? {
                    self.blobs.delete(&key).await?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }

    /// Whether somebody may still read the blobs of an old owner.
    async fn reads(&self, project: &ProjectId, owner: &Owner) -> Result<bool, FileError> {
        Ok(match owner {
            Owner::File(id) => self.store.get(&FileRecord::key_of(project, id)).await?.is_some(),
            Owner::Upload(_) => false,
            Owner::Batch(id) => {
                let batch = self.store.load::<Batch>(&Batch::key_of(project, id)).await?;
                batch.is_some_and(|batch| !batch.value.status.is_final())
            }
        })
    }
}

impl Owner {
    /// The owner of a blob and its project, where both can be told from the key.
    fn of(key: &BlobKey) -> Option<(ProjectId, Self)> {
        let mut segments = key.as_str().split('/');
        let (kind, project, id) = (segments.next()?, segments.next()?, segments.next()?);
        let owner = match kind {
            FileRecord::BLOBS => Self::File(FileId::from_caller(id)?),
            Upload::BLOBS => Self::Upload(UploadId::from_caller(id)?),
            LineAnswer::BLOBS => Self::Batch(BatchId::from_caller(id)?),
            _ => return None,
        };
        Some((project.parse().ok()?, owner))
    }

    fn made_at(&self) -> Option<Timestamp> {
        match self {
            Self::File(id) => id.made_at(),
            Self::Upload(id) => id.made_at(),
            Self::Batch(id) => id.made_at(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pollster::block_on;

    use super::*;
    use crate::batches::testing::{batch, file};
    use crate::batches::{Batch, BatchEvent};
    use crate::ports::{Clock as _, Expect};
    use crate::testing::{ManualClock, MemoryBlobs, MemoryStore, SeededEntropy};

    #[test]
    fn only_what_nobody_reads_any_more_is_removed() {
        let clock = Arc::new(ManualClock::new("2026-11-28T00:00:00Z".parse().unwrap()));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let blobs = Arc::new(MemoryBlobs::default());
        let (now, entropy, project) = (clock.now(), SeededEntropy::new(1), ProjectId::default());
        let put = |key: BlobKey| block_on(blobs.put(&key, b"x".to_vec(), true)).unwrap();

        let known = block_on(store.save(file(now, &entropy), Expect::Absent)).unwrap().value;
        let kept = FileRecord::blob_of(&project, &known.id).unwrap();
        put(kept.clone());
        put(FileRecord::blob_of(&project, &FileId::new(now, &entropy)).unwrap());
        let upload = UploadId::new(now, &entropy);
        put(BlobKey::new(format!("{}/{project}/{upload}/part", Upload::BLOBS)).unwrap());
        let running = block_on(store.save(batch(now, &entropy), Expect::Absent)).unwrap().value;
        let needed = LineAnswer::blob_of(&running, 1).unwrap();
        put(needed.clone());
        let ended = batch(now, &entropy).after(BatchEvent::Refused, now).unwrap();
        block_on(store.save(ended.clone(), Expect::Absent)).unwrap();
        put(LineAnswer::blob_of(&ended, 1).unwrap());
        let gone = Batch { id: BatchId::new(now, &entropy), ..ended };
        put(LineAnswer::blob_of(&gone, 1).unwrap());

        let sweeper = Sweeper::new(store.clone(), blobs.clone());
        assert_eq!(block_on(sweeper.sweep(now)).unwrap(), 0, "all of it may be on its way");
        let later = now + Duration::from_secs(1);
        assert_eq!(block_on(sweeper.sweep(later)).unwrap(), 4);
        for key in [kept, needed] {
            assert!(block_on(blobs.size(&key)).unwrap().is_some(), "{key}");
        }
        assert_eq!(block_on(sweeper.sweep(later)).unwrap(), 0);
    }
}
