//! The runtime API of one process, as
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html> and
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html> define it.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::answer::{InvokeError, Part, STREAM_LIMIT, SYNCHRONOUS_LIMIT, response_too_large};
use super::desk::{Answering, Desk};
use super::socket::Prompt;

/// The prefix of every path.
const ROOT: &str = "/2018-06-01/runtime/";

/// Serves one process until it is aborted.
pub(super) async fn serve(listener: TcpListener, desk: Arc<Desk>, arn: String) {
    let arn: Arc<str> = arn.into();
    // Connections end with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = Prompt::accept(&listener).await {
        let (desk, arn) = (desk.clone(), arn.clone());
        connections.spawn(async move {
            let answer = service_fn(|request| {
                let (desk, arn) = (desk.clone(), arn.clone());
                async move { Ok::<_, Infallible>(answer(request, &desk, &arn).await) }
            });
            // The process ends its connections as it likes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(request: Request<Incoming>, desk: &Desk, arn: &str) -> Response<Full<Bytes>> {
    let path = request.uri().path().strip_prefix(ROOT).unwrap_or_default().to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => next(desk, arn).await,
        (&Method::POST, ["invocation", id, "response"]) => match desk.begin_answer(id) {
            Some(answering) => respond(request, &answering).await,
            None => refuse(StatusCode::BAD_REQUEST, "InvalidRequestID"),
        },
        (&Method::POST, ["invocation", id, "error"]) => match desk.begin_answer(id) {
            Some(answering) => {
                answering.finish(Part::Failed(error(request).await));
                accept()
            }
            None => refuse(StatusCode::BAD_REQUEST, "InvalidRequestID"),
        },
        (&Method::POST, ["init", "error"]) => {
            desk.failed_to_start(error(request).await);
            accept()
        }
        _ => refuse(StatusCode::NOT_FOUND, "InvalidPath"),
    }
}

/// Waits for an event.
async fn next(desk: &Desk, arn: &str) -> Response<Full<Bytes>> {
    let Ok(parcel) = desk.ask().await else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "Shutdown");
    };
    Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .header("Lambda-Runtime-Deadline-Ms", parcel.deadline.to_string())
        .header("Lambda-Runtime-Invoked-Function-Arn", arn)
        .header("Lambda-Runtime-Trace-Id", trace_id(&parcel.id))
        .header("Lambda-Runtime-Aws-Request-Id", parcel.id)
        .body(Full::new(parcel.payload))
        .expect("headers in ASCII")
}

/// A trace id in X-Ray's form, not sampled.
fn trace_id(id: &str) -> String {
    let hex: String =
        id.chars().filter(char::is_ascii_hexdigit).chain("0".repeat(24).chars()).collect();
    format!("Root=1-{}-{};Parent={};Sampled=0", &hex[..8], &hex[..24], &hex[8..24])
}

/// Passes an answer on, piece by piece.
async fn respond(request: Request<Incoming>, answering: &Answering<'_>) -> Response<Full<Bytes>> {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let streamed = header("lambda-runtime-function-response-mode") == "streaming";
    let limit = if streamed { STREAM_LIMIT } else { SYNCHRONOUS_LIMIT };
    let content_type = header("content-type");
    let mut body = request.into_body();
    let mut whole = Vec::new();
    let mut length = 0;
    if streamed {
        answering.send(Part::Start { streamed, content_type: content_type.clone() }).await;
    }
    while let Some(frame) = body.frame().await {
        // The process has gone; whoever watches it knows how.
        let Ok(frame) = frame else { return refuse(StatusCode::BAD_REQUEST, "TruncatedResponse") };
        if let Some(error) = frame.trailers_ref().and_then(error_of_trailers) {
            answering.finish(Part::Failed(error));
            return accept();
        }
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length > limit {
            answering.finish(Part::Failed(response_too_large()));
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge");
        }
        if streamed {
            answering.send(Part::Data(data)).await;
        } else {
            whole.extend_from_slice(&data);
        }
    }
    if !streamed {
        answering.send(Part::Start { streamed, content_type }).await;
        answering.send(Part::Data(whole.into())).await;
    }
    answering.finish(Part::End);
    accept()
}

/// A failure in the middle of a stream.
fn error_of_trailers(trailers: &HeaderMap) -> Option<InvokeError> {
    let kind = trailers.get("lambda-runtime-function-error-type")?.to_str().ok()?;
    let body = trailers.get("lambda-runtime-function-error-body");
    let body = body.and_then(|body| BASE64_STANDARD.decode(body.as_bytes()).ok());
    Some(error_of_body(&body.unwrap_or_default(), kind))
}

/// What a runtime reports.
async fn error(request: Request<Incoming>) -> InvokeError {
    let header = request.headers().get("lambda-runtime-function-error-type");
    let kind = header.and_then(|kind| kind.to_str().ok()).unwrap_or("Unhandled").to_owned();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    error_of_body(&body.unwrap_or_default(), &kind)
}

/// The `errorType` and `errorMessage` of a report.
fn error_of_body(body: &[u8], kind: &str) -> InvokeError {
    let report: Value = serde_json::from_slice(body)
        .unwrap_or_else(|_| json!({"errorMessage": String::from_utf8_lossy(body)}));
    let field = |name: &str| report.get(name).and_then(Value::as_str).map(str::to_owned);
    InvokeError::function(
        field("errorType").unwrap_or_else(|| kind.to_owned()),
        field("errorMessage").unwrap_or_default(),
    )
}

fn accept() -> Response<Full<Bytes>> {
    json_response(StatusCode::ACCEPTED, &json!({"status": "OK"}))
}

fn refuse(status: StatusCode, kind: &str) -> Response<Full<Bytes>> {
    json_response(status, &json!({"errorType": kind, "errorMessage": kind}))
}

fn json_response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    response.body(Full::new(body.to_string().into())).expect("headers in ASCII")
}

#[cfg(test)]
mod tests;
