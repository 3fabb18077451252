use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::{Bytes, BytesMut};
use diogenes_core::ports::AdmitError;
use diogenes_core::routing::Patience;
use diogenes_core::tenancy::{Principal, may};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;

use super::entry::Entry;
use super::hold::{Hold, Waited};
use super::link::StoreLink;
use super::peek::Peek;
use super::sse::{Ending, Watch, usage_of};
use super::stream::{
    Account, HeldStream, Limited, broken_answer, is_limited, out_of_time, pass, until,
};
use super::target::Lease;
use super::upstream::{BodyError, RequestHead, ResponseBody, SendError, UpstreamResponse};
use super::{ProxyState, headers, models};
use crate::body::read_body;
use crate::error::{ApiError, ErrorKind, admit_error};
use crate::request_id;

const MODEL: HeaderName = HeaderName::from_static("x-diogenes-model");
const TARGET: HeaderName = HeaderName::from_static("x-diogenes-target");
const COLD_START: HeaderName = HeaderName::from_static("x-diogenes-cold-start-ms");
const OVERHEAD: HeaderName = HeaderName::from_static("x-diogenes-overhead-ms");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The routes of `/v1`. Paths are allowed one by one: inference servers have others that their
/// key does not guard.
pub(crate) fn router() -> Router<Arc<ProxyState>> {
    Router::new()
        .route("/v1/chat/completions", post(infer))
        .route("/v1/completions", post(infer))
        .route("/v1/embeddings", post(infer))
        .route("/v1/responses", post(infer))
}

/// OpenAI's listing of models.
pub(crate) fn models_router() -> Router<Arc<ProxyState>> {
    Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::show))
}

/// An inference request, ready to be sent to any replica of its model.
pub(super) struct Call {
    path: String,
    headers: HeaderMap,
    body: Bytes,
    stream: bool,
    pub(super) timeout: Duration,
    pub(super) max_response: usize,
    /// When the answer must have ended, where a request may not take as long as it likes.
    pub(super) deadline: Option<Instant>,
    link: Option<Arc<StoreLink>>,
    pub(super) ending: Ending,
}

/// A replica that has answered with a head.
pub(super) struct Reached {
    pub(super) lease: Lease,
    pub(super) response: UpstreamResponse,
    /// How long the request was held.
    waited: Option<Duration>,
    sent_at: Instant,
}

impl Call {
    pub(super) async fn send(&self, lease: &mut Lease) -> Result<UpstreamResponse, SendError> {
        if let Some(link) = &self.link {
            lease.stamp(link);
        }
        let head = RequestHead {
            method: &Method::POST,
            path: &self.path,
            headers: &self.headers,
            bearer: &lease.target.upstream_key,
        };
        lease.target.upstream.send(&head, &self.body, self.timeout).await
    }
}

