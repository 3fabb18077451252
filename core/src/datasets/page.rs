//! Some of the examples of a snapshot: those that pass a filter, a page at a time, in order or at random.

use std::collections::BinaryHeap;

use super::error::DatasetError;
use super::example::{Example, ExampleContent};
use super::names::ExampleId;
use super::reader::SnapshotReader;
use super::shuffle::{Shuffle, mixed};
use crate::ports::StoreError;

/// How many chunks one page looks through at most; then it is short, and the next one goes on.
const MOST_CHUNKS_READ: usize = 64;

/// Which examples to show. What is absent does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExampleFilter {
    /// Those with all of these tags.
    pub tags: Vec<String>,
    /// Those of this split.
    pub split: Option<String>,
    /// Those with this text in input, expected answer or metadata, in whatever case.
    pub search: Option<String>,
}

/// Which of those that pass, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sample {
    /// All of them, in the order of their ids.
    #[default]
    All,
    /// All of them in random order.
    Shuffled { seed: u64 },
    /// So many of them, drawn at random, in the order of their ids.
    Some { count: usize, seed: u64 },
}

/// A page of examples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExamplePage {
    pub examples: Vec<Example>,
    /// Where the next page starts. A page may be short, even empty; only this ends the listing.
    pub next: Option<String>,
}

impl ExampleFilter {
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.split.is_none() && self.search.is_none()
    }

    /// Whether an example passes.
    pub fn takes(&self, content: &ExampleContent) -> bool {
        self.tags.iter().all(|tag| content.tags.contains(tag))
            && self.split.as_ref().is_none_or(|split| content.split.as_ref() == Some(split))
            && self.search.as_ref().is_none_or(|search| has(content, &search.to_lowercase()))
    }
}

/// Whether the text stands in the example, where people see it: what is escaped in JSON is not.
fn has(content: &ExampleContent, wanted: &str) -> bool {
    fn within(value: &serde_json::Value, wanted: &str) -> bool {
        use serde_json::Value;
        match value {
            Value::Null => false,
            Value::Bool(is) => is.to_string() == wanted,
            Value::Number(number) => number.to_string().contains(wanted),
            Value::String(text) => text.to_lowercase().contains(wanted),
            Value::Array(items) => items.iter().any(|item| within(item, wanted)),
            Value::Object(fields) => fields
                .iter()
                .any(|(name, value)| name.to_lowercase().contains(wanted) || within(value, wanted)),
        }
    }
    let in_metadata = || {
        let mut fields = content.metadata.iter();
        fields.any(|(name, value)| name.to_lowercase().contains(wanted) || within(value, wanted))
    };
    within(&content.input, wanted)
        || content.expected.as_ref().is_some_and(|expected| within(expected, wanted))
        || in_metadata()
}

impl SnapshotReader {
    /// One page of the examples that pass.
    pub async fn page(
        &self,
        filter: &ExampleFilter,
        sample: Sample,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<ExamplePage, DatasetError> {
        match sample {
            Sample::All => {
                let after = cursor.map(str::parse::<ExampleId>).transpose();
                let after = after.map_err(|_| StoreError::InvalidCursor)?;
                self.in_order(filter, limit, after).await
            }
            Sample::Shuffled { seed } => {
                let place = cursor.map(str::parse::<u64>).transpose();
                let place = place.map_err(|_| StoreError::InvalidCursor)?;
                self.shuffled(filter, seed, limit, place.unwrap_or_default()).await
            }
            Sample::Some { count, seed } => {
                let examples = self.drawn(filter, count, seed).await?;
                Ok(ExamplePage { examples, next: None })
            }
        }
    }

    async fn in_order(
        &self,
        filter: &ExampleFilter,
        limit: usize,
        after: Option<ExampleId>,
    ) -> Result<ExamplePage, DatasetError> {
        let mut examples = Vec::new();
        let mut seen = after;
        let mut place = self.chunk_after(after);
        let last = self.chunks().min(place.saturating_add(MOST_CHUNKS_READ));
        while place < last {
            for example in self.chunk(place).await? {
                if after.is_some_and(|after| example.id <= after) {
                    continue;
                }
                if examples.len() >= limit {
                    let next = examples.last().map(|last: &Example| last.id.to_string());
                    return Ok(ExamplePage { examples, next });
                }
                seen = Some(example.id);
                if filter.takes(&example.content) {
                    examples.push(example);
                }
            }
            place += 1;
        }
        let next = seen.filter(|_| place < self.chunks()).map(|id| id.to_string());
        Ok(ExamplePage { examples, next })
    }

    async fn shuffled(
        &self,
        filter: &ExampleFilter,
        seed: u64,
        limit: usize,
        from: u64,
    ) -> Result<ExamplePage, DatasetError> {
        let shuffle = Shuffle::new(self.examples(), seed);
        let to = self.examples().min(from.saturating_add(limit as u64));
        let places: Vec<_> = (from..to).filter_map(|place| shuffle.at(place)).collect();
        let mut examples = self.at(&places).await?;
        examples.retain(|example| filter.takes(&example.content));
        let next = (to < self.examples()).then(|| to.to_string());
        Ok(ExamplePage { examples, next })
    }

    /// The examples at these positions, in the order of the positions given. No chunk is read twice.
    pub async fn at(&self, positions: &[u64]) -> Result<Vec<Example>, DatasetError> {
        let mut order: Vec<_> = positions.iter().copied().enumerate().collect();
        order.sort_unstable_by_key(|(_, position)| *position);
        let mut found: Vec<(usize, Example)> = Vec::with_capacity(order.len());
        let mut chunk: Option<(u64, Vec<Example>)> = None;
        for (index, position) in order {
            let is_in = |(start, examples): &(u64, Vec<Example>)| {
                (*start..*start + examples.len() as u64).contains(&position)
            };
            if !chunk.as_ref().is_some_and(is_in) {
                let Some((place, start)) = self.chunk_at(position) else { continue };
                chunk = Some((start, self.chunk(place).await?));
            }
            let example = chunk.as_ref().and_then(|(start, examples)| {
                examples.get(usize::try_from(position - start).ok()?)
            });
            found.extend(example.map(|example| (index, example.clone())));
        }
        found.sort_unstable_by_key(|(index, _)| *index);
        Ok(found.into_iter().map(|(_, example)| example).collect())
    }

    async fn drawn(
        &self,
        filter: &ExampleFilter,
        count: usize,
        seed: u64,
    ) -> Result<Vec<Example>, DatasetError> {
        if filter.is_empty() {
            let shuffle = Shuffle::new(self.examples(), seed);
            let places = (0..count as u64).map_while(|place| shuffle.at(place));
            let mut places: Vec<_> = places.collect();
            places.sort_unstable();
            return self.at(&places).await;
        }
        // Those with the least hashes of all that pass: one look at each.
        let mut drawn: BinaryHeap<Drawn> = BinaryHeap::new();
        for place in 0..self.chunks() {
            for example in self.chunk(place).await? {
                let hash = mixed(example.id.number() ^ mixed(seed));
                let is_wanted =
                    drawn.len() < count || drawn.peek().is_some_and(|worst| hash < worst.hash);
                if is_wanted && filter.takes(&example.content) {
                    drawn.push(Drawn { hash, example });
                    if drawn.len() > count {
                        drawn.pop();
                    }
                }
            }
        }
        let mut examples: Vec<_> = drawn.into_iter().map(|drawn| drawn.example).collect();
        examples.sort_unstable_by_key(|example| example.id);
        Ok(examples)
    }
}

/// An example and the hash by which it is drawn; ids are unique, and so are the hashes.
struct Drawn {
    hash: u64,
    example: Example,
}

impl PartialEq for Drawn {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Drawn {}

impl PartialOrd for Drawn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Drawn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.hash.cmp(&other.hash)
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;
    use serde_json::json;

