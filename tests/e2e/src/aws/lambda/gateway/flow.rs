use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::super::template::Integration;
use super::State;
use super::authorizer::authorize;
use super::event::{Context, proxy_event};
use super::integration::{self, Call};
use super::refusal::Refusal;
use super::response::{Answer, mocked, whole};
use super::routes;

/// The largest body of a request, in bytes: 10 MB
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html>).
const BODY_LIMIT: usize = 10 * 1024 * 1024;

/// How much of a body that is too large is still read, so that the client sees the answer.
const DRAIN_LIMIT: usize = 10 * BODY_LIMIT;

/// Answers one request.
pub(super) async fn answer(
    gateway: &Arc<State>,
    request: Request<Incoming>,
    source: SocketAddr,
) -> Answer {
    let (parts, body) = request.into_parts();
    let stage = &gateway.api.stage;
    let path =
        parts.uri.path().strip_prefix('/').and_then(|path| path.strip_prefix(stage.as_str()));
    let Some(path) = path.filter(|path| path.is_empty() || path.starts_with('/')) else {
        return forbidden();
    };
    let mut context = Context::new(&parts, stage, path, source);
    match pass(gateway, &parts, body, path, &mut context).await {
        Ok(answer) => answer,
        Err(refusal) => gateway.refusals.answer(&refusal, &context),
    }
}

async fn pass(
    gateway: &Arc<State>,
    parts: &http::request::Parts,
    body: Incoming,
    path: &str,
    context: &mut Context,
) -> Result<Answer, Refusal> {
    let body = read(body).await?;
    let found = routes::find(&gateway.api.routes, parts.method.as_str(), path)
        .ok_or_else(|| Refusal::no_route(parts.headers.get(AUTHORIZATION)))?;
    context.found(&found.route.path);
    if gateway.throttle.as_ref().is_some_and(|buckets| !buckets.take(found.route)) {
        return Err(Refusal::throttled());
    }
    let authorizer = found.route.authorizer.as_ref();
    if let Some(authorizer) = authorizer.and_then(|name| gateway.api.authorizers.get(name)) {
        authorize(gateway, authorizer, &parts.headers, context).await?;
    }
    let function = match &found.route.integration {
        Integration::Mock(answer) => return Ok(mocked(answer, &context.request_id)),
        Integration::Function(function) => function,
    };
    let binary = &gateway.api.binary_media_types;
    let call = Call {
        event: proxy_event(parts, &body, context, &found.parameters, binary),
        function,
        accept: parts.headers.get("accept").and_then(|kinds| kinds.to_str().ok()),
        request_id: &context.request_id,
    };
    integration::call(gateway, call).await
}

/// Reads a body that is not too large.
async fn read(mut body: Incoming) -> Result<Bytes, Refusal> {
    let mut whole = Vec::new();
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= BODY_LIMIT {
            whole.extend_from_slice(&data);
        } else if length > DRAIN_LIMIT {
            break;
        }
    }
    if length > BODY_LIMIT { Err(Refusal::too_large()) } else { Ok(whole.into()) }
}

/// What is beside the stage is not part of the API, nor of its gateway responses.
fn forbidden() -> Answer {
    let response = Response::builder()
        .status(StatusCode::FORBIDDEN)
        .header("content-type", "application/json")
        .header("x-amzn-errortype", "ForbiddenException");
    response.body(whole(Bytes::from_static(br#"{"message":"Forbidden"}"#))).expect("headers")
}
