//! The paths, and the way that every inference request takes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use axum::{Json, Router};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, SERVER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

use super::body::{EventBody, WholeBody};
use super::error::ApiError;
use super::form::Form;
use super::reply::{Answer, AnswerContent};
use super::{audio, chat, completion, embeddings, images, responses, tokenize};
use crate::engine::{Arrived, Engine, Stats, Ticket, Verdict, now_seconds};
use crate::{Faults, metrics};

pub(super) type Shared = State<Arc<Engine>>;

/// Makes an answer from the engine, the client's request id and the body.
type Endpoint = fn(&Engine, Option<&str>, &[u8]) -> Result<Answer, ApiError>;

/// The same from a form.
type FormEndpoint = fn(&Engine, Option<&str>, &Form) -> Result<Answer, ApiError>;

/// All paths. Until the engine is ready every one answers 503.
pub(crate) fn router(engine: Arc<Engine>) -> Router {
    let mut router = Router::new()
        .route("/v1/chat/completions", of_json(chat::answer))
        .route("/v1/completions", of_json(completion::answer))
        .route("/v1/responses", of_json(responses::answer))
        .route("/v1/embeddings", of_json(embeddings::answer))
        .route("/v1/audio/transcriptions", of_form(audio::transcription))
        .route("/v1/audio/translations", of_form(audio::translation))
        .route("/v1/images/generations", of_json(images::generation))
        .route("/v1/images/edits", of_form(images::edit))
        .route("/v1/models", get(models))
        .route("/tokenize", post(tokenize::tokenize))
        .route("/detokenize", post(tokenize::detokenize))
        .route("/health", get(StatusCode::OK))
        .route("/ping", get(StatusCode::OK).post(StatusCode::OK))
        .route("/version", get(async || Json(json!({"version": "0.32.0"}))))
        .route("/load", get(load))
        .route("/metrics", get(metrics_page))
        .route("/mock/stats", get(async |State(engine): Shared| Json::<Stats>(engine.stats())))
        .route("/mock/faults", put(set_faults))
        .fallback(async || ApiError::plain(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || ApiError::plain(StatusCode::METHOD_NOT_ALLOWED));
    if engine.args.api_key.is_some() {
        router = router.layer(middleware::from_fn_with_state(Arc::clone(&engine), authenticate));
    }
    if engine.args.listen_while_loading {
        router =
            router.layer(middleware::from_fn_with_state(Arc::clone(&engine), refuse_until_ready));
    }
    router.with_state(engine)
}

/// What answers inference requests in JSON.
fn of_json(answer: Endpoint) -> MethodRouter<Arc<Engine>> {
    post(async move |State(engine): Shared, request: Request| {
        infer(engine, request, |engine, client_id, headers, body| {
            if !is_json(headers) {
                let detail = "Unsupported Media Type: Only 'application/json' is allowed";
                return Err(ApiError::validation(detail));
            }
            answer(engine, client_id, body)
        })
        .await
    })
}

/// The same for forms.
fn of_form(answer: FormEndpoint) -> MethodRouter<Arc<Engine>> {
    post(async move |State(engine): Shared, request: Request| {
        infer(engine, request, |engine, client_id, headers, body| {
            answer(engine, client_id, &Form::read(headers, body)?)
        })
        .await
    })
}

/// Reads, counts and answers one inference request.
async fn infer(
    engine: Arc<Engine>,
    request: Request,
    answer: impl FnOnce(&Engine, Option<&str>, &HeaderMap, &[u8]) -> Result<Answer, ApiError>,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return ApiError::plain(StatusCode::BAD_REQUEST).into_response();
    };
    let headers = parts.headers.clone();
    let client_id = parts.headers.get("x-request-id").cloned();
    let client_id = client_id.as_ref().and_then(|id| id.to_str().ok());
    let verdict =
        engine.arrive(Arrived { path: parts.uri, headers: parts.headers, body: body.clone() });
    let faults = match verdict {
        Verdict::Serve(faults) => faults,
        Verdict::Fail { status, retry_after } => {
            let mut response = ApiError::injected(status).into_response();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            return response;
        }
        Verdict::Die => {
            engine.dead.send_replace(true);
            return std::future::pending().await;
        }
    };
    match answer(&engine, client_id, &headers, &body) {
        Ok(answer) => reply(engine, answer, faults).await,
        Err(error) => error.into_response(),
    }
}

