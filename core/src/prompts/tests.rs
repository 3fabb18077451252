use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pollster::block_on;
use serde_json::json;

use super::*;
use crate::audit::{AuditFilter, AuditLog};
use crate::ports::{Clock, StateStore};
use crate::tenancy::{Allowed, Permission, Permissions, Principal, ProjectId, may};
use crate::testing::{ManualClock, MemoryStore, SeededEntropy};

pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Arc<dyn StateStore>,
    pub(super) prompts: Prompts,
}

impl World {
    pub(super) fn new() -> Self {
        let clock = Arc::new(ManualClock::new("2026-03-01T00:00:00Z".parse().unwrap()));
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let prompts = Prompts::new(store.clone(), clock.clone(), entropy);
        Self { clock, store, prompts }
    }

    pub(super) async fn push(&self, slug: &str, text: &str) -> Result<Pushed, PromptError> {
        self.pushed(slug, NewVersion { content: content(text), ..NewVersion::default() }).await
    }

    async fn pushed(&self, slug: &str, new: NewVersion) -> Result<Pushed, PromptError> {
        self.clock.advance(Duration::from_secs(1));
        self.prompts.push(&Allowed::operator(), &project(), slug, new).await
    }

    pub(super) async fn label(
        &self,
        slug: &str,
        label: &str,
        to: u32,
    ) -> Result<Prompt, PromptError> {
        self.clock.advance(Duration::from_secs(1));
        let wanted = LabelMove { from: None, ..to_version(label, to) };
        self.prompts.move_label(&Allowed::operator(), &project(), slug, &wanted).await
    }

    pub(super) async fn update(
        &self,
        slug: &str,
        status: PromptStatus,
    ) -> Result<Prompt, PromptError> {
        self.clock.advance(Duration::from_secs(1));
        let update = PromptUpdate { status: Some(status), ..PromptUpdate::default() };
        self.prompts.update(&Allowed::operator(), &project(), slug, &update).await
    }

    async fn list(&self, filter: &PromptFilter) -> Vec<String> {
        let page = self.prompts.list(&Allowed::operator(), &project(), filter, 50, None).await;
        page.unwrap().prompts.into_iter().map(|prompt| prompt.slug.to_string()).collect()
    }
}

pub(super) fn project() -> ProjectId {
    ProjectId::default()
}

pub(super) fn content(text: &str) -> PromptContent {
    serde_json::from_value(json!({
        "messages": [{"role": "user", "content": text}],
        "variables": [{"name": "x", "required": false}],
    }))
    .unwrap()
}

fn to_version(label: &str, to: u32) -> LabelMove {
    LabelMove {
        label: label.parse().unwrap(),
        to: Some(Selector::Number(to)),
        from: None,
        reason: "it is better".into(),
    }
}

/// Somebody who may write, and not release.
fn writer() -> Allowed<may::PromptsWrite> {
    let permissions = Permissions::of(&[Permission::PromptsRead, Permission::PromptsWrite]);
    Allowed::check(Arc::new(Principal { permissions, ..Principal::operator() })).unwrap()
}

#[test]
fn versions_are_counted_and_the_same_again_makes_none() {
    block_on(async {
        let world = World::new();
        let first = world.push("a", "one two").await.unwrap();
        assert_eq!((first.version.number, first.is_new, first.comparison), (1, true, None));
        let second = world.push("a", "one three").await.unwrap();
        assert_eq!((second.version.number, second.is_new), (2, true));
        assert_eq!(second.comparison.unwrap().differences[0].field, "messages[0].content");
        let again = world.push("a", "one three").await.unwrap();
        assert_eq!((again.version.number, again.is_new), (2, false));
        // What stood before the newest is new again.
        assert_eq!(world.push("a", "one two").await.unwrap().version.number, 3);
        let by = Allowed::operator();
        let page = world.prompts.history(&by, &project(), "a", 2, None).await.unwrap();
        let numbers: Vec<_> = page.versions.iter().map(|version| version.number).collect();
        assert_eq!((numbers, page.next.is_some()), (vec![3, 2], true));
        let id = first.prompt.id.to_string();
        assert_eq!(world.prompts.get(&by, &project(), &id).await.unwrap().latest, 3);
    });
}

#[test]
fn an_identical_push_still_changes_the_name() {
    block_on(async {
        let world = World::new();
        world.push("a", "one").await.unwrap();
        let update = PromptUpdate { name: Some("A".into()), ..PromptUpdate::default() };
        let new = NewVersion { content: content("one"), update, ..NewVersion::default() };
        let again = world.pushed("a", new).await.unwrap();
        assert_eq!(
            (again.is_new, again.prompt.name.as_str(), again.prompt.latest),
            (false, "A", 1)
        );
    });
}