async fn infer(State(app): State<Arc<ProxyState>>, request: Request) -> Response {
    let began = Instant::now();
    let id = request_id::of(request.headers());
    let mut response = match answer(&app, request, began, &id).await {
        Ok(response) => response,
        Err(error) => {
            log_failure(&id, &error);
            error.into_response()
        }
    };
    if let Some(link) = &app.views.link {
        link.settle().await;
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Joins a failed answer with what was logged of its cause; a span for every request would cost a
/// tenth of its CPU.
pub(super) fn log_failure(id: &HeaderValue, error: &ApiError) {
    let (status, code) = error.kind.http();
    if status.is_server_error() {
        let shown = id.to_str().unwrap_or_default();
        tracing::warn!(request.id = shown, code, "request {shown} was answered with `{code}`");
    }
}

async fn answer(
    app: &Arc<ProxyState>,
    request: Request,
    began: Instant,
    id: &HeaderValue,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let key = app.authenticator.allow::<may::InferenceUse>(&parts).await?;
    let body = read_body(&parts.headers, body, app.settings.max_body_bytes).await?;
    let mut peek = Peek::read(&body)?;
    // OpenAI has no streamed embeddings; servers ignore the field.
    peek.stream &= parts.uri.path() != "/v1/embeddings";
    app.views.refresh(&peek.model).await?;
    let entry = app.views.dispatcher.find_for(&peek.model, Some(key.principal()))?;
    let view = entry.view();
    let name = &view.model.name;
    if !key.may_use(name) {
        return Err(ApiError::new(
            ErrorKind::ModelNotAllowed,
            format!("the API key `{}` may not use model `{name}`; ask for a key that may", key.key),
        )
        .param("model"));
    }
    let limited = if is_limited(&key) { Some(admit(app, &key).await?) } else { None };
    entry.asked_for();
    let patience =
        Patience { stream: peek.stream, prefer_wait: headers::prefer_wait(&parts.headers) };
    let spec = &view.model.spec;
    let upstream_model = spec.upstream_model.as_deref().unwrap_or(name.as_str());
    let mut forwarded = parts.headers;
    headers::strip(&mut forwarded);
    forwarded.insert(REQUEST_ID, id.clone());
    let call = Call {
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: forwarded,
        body: peek.with_model(&body, upstream_model),
        stream: peek.stream,
        timeout: if peek.stream { spec.stall_timeout } else { spec.answer_timeout },
        max_response: app.settings.max_response_bytes,
        deadline: app.settings.deadlines.map(|deadlines| began + deadlines.of(peek.stream)),
        link: app.views.link.clone(),
        ending: if parts.uri.path() == "/v1/responses" { Ending::Response } else { Ending::Done },
    };
    let mut account =
        Account::open(entry.clone(), id.clone(), began, limited, app.views.link.clone());
    let reached = until(call.deadline, reach(&entry, &call, patience)).await;
    let reached = match reached.unwrap_or_else(|_| Err(out_of_time(&entry))) {
        Ok(Reach::Reached(reached)) => *reached,
        Ok(Reach::Hold(hold)) => return Ok(open_held(*hold, call, account)),
        Err(error) => {
            account.failed(&error);
            return Err(error);
        }
    };
    deliver(reached, &call, account, began).await
}

/// How far [`reach`] came.
enum Reach {
    Reached(Box<Reached>),
    /// A stream that must wait: it is opened at once.
    Hold(Box<Hold>),
}

/// Finds a replica that takes the request. A plain call waits here for one; a stream comes back
/// with its hold.
async fn reach(entry: &Arc<Entry>, call: &Call, patience: Patience) -> Result<Reach, ApiError> {
    let mut hold: Option<Hold> = None;
    loop {
        let mut lease = match (entry.pick(), &mut hold) {
            (Some(lease), _) => lease,
            (None, None) => {
                let begun = Hold::begin(entry, patience, call.link.as_ref()).await?;
                if call.stream {
                    return Ok(Reach::Hold(Box::new(begun)));
                }
                hold = Some(begun);
                continue;
            }
            (None, Some(hold)) => match hold.next().await {
                Waited::Ready(lease) => lease,
                Waited::Progress(_) => continue,
                Waited::Refused(error) => return Err(error),
            },
        };
        let sent_at = Instant::now();
        match call.send(&mut lease).await {
            Ok(response) => {
                let waited = hold.map(|hold| hold.elapsed());
                return Ok(Reach::Reached(Box::new(Reached { lease, response, waited, sent_at })));
            }
            Err(SendError::Connect(_)) => {
                entry.take_out(&lease.target);
                entry.wake().await;
            }
            Err(error) => return Err(upstream_error(&error, entry)),
        }
    }
}

async fn deliver(
    reached: Reached,
    call: &Call,
    mut account: Account,
    began: Instant,
) -> Result<Response, ApiError> {
    let entry = reached.lease.entry().clone();
    entry.metrics.first_byte(began.elapsed());
    let status = reached.response.status;
    let mut fields = reached.response.headers.clone();
    headers::strip(&mut fields);
    let overhead =
        reached.sent_at.duration_since(began).saturating_sub(reached.waited.unwrap_or_default());
    fields.insert(OVERHEAD, millis(overhead));
    fields.insert(TARGET, reached.lease.target.label.clone());
    if let Ok(name) = HeaderValue::from_str(entry.view().model.name.as_str()) {
        fields.insert(MODEL, name);
    }
    if let Some(waited) = reached.waited {
        entry.metrics.woke_after(waited);
        fields.insert(COLD_START, millis(waited));
    }
    if let Some(limited) = account.limited() {
        crate::control::rate_headers(&limited.admission.status, &mut fields);
    }
    let body = if headers::is_event_stream(&fields) {
        let watch = Watch::new(call.ending, account.counts_tokens());
        let passing = HeldStream::Passing(Box::new(pass(reached, watch, account, call.deadline)));
        body_of(passing, call.link.clone())
    } else {
        let whole = read_whole(reached.response.body, call.max_response);
        let stalled = reached.sent_at + call.timeout;
        let whole = until(call.deadline, tokio::time::timeout_at(stalled, whole)).await;
        let Ok(whole) = whole else {
            let error = out_of_time(&entry);
            account.failed(&error);
            return Err(error);
        };
        match whole.unwrap_or(Err(Whole::Broken(BodyError::Stalled))) {
            Ok(whole) => {
                account.status = status;
                account.usage = usage_of(&whole);
                Body::from(whole)
            }
            Err(broken) => {
                let error = match broken {
                    Whole::Broken(broken) => broken_answer(broken, &entry),
                    Whole::TooLarge => too_large(call.max_response),
                };
                account.failed(&error);
                return Err(error);
            }
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    Ok(response)
}

/// Opens a stream whose replica is yet to come.
fn open_held(hold: Hold, call: Call, account: Account) -> Response {
    let mut fields = HeaderMap::new();
    if let Some(limited) = account.limited() {
        crate::control::rate_headers(&limited.admission.status, &mut fields);
    }
    let link = call.link.clone();
    let body = body_of(HeldStream::Holding(Box::new((hold, call, account))), link);
    let mut response = Response::new(body);
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies in front of us must not wait for more.
    fields.insert("x-accel-buffering", HeaderValue::from_static("no"));
    *response.headers_mut() = fields;
    response
}

/// A stream as a body. What its end leaves to be written is written before the body ends.
fn body_of(stream: HeldStream, link: Option<Arc<StoreLink>>) -> Body {
    Body::from_stream(stream::unfold((stream, link), |(mut stream, link)| async move {
        if let Some(bytes) = stream.next().await {
            return Some((Ok::<_, Infallible>(bytes), (stream, link)));
        }
        drop(stream);
        if let Some(link) = link {
            link.settle().await;
        }
        None
    }))
}

async fn admit(app: &ProxyState, key: &Principal) -> Result<Limited, ApiError> {
    let admission =
        app.limiter.admit(&key.key, &key.limits, app.clock.now()).await.map_err(|refused| {
            let mut fields = HeaderMap::new();
            if let AdmitError::Exceeded(exceeded) = &refused {
                crate::control::rate_headers(&exceeded.status, &mut fields);
            }
            let mut error = admit_error(&refused);
            error.headers.extend(
                fields
                    .into_iter()
                    .filter_map(|(name, value)| Some((name?, value.to_str().ok()?.to_owned()))),
            );
            error
        })?;
    Ok(Limited {
        key: key.key.clone(),
        limits: key.limits,
        limiter: app.limiter.clone(),
        clock: app.clock.clone(),
        admission,
    })
}

/// Why an answer was not read whole.
#[derive(Debug)]
pub(super) enum Whole {
    Broken(BodyError),
    TooLarge,
}

/// Buffers an answer, so that a cut one is never passed off as whole.
pub(super) async fn read_whole(mut body: ResponseBody, most: usize) -> Result<Bytes, Whole> {
    let Some(first) = body.next().await.map_err(Whole::Broken)? else {
        return Ok(Bytes::new());
    };
    if first.len() > most {
        return Err(Whole::TooLarge);
    }
    let Some(second) = body.next().await.map_err(Whole::Broken)? else {
        return Ok(first);
    };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second);
    while let Some(bytes) = body.next().await.map_err(Whole::Broken)? {
        if whole.len() + bytes.len() > most {
            return Err(Whole::TooLarge);
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}

fn too_large(most: usize) -> ApiError {
    ApiError::new(
        ErrorKind::UpstreamTooLarge,
        format!("the model's answer is larger than {most} bytes; ask for less, or stream it"),
    )
}

/// What to tell a caller whose request got no answer.
pub(super) fn upstream_error(error: &SendError, entry: &Entry) -> ApiError {
    let view = entry.view();
    let name = &view.model.name;
    tracing::warn!(
        model = %name, error = error as &dyn std::error::Error,
        "a request to `{name}` got no answer"
    );
    let (kind, what) = match error {
        SendError::Connect(_) | SendError::Closed(_) => {
            (ErrorKind::UpstreamUnreachable, "closed the connection before it answered")
        }
        SendError::Malformed => (ErrorKind::UpstreamMalformed, "did not answer in HTTP"),
        SendError::TimedOut => (ErrorKind::UpstreamStalled, "did not answer in time"),
    };
    entry.metrics.broken(kind.http().1);
    ApiError::new(
        kind,
        format!("model `{name}` {what}; retry the request, and see `diogenes logs {name}`"),
    )
}

/// A duration as milliseconds with three decimals.
fn millis(duration: Duration) -> HeaderValue {
    let micros = duration.as_micros();
    let text = format!("{}.{:03}", micros / 1000, micros % 1000);
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}
