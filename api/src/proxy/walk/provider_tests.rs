//! Requests that leave for a provider.

use std::time::Duration;

use diogenes_core::entity::Entity as _;
use diogenes_core::fleet::{NameClaim, NameHolder};
use diogenes_core::gateway::Routes;
use diogenes_core::keys::KeyId;
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock as _, Expect, Limits, StateStore as _};
use diogenes_core::secret::Secret;
use diogenes_core::tenancy::Principal;
use diogenes_core::testing::MemoryStore;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::proxy::Dialect;
use crate::proxy::testing::{
    Local, Script, TokioClock, Upstream, caller, events, plain, request, text,
};

const JSON: &str = "content-type: application/json\r\n";
const BODY: &str = r#"{"id":"x","usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
const EVENTS: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n";

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn says(status: &str, fields: &str, body: &str) -> Script {
    Script::Answer(plain(status, &format!("{JSON}{fields}"), body))
}

fn whole() -> Script {
    says("200 OK", "", BODY)
}

fn fails(status: &str) -> Script {
    says(status, "", r#"{"error":{"message":"it is down"}}"#)
}

/// A gateway with the provider `hosted` and the route `assistant`, to the model `big`, which is
/// asleep, and then to the provider's `gpt`.
struct Fixture {
    local: Local,
    hosted: Upstream,
    store: Arc<MemoryStore>,
}

impl Fixture {
    async fn new(scripts: Vec<Script>) -> Self {
        Self::with_route(scripts, json!({})).await
    }

    async fn with_route(scripts: Vec<Script>, fields: serde_json::Value) -> Self {
        let hosted = Upstream::start(scripts).await;
        let spec = json!({
            "kind": "openai", "base_url": format!("http://{}/v1", hosted.address),
            "first_byte_timeout": "1s", "stall_timeout": "1s", "timeout": "2s",
        });
        let mut route = json!({ "targets": ["big", "hosted/gpt"], "egress": true });
        for (field, value) in fields.as_object().unwrap() {
            route[field] = value.clone();
        }
        let routes = Routes::from([(name("assistant"), serde_json::from_value(route).unwrap())]);
        let store = Arc::new(MemoryStore::new(TokioClock::new()));
        let provider = (
            "hosted".parse().unwrap(),
            serde_json::from_value(spec).unwrap(),
            Some(Secret::new("sk-operator")),
        );
        let local = Local::with_providers(Local::spec(), &routes, [provider], store.clone());
        local.publish_as(name("big"), &[], |_| {});
        Self { local, hosted, store }
    }

    fn ready(&self, big: &Upstream) {
        self.local.publish_as(name("big"), &[("claim-big", big.address)], |_| {});
    }

    async fn ask(&self, model: &str) -> Result<Answer, ApiError> {
        self.local.gateway.walk(caller(Limits::default()), chat(model, false)).await
    }

    /// The status and the error of a request that the provider's words or ours answer.
    async fn status(&self, model: &str) -> StatusCode {
        match self.ask(model).await {
            Ok(answer) => answer.status,
            Err(error) => error.status(),
        }
    }
}

fn chat(model: &str, stream: bool) -> InferenceRequest {
    let body = format!(r#"{{"model":"{model}","messages":[],"stream":{stream}}}"#);
    request(Dialect::ChatCompletions, body)
}

fn field<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_providers_model_is_asked_with_the_operators_key_and_learns_nothing_of_the_caller() {
    let fixture = Fixture::new(vec![whole()]).await;
    let mut asked = chat("hosted/gpt", false);
    for name in ["authorization", "cookie", "x-forwarded-for", "openai-organization", "x-private"] {
        asked.headers.insert(name, HeaderValue::from_static("the-caller"));
    }
    asked.headers.insert("content-type", HeaderValue::from_static("application/json"));
    let answer = fixture.local.gateway.walk(caller(Limits::default()), asked).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(field(&answer, "x-diogenes-model"), "hosted/gpt");
    assert_eq!(field(&answer, "x-diogenes-target"), "hosted");
    assert_eq!(text(answer).await, BODY);
    let seen = &fixture.hosted.seen()[0];
    assert!(seen.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("authorization: Bearer sk-operator\r\n"), "{seen}");
    assert!(seen.contains(r#""model":"gpt""#), "{seen}");
    assert!(!seen.contains("the-caller"), "{seen}");
}

#[tokio::test]
async fn a_provider_answers_while_the_model_starts_plain_or_streamed() {
    let fixture = Fixture::new(vec![whole(), Script::Answer(events(EVENTS))]).await;
    let woken = fixture.local.wake.count();
    let answer = fixture.ask("assistant").await.unwrap();
    assert_eq!(field(&answer, "x-diogenes-route"), "assistant; position=2; reason=cold");
    assert_eq!(field(&answer, "x-diogenes-model"), "hosted/gpt");
    assert_eq!(fixture.local.wake.count(), woken + 1);
    let streamed = chat("assistant", true);
    let answer = fixture.local.gateway.walk(caller(Limits::default()), streamed).await.unwrap();
    assert_eq!(text(answer).await, EVENTS);
}

#[tokio::test]
async fn a_request_that_ended_a_replica_goes_to_the_provider_and_to_no_other_replica() {
    let fixture = Fixture::new(vec![whole()]).await;
    let big = Upstream::start(vec![Script::Close]).await;
    fixture.ready(&big);
    let answer = fixture.ask("assistant").await.unwrap();
    assert_eq!(field(&answer, "x-diogenes-route"), "assistant; position=2; reason=unavailable");
    assert_eq!((big.seen().len(), fixture.hosted.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_replica_that_is_overloaded_hands_over_and_its_words_are_the_answer_if_nobody_else_has_any()
 {
    let fixture = Fixture::with_route(vec![whole()], json!({})).await;
    let big = Upstream::start(vec![fails("503 Service Unavailable")]).await;
    fixture.ready(&big);
    assert_eq!(field(&fixture.ask("assistant").await.unwrap(), "x-diogenes-model"), "hosted/gpt");
    let answer = fixture.ask("big").await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(answer).await.contains("it is down"));
}

#[tokio::test]
async fn a_provider_that_fails_is_asked_again_and_then_its_own_words_are_the_answer() {
    let down = || fails("500 Internal Server Error");
    let fixture = Fixture::new(vec![down(), Script::Close, whole()]).await;
    assert_eq!(fixture.ask("hosted/gpt").await.unwrap().status, StatusCode::OK);
    assert_eq!(fixture.hosted.seen().len(), 3);

    let fixture = Fixture::new(vec![down()]).await;
    let answer = fixture.ask("hosted/gpt").await.unwrap();
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text(answer).await.contains("it is down"));
    assert_eq!(fixture.hosted.seen().len(), 3);
}

#[tokio::test]
async fn what_the_caller_did_wrong_is_said_at_once() {
    let fixture = Fixture::new(vec![fails("400 Bad Request")]).await;
    assert_eq!(fixture.status("hosted/gpt").await, StatusCode::BAD_REQUEST);
    assert_eq!(fixture.hosted.seen().len(), 1);
}

#[tokio::test]
async fn a_provider_that_asks_to_be_left_alone_is() {
    let busy = says("429 Too Many Requests", "retry-after: 60\r\n", r#"{"error":{}}"#);
    let fixture = Fixture::new(vec![busy]).await;
    let answer = fixture.ask("hosted/gpt").await.unwrap();
    assert_eq!((answer.status.as_u16(), field(&answer, "retry-after")), (429, "60"));
    let error = fixture.ask("hosted/gpt").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ProviderUnavailable);
    let after = error.retry_after.unwrap();
    assert!((Duration::from_secs(50)..=Duration::from_mins(1)).contains(&after), "{after:?}");
    assert_eq!(fixture.hosted.seen().len(), 1);
}

#[tokio::test]
async fn failures_in_a_row_keep_requests_away_and_wrong_names_do_not() {
    let fixture = Fixture::new(vec![whole()]).await;
    let hosted = fixture.local.dispatcher.hosted("hosted/gpt").unwrap();
    let now = fixture.local.clock.now();
    for _ in 0..5 {
        hosted.failed(now, None);
    }
    // Again, once it was asked again.
    hosted.failed(now + Duration::from_secs(6), None);
    let error = fixture.ask("hosted/gpt").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ProviderUnavailable);
    assert!(fixture.hosted.seen().is_empty());

    let fixture = Fixture::new(vec![fails("404 Not Found")]).await;
    for _ in 0..7 {
        assert_eq!(fixture.status("hosted/nobody").await, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn neither_a_refused_key_nor_the_key_itself_reaches_the_caller() {
    for (status, told) in [
        ("401 Unauthorized", 502),
        ("403 Forbidden", 502),
        ("400 Bad Request", 400),
        ("500 Internal Server Error", 500),
    ] {
        let words = r#"{"error":{"message":"Incorrect API key provided: sk-operator"}}"#;
        let fixture = Fixture::new(vec![says(status, "", words)]).await;
        let error = fixture.ask("hosted/gpt").await.unwrap_err();
        assert!(!error.message.contains("sk-operator"), "{}", error.message);
        assert_eq!(error.status().as_u16(), told, "{}", error.message);
    }
}

#[tokio::test]
async fn nothing_leaves_unless_both_route_and_key_allow_it() {
    let fixture =
        Fixture::with_route(vec![whole()], json!({"targets": ["hosted/gpt"], "egress": false}))
            .await;
    let error = fixture.ask("assistant").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::EgressNotAllowed);
    assert!(error.message.contains("`egress = true`"), "{}", error.message);

    let fixture = Fixture::with_route(vec![whole()], json!({"targets": ["hosted/gpt"]})).await;
    let key = KeyId::from_caller("test");
    let inside = Arc::new(Principal { key, egress: false, ..Principal::operator() });
    for model in ["assistant", "hosted/gpt", "hosted/other"] {
        let by = Allowed::check(inside.clone()).unwrap();
        let error = fixture.local.gateway.walk(by, chat(model, false)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::EgressNotAllowed, "{model}");
        assert!(error.message.contains("--egress"), "{}", error.message);
    }
    assert!(fixture.hosted.seen().is_empty());
}

#[tokio::test]
async fn the_name_of_a_model_that_was_deleted_leads_to_no_provider() {
    let fixture = Fixture::new(vec![whole()]).await;
    let holder = NameHolder::Model(name("hosted/gpt"));
    let former = NameClaim { name: name("hosted/gpt"), holder };
    fixture.store.commit(&[former.put(Expect::Absent).unwrap()]).await.unwrap();
    let error = fixture.ask("hosted/gpt").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ModelNotFound);
    assert!(error.message.contains("was a model of this server"), "{}", error.message);
    // Nor by way of a route.
    let mut hurried = chat("assistant", false);
    hurried.headers.insert("prefer", HeaderValue::from_static("wait=0"));
    let error = fixture.local.gateway.walk(caller(Limits::default()), hurried).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::ModelWarming);
    assert!(fixture.hosted.seen().is_empty());
    // A model of that name answers itself.
    let own = Upstream::start(vec![whole()]).await;
    fixture.local.publish_as(name("hosted/gpt"), &[("claim", own.address)], |_| {});
    assert_eq!(fixture.status("hosted/gpt").await, StatusCode::OK);
    assert_eq!(own.seen().len(), 1);
}

#[tokio::test]
async fn a_provider_that_says_nothing_or_breaks_off_is_told_as_such() {
    let fixture = Fixture::new(vec![Script::Hang]).await;
    assert_eq!(fixture.status("hosted/gpt").await, StatusCode::GATEWAY_TIMEOUT);

    let cut = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\ndata: {\"choices\":[]}\n\n";
    let fixture = Fixture::new(vec![Script::Answer(cut.into())]).await;
    let asked = chat("hosted/gpt", true);
    let answer = fixture.local.gateway.walk(caller(Limits::default()), asked).await.unwrap();
    let text = text(answer).await;
    assert!(text.contains("upstream_cut") && !text.contains("[DONE]"), "{text}");
}

/// A stream of these events that ends without its last chunk.
fn cut(events: &str) -> Script {
    Script::Answer(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n{events}"
    ))
}

#[tokio::test]
async fn a_stream_goes_on_elsewhere_as_long_as_nobody_has_seen_any_content() {
    const ROLE: &str =
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    const ERROR: &str = "data: {\"error\":{\"message\":\"it is down\"}}\n\n";
    let role_and_error = Script::Answer(events(&format!("{ROLE}{ERROR}data: [DONE]\n\n")));
    let fixture =
        Fixture::new(vec![cut(ROLE), role_and_error, Script::Answer(events(EVENTS))]).await;
    let walk = async |model| {
        let answer = fixture.local.gateway.walk(caller(Limits::default()), chat(model, true)).await;
        text(answer.unwrap()).await
    };
    assert_eq!(walk("hosted/gpt").await, EVENTS);
    assert_eq!(fixture.hosted.seen().len(), 3);

    // A replica that breaks off is not asked again; the provider is.
    let big = Upstream::start(vec![cut(ROLE)]).await;
    fixture.ready(&big);
    assert_eq!(walk("assistant").await, EVENTS);
    assert_eq!((big.seen().len(), fixture.hosted.seen().len()), (1, 4));
}

#[tokio::test]
async fn a_stream_that_broke_off_behind_its_first_content_is_not_begun_again() {
    let (content, _) = EVENTS.split_once("data: [DONE]").unwrap();
    let fixture = Fixture::new(vec![cut(content)]).await;
    let asked = chat("hosted/gpt", true);
    let answer = fixture.local.gateway.walk(caller(Limits::default()), asked).await.unwrap();
    let text = text(answer).await;
    assert!(text.starts_with(content) && text.contains("upstream_cut"), "{text}");
    assert_eq!(fixture.hosted.seen().len(), 1);
}

#[tokio::test]
async fn what_a_stream_says_of_the_callers_mistake_is_said_at_once() {
    const ERROR: &str =
        "data: {\"error\":{\"message\":\"too long\",\"code\":400}}\n\ndata: [DONE]\n\n";
    let fixture = Fixture::new(vec![Script::Answer(events(ERROR))]).await;
    let asked = chat("hosted/gpt", true);
    let answer = fixture.local.gateway.walk(caller(Limits::default()), asked).await.unwrap();
    assert_eq!(text(answer).await, ERROR);
    assert_eq!(fixture.hosted.seen().len(), 1);
}
