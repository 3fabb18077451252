//! Which model answers to a name, over a store whose index lags.

#![expect(clippy::unwrap_used, reason = "the fixture is not inside a test function")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use diogenes_core::Timestamp;
use diogenes_core::audit::Actor;
use diogenes_core::entity::StoreExt;
use diogenes_core::fleet::{
    Model, ModelSpec, NameClaim, NameHolder, Registry, RegistryError, Source,
};
use diogenes_core::gateway::catalog::{CatalogEditor, Precondition, SecretRule};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{
    Bound, Expect, Item, Key, Page, Query, StateStore, StoreError, Table, Version, Write,
};
use diogenes_core::testing::{CountingWake, ManualClock, MemoryStore};
use pollster::block_on;

/// A store whose index may lag for as long as the test wants.
struct Lagging {
    memory: MemoryStore,
    lags: AtomicBool,
    writes: AtomicUsize,
}

#[async_trait]
impl StateStore for Lagging {
    async fn get(&self, key: &Key) -> Result<Option<Item>, StoreError> {
        self.memory.get(key).await
    }

    async fn list(&self, query: &Query) -> Result<Page, StoreError> {
        if query.table == Table::Index && self.lags.load(Ordering::SeqCst) {
            return Ok(Page::default());
        }
        self.memory.list(query).await
    }

    async fn commit(&self, writes: &[Write]) -> Result<Vec<Option<Version>>, StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.memory.commit(writes).await
    }

    async fn add(
        &self,
        key: &Key,
        delta: i64,
        bound: Bound,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, StoreError> {
        self.memory.add(key, delta, bound, expires_at).await
    }

    async fn count(&self, key: &Key) -> Result<i64, StoreError> {
        self.memory.count(key).await
    }
}

struct World {
    store: Arc<Lagging>,
    clock: Arc<ManualClock>,
    registry: Registry,
}

impl World {
    fn new(lags: bool) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(Lagging {
            memory: MemoryStore::new(clock.clone()),
            lags: AtomicBool::new(lags),
            writes: AtomicUsize::new(0),
        });
        let registry =
            Registry::new(store.clone(), clock.clone(), Arc::new(CountingWake::default()));
        Self { store, clock, registry }
    }

    fn apply(&self, model: &str, aliases: &[&str]) -> Result<(Model, bool), RegistryError> {
        block_on(self.registry.apply(&name(model), spec(aliases), Source::Api))
    }

    fn delete(&self, model: &str) {
        block_on(self.registry.delete(&name(model), Source::Api)).unwrap();
    }

    /// A model as version 0.1.0 writes it: its record alone.
    fn written_by_0_1_0(&self, model: &str, aliases: &[&str], second: i64) {
        let at = Timestamp::from_second(second).unwrap();
        let model = Model {
            name: name(model),
            spec: spec(aliases),
            source: Source::Api,
            created_at: at,
            updated_at: at,
            deleted_at: None,
        };
        block_on(self.store.save(model, Expect::Any)).unwrap();
    }

    fn owner(&self, of: &str) -> Option<String> {
        let claim = block_on(self.store.load::<NameClaim>(&NameClaim::key_of(&name(of)))).unwrap();
        claim.map(|claim| match claim.value.holder {
            NameHolder::Model(model) => model.to_string(),
            NameHolder::Route { .. } => "a route".into(),
        })
    }

    fn writes(&self) -> usize {
        self.store.writes.swap(0, Ordering::SeqCst)
    }
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn spec(aliases: &[&str]) -> ModelSpec {
    let aliases = aliases.iter().map(|alias| name(alias)).collect();
    ModelSpec { aliases, ..ModelSpec::new(["vllm"]) }
}

#[expect(clippy::panic, reason = "a test that cannot go on fails at once")]
fn assert_taken(result: Result<(Model, bool), RegistryError>, wanted: &str, owner: &str) {
    match result {
        Err(RegistryError::NameTaken { name: taken, other }) => {
            assert_eq!((taken, other), (name(wanted), name(owner)));
        }
        other => panic!("expected that `{wanted}` is taken, got {other:?}"),
    }
}

#[test]
fn two_models_never_share_a_name_however_long_the_index_lags() {
    let world = World::new(true);
    world.apply("a", &["x", "y"]).unwrap();
    assert_taken(world.apply("b", &["y"]), "y", "a");
    assert_taken(world.apply("x", &[]), "x", "a");
    assert_taken(world.apply("b", &["a"]), "a", "a");
    assert_eq!(world.owner("b"), None, "who is refused claims nothing");
    world.apply("b", &["z"]).unwrap();
    assert_taken(world.apply("a", &["x", "y", "z"]), "z", "b");
    assert_taken(world.apply("a", &["b"]), "b", "b");
}

#[test]
fn of_many_concurrent_models_one_gets_the_alias() {
    for _ in 0..20 {
        let world = World::new(true);
        let winners: Vec<_> = std::thread::scope(|scope| {
            let appliers: Vec<_> = ["a", "b", "c", "d"]
                .map(|model| {
                    let world = &world;
                    scope.spawn(move || world.apply(model, &["x"]).map(|_| model))
                })
                .into();
            appliers.into_iter().filter_map(|applier| applier.join().unwrap().ok()).collect()
        });
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(world.owner("x").as_deref(), Some(winners[0]));
    }
}