#[test]
fn pushes_at_once_all_become_versions() {
    let world = World::new();
    let pushed = std::thread::scope(|scope| {
        let push = |number: usize| {
            let world = &world;
            scope.spawn(move || block_on(world.push("a", &format!("text {number}"))).unwrap())
        };
        let threads: Vec<_> = (0..16).map(push).collect();
        let versions = threads.into_iter().map(|thread| thread.join().unwrap().version);
        versions.map(|version| (version.number, version.content)).collect::<Vec<_>>()
    });
    let numbers: BTreeSet<_> = pushed.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=16).collect());
    block_on(async {
        for (number, content) in pushed {
            let version = Selector::Number(number);
            let by = Allowed::operator();
            let stored = world.prompts.version(&by, &project(), "a", &version).await.unwrap().1;
            assert_eq!(stored.content, content);
        }
    });
}

#[test]
fn whoever_names_the_newest_version_is_told_of_a_newer_one() {
    block_on(async {
        let world = World::new();
        let new = |text: &str, after| NewVersion {
            content: content(text),
            after: Some(after),
            ..NewVersion::default()
        };
        world.pushed("a", new("one", 0)).await.unwrap();
        let error = world.pushed("a", new("two", 0)).await.unwrap_err();
        assert!(matches!(error, PromptError::Exists(_)), "{error}");
        world.pushed("a", new("two", 1)).await.unwrap();
        let error = world.pushed("a", new("three", 1)).await.unwrap_err();
        assert!(matches!(error, PromptError::NotAfter { latest: 2, .. }), "{error}");
    });
}

#[test]
fn labels_move_and_say_who_moved_them() {
    block_on(async {
        let world = World::new();
        world.push("a", "one").await.unwrap();
        world.push("a", "two").await.unwrap();
        let prompt = world.label("a", "production", 1).await.unwrap();
        let state = &prompt.labels[&Label::default_label()];
        assert_eq!((state.version, state.by.as_str()), (1, "operator"));
        assert_eq!(state.reason, "it is better");
        assert_eq!(prompt.number_of(&Selector::Default), Some(1));
        assert_eq!(prompt.number_of(&Selector::Latest), Some(2));
        let by = Allowed::operator();
        let elsewhere = LabelMove { from: Some(2), ..to_version("production", 2) };
        let error = world.prompts.move_label(&by, &project(), "a", &elsewhere).await.unwrap_err();
        assert!(error.to_string().contains("is at v1"), "{error}");
        world.clock.advance(Duration::from_secs(1));
        let from = LabelMove { from: Some(1), ..to_version("production", 2) };
        world.prompts.move_label(&by, &project(), "a", &from).await.unwrap();
        let error = world.label("a", "staging", 3).await.unwrap_err();
        assert!(matches!(error, PromptError::NoVersion { latest: 2, .. }), "{error}");
        let gone = LabelMove { to: None, ..to_version("production", 1) };
        let prompt = world.prompts.move_label(&by, &project(), "a", &gone).await.unwrap();
        assert_eq!(prompt.number_of(&Selector::Default), None);
        let log = AuditLog::new(world.store.clone(), world.clock.clone());
        let filter = AuditFilter { action: Some("prompt.".into()), ..AuditFilter::default() };
        let page = log.list(&Allowed::operator(), &project(), &filter, 50, None).await.unwrap();
        let told: Vec<_> = page.records.iter().rev().map(|it| it.summary.as_str()).collect();
        assert_eq!(
            told,
            [
                "v1",
                "v2",
                "production to v1: it is better",
                "production from v1 to v2: it is better",
                "production from v2: it is better",
            ]
        );
    });
}

#[test]
fn protected_labels_take_a_permission() {
    block_on(async {
        let world = World::new();
        world.push("a", "one").await.unwrap();
        let (by, name, at) = (writer(), "a", project());
        let refused = |result: Result<Prompt, PromptError>| {
            let error = result.unwrap_err();
            assert!(matches!(error, PromptError::Protected { .. }), "{error}");
        };
        let mut moved = to_version("production", 1);
        refused(world.prompts.move_label(&by, &at, name, &moved).await);
        moved.label = "staging".parse().unwrap();
        world.prompts.move_label(&by, &at, name, &moved).await.unwrap();
        let open =
            PromptUpdate { protected_labels: Some(BTreeSet::new()), ..PromptUpdate::default() };
        refused(world.prompts.update(&by, &at, name, &open).await);
        world.label("a", "production", 1).await.unwrap();
        let archive =
            PromptUpdate { status: Some(PromptStatus::Archived), ..PromptUpdate::default() };
        refused(world.prompts.update(&by, &at, name, &archive).await);
        world.prompts.update(&Allowed::operator(), &at, name, &open).await.unwrap();
        world.prompts.update(&by, &at, name, &archive).await.unwrap();
    });
}

