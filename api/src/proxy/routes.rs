use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use diogenes_core::tenancy::may;
use futures_util::stream;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::admission::InferenceRequest;
use super::delivery::{Answer, AnswerBody, AnswerStream};
use super::dialect::{self, Dialect};
use super::{ProxyState, models};
use crate::body::read_body;
use crate::error::ApiError;
use crate::request_id;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The routes of `/v1`. Paths are allowed one by one: inference servers have others that their
/// key does not guard.
pub(crate) fn router() -> Router<Arc<ProxyState>> {
    type Shared = State<Arc<ProxyState>>;
    Router::new()
        .route(
            "/v1/chat/completions",
            post(|state: Shared, request| infer(state, Dialect::ChatCompletions, request)),
        )
        .route(
            "/v1/completions",
            post(|state: Shared, request| infer(state, Dialect::Completions, request)),
        )
        .route(
            "/v1/embeddings",
            post(|state: Shared, request| infer(state, Dialect::Embeddings, request)),
        )
        .route(
            "/v1/responses",
            post(|state: Shared, request| infer(state, Dialect::Responses, request)),
        )
        .route(
            "/v1/messages",
            post(|state: Shared, request| infer(state, Dialect::Messages, request)),
        )
        .route(
            "/v1/messages/count_tokens",
            post(|state: Shared, request| infer(state, Dialect::CountTokens, request)),
        )
        .route(
            "/v1/tokenize",
            post(|state: Shared, request| infer(state, Dialect::Tokenize, request)),
        )
        .route(
            "/v1/detokenize",
            post(|state: Shared, request| infer(state, Dialect::Detokenize, request)),
        )
        .route("/v1/rerank", post(|state: Shared, request| infer(state, Dialect::Rerank, request)))
        .route("/v1/score", post(|state: Shared, request| infer(state, Dialect::Score, request)))
        .route(
            "/v1/audio/transcriptions",
            post(|state: Shared, request| infer(state, Dialect::Transcriptions, request)),
        )
        .route(
            "/v1/audio/translations",
            post(|state: Shared, request| infer(state, Dialect::Translations, request)),
        )
        .route(
            "/v1/images/generations",
            post(|state: Shared, request| infer(state, Dialect::ImageGenerations, request)),
        )
        .route(
            "/v1/images/edits",
            post(|state: Shared, request| infer(state, Dialect::ImageEdits, request)),
        )
}

/// OpenAI's listing of models.
pub(crate) fn models_router() -> Router<Arc<ProxyState>> {
    Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::show))
}

async fn infer(
    State(state): State<Arc<ProxyState>>,
    dialect: Dialect,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let id = request_id::of(request.headers());
    let mut response = match walk(&state, dialect, request, arrived, id.clone()).await {
        Ok(answer) => response(answer),
        Err(error) if dialect.is_anthropic() => message_error(error, &id),
        Err(error) => error.into_response(),
    };
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// An error in Anthropic's shape, with the same status and headers.
fn message_error(error: ApiError, id: &HeaderValue) -> Response {
    let body = dialect::error_object(&error).to_messages(id.to_str().ok());
    let mut response = error.into_response();
    response.headers_mut().remove(CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
    response
}

async fn walk(
    state: &ProxyState,
    dialect: Dialect,
    request: Request,
    arrived: Instant,
    id: HeaderValue,
) -> Result<Answer, ApiError> {
    let (parts, body) = request.into_parts();
    let read = async {
        let by = state.authenticator.allow::<may::InferenceUse>(&parts).await?;
        let body = read_body(&parts.headers, body, state.settings.max_body_bytes).await?;
        Ok((by, body))
    };
    let (by, body) = read.await.inspect_err(|error| {
        state.gateway.refused(&id, dialect, &parts.headers, arrived, error);
    })?;
    let query = parts.uri.query().map(str::to_owned);
    let headers = parts.headers;
    let is_background = false;
    let allowance = None;
    let request =
        InferenceRequest { id, arrived, dialect, query, is_background, allowance, headers, body };
    state.gateway.walk(by, request).await
}

fn response(answer: Answer) -> Response {
    let body = match answer.body {
        AnswerBody::Whole(bytes) => Body::from(bytes),
        AnswerBody::Stream(stream) => body_of(stream),
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

fn body_of(stream: AnswerStream) -> Body {
    Body::from_stream(stream::unfold(stream, |mut stream| async move {
        let bytes = stream.next().await?;
        Some((Ok::<_, Infallible>(bytes), stream))
    }))
}
