use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use serde_json::{Value, json};

use super::*;
use crate::audit::{AuditFilter, AuditLog};
use crate::ports::{BlobKey, Blobs, StateStore};
use crate::tenancy::{Allowed, ProjectId};
use crate::testing::{ManualClock, MemoryBlobs, MemoryStore, SeededEntropy};

pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<dyn StateStore>,
    pub(super) blobs: Arc<MemoryBlobs>,
    pub(super) datasets: Datasets,
}

impl World {
    pub(super) fn new() -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-28T00:00:00Z".parse().unwrap()));
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
        let blobs = Arc::new(MemoryBlobs::default());
        let entropy = Arc::new(SeededEntropy::new(1));
        let datasets = Datasets::new(store.clone(), blobs.clone(), clock.clone(), entropy);
        Self { clock, store, blobs, datasets }
    }

    pub(super) async fn create(
        &self,
        name: &str,
        new: NewDataset,
    ) -> Result<Dataset, DatasetError> {
        self.clock.advance(Duration::from_secs(1));
        self.datasets.create(&Allowed::operator(), &project(), &name.parse().unwrap(), new).await
    }

    pub(super) async fn add(
        &self,
        name: &str,
        examples: Vec<ExampleContent>,
    ) -> Result<Added, DatasetError> {
        self.clock.advance(Duration::from_secs(1));
        let new = NewExamples { examples, ..NewExamples::default() };
        self.datasets.add(&Allowed::operator(), &project(), name, new).await
    }

    pub(super) async fn snapshot(&self, reference: &str) -> Result<Snapshot, DatasetError> {
        let reference = reference.parse().unwrap();
        self.datasets.resolve(&Allowed::operator(), &project(), &reference).await
    }

    pub(super) async fn reader(&self, reference: &str) -> SnapshotReader {
        self.datasets.open(&self.snapshot(reference).await.unwrap()).await.unwrap()
    }

    pub(super) async fn inputs(&self, reference: &str) -> Vec<Value> {
        let examples = self.reader(reference).await.read(0..u64::MAX).await.unwrap();
        examples.into_iter().map(|example| example.content.input).collect()
    }

    /// How many bytes there are in blobs.
    fn bytes(&self) -> u64 {
        let all = block_on(self.blobs.list(&BlobKey::new("datasets").unwrap())).unwrap();
        all.iter().map(|(_, size)| size).sum()
    }
}

pub(super) fn project() -> ProjectId {
    ProjectId::default()
}

pub(super) fn content(input: impl Into<Value>) -> ExampleContent {
    ExampleContent { input: input.into(), ..ExampleContent::default() }
}

pub(super) fn contents(count: usize) -> Vec<ExampleContent> {
    (0..count).map(|number| content(format!("question {number}"))).collect()
}

#[test]
fn a_dataset_is_read_back_in_order_and_its_snapshots_stay() {
    block_on(async {
        let world = World::new();
        let created = world.create("golden", NewDataset::default()).await.unwrap();
        assert_eq!((created.head.number, created.head.examples), (1, 0));
        assert_eq!(world.inputs("golden").await, Vec::<Value>::new());
        let added = world.add("golden", vec![content("a"), content("b")]).await.unwrap();
        let ids: Vec<_> = added.ids.iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["ex_0000000001", "ex_0000000002"]);
        let second = world.snapshot("golden@latest").await.unwrap();
        assert_eq!((second.number, second.examples), (2, 2));
        world.add("golden", vec![content("c")]).await.unwrap();
        assert_eq!(world.inputs("golden").await, ["a", "b", "c"]);
        assert_eq!(world.inputs("golden@v2").await, ["a", "b"]);
        assert_eq!(world.inputs(&second.reference()).await, ["a", "b"]);
        let by_id = world.inputs(&format!("{}@v2", created.id)).await;
        assert_eq!(by_id, ["a", "b"]);
        // It is all that it takes, for whoever kept it.
        let kept: Snapshot = serde_json::from_value(json!(second)).unwrap();
        let reader = world.datasets.open(&kept).await.unwrap();
        assert_eq!(reader.examples(), 2);
    });
}