#[test]
fn an_archived_prompt_is_left_alone_until_it_is_restored() {
    block_on(async {
        let world = World::new();
        let by = Allowed::operator();
        let first = world.push("a", "one").await.unwrap().prompt;
        let error = world.prompts.delete(&by, &project(), "a").await.unwrap_err();
        assert!(matches!(error, PromptError::NotArchived(_)), "{error}");
        world.update("a", PromptStatus::Archived).await.unwrap();
        for error in [
            world.push("a", "two").await.unwrap_err(),
            world.label("a", "staging", 1).await.unwrap_err(),
        ] {
            assert!(matches!(error, PromptError::Archived(_)), "{error}");
        }
        assert_eq!(world.list(&PromptFilter::default()).await, [""; 0]);
        world.update("a", PromptStatus::Active).await.unwrap();
        assert_eq!(world.push("a", "two").await.unwrap().version.number, 2);
        world.update("a", PromptStatus::Archived).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
        world.prompts.delete(&by, &project(), "a").await.unwrap();
        for name in ["a", first.id.as_str()] {
            let error =
                world.prompts.get(&Allowed::operator(), &project(), name).await.unwrap_err();
            assert!(matches!(error, PromptError::NotFound(_)), "{error}");
        }
        let again = world.push("a", "three").await.unwrap();
        assert_eq!(again.version.number, 1);
        assert_ne!(again.prompt.id, first.id);
    });
}

#[test]
fn prompts_are_searched_and_ordered() {
    block_on(async {
        let world = World::new();
        for (slug, name, tag) in [("b", "Zeta", "x"), ("a", "beta", "x"), ("c", "Alpha", "y")] {
            let update = PromptUpdate {
                name: Some(name.into()),
                tags: Some(BTreeSet::from([tag.to_owned()])),
                ..PromptUpdate::default()
            };
            let new = NewVersion { content: content("t"), update, ..NewVersion::default() };
            world.pushed(slug, new).await.unwrap();
        }
        let by = |order_by| PromptFilter { order_by, ..PromptFilter::default() };
        assert_eq!(world.list(&by(OrderBy::Slug)).await, ["a", "b", "c"]);
        assert_eq!(world.list(&by(OrderBy::Name)).await, ["c", "a", "b"]);
        let newest = PromptFilter { descending: true, ..by(OrderBy::CreatedAt) };
        assert_eq!(world.list(&newest).await, ["c", "a", "b"]);
        let tagged = PromptFilter { tags: vec!["x".into()], ..PromptFilter::default() };
        assert_eq!(world.list(&tagged).await, ["a", "b"]);
        let found = PromptFilter { search: Some("ETA".into()), ..PromptFilter::default() };
        assert_eq!(world.list(&found).await, ["a", "b"]);
        let operator = Allowed::operator();
        for filter in [by(OrderBy::Name), newest] {
            let (mut cursor, mut paged) = (None, Vec::new());
            loop {
                let page =
                    world.prompts.list(&operator, &project(), &filter, 1, cursor).await.unwrap();
                paged.extend(page.prompts.into_iter().map(|prompt| prompt.slug.to_string()));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(paged, world.list(&filter).await);
        }
    });
}

#[test]
fn a_bad_version_is_refused_with_its_place_and_nothing_is_written() {
    block_on(async {
        let world = World::new();
        for (content, field) in [
            (json!({"messages": []}), "messages"),
            (
                json!({"messages": [{"role": "user", "content": "a\n{{ y }}"}]}),
                "messages[0].content",
            ),
            (json!({"messages": [{"role": "user", "content": "{{"}]}), "messages[0].content"),
            (
                json!({"messages": [{"role": "user", "content": ""}], "variables": [{"name": "a b"}]}),
                "variables[0].name",
            ),
            (
                json!({"messages": [{"role": "user", "content": ""}], "variables": [{"name": "a"}, {"name": "a"}]}),
                "variables[1].name",
            ),
            (
                json!({"messages": [{"role": "user", "content": ""}],
                    "variables": [{"name": "a", "type": "number", "default_value": "x"}]}),
                "variables[0].default_value",
            ),
            (
                json!({"messages": [{"role": "user", "content": ""}], "default_config": {"temperature": 3.0}}),
                "default_config.temperature",
            ),
            (json!({"messages": [{"role": "user", "content": ""}], "model": "a b"}), "model"),
            (
                json!({"messages": [{"role": "user", "content": "x".repeat(MAX_MESSAGE_BYTES + 1)}]}),
                "messages[0].content",
            ),
        ] {
            let new = NewVersion {
                content: serde_json::from_value(content).unwrap(),
                ..NewVersion::default()
            };
            match world.pushed("a", new).await.unwrap_err() {
                PromptError::Invalid(problem) => assert_eq!(problem.field, field, "{problem}"),
                error => panic!("{error}"),
            }
        }
        assert_eq!(world.list(&PromptFilter::default()).await, [""; 0]);
    });
}

#[test]
fn another_projects_prompts_are_not_there() {
    block_on(async {
        let world = World::new();
        world.push("a", "one").await.unwrap();
        let permissions = Permissions::of(&[Permission::PromptsRead]);
        let principal =
            Principal { permissions, project: "team-b".parse().unwrap(), ..Principal::operator() };
        let by = Allowed::check(Arc::new(principal)).unwrap();
        assert!(world.prompts.get(&by, &project(), "a").await.is_err());
        let own = by.project.clone();
        let error = world.prompts.get(&by, &own, "a").await.unwrap_err();
        assert!(matches!(error, PromptError::NotFound(_)), "{error}");
    });
}

#[test]
fn now_is_the_clocks() {
    let world = World::new();
    let pushed = block_on(world.push("a", "one")).unwrap();
    assert_eq!(pushed.version.created_at, world.clock.now());
}
