//! The catalog over a store in memory.

#![expect(clippy::unwrap_used, reason = "the fixtures are not inside test functions")]

use std::collections::BTreeMap;
use std::sync::Arc;

use diogenes_core::audit::{Actor, AuditFilter, AuditLog};
use diogenes_core::fleet::{ModelSpec, Registry, Source};
use diogenes_core::gateway::catalog::{CatalogEditor, CatalogError, Precondition, SecretRule, Tag};
use diogenes_core::gateway::{ProviderName, ProviderSpec, RouteSpec};
use diogenes_core::name::ModelName;
use diogenes_core::ports::StateStore;
use diogenes_core::tenancy::{Allowed, ProjectId};
use diogenes_core::testing::{CountingWake, ManualClock, MemoryStore};
use futures_util::future::join_all;
use pollster::block_on;
use serde_json::{Value, json};

struct World {
    clock: Arc<ManualClock>,
    store: Arc<dyn StateStore>,
    editor: CatalogEditor,
}

impl World {
    /// With the model `big`, which answers to `large` too.
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new("2026-11-30T12:00:00Z".parse().unwrap()));
        let store: Arc<dyn StateStore> = Arc::new(MemoryStore::new(clock.clone()));
        let editor = CatalogEditor::new(store.clone(), clock.clone(), SecretRule::Machine);
        let world = Self { clock, store, editor };
        let mut spec = ModelSpec::new(["vllm", "--port", "{port}"]);
        spec.aliases = vec![name("large")];
        world.registry().apply(&name("big"), spec, Source::Api).await.unwrap();
        world
    }

    fn registry(&self) -> Registry {
        let wake = Arc::new(CountingWake::default());
        Registry::new(self.store.clone(), self.clock.clone(), wake)
    }

    async fn apply_route(&self, route: &str, spec: Value) -> Result<bool, String> {
        let spec: RouteSpec = serde_json::from_value(spec).unwrap();
        let applied = self
            .editor
            .apply_route(&Actor::operator(), &name(route), &spec, &Precondition::None)
            .await;
        applied.map(|(is_new, _)| is_new).map_err(|error| error.to_string())
    }

    async fn apply_provider(&self, provider: &str, spec: Value) -> Result<bool, String> {
        let spec = serde_json::from_value(spec).unwrap();
        let provider = provider.parse().unwrap();
        let (actor, whatever) = (Actor::operator(), Precondition::None);
        let applied = self.editor.apply_provider(&actor, &provider, &spec, &whatever).await;
        applied.map(|(is_new, _)| is_new).map_err(|error| error.to_string())
    }

    async fn apply_card(&self, model: &str, card: Value) -> Result<bool, String> {
        let card = serde_json::from_value(card).unwrap();
        // Of two changes at one time there would be one record.
        self.clock.advance(std::time::Duration::from_secs(1));
        let applied = self.editor.apply_rate_card(&Actor::operator(), &name(model), &card).await;
        applied.map(|(is_new, _)| is_new).map_err(|error| error.to_string())
    }

    async fn actions(&self) -> Vec<String> {
        let log = AuditLog::new(self.store.clone(), self.clock.clone());
        let (project, filter) = (ProjectId::default(), AuditFilter::default());
        let page = log.list(&Allowed::operator(), &project, &filter, 100, None).await.unwrap();
        let told = |record: &diogenes_core::audit::AuditRecord| {
            format!("{} {} {}", record.action, record.target, record.summary)
        };
        let mut told: Vec<_> = page.records.iter().map(told).collect();
        told.sort();
        told
    }
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn openai() -> Value {
    json!({"kind": "openai", "base_url": "https://api.openai.com/v1", "api_key": {"env": "KEY"}})
}

