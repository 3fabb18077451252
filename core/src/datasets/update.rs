//! What stands beside the examples of a dataset.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::Author;
use super::error::{DatasetError, DatasetProblem};
use super::record::{Dataset, DatasetPointer, DigestPointer, Snapshot, change};
use super::service::Datasets;
use crate::audit::Action;
use crate::entity::{Entity, StoreExt};
use crate::ports::{Direction, Expect, Write};
use crate::prompts::PromptSlug;
use crate::tenancy::{Allowed, ProjectId, may};

const MAX_DESCRIPTION: usize = 1000;
const MOST_TAGS: usize = 20;
const MAX_TAG: usize = 64;
const MOST_METADATA: usize = 20;
const MAX_METADATA: usize = 500;
const MOST_PROMPTS: usize = 50;
/// How many snapshots are removed at once.
const AT_ONCE: usize = 40;

/// What is to be changed beside the examples. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetUpdate {
    pub description: Option<String>,
    pub tags: Option<BTreeSet<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
    /// The prompts that the dataset is for. They need not exist.
    pub prompts: Option<BTreeSet<PromptSlug>>,
    /// How many of the newest snapshots are kept; 0 for all of them.
    pub keep_snapshots: Option<u32>,
}

/// Refuses an update with a field that cannot be.
pub(super) fn checked_update(update: &DatasetUpdate) -> Result<(), DatasetProblem> {
    if let Some(description) = &update.description {
        DatasetProblem::in_text("description", description, MAX_DESCRIPTION)?;
    }
    if let Some(tags) = &update.tags {
        if tags.len() > MOST_TAGS || tags.contains("") {
            let problem = format!("must be at most {MOST_TAGS}, none of them empty");
            return Err(DatasetProblem::new("tags", problem));
        }
        tags.iter().try_for_each(|tag| DatasetProblem::in_text("tags", tag, MAX_TAG))?;
    }
    if let Some(metadata) = &update.metadata {
        if metadata.len() > MOST_METADATA || metadata.contains_key("") {
            let problem = format!("must be at most {MOST_METADATA}, none without a name");
            return Err(DatasetProblem::new("metadata", problem));
        }
        for (name, value) in metadata {
            DatasetProblem::in_text("metadata", name, MAX_TAG)?;
            DatasetProblem::in_text("metadata", value, MAX_METADATA)?;
        }
    }
    if update.prompts.as_ref().is_some_and(|prompts| prompts.len() > MOST_PROMPTS) {
        return Err(DatasetProblem::new("prompts", format!("must be at most {MOST_PROMPTS}")));
    }
    Ok(())
}

impl DatasetUpdate {
    pub(super) fn apply(&self, dataset: &mut Dataset) {
        if let Some(description) = &self.description {
            dataset.description.clone_from(description);
        }
        if let Some(tags) = &self.tags {
            dataset.tags.clone_from(tags);
        }
        if let Some(metadata) = &self.metadata {
            dataset.metadata.clone_from(metadata);
        }
        if let Some(prompts) = &self.prompts {
            dataset.prompts.clone_from(prompts);
        }
        if let Some(keep) = self.keep_snapshots {
            dataset.keep_snapshots = Some(keep).filter(|keep| *keep > 0);
        }
    }
}

impl Datasets {
    /// Changes what stands beside the examples. A repeat call changes nothing and succeeds.
    pub async fn update(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        project: &ProjectId,
        name: &str,
        update: &DatasetUpdate,
    ) -> Result<Dataset, DatasetError> {
        checked_update(update)?;
        loop {
            let stored = self.reached(by, project, name).await?;
            let mut dataset = stored.value.clone();
            update.apply(&mut dataset);
            if dataset == stored.value {
                return Ok(dataset);
            }
            let (now, author) = (self.clock.now(), Author::of(by));
            let summary = changed(&stored.value, &dataset);
            dataset.updated_at = now;
            dataset.updated_by.clone_from(&author.subject);
            let audit = change(&dataset, Action::dataset_update(), summary);
            let writes = [dataset.put(stored.unchanged())?, audit.write(&author.actor, now)?];
            if self.store.committed(&writes).await? {
                self.trim(&dataset).await;
                return Ok(dataset);
            }
        }
    }

    /// Deletes a dataset with all its snapshots. What is deleted cannot be had back.
    pub async fn delete(
        &self,
        by: &Allowed<may::DatasetsWrite>,
        project: &ProjectId,
        name: &str,
    ) -> Result<Dataset, DatasetError> {
        let dataset = loop {
            let stored = self.reached(by, project, name).await?;
            let (now, dataset) = (self.clock.now(), &stored.value);
            let summary = format!(
                "with {} examples and {} snapshots",
                dataset.head.examples, dataset.head.number
            );
            let audit = change(dataset, Action::dataset_delete(), summary);
            let writes = [
                Write::Delete { key: dataset.key(), expect: stored.unchanged() },
                Write::Delete {
                    key: DatasetPointer::key_of(project, &dataset.id),
                    expect: Expect::Any,
                },
                audit.write(&Author::of(by).actor, now)?,
            ];
            if self.store.committed(&writes).await? {
                break stored.value;
            }
        };
        // Nothing leads to them any more; should this be cut short, they are left and harm nobody.
        // What they are made of is swept.
        self.remove_snapshots(&dataset, u32::MAX).await?;
        Ok(dataset)
    }

    /// Removes the snapshots that are more than are to be kept.
    pub(super) async fn trim(&self, dataset: &Dataset) {
        let Some(keep) = dataset.keep_snapshots else { return };
        let before = dataset.head.number.saturating_add(1).saturating_sub(keep);
        if let Err(error) = self.remove_snapshots(dataset, before).await {
            tracing::warn!(
                dataset = %dataset.name, error = &error as &dyn std::error::Error,
                "snapshots that need not be kept were not removed; the next change tries again"
            );
        }
    }

    /// Removes the snapshots with numbers below `before`.
    async fn remove_snapshots(&self, dataset: &Dataset, before: u32) -> Result<(), DatasetError> {
        loop {
            let mut query = Snapshot::newest_first(dataset);
            (query.direction, query.limit) = (Direction::Ascending, AT_ONCE);
            let (snapshots, _) = self.store.load_page::<Snapshot>(&query).await?;
            let old = snapshots.iter().map(|stored| &stored.value);
            let old: Vec<_> = old.take_while(|snapshot| snapshot.number < before).collect();
            let mut writes = Vec::new();
            for snapshot in &old {
                writes.push(Write::Delete { key: snapshot.key(), expect: Expect::Any });
                let key = DigestPointer::of(snapshot).key();
                // A newer snapshot may say the same.
                let pointer = self.store.load::<DigestPointer>(&key).await?;
                if let Some(pointer) = pointer.filter(|p| p.value.number == snapshot.number) {
                    writes.push(Write::Delete { key, expect: pointer.unchanged() });
                }
            }
            if writes.is_empty() {
                return Ok(());
            }
            self.store.committed(&writes).await?;
        }
    }
}

/// Which fields are not as they were.
fn changed(before: &Dataset, after: &Dataset) -> String {
    let fields = [
        ("description", before.description != after.description),
        ("tags", before.tags != after.tags),
        ("metadata", before.metadata != after.metadata),
        ("prompts", before.prompts != after.prompts),
        ("keep_snapshots", before.keep_snapshots != after.keep_snapshots),
    ];
    let changed = fields.into_iter().filter(|(_, is)| *is).map(|(field, _)| field);
    changed.collect::<Vec<_>>().join(", ")
}