    use super::*;
    use crate::datasets::NewDataset;
    use crate::datasets::tests::World;

    async fn reader(world: &World) -> SnapshotReader {
        world.create("d", NewDataset::default()).await.unwrap();
        for start in [0, 1_000, 2_000] {
            let contents = (start..start + 1_000).map(|number| {
                let example = json!({
                    "input": {"q": format!("Question {number}")},
                    "tags": if number % 100 == 0 { vec!["round"] } else { vec![] },
                    "split": if number % 2 == 0 { "test" } else { "train" },
                });
                serde_json::from_value(example).unwrap()
            });
            world.add("d", contents.collect()).await.unwrap();
        }
        world.reader("d").await
    }

    async fn all(reader: &SnapshotReader, filter: &ExampleFilter, sample: Sample) -> Vec<u64> {
        let (mut cursor, mut ids) = (None, Vec::new());
        loop {
            let page = reader.page(filter, sample, 70, cursor.as_deref()).await.unwrap();
            ids.extend(page.examples.iter().map(|example| example.id.number()));
            cursor = page.next;
            if cursor.is_none() {
                return ids;
            }
        }
    }

    #[test]
    fn filters_let_through_what_fits() {
        block_on(async {
            let world = World::new();
            let reader = reader(&world).await;
            let filter = ExampleFilter::default();
            assert_eq!(all(&reader, &filter, Sample::All).await, (1..=3_000).collect::<Vec<_>>());
            let tagged = ExampleFilter { tags: vec!["round".into()], ..filter.clone() };
            assert_eq!(all(&reader, &tagged, Sample::All).await.len(), 30);
            let split = ExampleFilter { split: Some("train".into()), ..filter.clone() };
            assert_eq!(all(&reader, &split, Sample::All).await.len(), 1_500);
            let found = ExampleFilter { search: Some("qUESTION 2999".into()), ..filter.clone() };
            assert_eq!(all(&reader, &found, Sample::All).await, [3_000]);
            let none = ExampleFilter { search: Some("nothing".into()), ..filter };
            assert_eq!(all(&reader, &none, Sample::All).await, [0; 0]);
            let broken = reader.page(&none, Sample::All, 1, Some("x")).await.unwrap_err();
            assert!(matches!(broken, DatasetError::Store(StoreError::InvalidCursor)));
        });
    }

    #[test]
    fn a_seed_shuffles_and_draws_the_same_again() {
        block_on(async {
            let world = World::new();
            let reader = reader(&world).await;
            let filter = ExampleFilter::default();
            let mut shuffled = all(&reader, &filter, Sample::Shuffled { seed: 5 }).await;
            assert_eq!(all(&reader, &filter, Sample::Shuffled { seed: 5 }).await, shuffled);
            assert!(!shuffled.is_sorted());
            shuffled.sort_unstable();
            assert_eq!(shuffled, (1..=3_000).collect::<Vec<_>>());
            let split = ExampleFilter { split: Some("train".into()), ..filter.clone() };
            for filter in [&filter, &split] {
                let sample = Sample::Some { count: 40, seed: 5 };
                let drawn = all(&reader, filter, sample).await;
                assert_eq!(drawn, all(&reader, filter, sample).await);
                assert!(drawn.len() == 40 && drawn.is_sorted(), "{drawn:?}");
                let other = Sample::Some { count: 40, seed: 6 };
                assert_ne!(all(&reader, filter, other).await, drawn);
                let more = Sample::Some { count: 5_000, seed: 6 };
                let every = if filter.is_empty() { 3_000 } else { 1_500 };
                assert_eq!(all(&reader, filter, more).await.len(), every);
            }
        });
    }
}
