//! Requests that name a prompt.

use std::sync::Arc;
use std::time::Duration;

use diogenes_core::deployments::{
    Deployments, NewDeployment, OnInconclusive, OpenGates, Strategy, StrategyKind, TrialBook,
};
use diogenes_core::ports::Limits;
use diogenes_core::prompts::{
    LabelMove, MOST_LAG, NewVersion, PromptShelf, PromptStatus, PromptUpdate, Prompts, Selector,
};
use diogenes_core::tenancy::{Allowed, ProjectId};
use diogenes_core::testing::{ManualClock, MemoryStore, SeededEntropy, WatchedStore};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::record_tests::{Shelf, recorded};
use super::*;
use crate::error::ErrorKind;
use crate::proxy::testing::{Local, Script, Upstream, caller, model, plain, request};
use crate::proxy::{Dialect, Trials};

/// A gateway with one replica and the prompt `tutor`, whose newest version is 2.
struct Fixture {
    local: Local,
    records: Arc<Shelf>,
    upstream: Upstream,
    store: Arc<WatchedStore>,
    prompts: Prompts,
    clock: Arc<ManualClock>,
    book: Arc<TrialBook>,
    bell: Arc<Notify>,
}

const WHOLE: &str = r#"{"id":"x","choices":[]}"#;

impl Fixture {
    async fn new() -> Self {
        let mut local = Local::new(Local::spec());
        let clock = Arc::new(ManualClock::new("2026-03-01T00:00:00Z".parse().unwrap()));
        let store = Arc::new(WatchedStore::new(Arc::new(MemoryStore::new(clock.clone()))));
        let entropy = Arc::new(SeededEntropy::new(1));
        let prompts = Prompts::new(store.clone(), clock.clone(), entropy);
        let shelf = Arc::new(PromptShelf::new(store.clone(), clock.clone()));
        let gateway = Arc::into_inner(local.gateway).expect("nobody else has it");
        let book = Arc::new(TrialBook::new(store.clone(), clock.clone(), "serve"));
        let bell = Arc::new(Notify::new());
        let trials = Trials::new(book.clone(), bell.clone());
        local.gateway = Arc::new(gateway.with_prompts(shelf).with_trials(trials));
        let (local, records) = recorded(local);
        let json = "content-type: application/json\r\n";
        let upstream = Upstream::start(vec![Script::Answer(plain("200 OK", json, WHOLE))]).await;
        local.ready(&[("claim-0", upstream.address)]);
        let fixture = Self { local, records, upstream, store, prompts, clock, book, bell };
        fixture.push(json!({"messages": [{"role": "user", "content": "old"}]})).await;
        fixture
            .push(json!({
                "messages": [
                    {"role": "system", "content": "You teach {{ subject }}."},
                    {"role": "user", "content": "Level {{ level }}"},
                ],
                "variables": [
                    {"name": "subject"},
                    {"name": "level", "type": "number", "default_value": 1},
                ],
                "model": model(),
                "default_config": {
                    "temperature": 0.5,
                    "max_tokens": 20,
                    "output_schema": {"type": "object"},
                },
                "tools": [{"type": "function", "function": {"name": "look_up"}}],
            }))
            .await;
        fixture
    }

    async fn push(&self, content: Value) {
        let content = serde_json::from_value(content).unwrap();
        let new = NewVersion { content, ..NewVersion::default() };
        let by = Allowed::operator();
        self.prompts.push(&by, &ProjectId::default(), "tutor", new).await.unwrap();
    }

    async fn label(&self, to: u32) {
        let label = LabelMove {
            label: "production".parse().unwrap(),
            to: Some(Selector::Number(to)),
            from: None,
            reason: String::new(),
        };
        let by = Allowed::operator();
        self.prompts.move_label(&by, &ProjectId::default(), "tutor", &label).await.unwrap();
    }

    async fn ask(&self, dialect: Dialect, body: Value) -> Result<Answer, ApiError> {
        let request = request(dialect, body.to_string());
        self.local.gateway.walk(caller(Limits::default()), request).await
    }