#[test]
fn changes_and_removals_touch_nothing_else() {
    block_on(async {
        let world = World::new();
        world.create("d", NewDataset::default()).await.unwrap();
        let ids = world.add("d", contents(5)).await.unwrap().ids;
        let (by, project) = (Allowed::operator(), project());
        let datasets = &world.datasets;
        datasets.replace(&by, &project, "d", ids[1], content("new"), None).await.unwrap();
        datasets.remove(&by, &project, "d", &[ids[0], ids[4]], None).await.unwrap();
        assert_eq!(world.inputs("d").await, ["new", "question 2", "question 3"]);
        // No later example gets the id of one that is gone.
        assert_eq!(world.add("d", contents(1)).await.unwrap().ids, [ExampleId::numbered(6)]);
        let error = datasets.remove(&by, &project, "d", &[ids[1], ids[0]], None).await.unwrap_err();
        assert!(matches!(error, DatasetError::NoExample { id, .. } if id == ids[0]), "{error}");
        assert_eq!(world.reader("d").await.examples(), 4, "all or none");
        let found = datasets
            .example(&Allowed::operator(), &project, &"d".parse().unwrap(), ids[1])
            .await
            .unwrap();
        assert_eq!(found.content.input, "new");
        let gone =
            datasets.example(&Allowed::operator(), &project, &"d".parse().unwrap(), ids[0]).await;
        assert!(matches!(gone, Err(DatasetError::NoExample { .. })));
        let of_old = datasets
            .example(&Allowed::operator(), &project, &"d@v2".parse().unwrap(), ids[0])
            .await;
        assert_eq!(of_old.unwrap().content.input, "question 0");
        let all: Vec<_> = (2..=6).filter(|n| *n != 5).map(ExampleId::numbered).collect();
        let empty = datasets.remove(&by, &project, "d", &all, None).await.unwrap();
        assert_eq!(empty.head.examples, 0);
        let filter = AuditFilter::default();
        let log = AuditLog::new(world.store.clone(), world.clock.clone());
        let page = log.list(&Allowed::operator(), &project, &filter, 50, None).await.unwrap();
        let actions: BTreeSet<_> =
            page.records.iter().map(|record| record.action.as_str().to_owned()).collect();
        let expected = ["dataset.add", "dataset.change", "dataset.create", "dataset.remove"];
        assert_eq!(actions, expected.map(str::to_owned).into());
    });
}

#[test]
fn what_is_done_and_undone_says_the_same() {
    block_on(async {
        let world = World::new();
        world.create("d", NewDataset::default()).await.unwrap();
        let id = world.add("d", vec![content("a")]).await.unwrap().ids[0];
        let before = world.snapshot("d").await.unwrap();
        let (by, project) = (Allowed::operator(), project());
        let same = world.datasets.replace(&by, &project, "d", id, content("a"), None).await;
        assert_eq!(same.unwrap().head, before, "nothing was changed");
        for text in ["b", "a"] {
            let content = content(text);
            world.datasets.replace(&by, &project, "d", id, content, None).await.unwrap();
        }
        let after = world.snapshot("d").await.unwrap();
        assert_eq!((after.number, &after.digest), (4, &before.digest));
        assert_eq!(world.snapshot(&before.reference()).await.unwrap().number, 4);
    });
}

