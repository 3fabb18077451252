//! The control plane's functions.

use std::sync::Arc;

use aws_config::SdkConfig;
use axum::Router;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::{Model, ModelSpec, Registry, Source};
use diogenes_core::ports::Wake;
use diogenes_core::tenancy::Principal;
use diogenes_core::testing::{ManualClock, MemoryStore};
use diogenes_functions::http_functions::{self, NoWake};
use diogenes_functions::start::Base;
use http::{Method, StatusCode};
use serde_json::{Value, json};

pub(crate) struct Function {
    store: Arc<MemoryStore>,
    pub(crate) base: Base,
}

impl Function {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let base = Base {
            config: SdkConfig::builder().build(),
            region: "eu-west-1".into(),
            table: "table".into(),
            store: store.clone(),
            clock,
        };
        Self { store, base }
    }

    /// Registers a model as another process does.
    async fn register(&self, name: &str, alias: &str) {
        let clock = Arc::new(ManualClock::default());
        let registry = Registry::new(self.store.clone(), clock, Arc::new(NoWake));
        let mut spec = ModelSpec::new(["vllm"]);
        spec.aliases = vec![alias.parse().unwrap()];
        registry.apply(&name.parse().unwrap(), spec, Source::Api).await.unwrap();
    }

    async fn ask(router: Router, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .extension(Arc::new(Principal::operator()))
            .body(lambda_http::Body::from(body.to_string()))
            .unwrap();
        let response = diogenes_functions::http_events::answer(router, request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn keys(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        Self::ask(http_functions::keys(&self.base), method, path, &body).await
    }

    async fn cluster(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let wake: Arc<dyn Wake> = Arc::new(NoWake);
        Self::ask(http_functions::cluster(&self.base, &wake).unwrap(), method, path, &body).await
    }
}

#[tokio::test]
async fn a_key_is_made_whose_terms_can_be_kept() {
    let function = Function::new();
    function.register("org/model", "short").await;
    let wanted = json!({
        "email": "a@example.com", "scopes": ["inference"], "models": ["org/model", "short"],
    });
    let (status, created) = function.keys(Method::POST, "/api/v1/keys", wanted).await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    let uncounted = json!({
        "email": "a@example.com", "scopes": ["inference"], "limits": {"concurrency": 1},
    });
    let (status, answer) = function.keys(Method::POST, "/api/v1/keys", uncounted).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert_eq!(answer["error"]["param"], "limits.concurrency");
    let unknown =
        json!({"email": "a@example.com", "scopes": ["inference"], "models": ["org/modle"]});
    let (status, answer) = function.keys(Method::POST, "/api/v1/keys", unknown).await;
    assert_eq!((status, &answer["error"]["param"]), (StatusCode::NOT_FOUND, &json!("models")));
    let (status, list) = function.keys(Method::GET, "/api/v1/keys", Value::Null).await;
    assert_eq!((status, &list["data"][0]["models"]), (StatusCode::OK, &json!(["org/model"])));
    let key = format!("/api/v1/keys/{}", list["data"][0]["id"].as_str().unwrap());
    let (status, answer) = function.keys(Method::DELETE, &key, Value::Null).await;
    assert!(status.is_success(), "{status} {answer}");
}

#[tokio::test]
async fn the_cluster_function_serves_models_and_the_cluster() {
    let function = Function::new();
    let spec = json!({
        "command": ["vllm", "{port}"], "ladder": [{"instance_type": "g6.xlarge", "market": "spot"}],
    });
    let path = "/api/v1/models/org/model";
    let (status, answer) = function.cluster(Method::PUT, path, spec).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    for (method, path) in [
        (Method::GET, "/api/v1/models"),
        (Method::GET, path),
        (Method::GET, "/api/v1/cluster"),
        (Method::DELETE, path),
    ] {
        let (status, answer) = function.cluster(method.clone(), path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{method} {path} {answer}");
    }
}

#[tokio::test]
async fn answers_hide_plain_values_and_an_answer_sent_back_keeps_them() {
    let function = Function::new();
    let token = json!({"ssm": "/diogenes/test/token"});
    let spec = json!({
        "command": ["vllm", "{port}"], "ladder": [{"instance_type": "g6.xlarge"}],
        "env": {"A": "hf_secret", "B": token},
    });
    let path = "/api/v1/models/m";
    let (status, answer) = function.cluster(Method::PUT, path, spec).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let hidden = json!({"A": "***", "B": token});
    assert_eq!(answer["spec"]["env"], hidden);

    let (_, shown) = function.cluster(Method::GET, path, Value::Null).await;
    assert_eq!(shown["spec"]["env"], hidden);
    let mut back = shown["spec"].clone();
    back["idle_timeout"] = json!("1h");
    let (status, answer) = function.cluster(Method::PUT, path, back.clone()).await;
    assert_eq!((status, &answer["spec"]["env"]), (StatusCode::OK, &hidden), "{answer}");
    let stored = function.store.load::<Model>(&Model::key_of(&"m".parse().unwrap())).await;
    let stored = stored.unwrap().unwrap().value.spec;
    assert_eq!(stored.env["A"].plain(), Some("hf_secret"));
    assert_eq!(stored.idle_timeout, std::time::Duration::from_hours(1));

    let (_, list) = function.cluster(Method::GET, "/api/v1/models", Value::Null).await;
    assert!(!list.to_string().contains("hf_secret"), "{list}");
    // A new model has no value that the mask could stand for, nor has a deleted one.
    function.cluster(Method::DELETE, path, Value::Null).await;
    for path in ["/api/v1/models/other", path] {
        let (status, answer) = function.cluster(Method::PUT, path, back.clone()).await;
        assert_eq!((status, &answer["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("env")));
    }
}

#[tokio::test]
async fn a_model_that_nothing_can_be_launched_for_is_refused() {
    let function = Function::new();
    for (ladder, problem) in [
        (None, "is missing"),
        (Some(json!([])), "is missing"),
        (Some(json!([{"instance_type": "local"}])), "names `local`, which is not an instance type"),
        (
            Some(json!([{"instance_type": "g6.xlarge"}, {"instance_type": "g6"}])),
            "names `g6`, which is not an instance type",
        ),
    ] {
        let mut spec = json!({"command": ["vllm", "{port}"]});
        if let Some(ladder) = ladder {
            spec["ladder"] = ladder;
        }
        let (status, answer) = function.cluster(Method::PUT, "/api/v1/models/m", spec).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(
            answer["error"],
            json!({
                "message": format!(
                    "`ladder` {problem}; list where to launch it, for example \
                     [{{\"instance_type\": \"g6.xlarge\", \"market\": \"spot\"}}]"
                ),
                "type": "invalid_request_error",
                "param": "ladder",
                "code": "invalid_request",
            })
        );
    }
    let ladder = json!([{"instance_type": "g6.xlarge"}]);
    let spec = json!({"command": ["vllm", "{port}"], "ladder": &ladder, "idle_timeout": "14s"});
    let (status, answer) = function.cluster(Method::PUT, "/api/v1/models/m", spec).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    let long = json!({"command": ["vllm", "x".repeat(16 << 10)], "ladder": &ladder});
    let (status, refused) = function.cluster(Method::PUT, "/api/v1/models/m", long).await;
    assert_eq!((status, &refused["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("command")));
    for spec in [
        json!({"command": ["vllm", "serve"], "ladder": &ladder}),
        json!({"command": ["vllm", "serve"], "ladder": &ladder, "port": 9000}),
    ] {
        let field = if spec.get("port").is_some() { "port" } else { "command" };
        let (status, refused) = function.cluster(Method::PUT, "/api/v1/models/m", spec).await;
        let param = &refused["error"]["param"];
        assert_eq!((status, param), (StatusCode::BAD_REQUEST, &json!(field)), "{refused}");
    }
    let message = "`idle_timeout` must be at least 15s, the interval at which use is recorded";
    assert_eq!(answer["error"]["message"], message);
    let (_, models) = function.cluster(Method::GET, "/api/v1/models", Value::Null).await;
    assert_eq!(models["data"], json!([]));
}

#[tokio::test]
async fn prices_are_those_of_the_release_and_those_that_are_imported() {
    let function = Function::new();
    let (status, prices) = function.cluster(Method::GET, "/api/v1/prices", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{prices}");
    let origins: Vec<_> = prices["lists"].as_array().unwrap().iter().collect();
    assert_eq!((origins.len(), &origins[0]["origin"]), (1, &json!("embedded")));
    assert!(origins[0]["list"]["providers"]["openai"].is_object());
    assert_eq!(prices["rate_cards"], json!([]));

    let path = "/api/v1/prices/imported";
    let (status, none) = function.cluster(Method::GET, path, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{none}");
    let list = |price: &str| {
        json!({"source": "ours", "date": "2026-11-27", "providers": {"openai": {"models": [
            {"match": ["gpt-5-mini"], "price": {"input": price, "output": "1.00"}}]}}})
    };
    let (status, imported) = function.cluster(Method::PUT, path, list("0.10")).await;
    assert_eq!((status, &imported), (StatusCode::CREATED, &list("0.10")));
    let (_, prices) = function.cluster(Method::GET, "/api/v1/prices", Value::Null).await;
    let lists = prices["lists"].as_array().unwrap().iter();
    let origins: Vec<_> = lists.map(|list| &list["origin"]).collect();
    assert_eq!(origins, [&json!("imported"), &json!("embedded")]);
    let (status, refused) = function.cluster(Method::PUT, path, list("free")).await;
    let param = &refused["error"]["param"];
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
    assert_eq!(param, "providers.openai.models[0].price.input", "{refused}");
    let (status, _) = function.cluster(Method::DELETE, path, Value::Null).await;
    assert_eq!(status, StatusCode::OK);
}
