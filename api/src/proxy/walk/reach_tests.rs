//! No path reaches a target without a key, a limit and a reservation.

use std::collections::BTreeSet;

use async_trait::async_trait;
use axum::body::Body;
use diogenes_core::keys::KeyId;
use diogenes_core::ports::Limits;
use diogenes_core::tenancy::Principal;
use http::request::Parts;
use http::{Request, StatusCode};
use serde_json::json;
use tower::ServiceExt as _;

use super::budget_tests::Fixture;
use super::*;
use crate::auth::Authenticator;
use crate::error::ErrorKind;
use crate::metrics::Metrics;
use crate::proxy::testing::{Script, form, plain};
use crate::proxy::{Dialect, ProxyState};
use crate::settings::AppSettings;

/// Lets in whoever shows any key.
struct AnyKey(Arc<Principal>);

#[async_trait]
impl Authenticator for AnyKey {
    fn recall(&self, request: &Parts) -> Option<Result<Arc<Principal>, ApiError>> {
        Some(match request.headers.get("authorization") {
            Some(_) => Ok(self.0.clone()),
            None => Err(ApiError::new(ErrorKind::MissingApiKey, "no API key")),
        })
    }

    async fn look_up(&self, _: &Parts) -> Result<Arc<Principal>, ApiError> {
        unreachable!("it knows everybody")
    }
}

/// The paths in the source of the routes, but for those of the listing of models.
fn paths() -> BTreeSet<&'static str> {
    let texts = include_str!("../routes.rs").split('"');
    texts.filter(|text| text.starts_with("/v1/") && !text.starts_with("/v1/models")).collect()
}

/// The status of an answer to a request for the provider's model.
async fn ask(fixture: &Fixture, dialect: Dialect, key: bool, limits: Limits) -> StatusCode {
    let key_id = KeyId::from_caller("test");
    let principal = Arc::new(Principal { key: key_id, limits, ..Principal::operator() });
    let state = ProxyState {
        authenticator: Arc::new(AnyKey(principal)),
        gateway: fixture.local.gateway.clone(),
        metrics: Arc::new(Metrics::default()),
        settings: AppSettings::default(),
    };
    let mut request = Request::post(dialect.path());
    if key {
        request = request.header("authorization", "Bearer dg_any");
    }
    let request = if dialect.takes_form() {
        let asked = form(dialect, &[("model", "hosted/gpt")]);
        request.header("content-type", &asked.headers["content-type"]).body(Body::from(asked.body))
    } else {
        let mut body = json!({"model": "hosted/gpt"});
        match dialect {
            Dialect::ChatCompletions | Dialect::Messages | Dialect::CountTokens => {
                body["messages"] = json!([{"role": "user", "content": "x"}]);
                body["max_tokens"] = json!(5);
            }
            Dialect::Completions | Dialect::ImageGenerations => body["prompt"] = json!("x"),
            _ => body["input"] = json!("x"),
        }
        request.body(Body::from(body.to_string()))
    };
    let router = crate::proxy::router().with_state(Arc::new(state));
    router.oneshot(request.unwrap()).await.unwrap().status()
}

#[tokio::test]
async fn no_path_reaches_a_target_without_key_limit_and_reservation() {
    let dialects = Dialect::ALL.into_iter();
    assert_eq!(dialects.clone().map(Dialect::path).collect::<BTreeSet<_>>(), paths());
    for dialect in dialects {
        let answer = Script::Answer(plain("200 OK", "content-type: application/json\r\n", "{}"));
        let free = Limits::default();
        let fixture = Fixture::new(vec![answer.clone()], None).await;
        assert_eq!(ask(&fixture, dialect, false, free).await, StatusCode::UNAUTHORIZED);
        assert_eq!(fixture.hosted.seen().len(), 0, "{dialect:?} without a key");

        // OpenAI's kind of provider has no counter of tokens.
        let reaches = usize::from(dialect != Dialect::CountTokens);
        let one = Limits { requests_per_minute: Some(1), ..free };
        ask(&fixture, dialect, true, one).await;
        assert_eq!(fixture.hosted.seen().len(), reaches, "{dialect:?}");
        assert_eq!(ask(&fixture, dialect, true, one).await, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(fixture.hosted.seen().len(), reaches, "{dialect:?} above a limit");

        // What uses no tokens reserves none.
        for cap in ["1", "$0.00001"].into_iter().filter(|_| !dialect.is_free()) {
            let fixture = Fixture::new(vec![answer.clone()], Some(cap)).await;
            let status = ask(&fixture, dialect, true, free).await;
            let refused = if dialect.unbounded().is_none() { 402 } else { 400 };
            assert_eq!(status.as_u16(), refused, "{dialect:?} with a budget of {cap}");
            assert_eq!(fixture.hosted.seen().len(), 0, "{dialect:?} above a budget");
        }
    }
}