#[test]
fn routes_and_providers_are_added_changed_and_deleted_and_each_leaves_a_record() {
    block_on(async {
        let world = World::new().await;
        assert_eq!(world.apply_provider("openai", openai()).await, Ok(true));
        assert_eq!(world.apply_provider("openai", openai()).await, Ok(false), "it is the same");
        let targets = json!({"targets": ["large", "openai/gpt-5-mini"], "egress": true});
        assert_eq!(world.apply_route("assistant", targets.clone()).await, Ok(true));
        assert_eq!(world.apply_route("assistant", targets).await, Ok(false), "it is the same");
        world.clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(world.apply_route("assistant", json!({"targets": ["big"]})).await, Ok(false));
        let catalog = world.editor.load().await.unwrap();
        let route = &catalog.routes[&name("assistant")];
        assert_eq!(route.spec.targets.len(), 1);
        assert!(route.updated_at > route.created_at);

        let actor = Actor::operator();
        let openai: ProviderName = "openai".parse().unwrap();
        world.editor.delete_provider(&actor, &openai, &Precondition::None).await.unwrap();
        world.editor.delete_route(&actor, &name("assistant"), &Precondition::None).await.unwrap();
        assert!(matches!(
            world.editor.delete_route(&actor, &name("assistant"), &Precondition::None).await,
            Err(CatalogError::NoRoute(_))
        ));
        assert_eq!(
            world.actions().await,
            [
                "provider.apply provider/openai https://api.openai.com/v1",
                "provider.delete provider/openai ",
                "route.apply route/assistant big",
                "route.apply route/assistant large, openai/gpt-5-mini",
                "route.delete route/assistant ",
            ]
        );
    });
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    block_on(async {
        let world = World::new().await;
        world.apply_provider("openai", openai()).await.unwrap();
        world.apply_route("first", json!({"targets": ["big"]})).await.unwrap();
        for (route, targets, problem) in [
            ("big", json!(["big"]), "model `big` already uses the name `big`"),
            ("large", json!(["big"]), "model `big` already uses the name `large`"),
            ("loop", json!(["big", "loop"]), "names the route `loop`"),
            ("second", json!(["first"]), "names the route `first`"),
            ("second", json!(["bgi"]), "names `bgi`, which is neither"),
            ("second", json!(["opnai/gpt"]), "did you mean the provider `openai`?"),
            ("second", json!([]), "is empty; name at least one model"),
            ("second", json!(["big", "big"]), "names `big` twice"),
        ] {
            let error = world.apply_route(route, json!({"targets": targets})).await.unwrap_err();
            assert!(error.contains(problem), "{route}: {error}");
        }
        for (change, problem) in [
            (json!({"base_url": "api.openai.com"}), "must begin with"),
            (json!({"api_key": {"ssm": "/diogenes/prod/key"}}), "`api_key` is an SSM parameter"),
            (json!({"timeout": "0s"}), "`timeout` must be longer than 0"),
        ] {
            let mut spec = openai();
            spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let error = world.apply_provider("openai", spec).await.unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
        let clock = world.clock.clone();
        let on_aws = CatalogEditor::new(world.store.clone(), clock, SecretRule::Parameters);
        let spec: ProviderSpec = serde_json::from_value(openai()).unwrap();
        let refused = on_aws
            .apply_provider(
                &Actor::operator(),
                &"other".parse().unwrap(),
                &spec,
                &Precondition::None,
            )
            .await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("must be an SSM parameter here"), "{refused}");
        assert_eq!(world.editor.load().await.unwrap().routes.len(), 1);
    });
}

#[test]
fn a_provider_that_routes_lead_to_is_kept() {
    block_on(async {
        let world = World::new().await;
        world.apply_provider("openai", openai()).await.unwrap();
        for route in ["one", "two"] {
            world.apply_route(route, json!({"targets": ["openai/gpt"]})).await.unwrap();
        }
        let delete = || async {
            let name = "openai".parse().unwrap();
            world.editor.delete_provider(&Actor::operator(), &name, &Precondition::None).await
        };
        let error = delete().await.unwrap_err().to_string();
        assert!(error.contains("is used by the routes `one`, `two`"), "{error}");
        for route in ["one", "two"] {
            world
                .editor
                .delete_route(&Actor::operator(), &name(route), &Precondition::None)
                .await
                .unwrap();
        }
        delete().await.unwrap();
    });
}