    /// What the replica was asked last.
    fn asked(&self) -> Value {
        let seen = self.upstream.seen();
        let (_, body) = seen.last().unwrap().split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}

#[tokio::test]
async fn the_rendered_messages_come_before_those_of_the_request() {
    let fixture = Fixture::new().await;
    let body = json!({
        "prompt": {"id": "tutor", "version": "2", "variables": {"subject": "\"maths\"\n{{ level }}"}},
        "messages": [{"role": "user", "content": "Why?", "name": "ada"}],
        "temperature": 1.25, "extra": {"a": [1.50]},
    });
    let answer = fixture.ask(Dialect::ChatCompletions, body).await.unwrap();
    assert_eq!(answer.headers["x-diogenes-prompt-version"], "tutor:v2");
    assert!(!answer.headers.contains_key("x-diogenes-prompt-stale-seconds"));
    let asked = fixture.asked();
    assert_eq!(
        asked["messages"],
        json!([
            {"role": "system", "content": "You teach \"maths\"\n{{ level }}."},
            {"role": "user", "content": "Level 1"},
            {"role": "user", "content": "Why?", "name": "ada"},
        ])
    );
    assert_eq!(asked["model"], model().as_str());
    assert_eq!(
        (&asked["temperature"], &asked["max_completion_tokens"]),
        (&json!(1.25), &json!(20))
    );
    assert_eq!(asked["response_format"]["json_schema"]["schema"], json!({"type": "object"}));
    assert_eq!(asked["tools"][0]["function"]["name"], "look_up");
    assert_eq!((asked.get("prompt"), &asked["extra"]), (None, &json!({"a": [1.5]})));
    drop(answer);
    let record = fixture.records.one().await;
    assert_eq!(record.prompt.as_deref(), Some("tutor:v2"));
}

#[tokio::test]
async fn a_request_for_responses_has_its_input_behind_the_prompt() {
    let fixture = Fixture::new().await;
    let prompt = json!({"id": "tutor:latest", "variables": {
        "subject": {"type": "input_text", "text": "art"},
    }});
    let body = json!({"prompt": prompt, "input": "Why?", "tools": []});
    let answer = fixture.ask(Dialect::Responses, body).await.unwrap();
    assert_eq!(answer.headers["x-diogenes-prompt-version"], "tutor:v2");
    let asked = fixture.asked();
    let contents: Vec<_> =
        asked["input"].as_array().unwrap().iter().map(|it| &it["content"]).collect();
    assert_eq!(contents, ["You teach art.", "Level 1", "Why?"]);
    assert_eq!((&asked["max_output_tokens"], &asked["tools"]), (&json!(20), &json!([])));
    assert_eq!(asked["text"]["format"]["schema"], json!({"type": "object"}));
    let items = json!([{"role": "user", "content": [{"type": "input_text", "text": "Why?"}]}]);
    let body = json!({"prompt": prompt, "input": items, "model": model()});
    fixture.ask(Dialect::Responses, body).await.unwrap();
    assert_eq!(fixture.asked()["input"][2], items[0]);
}

#[tokio::test]
async fn what_is_wrong_with_a_prompt_is_told_before_anybody_is_asked() {
    let fixture = Fixture::new().await;
    let tutor = |version: &str, variables: Value| {
        json!({
            "id": "tutor", "version": version, "variables": variables,
        })
    };
    for (prompt, kind, param, part) in [
        (json!({}), ErrorKind::InvalidRequest, "prompt", "`id`"),
        (json!({"id": "a/b"}), ErrorKind::InvalidRequest, "prompt.id", "without slashes"),
        (json!({"id": "tutor", "vars": {}}), ErrorKind::InvalidRequest, "prompt", "vars"),
        (json!({"id": "absent"}), ErrorKind::PromptNotFound, "prompt", "does not exist"),
        (
            json!({"id": "tutor"}),
            ErrorKind::PromptVersionNotFound,
            "prompt",
            "no label `production`",
        ),
        (json!({"id": "tutor:v9"}), ErrorKind::PromptVersionNotFound, "prompt", "newest is v2"),
        (
            json!({"id": "tutor:v1", "version": "2"}),
            ErrorKind::InvalidRequest,
            "prompt.version",
            "leave",
        ),
        (
            tutor("2", json!({})),
            ErrorKind::PromptNotRendered,
            "prompt.variables.subject",
            "is missing",
        ),
        (
            tutor("2", json!({"subject": "x", "level": "1"})),
            ErrorKind::PromptNotRendered,
            "prompt.variables.level",
            "must be a number",
        ),
        (
            tutor("2", json!({"subject": "x", "topic": "y"})),
            ErrorKind::PromptNotRendered,
            "prompt.variables.topic",
            "is not declared",
        ),
        (
            tutor("2", json!({"subject": {"type": "input_image"}})),
            ErrorKind::InvalidRequest,
            "prompt.variables",
            "input_image",
        ),
        (
            tutor("1", json!({})),
            ErrorKind::MissingModel,
            "model",
            "neither the request nor the prompt",
        ),
    ] {
        let body = json!({"prompt": prompt});
        let error = fixture.ask(Dialect::ChatCompletions, body).await.unwrap_err();
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (kind, Some(param)),
            "{prompt}: {error:?}"
        );
        assert!(error.message.contains(part), "{}", error.message);
    }
    let prompt = tutor("2", json!({"subject": "x"}));
    let body = json!({"prompt": prompt, "messages": "hi"});
    let error = fixture.ask(Dialect::ChatCompletions, body).await.unwrap_err();
    assert_eq!(error.param.as_deref(), Some("messages"));
    assert_eq!(fixture.upstream.seen().len(), 0);
}