#[test]
fn of_models_and_routes_that_want_a_name_at_the_same_moment_one_kind_gets_it() {
    for round in 0..20 {
        let world = World::new(true);
        world.apply("target", &[]).unwrap();
        let route = |world: &World| {
            let secrets = SecretRule::Machine;
            let editor = CatalogEditor::new(world.store.clone(), world.clock.clone(), secrets);
            let spec = serde_json::from_value(serde_json::json!({"targets": ["target"]})).unwrap();
            let (actor, whatever) = (Actor::operator(), Precondition::None);
            block_on(editor.apply_route(&actor, &name("x"), &spec, &whatever)).map(|_| ())
        };
        // A model's own name, or an alias.
        let model = |world: &World| match round % 2 {
            0 => world.apply("x", &[]).map(|_| ()),
            _ => world.apply("a", &["x"]).map(|_| ()),
        };
        let winners: Vec<_> = std::thread::scope(|scope| {
            let world = &world;
            let appliers: Vec<_> = (0..6)
                .map(|number| {
                    scope.spawn(move || match number % 2 {
                        0 => route(world).is_ok().then_some("route"),
                        _ => model(world).is_ok().then_some("model"),
                    })
                })
                .collect();
            appliers.into_iter().filter_map(|applier| applier.join().unwrap()).collect()
        });
        assert!(winners.iter().all(|kind| *kind == winners[0]), "{winners:?}");
        assert_eq!(winners.len(), 3, "whoever has it may write it again: {winners:?}");
    }
}

#[test]
fn dropped_aliases_and_deleted_models_free_their_names() {
    let world = World::new(true);
    world.apply("a", &["x", "y"]).unwrap();
    world.apply("a", &["y"]).unwrap();
    assert_eq!(world.owner("x"), None);
    world.apply("b", &["x"]).unwrap();
    world.delete("a");
    assert_eq!((world.owner("a"), world.owner("y")), (None, None));
    world.apply("b", &["a", "y"]).unwrap();
    assert_taken(world.apply("a", &[]), "a", "b");
    assert_eq!(world.owner("x"), None);
}

#[test]
fn the_same_spec_again_writes_nothing() {
    let world = World::new(false);
    let (first, is_new) = world.apply("a", &["x"]).unwrap();
    assert!(is_new);
    world.writes();
    world.clock.advance(std::time::Duration::from_secs(9));
    assert_eq!(world.apply("a", &["x"]).unwrap(), (first, false));
    assert_eq!(world.writes(), 0);
}

#[test]
fn models_of_0_1_0_keep_their_names_and_claim_them_when_they_are_applied() {
    let world = World::new(false);
    world.written_by_0_1_0("a", &["x"], 5);
    assert_taken(world.apply("b", &["x"]), "x", "a");
    let (model, is_new) = world.apply("a", &["x"]).unwrap();
    assert!(!is_new);
    assert_eq!(model.updated_at, Timestamp::from_second(5).unwrap(), "nothing has changed");
    assert_eq!((world.owner("a").as_deref(), world.owner("x").as_deref()), (Some("a"), Some("a")));
    world.delete("a");
    world.apply("b", &["x"]).unwrap();
}

#[test]
fn an_alias_of_two_models_of_0_1_0_belongs_to_the_older_one() {
    let world = World::new(false);
    world.written_by_0_1_0("a", &["x"], 7);
    world.written_by_0_1_0("b", &["x"], 5);
    world.written_by_0_1_0("c", &["x"], 7);
    assert_taken(world.apply("a", &["x"]), "x", "b");
    world.apply("b", &["x"]).unwrap();
    assert_eq!(world.owner("x").as_deref(), Some("b"));
    world.delete("b");
    assert_taken(world.apply("c", &["x"]), "x", "a");
    world.apply("a", &["x"]).unwrap();
    world.apply("c", &[]).unwrap();
}

#[test]
fn a_claim_that_0_1_0_left_behind_is_taken_over() {
    let world = World::new(false);
    world.apply("a", &["x"]).unwrap();
    // It changes the record, and does not know the claims.
    world.written_by_0_1_0("a", &[], 5);
    world.apply("b", &["x"]).unwrap();
    assert_eq!(world.owner("x").as_deref(), Some("b"));
    assert_taken(world.apply("a", &["x"]), "x", "b");
}

#[test]
fn as_many_aliases_as_one_commit_takes_are_allowed() {
    let world = World::new(false);
    let aliases = |letter: char, count: usize| -> Vec<String> {
        (0..count).map(|number| format!("{letter}{number}")).collect()
    };
    let apply = |aliases: Vec<String>| {
        world.apply("a", &aliases.iter().map(String::as_str).collect::<Vec<_>>())
    };
    apply(aliases('x', 32)).unwrap();
    apply(aliases('y', 32)).unwrap();
    let refused = apply(aliases('z', 33));
    assert!(matches!(refused, Err(RegistryError::Spec(_))), "{refused:?}");
}
