//! What is different between two snapshots of a dataset.

use std::collections::{HashSet, VecDeque};

use super::error::{DatasetError, DatasetProblem};
use super::example::Example;
use super::reader::SnapshotReader;

/// What happened to an example.
#[derive(Clone, Debug, PartialEq)]
pub enum ExampleChange {
    Added(Example),
    Removed(Example),
    Changed { before: Box<Example>, after: Box<Example> },
}

/// What is different.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotDiff {
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    /// The first of them, in the order of their ids.
    pub changes: Vec<ExampleChange>,
}

/// Compares two snapshots of one dataset, and keeps the first `limit` differences. Chunks that both
/// have are not read.
pub async fn compare(
    before: &SnapshotReader,
    after: &SnapshotReader,
    limit: usize,
) -> Result<SnapshotDiff, DatasetError> {
    if before.snapshot().dataset != after.snapshot().dataset {
        let problem = "must be a snapshot of the same dataset";
        return Err(DatasetProblem::new("to", problem).into());
    }
    let mut old = Side::of(before, after);
    let mut new = Side::of(after, before);
    let mut diff = SnapshotDiff::default();
    loop {
        let (left, right) = (old.next().await?, new.next().await?);
        let change = match (left, right) {
            (None, None) => return Ok(diff),
            (Some(left), Some(right)) if left.id == right.id => {
                if left == right {
                    continue;
                }
                diff.changed += 1;
                ExampleChange::Changed { before: Box::new(left), after: Box::new(right) }
            }
            (Some(left), right) if right.as_ref().is_none_or(|right| left.id < right.id) => {
                new.unread(right);
                diff.removed += 1;
                ExampleChange::Removed(left)
            }
            (left, Some(right)) => {
                old.unread(left);
                diff.added += 1;
                ExampleChange::Added(right)
            }
            (Some(left), None) => {
                diff.removed += 1;
                ExampleChange::Removed(left)
            }
        };
        if diff.changes.len() < limit {
            diff.changes.push(change);
        }
    }
}

/// The examples of one snapshot in the chunks that the other one does not have.
struct Side<'a> {
    reader: &'a SnapshotReader,
    places: VecDeque<usize>,
    examples: VecDeque<Example>,
}

impl<'a> Side<'a> {
    fn of(reader: &'a SnapshotReader, other: &SnapshotReader) -> Self {
        let others: HashSet<_> = other.contents().collect();
        let own = reader.contents().enumerate();
        let places = own.filter(|(_, chunk)| !others.contains(chunk)).map(|(place, _)| place);
        Self { reader, places: places.collect(), examples: VecDeque::new() }
    }

    async fn next(&mut self) -> Result<Option<Example>, DatasetError> {
        while self.examples.is_empty() {
            let Some(place) = self.places.pop_front() else { return Ok(None) };
            self.examples = self.reader.chunk(place).await?.into();
        }
        Ok(self.examples.pop_front())
    }

    fn unread(&mut self, example: Option<Example>) {
        if let Some(example) = example {
            self.examples.push_front(example);
        }
    }
}