#[test]
fn targets_that_nobody_answers_to_any_more_are_missing() {
    block_on(async {
        let world = World::new().await;
        world.apply_provider("openai", openai()).await.unwrap();
        let small = ModelSpec::new(["vllm", "--port", "{port}"]);
        world.registry().apply(&name("openai/own"), small, Source::Api).await.unwrap();
        let targets = ["large", "openai/gpt-5-mini", "openai/own", "gone/x", "absent"].map(name);
        let missing = async || {
            let catalog = world.editor.load().await.unwrap();
            let missing = world.editor.missing_targets(&catalog, &targets).await.unwrap();
            missing.into_iter().map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(missing().await, ["absent", "gone/x"]);
        // A name that a model has had never leads to a provider.
        world.registry().delete(&name("openai/own"), Source::Api).await.unwrap();
        assert_eq!(missing().await, ["absent", "gone/x", "openai/own"]);
        let own = json!({"targets": ["openai/own"]});
        let error = world.apply_route("own", own).await.unwrap_err();
        assert!(error.contains("a former model of this server"), "{error}");
        let provider = "openai".parse().unwrap();
        world
            .editor
            .delete_provider(&Actor::operator(), &provider, &Precondition::None)
            .await
            .unwrap();
        world.registry().delete(&name("big"), Source::Api).await.unwrap();
        let all = ["absent", "gone/x", "large", "openai/gpt-5-mini", "openai/own"];
        assert_eq!(missing().await, all);
    });
}

#[test]
fn a_model_takes_no_name_of_a_route() {
    block_on(async {
        let world = World::new().await;
        world.apply_route("assistant", json!({"targets": ["big"]})).await.unwrap();
        let mut spec = ModelSpec::new(["vllm", "--port", "{port}"]);
        let taken = |model: &str, spec: &ModelSpec| {
            let (editor, model, spec) = (world.editor.clone(), name(model), spec.clone());
            async move { editor.check_model(&model, &spec).await }
        };
        for (model, aliases) in [("assistant", vec![]), ("small", vec![name("assistant")])] {
            spec.aliases = aliases;
            let error = taken(model, &spec).await.unwrap_err().to_string();
            assert!(error.contains("`assistant` is the name of a route"), "{error}");
        }
        // Nor by way of a configuration.
        let file = ModelSpec::new(["vllm", "--port", "{port}"]);
        let refused = world.registry().apply(&name("assistant"), file, Source::Config).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("`assistant` is the name of a route"), "{error}");
        world
            .editor
            .delete_route(&Actor::operator(), &name("assistant"), &Precondition::None)
            .await
            .unwrap();
        taken("assistant", &ModelSpec::new(["vllm", "--port", "{port}"])).await.unwrap();
    });
}

#[test]
fn a_change_is_made_only_where_its_precondition_holds() {
    block_on(async {
        let world = World::new().await;
        let route = name("assistant");
        let apply = async |targets: Value, when: &Precondition| {
            world.clock.advance(std::time::Duration::from_secs(1));
            let spec: RouteSpec = serde_json::from_value(json!({"targets": targets})).unwrap();
            let applied = world.editor.apply_route(&Actor::operator(), &route, &spec, when).await;
            applied.map(|(is_new, _)| is_new).map_err(|error| error.to_string())
        };
        let tag = async || {
            let catalog = world.editor.load().await.unwrap();
            catalog.routes[&route].tag().unwrap()
        };
        let unchanged = |tag: &Tag| Precondition::Unchanged(vec![Tag::new("other"), tag.clone()]);
        let gone = apply(json!(["big"]), &Precondition::Present).await.unwrap_err();
        assert!(gone.contains("route `assistant` does not exist any more"), "{gone}");
        assert_eq!(apply(json!(["big"]), &Precondition::Absent).await, Ok(true));
        let there = apply(json!(["big"]), &Precondition::Absent).await.unwrap_err();
        assert!(there.contains("route `assistant` already exists"), "{there}");
        let first = tag().await;
        world.apply_route("other", json!({"targets": ["big"]})).await.unwrap();
        assert_eq!(tag().await, first, "another route is none of its business");
        assert_eq!(apply(json!(["large"]), &unchanged(&first)).await, Ok(false));
        let stale = apply(json!(["big"]), &unchanged(&first)).await.unwrap_err();
        assert!(stale.contains("route `assistant` has changed since it was read"), "{stale}");
        assert_eq!(apply(json!(["big"]), &Precondition::Present).await, Ok(false));
        assert_ne!(tag().await, first, "what it was before is not what it was first");
        let delete = async |when: &Precondition| {
            world.editor.delete_route(&Actor::operator(), &route, when).await.map(|_| ())
        };
        let refused = delete(&unchanged(&first)).await;
        assert!(matches!(refused, Err(CatalogError::Precondition(_))), "{refused:?}");
        delete(&unchanged(&tag().await)).await.unwrap();

        let provider = "openai".parse().unwrap();
        let spec: ProviderSpec = serde_json::from_value(openai()).unwrap();
        let apply = async |when: &Precondition| {
            world.editor.apply_provider(&Actor::operator(), &provider, &spec, when).await
        };
        apply(&Precondition::Absent).await.unwrap();
        let refused = apply(&unchanged(&first)).await.map(|_| ());
        assert!(matches!(refused, Err(CatalogError::Precondition(_))), "{refused:?}");
    });
}

