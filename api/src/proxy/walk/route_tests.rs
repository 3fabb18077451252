//! Requests that name a route.

use std::time::Duration;

use diogenes_core::fleet::FailureKind;
use diogenes_core::gateway::Routes;
use diogenes_core::keys::KeyId;
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock, Limits};
use diogenes_core::tenancy::Principal;
use http::StatusCode;

use super::*;
use crate::error::ErrorKind;
use crate::proxy::Dialect;
use crate::proxy::testing::{Local, Script, Upstream, caller, events, eventually, plain, request};

const JSON: &str = "content-type: application/json\r\n";
const BODY: &str = r#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4}}"#;

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn whole() -> Script {
    Script::Answer(plain("200 OK", JSON, BODY))
}

/// A gateway with the route `assistant`, to `big` and then to `small`, both asleep.
fn local(while_cold: &str) -> Local {
    local_of(serde_json::json!({ "targets": ["big", "small"], "while_cold": while_cold }))
}

fn local_of(spec: serde_json::Value) -> Local {
    let routes = Routes::from([(name("assistant"), serde_json::from_value(spec).unwrap())]);
    let local = Local::with_routes(Local::spec(), &routes);
    for model in ["big", "small"] {
        local.publish_as(name(model), &[], |_| {});
    }
    local
}

fn ready(local: &Local, model: &str, upstream: &Upstream) {
    local.publish_as(name(model), &[(&format!("claim-{model}"), upstream.address)], |_| {});
}