#[test]
fn examples_are_paged_by_position_and_by_id() {
    block_on(async {
        let world = World::new();
        world.create("d", NewDataset::default()).await.unwrap();
        for _ in 0..3 {
            world.add("d", contents(1_000)).await.unwrap();
        }
        let ids: Vec<_> = (1..=500).map(|n| ExampleId::numbered(2 * n)).collect();
        world.datasets.remove(&Allowed::operator(), &project(), "d", &ids, None).await.unwrap();
        let reader = world.reader("d").await;
        assert_eq!((reader.examples(), reader.chunks()), (2_500, 3));
        let all = reader.read(0..u64::MAX).await.unwrap();
        assert!(all.is_sorted_by_key(|example| example.id) && all.len() == 2_500);
        assert_eq!(reader.read(499..1_502).await.unwrap(), all[499..1_502]);
        assert_eq!(reader.read(2_499..9_999).await.unwrap(), all[2_499..]);
        assert!(reader.read(2_500..9_999).await.unwrap().is_empty());
        let (mut after, mut paged) = (None, Vec::new());
        loop {
            let page = reader.after(after, 700).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            paged.extend(page);
        }
        assert_eq!(paged, all);
        // After an id that is gone, the next one that is there.
        let gone = ExampleId::numbered(1_000);
        assert_eq!(reader.after(Some(gone), 1).await.unwrap()[0].id.number(), 1_001);
    });
}

#[test]
fn one_more_example_writes_a_chunk_and_a_manifest() {
    block_on(async {
        let world = World::new();
        world.create("d", NewDataset::default()).await.unwrap();
        for _ in 0..20 {
            world.add("d", contents(1_000)).await.unwrap();
        }
        world.add("d", contents(500)).await.unwrap();
        let before = world.bytes();
        world.add("d", contents(1)).await.unwrap();
        let written = world.bytes() - before;
        assert!(written < 100_000, "{written} of {before}");
    });
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    block_on(async {
        let world = World::new();
        let schema = DeclaredSchema {
            input: Some(json!({"type": "object", "required": ["q"]})),
            expected: Some(json!({"type": "string"})),
        };
        let new = NewDataset { schema: Some(schema), ..NewDataset::default() };
        world.create("d", new).await.unwrap();
        let good = ExampleContent { expected: Some(json!("x")), ..content(json!({"q": 1})) };
        let bad = ExampleContent { expected: Some(json!(2)), ..good.clone() };
        let error = world.add("d", vec![good.clone(), bad]).await.unwrap_err();
        assert!(error.to_string().starts_with("`examples[1].expected` does not fit"), "{error}");
        let error = world.add("d", vec![content("text")]).await.unwrap_err();
        assert!(error.to_string().starts_with("`examples[0].input` does not fit"), "{error}");
        assert!(world.add("d", Vec::new()).await.is_err());
        assert_eq!(world.reader("d").await.examples(), 0, "nothing of it is kept");
        let id = world.add("d", vec![good]).await.unwrap().ids[0];
        let by = Allowed::operator();
        let error = world.datasets.replace(&by, &project(), "d", id, content(1), None).await;
        assert!(error.unwrap_err().to_string().starts_with("`example.input` does not fit"));
        for (name, is) in [("nobody", "does not exist"), ("a/b", "without slashes and colons")] {
            let error = world.add(name, contents(1)).await.unwrap_err();
            assert!(error.to_string().contains(is), "{error}");
        }
        for selector in ["v9", "0123456789"] {
            let error = world.snapshot(&format!("d@{selector}")).await.unwrap_err();
            assert!(error.to_string().contains("diogenes dataset snapshots d"), "{error}");
        }
        assert!(matches!(
            world.create("d", NewDataset::default()).await,
            Err(DatasetError::Exists(_))
        ));
    });
}