#[test]
fn names_move_between_the_routes_and_models_of_a_file() {
    block_on(async {
        let world = World::new().await;
        let routes = |names: std::ops::Range<usize>| {
            let spec: RouteSpec = serde_json::from_value(json!({"targets": ["big"]})).unwrap();
            names.map(|number| (name(&format!("r{number}")), spec.clone())).collect()
        };
        let (providers, cards) = (BTreeMap::new(), BTreeMap::new());
        let take_over = async |names| {
            let routes: BTreeMap<ModelName, RouteSpec> = routes(names);
            world.editor.take_over(&routes, &providers, &cards).await
        };
        // More than one commit claims.
        assert_eq!(take_over(0..130).await.unwrap().routes.len(), 130);
        let model = |model: &'static str| {
            let spec = ModelSpec::new(["vllm", "--port", "{port}"]);
            let registry = world.registry();
            async move { registry.apply(&name(model), spec, Source::Config).await }
        };
        for taken in ["r0", "r47", "r48", "r129"] {
            let error = model(taken).await.unwrap_err().to_string();
            assert!(error.contains("is the name of a route"), "{taken}: {error}");
        }
        world.editor.retire_routes(&routes(0..10)).await.unwrap();
        model("r129").await.unwrap();
        assert_eq!(take_over(0..10).await.unwrap().routes.len(), 10);
        let error = take_over(120..130).await.unwrap_err().to_string();
        assert!(error.contains("model `r129` already uses the name `r129`"), "{error}");
    });
}

#[test]
fn a_deleted_model_frees_its_name_for_a_route() {
    block_on(async {
        let world = World::new().await;
        world.apply_provider("openai", openai()).await.unwrap();
        world.registry().delete(&name("big"), Source::Api).await.unwrap();
        assert_eq!(world.apply_route("large", json!({"targets": ["openai/gpt"]})).await, Ok(true));
    });
}

#[test]
fn the_configuration_owns_what_its_file_says_and_nothing_else() {
    block_on(async {
        let world = World::new().await;
        world.apply_route("by-hand", json!({"targets": ["big"]})).await.unwrap();
        world.apply_route("taken", json!({"targets": ["big"]})).await.unwrap();
        let routes = |routes: Value| serde_json::from_value(routes).unwrap();
        let file = json!({"assistant": {"targets": ["openai/gpt"]}, "taken": {"targets": ["x"]}});
        let providers: BTreeMap<ProviderName, ProviderSpec> =
            serde_json::from_value(json!({"openai": openai()})).unwrap();
        let cards = BTreeMap::new();
        let take_over = |file: Value| {
            let routes = routes(file);
            let (world, providers, cards) = (&world, &providers, &cards);
            async move { world.editor.take_over(&routes, providers, cards).await.unwrap() }
        };
        let catalog = take_over(file.clone()).await;
        let source = |name_of: &str| catalog.routes[&name(name_of)].source;
        assert_eq!(
            ["assistant", "by-hand", "taken"].map(source),
            [Source::Config, Source::Api, Source::Config]
        );
        let before = world.actions().await;
        take_over(file).await;
        assert_eq!(world.actions().await, before, "a second start changes nothing");

        let error = world.apply_route("assistant", json!({"targets": ["big"]})).await.unwrap_err();
        assert!(error.contains("route `assistant` is defined in the configuration"), "{error}");
        let actor = Actor::operator();
        for read_only in [
            world
                .editor
                .delete_route(&actor, &name("assistant"), &Precondition::None)
                .await
                .map(|_| ()),
            world
                .editor
                .delete_provider(&actor, &"openai".parse().unwrap(), &Precondition::None)
                .await
                .map(|_| ()),
        ] {
            assert!(matches!(read_only, Err(CatalogError::ReadOnly(_))), "{read_only:?}");
        }
        let catalog = take_over(json!({})).await;
        let names: Vec<_> = catalog.routes.keys().map(ModelName::as_str).collect();
        assert_eq!(names, ["by-hand"]);
    });
}