#[tokio::test]
async fn prompts_of_others_and_texts_pass_untouched() {
    let fixture = Fixture::new().await;
    for (dialect, prompt) in [
        (Dialect::Responses, json!({"id": "pmpt_1", "version": "2"})),
        (Dialect::Completions, json!("Once upon a time")),
        (Dialect::Completions, json!(["a", "b"])),
        (Dialect::ChatCompletions, json!("odd")),
    ] {
        let body = json!({"model": model(), "prompt": prompt});
        fixture.ask(dialect, body.clone()).await.unwrap();
        assert_eq!(fixture.asked(), body);
    }
    let body = json!({"prompt": {"id": "pmpt_1"}});
    let error = fixture.ask(Dialect::Responses, body).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::MissingModel);
}

#[tokio::test]
async fn a_moved_label_is_followed_and_an_outage_is_told() {
    let fixture = Fixture::new().await;
    fixture.label(1).await;
    let body = json!({"model": model(), "prompt": {"id": "tutor"}});
    let ask = async || fixture.ask(Dialect::ChatCompletions, body.clone()).await;
    let version = |answer: &Answer| answer.headers["x-diogenes-prompt-version"].clone();
    assert_eq!(version(&ask().await.unwrap()), "tutor:v1");
    fixture.push(json!({"messages": [{"role": "user", "content": "third"}]})).await;
    fixture.label(3).await;
    fixture.clock.advance(MOST_LAG + Duration::from_millis(1));
    assert_eq!(version(&ask().await.unwrap()), "tutor:v3");
    fixture.store.goes_away(true);
    fixture.clock.advance(Duration::from_mins(2));
    let answer = ask().await.unwrap();
    assert_eq!(version(&answer), "tutor:v3");
    assert_eq!(answer.headers["x-diogenes-prompt-stale-seconds"], "120");
    fixture.clock.advance(Duration::from_hours(24));
    assert_eq!(ask().await.unwrap_err().kind, ErrorKind::StoreUnavailable);
    fixture.store.goes_away(false);
    fixture.clock.advance(Duration::from_secs(2));
    let archived = PromptUpdate { status: Some(PromptStatus::Archived), ..PromptUpdate::default() };
    let (by, project) = (Allowed::operator(), ProjectId::default());
    fixture.prompts.update(&by, &project, "tutor", &archived).await.unwrap();
    assert_eq!(ask().await.unwrap_err().kind, ErrorKind::PromptArchived);
}

impl Fixture {
    /// A deployment of the second version of `tutor` to half of the users, which is under way.
    async fn deploy(&self) -> (Deployments, String) {
        let (store, prompts) = (self.store.clone(), self.prompts.clone());
        let entropy = Arc::new(SeededEntropy::new(3));
        let deployments = Deployments::new(store, prompts, self.clock.clone(), entropy);
        let kind = StrategyKind::Canary { share: 50.try_into().unwrap(), longest: None };
        let new = NewDeployment {
            prompt: "tutor".into(),
            to_version: Selector::Number(2),
            environment: "production".parse().unwrap(),
            strategy: Strategy {
                kind,
                auto_rollback: true,
                rollback_threshold: None,
                on_inconclusive: OnInconclusive::default(),
            },
            skip_approval: true,
            metadata: [].into(),
        };
        let by = Allowed::operator();
        let created = deployments.create(&by, &ProjectId::default(), new).await.unwrap();
        let open = deployments.open().await.unwrap();
        deployments.tick(&open[0], &OpenGates).await.unwrap();
        (deployments, created.id.to_string())
    }
}

#[tokio::test]
async fn a_deployment_divides_requests_without_a_look_at_the_store() {
    let fixture = Fixture::new().await;
    fixture.label(1).await;
    let (deployments, id) = fixture.deploy().await;
    let ask = async |user: u32| {
        let body = json!({
            "prompt": {"id": "tutor"}, "model": model(), "user": format!("user-{user}"),
            "messages": [{"role": "user", "content": "Why?"}],
        });
        match fixture.ask(Dialect::ChatCompletions, body).await {
            Ok(answer) => {
                assert_eq!(answer.headers["x-diogenes-prompt-version"], "tutor:v1");
                false
            }
            // The second version wants a value that this caller does not know of.
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::PromptNotRendered);
                true
            }
        }
    };
    ask(0).await;
    fixture.store.reads();
    let mut of_candidate = 0;
    for user in 0..40 {
        let first = ask(user).await;
        assert_eq!(ask(user).await, first, "a user meets one version");
        of_candidate += u32::from(first);
    }
    assert_eq!(fixture.store.reads(), 0);
    assert!((5..35).contains(&of_candidate), "{of_candidate} of 40");
    // It is not waited for the next look.
    fixture.bell.notified().await;
    fixture.book.flush().await.unwrap();
    let by = Allowed::operator();
    let standing = deployments.standing(&by, &ProjectId::default(), &id, &OpenGates).await.unwrap();
    let errors = &standing.evidence.metrics[0];
    assert_eq!((errors.candidate, errors.live), (u64::from(of_candidate), 0));
    assert_eq!(standing.facts.candidate.requests + standing.facts.live.requests, 81);
}