/// Sends an answer at its pace. The head of a stream is sent at once, that of a plain answer when it is complete.
async fn reply(engine: Arc<Engine>, answer: Answer, faults: Faults) -> Response {
    let mut ticket = Ticket::new(&engine);
    let (body, content_type) = match answer.content {
        AnswerContent::Stream(events) => {
            let body = EventBody::new(
                engine,
                ticket,
                faults,
                answer.prompt_tokens,
                answer.outcome,
                events,
            );
            (Body::new(body), "text/event-stream; charset=utf-8")
        }
        AnswerContent::Whole(bytes, kind) => {
            let slot = match ticket.try_slot() {
                Some(slot) => Some(slot),
                None => ticket.slots().acquire_owned().await.ok(),
            };
            if let Some(slot) = slot {
                ticket.run(slot, answer.prompt_tokens);
            }
            pause(engine.args.ttft).await;
            ticket.first_token();
            if engine.args.shared_tokens_per_second > 0.0 {
                for _ in 1..answer.steps {
                    pause(engine.token_interval()).await;
                }
            } else {
                let steps = answer.steps.saturating_sub(1);
                pause(engine.token_interval().saturating_mul(steps)).await;
            }
            ticket.tokens(answer.completion_tokens);
            (Body::new(WholeBody::new(bytes, ticket, answer.outcome, &faults)), kind)
        }
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(SERVER, HeaderValue::from_static("uvicorn"));
    response
}

async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

/// vLLM wants a JSON content type, or none.
fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| {
        let media_type = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
        media_type.trim_ascii().eq_ignore_ascii_case(b"application/json")
    })
}

async fn authenticate(State(engine): Shared, request: Request, next: Next) -> Response {
    let open = !request.uri().path().starts_with("/v1") || request.method() == Method::OPTIONS;
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.split_once(' '));
    let known = token.is_some_and(|(scheme, token)| {
        scheme.eq_ignore_ascii_case("bearer") && Some(token) == engine.args.api_key.as_deref()
    });
    if open || known {
        next.run(request).await
    } else {
        (StatusCode::UNAUTHORIZED, Json(json!({"error": "Unauthorized"}))).into_response()
    }
}

async fn refuse_until_ready(State(engine): Shared, request: Request, next: Next) -> Response {
    if *engine.ready.borrow() {
        next.run(request).await
    } else {
        ApiError::plain(StatusCode::SERVICE_UNAVAILABLE).into_response()
    }
}

async fn models(State(engine): Shared) -> Json<Value> {
    let created = now_seconds();
    let card = |name: &String| {
        json!({
            "id": name, "object": "model", "created": created, "owned_by": "vllm", "root": engine.args.root(),
            "parent": null, "max_model_len": engine.args.max_model_len,
            "permission": [{
                "id": engine.request_id("modelperm-", None), "object": "model_permission", "created": created,
                "allow_create_engine": false, "allow_sampling": true, "allow_logprobs": true,
                "allow_search_indices": false, "allow_view": true, "allow_fine_tuning": false,
                "organization": "*", "group": null, "is_blocking": false,
            }],
        })
    };
    Json(json!({"object": "list", "data": engine.names.iter().map(card).collect::<Vec<_>>()}))
}

async fn load(State(engine): Shared) -> Json<Value> {
    Json(json!({"server_load": engine.stats().in_flight}))
}

async fn metrics_page(State(engine): Shared) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=1.0.0; charset=utf-8")], metrics::render(&engine))
        .into_response()
}

/// Replaces the faults; what the body leaves out is off.
async fn set_faults(State(engine): Shared, body: bytes::Bytes) -> Result<Json<Faults>, ApiError> {
    let faults = serde_json::from_slice(&body).map_err(|error| ApiError::body(&error))?;
    engine.set_faults(faults);
    Ok(Json(faults))
}