fn card(version: &str, input: &str) -> Value {
    json!({"version": version, "price": {"input": input, "output": "2"}})
}

#[test]
fn a_version_of_a_rate_card_has_one_price_for_ever() {
    block_on(async {
        let world = World::new().await;
        let problem = "version `v1` of the rate card of `big` stands for another price; give the \
                       new price a version of its own";
        let refused = Err(problem.to_owned());
        assert_eq!(world.apply_card("big", card("v1", "1")).await, Ok(true));
        assert_eq!(world.apply_card("big", card("v1", "1")).await, Ok(false), "it is the same");
        assert_eq!(world.apply_card("big", card("v1", "9")).await, refused);
        assert_eq!(world.apply_card("big", card("v2", "2")).await, Ok(false));
        assert_eq!(world.apply_card("big", card("v1", "9")).await, refused);
        world.editor.delete_rate_card(&Actor::operator(), &name("big")).await.unwrap();
        assert_eq!(world.apply_card("big", card("v1", "9")).await, refused);
        let by_file = async |version, input| {
            let cards = serde_json::from_value(json!({"big": card(version, input)})).unwrap();
            let taken = world.editor.take_over(&BTreeMap::new(), &BTreeMap::new(), &cards).await;
            taken.map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(by_file("v1", "9").await, Err(problem.to_owned()));
        assert_eq!(by_file("v3", "3").await, Ok(()));
        assert_eq!(by_file("v3", "3").await, Ok(()), "the next start");
        assert_eq!(by_file("v1", "1").await, Ok(()), "it goes back");
        let told = world.actions().await;
        let v1 = r#"v1 {"input":"1.00","output":"2.00"}"#;
        for record in [
            format!("rate_card.apply rate-card/big {v1}"),
            format!("rate_card.apply rate-card/big by the configuration: {v1}"),
            "rate_card.delete rate-card/big v2".into(),
        ] {
            assert!(told.contains(&record), "{record}: {told:?}");
        }
    });
}

#[test]
fn a_rate_card_belongs_to_a_model_and_ends_with_it() {
    block_on(async {
        let world = World::new().await;
        let error = world.apply_card("nope", card("v1", "1")).await.unwrap_err();
        assert!(error.contains("model `nope` is not registered"), "{error}");
        let error = world.apply_card("large", card("v1", "1")).await.unwrap_err();
        assert!(error.contains("`large` is an alias; set the rate card of `big`"), "{error}");
        let cards: BTreeMap<ModelName, _> =
            serde_json::from_value(json!({"by-file": card("v1", "1")})).unwrap();
        world.editor.take_over(&BTreeMap::new(), &BTreeMap::new(), &cards).await.unwrap();
        assert_eq!(
            world.editor.missing_models(cards.keys()).await.unwrap(),
            [name("by-file")].into()
        );
        world.apply_card("big", card("v1", "1")).await.unwrap();
        let delete = async || {
            let deleted = world.editor.delete_orphaned_rate_cards(&Actor::operator()).await;
            let (deleted, catalog) = deleted.unwrap();
            (!deleted.is_empty()).then(|| catalog.rate_cards.into_keys().collect::<Vec<_>>())
        };
        assert_eq!(delete().await, None);
        world.registry().delete(&name("big"), Source::Api).await.unwrap();
        assert_eq!(delete().await, Some(vec![name("by-file")]));
        assert_eq!(delete().await, None);
        let told = world.actions().await;
        assert!(told.contains(&"rate_card.delete rate-card/big with its model".into()), "{told:?}");
    });
}

#[test]
fn of_changes_at_the_same_time_none_is_lost() {
    block_on(async {
        let world = World::new().await;
        let names: Vec<_> = (0..20).map(|number| format!("route-{number}")).collect();
        let applied = names.iter().map(|name| world.apply_route(name, json!({"targets": ["big"]})));
        assert!(join_all(applied).await.into_iter().all(|applied| applied == Ok(true)));
        assert_eq!(world.editor.load().await.unwrap().routes.len(), 20);
    });
}