fn ask(stream: bool) -> InferenceRequest {
    let body = format!(r#"{{"model":"assistant","messages":[],"stream":{stream}}}"#);
    request(Dialect::ChatCompletions, body)
}

async fn walked(local: &Local, request: InferenceRequest) -> Result<Answer, ApiError> {
    local.gateway.walk(caller(Limits::default()), request).await
}

fn route_of(answer: &Answer) -> (&str, &str) {
    let field = |name: &str| answer.headers[name].to_str().unwrap();
    (field("x-diogenes-model"), field("x-diogenes-route"))
}

#[tokio::test]
async fn the_next_target_answers_while_the_first_starts_and_is_woken() {
    let local = local("next");
    let (big, small) = (Upstream::start(vec![whole()]).await, Upstream::start(vec![whole()]).await);
    ready(&local, "small", &small);
    let woken = local.wake.count();
    let answer = walked(&local, ask(false)).await.unwrap();
    assert_eq!(route_of(&answer), ("small", "assistant; position=2; reason=cold"));
    assert!(small.seen()[0].contains(r#""model":"small""#), "{:?}", small.seen());
    assert_eq!(local.wake.count(), woken + 1);
    assert!(local.demand_of(&name("big")).await.last_request_at.is_some());
    // The next ones within a second wake nobody.
    walked(&local, ask(false)).await.unwrap();
    assert_eq!(local.wake.count(), woken + 1);
    // Back home as soon as it runs.
    ready(&local, "big", &big);
    let answer = walked(&local, ask(false)).await.unwrap();
    assert_eq!(route_of(&answer), ("big", "assistant; position=1"));
    assert!(big.seen()[0].contains(r#""model":"big""#), "{:?}", big.seen());
}

#[tokio::test]
async fn a_route_that_holds_waits_for_its_first_target() {
    let local = local("hold");
    let (big, small) = (Upstream::start(vec![whole()]).await, Upstream::start(vec![whole()]).await);
    ready(&local, "small", &small);
    let answer = tokio::spawn({
        let gateway = local.gateway.clone();
        async move { gateway.walk(caller(Limits::default()), ask(false)).await }
    });
    eventually("it is held", async || {
        (local.demand_of(&name("big")).await.held == 1).then_some(())
    })
    .await;
    ready(&local, "big", &big);
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(route_of(&answer), ("big", "assistant; position=1"));
    assert!(small.seen().is_empty());
    assert_eq!(local.demand_of(&name("big")).await.held, 0);
}

#[tokio::test]
async fn a_held_request_goes_to_whichever_target_is_ready_first() {
    let local = local("next");
    let small = Upstream::start(vec![Script::Answer(events("data: {}\n\ndata: [DONE]\n\n"))]).await;
    let AnswerBody::Stream(mut stream) = walked(&local, ask(true)).await.unwrap().body else {
        panic!("not a stream");
    };
    let first = stream.next().await.unwrap();
    assert!(first.starts_with(b": diogenes"), "{}", first.escape_ascii());
    ready(&local, "small", &small);
    let mut text = String::new();
    while let Some(bytes) = stream.next().await {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    let route = r#""route":"assistant; position=2; reason=cold""#;
    assert!(text.contains(route) && text.contains(r#""model":"small""#), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    for model in ["big", "small"] {
        let demand = local.demand_of(&name(model)).await;
        assert_eq!(demand.held, 0, "{model}");
    }
}

#[tokio::test]
async fn a_held_request_goes_on_to_wait_for_the_next_target_once_the_first_fails() {
    let local = local("next");
    let small = Upstream::start(vec![whole()]).await;
    let answer = tokio::spawn({
        let gateway = local.gateway.clone();
        async move { gateway.walk(caller(Limits::default()), ask(false)).await }
    });
    let held = async |model: &'static str| {
        eventually(&format!("it is held for {model}"), async || {
            (local.demand_of(&name(model)).await.held == 1).then_some(())
        })
        .await;
    };
    held("big").await;
    let failure = local.failed_start(FailureKind::Exited, Duration::from_mins(1));
    local.publish_as(name("big"), &[], |control| control.failure = Some(failure));
    held("small").await;
    assert_eq!(local.demand_of(&name("big")).await.held, 0);
    ready(&local, "small", &small);
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(route_of(&answer), ("small", "assistant; position=2; reason=unavailable"));
}

#[tokio::test]
async fn a_target_that_refuses_the_connection_is_passed_over() {
    let local = local("next");
    let small = Upstream::start(vec![whole()]).await;
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    local.publish_as(name("big"), &[("claim-big", gone)], |_| {});
    ready(&local, "small", &small);
    let answer = walked(&local, ask(false)).await.unwrap();
    assert_eq!(route_of(&answer), ("small", "assistant; position=2; reason=cold"));
}

#[tokio::test]
async fn what_was_sent_to_one_target_is_not_sent_to_another() {
    let local = local("next");
    let (big, small) =
        (Upstream::start(vec![Script::Close]).await, Upstream::start(vec![whole()]).await);
    ready(&local, "big", &big);
    ready(&local, "small", &small);
    let error = walked(&local, ask(false)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UpstreamUnreachable);
    assert!(small.seen().is_empty());
}

#[tokio::test]
async fn a_key_gets_as_far_along_a_route_as_its_models() {
    let local = local("next");
    let (big, small) = (Upstream::start(vec![whole()]).await, Upstream::start(vec![whole()]).await);
    ready(&local, "big", &big);
    ready(&local, "small", &small);
    for (models, answers) in [
        (&["small"][..], Ok("small")),
        (&["assistant"], Ok("big")),
        (&["other"], Err(ErrorKind::ModelNotAllowed)),
    ] {
        let principal = Principal {
            key: KeyId::from_caller("test"),
            models: Some(models.iter().map(|model| name(model)).collect()),
            ..Principal::operator()
        };
        let by = Allowed::check(Arc::new(principal)).unwrap();
        let answer = local.gateway.walk(by, ask(false)).await;
        let answer = answer.map(|answer| {
            assert_eq!(answer.status, StatusCode::OK);
            answer.headers["x-diogenes-model"].to_str().unwrap().to_owned()
        });
        assert_eq!(answer.map_err(|error| error.kind), answers.map(str::to_owned), "{models:?}");
    }
}

#[tokio::test]
async fn a_near_miss_names_the_route() {
    let body = r#"{"model":"asistant","messages":[]}"#;
    let error = walked(&local("next"), request(Dialect::ChatCompletions, body)).await.unwrap_err();
    assert!(error.message.contains("did you mean `assistant`?"), "{}", error.message);
}

#[tokio::test]
async fn a_model_goes_before_a_route_of_its_name_and_a_route_without_models_is_not_found() {
    let local = local("next");
    let own = Upstream::start(vec![whole()]).await;
    ready(&local, "assistant", &own);
    let answer = walked(&local, ask(false)).await.unwrap();
    assert_eq!(answer.headers["x-diogenes-model"], "assistant");
    assert!(!answer.headers.contains_key("x-diogenes-route"));

    local.dispatcher.forget(&name("assistant"));
    for model in ["big", "small"] {
        local.dispatcher.forget(&name(model));
    }
    let error = walked(&local, ask(false)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ModelNotFound);
}

/// Two models that run, along a route with these fields, and who answers as `user`.
struct Pair {
    local: Local,
    upstreams: [Upstream; 2],
}

impl Pair {
    async fn new(fields: serde_json::Value) -> Self {
        let stream = || Script::Answer(events("data: {\"choices\":[]}\n\ndata: [DONE]\n\n"));
        let upstreams =
            [Upstream::start(vec![stream()]).await, Upstream::start(vec![stream()]).await];
        let local = local_of(fields);
        ready(&local, "big", &upstreams[0]);
        ready(&local, "small", &upstreams[1]);
        Self { local, upstreams }
    }

    async fn ask(&self, user: &str) -> (String, String) {
        let body =
            serde_json::json!({"model": "assistant", "messages": [], "stream": true, "user": user});
        let answer = walked(&self.local, request(Dialect::ChatCompletions, body.to_string()));
        let answer = answer.await.unwrap();
        let (model, route) = route_of(&answer);
        (model.to_owned(), route.to_owned())
    }
}

#[tokio::test]
async fn quality_and_weights_choose_the_first_target() {
    let better = serde_json::json!({"model": "small", "quality": 2});
    let pair =
        Pair::new(serde_json::json!({"strategy": "quality", "targets": ["big", better]})).await;
    let answer = pair.ask("a").await;
    assert_eq!(answer, ("small".into(), "assistant; position=1; strategy=quality".into()));

    let heavy = serde_json::json!({"model": "small", "weight": 3});
    let pair =
        Pair::new(serde_json::json!({"strategy": "weighted", "targets": ["big", heavy]})).await;
    let mut small = 0;
    for user in 0..40 {
        let user = user.to_string();
        let (model, _) = pair.ask(&user).await;
        assert_eq!(pair.ask(&user).await.0, model, "the same user, the same target");
        small += u32::from(model == "small");
    }
    // The hash is fixed, and so is what it makes of these forty users: three quarters, about.
    assert_eq!(small, 33);
}

#[tokio::test]
async fn the_faster_target_is_asked_and_each_of_them_is_measured() {
    let targets = serde_json::json!(["big", "small"]);
    let pair = Pair::new(serde_json::json!({"strategy": "latency", "targets": targets})).await;
    assert_eq!(pair.ask("a").await.0, "big");
    assert_eq!(pair.ask("a").await.0, "small");
    let now = pair.local.clock.now();
    let speed = |model: &str| pair.local.dispatcher.find(model).unwrap().metrics.clone();
    for _ in 0..40 {
        speed("big").speed.note(Duration::from_millis(900), now);
        speed("small").speed.note(Duration::from_millis(100), now);
    }
    assert_eq!(pair.ask("a").await.0, "small");
    for _ in 0..40 {
        speed("small").speed.note(Duration::from_secs(2), now);
    }
    assert_eq!(pair.ask("a").await.0, "big");
}

#[tokio::test]
async fn a_conversation_stays_with_who_has_answered_it() {
    let fields = serde_json::json!({"targets": ["big", "small"], "sticky": "10m"});
    let pair = Pair::new(fields).await;
    let home = ("big".to_owned(), "assistant; position=1".to_owned());
    assert_eq!(pair.ask("early").await.0, "big");
    pair.local.publish_as(name("big"), &[], |_| {});
    assert_eq!(pair.ask("late").await.0, "small");
    ready(&pair.local, "big", &pair.upstreams[0]);
    let kept = ("small".to_owned(), "assistant; position=1; reason=sticky".to_owned());
    assert_eq!(pair.ask("late").await, kept);
    // A new one goes home.
    assert_eq!(pair.ask("new").await, home);
    // It moves on when its target does not answer any more.
    pair.local.publish_as(name("small"), &[], |_| {});
    assert_eq!(pair.ask("late").await.0, "big");
    ready(&pair.local, "small", &pair.upstreams[1]);
    assert_eq!(pair.ask("late").await.0, "big");
}