#[test]
fn additions_at_once_all_happen() {
    let world = World::new();
    block_on(world.create("d", NewDataset::default())).unwrap();
    let mut ids = std::thread::scope(|scope| {
        let add = |number: usize| {
            let world = &world;
            scope.spawn(move || block_on(world.add("d", vec![content(number)])).unwrap().ids)
        };
        let threads: Vec<_> = (0..16).map(add).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    ids.sort();
    let expected: Vec<_> = (1..=16).map(ExampleId::numbered).collect();
    assert_eq!(ids, expected);
    block_on(async {
        let examples = world.reader("d").await.read(0..99).await.unwrap();
        let inputs: BTreeSet<_> = examples.iter().map(|e| e.content.input.as_u64()).collect();
        assert_eq!((inputs.len(), world.snapshot("d").await.unwrap().number), (16, 17));
    });
}

#[test]
fn a_change_of_what_was_changed_meanwhile_is_refused_if_wanted() {
    block_on(async {
        let world = World::new();
        world.create("d", NewDataset::default()).await.unwrap();
        let add = async |after| {
            let new =
                NewExamples { examples: contents(1), after: Some(after), ..NewExamples::default() };
            world.datasets.add(&Allowed::operator(), &project(), "d", new).await
        };
        assert!(add(1).await.is_ok());
        let error = add(1).await.unwrap_err();
        assert!(matches!(error, DatasetError::Changed { .. }), "{error}");
    });
}

#[test]
fn duplicates_are_left_out_if_wanted() {
    block_on(async {
        let world = World::new();
        world.create("d", NewDataset::default()).await.unwrap();
        world.add("d", contents(3)).await.unwrap();
        let examples = [contents(5), contents(5)].concat();
        let new = NewExamples { examples, skip_duplicates: true, after: None };
        let add = async |new| {
            world.datasets.add(&Allowed::operator(), &project(), "d", new).await.unwrap()
        };
        let added = add(new.clone()).await;
        assert_eq!((added.ids.len(), added.duplicates), (2, 8));
        let added = add(new).await;
        assert_eq!((added.ids.len(), added.duplicates, added.dataset.head.number), (0, 10, 3));
    });
}

#[test]
fn a_difference_names_what_was_added_removed_and_changed() {
    block_on(async {
        let world = World::new();
        world.create("d", NewDataset::default()).await.unwrap();
        for _ in 0..2 {
            world.add("d", contents(1_000)).await.unwrap();
        }
        let (by, project) = (Allowed::operator(), project());
        let id = ExampleId::numbered;
        world.datasets.remove(&by, &project, "d", &[id(3)], None).await.unwrap();
        world.datasets.replace(&by, &project, "d", id(5), content("new"), None).await.unwrap();
        world.add("d", contents(2)).await.unwrap();
        let (before, after) = (world.reader("d@v3").await, world.reader("d").await);
        let diff = compare(&before, &after, 3).await.unwrap();
        assert_eq!((diff.added, diff.removed, diff.changed), (2, 1, 1));
        let ExampleChange::Removed(removed) = &diff.changes[0] else { panic!("{diff:?}") };
        let ExampleChange::Changed { before: was, after: is } = &diff.changes[1] else {
            panic!("{diff:?}")
        };
        let ExampleChange::Added(added) = &diff.changes[2] else { panic!("{diff:?}") };
        assert_eq!([removed.id, was.id, is.id, added.id], [3, 5, 5, 2_001].map(id));
        let back = compare(&after, &before, 0).await.unwrap();
        assert_eq!((back.added, back.removed, back.changed), (1, 2, 1));
        assert_eq!(compare(&after, &after, 9).await.unwrap(), SnapshotDiff::default());
    });
}

#[test]
fn damage_is_told_and_nothing_made_up() {
    block_on(async {
        let world = World::new();
        world.create("d", NewDataset::default()).await.unwrap();
        world.add("d", contents(2)).await.unwrap();
        let reader = world.reader("d").await;
        let all = world.blobs.list(&BlobKey::new("datasets").unwrap()).await.unwrap();
        let is_chunk = |key: &BlobKey| !key.as_str().contains("manifest");
        let (chunk, _) = all.into_iter().find(|(key, _)| is_chunk(key)).unwrap();
        world.blobs.put(&chunk, b"{\"n\":0,\"input\":1}\n".to_vec(), false).await.unwrap();
        let error = reader.read(0..1).await.unwrap_err();
        assert!(error.to_string().contains("is not what was written"), "{error}");
        world.blobs.delete(&chunk).await.unwrap();
        let error = world.add("d", contents(1)).await.unwrap_err();
        assert!(matches!(error, DatasetError::Damaged { .. }), "{error}");
    });
}

#[test]
fn an_inferred_schema_grows_with_the_examples() {
    block_on(async {
        let world = World::new();
        world.create("d", NewDataset::default()).await.unwrap();
        world.add("d", vec![content(json!({"q": "a"}))]).await.unwrap();
        world.add("d", vec![content(json!({"q": "b", "n": 1}))]).await.unwrap();
        let schema = world.reader("d").await.schema().input();
        let expected = json!({
            "type": "object",
            "properties": {"q": {"type": "string"}, "n": {"type": "integer"}},
            "required": ["q"],
        });
        assert_eq!(schema, Some(expected));
    });
}

#[test]
fn only_so_many_snapshots_are_kept_as_wanted() {
    block_on(async {
        let world = World::new();
        world.create("d", NewDataset::default()).await.unwrap();
        for _ in 0..5 {
            world.add("d", contents(1)).await.unwrap();
        }
        let (by, project) = (Allowed::operator(), project());
        let update = DatasetUpdate { keep_snapshots: Some(2), ..DatasetUpdate::default() };
        world.datasets.update(&by, &project, "d", &update).await.unwrap();
        world.add("d", contents(1)).await.unwrap();
        let page =
            world.datasets.snapshots(&Allowed::operator(), &project, "d", 9, None).await.unwrap();
        let numbers: Vec<_> = page.snapshots.iter().map(|snapshot| snapshot.number).collect();
        assert_eq!(numbers, [7, 6]);
        assert!(world.snapshot("d@v5").await.is_err());
    });
}

#[test]
fn a_deleted_dataset_is_gone_with_its_snapshots_and_its_name_is_free() {
    block_on(async {
        let world = World::new();
        let created = world.create("d", NewDataset::default()).await.unwrap();
        world.add("d", contents(1)).await.unwrap();
        world.datasets.delete(&Allowed::operator(), &project(), "d").await.unwrap();
        for name in ["d", "d@v2", created.id.as_str()] {
            assert!(matches!(world.snapshot(name).await, Err(DatasetError::NotFound(_))), "{name}");
        }
        let again = world.create("d", NewDataset::default()).await.unwrap();
        assert_ne!(again.id, created.id);
        assert!(world.snapshot("d@v2").await.is_err());
    });
}

#[test]
fn datasets_are_searched_and_listed_by_name() {
    block_on(async {
        let world = World::new();
        for (name, tag) in [("b", "x"), ("a", "y"), ("c", "x")] {
            let update = DatasetUpdate {
                description: Some(format!("All about {name}.")),
                tags: Some(BTreeSet::from([tag.to_owned()])),
                prompts: Some(BTreeSet::from([format!("p-{tag}").parse().unwrap()])),
                ..DatasetUpdate::default()
            };
            world.create(name, NewDataset { update, ..NewDataset::default() }).await.unwrap();
        }
        let list = async |filter: &DatasetFilter, limit, cursor| {
            let (by, project) = (Allowed::operator(), project());
            let page = world.datasets.list(&by, &project, filter, limit, cursor).await.unwrap();
            let names = page.datasets.iter().map(|dataset| dataset.name.to_string());
            (names.collect::<Vec<_>>(), page.next)
        };
        let all = DatasetFilter::default();
        let (names, next) = list(&all, 2, None).await;
        assert_eq!(names, ["a", "b"]);
        assert_eq!(list(&all, 2, next).await.0, ["c"]);
        let filter = DatasetFilter { tags: vec!["x".into()], ..all.clone() };
        assert_eq!(list(&filter, 9, None).await.0, ["b", "c"]);
        let filter = DatasetFilter { search: Some("ABOUT A".into()), ..all.clone() };
        assert_eq!(list(&filter, 9, None).await.0, ["a"]);
        let filter = DatasetFilter { prompt: Some("p-y".into()), ..all };
        assert_eq!(list(&filter, 9, None).await.0, ["a"]);
    });
}
