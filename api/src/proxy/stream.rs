use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::keys::KeyId;
use diogenes_core::ports::{Admission, Clock, Limiter, Limits};
use diogenes_core::tenancy::Principal;
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::entry::Entry;
use super::headers::is_event_stream;
use super::hold::{Hold, Waited};
use super::inference::{Call, Reached, log_failure, read_whole, upstream_error};
use super::link::StoreLink;
use super::sse::{Usage, Watch};
use super::target::Lease;
use super::upstream::{BodyError, ResponseBody, SendError, UpstreamResponse};
use crate::error::{ApiError, ErrorKind};

/// What is settled when a request ends, however it ends: metrics, the key's tokens and its
/// concurrency slot.
pub(super) struct Account {
    entry: Arc<Entry>,
    request_id: HeaderValue,
    began: Instant,
    pub(super) status: StatusCode,
    pub(super) usage: Option<Usage>,
    limited: Option<Limited>,
    link: Option<Arc<StoreLink>>,
}

/// The limits that a request counts against.
pub(super) struct Limited {
    pub(super) key: KeyId,
    pub(super) limits: Limits,
    pub(super) limiter: Arc<dyn Limiter>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) admission: Admission,
}

impl Limited {
    pub(super) fn counts_tokens(&self) -> bool {
        self.limits.tokens_per_minute.is_some()
    }
}

impl Account {
    pub(super) fn open(
        entry: Arc<Entry>,
        request_id: HeaderValue,
        began: Instant,
        limited: Option<Limited>,
        link: Option<Arc<StoreLink>>,
    ) -> Self {
        entry.metrics.begin();
        // 499: the client went away; replaced as soon as anything else is known.
        let status = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
        Self { entry, request_id, began, status, usage: None, limited, link }
    }

    pub(super) fn limited(&self) -> Option<&Limited> {
        self.limited.as_ref()
    }

    pub(super) fn counts_tokens(&self) -> bool {
        self.limited.as_ref().is_some_and(Limited::counts_tokens)
    }

    pub(super) fn failed(&mut self, error: &ApiError) {
        self.status = error.kind.http().0;
    }

    /// The same for a stream, whose headers have left: its last event is all that the caller gets.
    fn broke_off(&mut self, error: &ApiError) -> String {
        self.failed(error);
        log_failure(&self.request_id, error);
        error.event()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.entry.metrics.end(self.status, self.began.elapsed(), self.usage);
        let Some(Limited { key, limits, limiter, clock, admission }) = self.limited.take() else {
            return;
        };
        drop(admission);
        let tokens = self.usage.map_or(0, Usage::total);
        if limits.tokens_per_minute.is_none() || tokens == 0 {
            return;
        }
        let record = async move {
            limiter.record_tokens(&key, &limits, tokens, clock.now()).await;
        };
        if let Some(link) = &self.link {
            link.defer(record);
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(record);
        }
    }
}

/// A stream on its way from a replica to a caller.
pub(super) struct Passing {
    body: ResponseBody,
    watch: Watch,
    account: Account,
    _lease: Lease,
    ended: bool,
    deadline: Option<Instant>,
}

impl Passing {
    pub(super) fn new(
        body: ResponseBody,
        watch: Watch,
        account: Account,
        lease: Lease,
        deadline: Option<Instant>,
    ) -> Self {
        Self { body, watch, account, _lease: lease, ended: false, deadline }
    }

    /// The next bytes for the caller; a broken stream ends in an error event, never silently.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let Ok(next) = until(self.deadline, self.body.next()).await else {
            let error = out_of_time(&self.account.entry);
            return Some(self.fail(&error));
        };
        let broken = match next {
            Ok(Some(bytes)) => {
                self.watch.observe(&bytes);
                return Some(bytes);
            }
            Ok(None) if self.watch.is_complete(self.body.is_framed()) => {
                self.account.status = StatusCode::OK;
                self.settle();
                return None;
            }
            Ok(None) => BodyError::Cut,
            Err(error) => error,
        };
        let error = broken_answer(broken, &self.account.entry);
        Some(self.fail(&error))
    }

    fn fail(&mut self, error: &ApiError) -> Bytes {
        let event = self.account.broke_off(error);
        self.settle();
        Bytes::from(format!("{}{event}", self.watch.separator()))
    }

    fn settle(&mut self) {
        self.ended = true;
        self.account.usage = Some(self.watch.usage());
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // A client that went away has used what was streamed so far.
        if !self.ended {
            self.account.usage = Some(self.watch.usage());
        }
    }
}

/// Waits for `work`, but not beyond a deadline.
pub(super) async fn until<T>(
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, work).await,
        None => Ok(work.await),
    }
}

/// What to tell a caller for whom the time that a request may take is over.
pub(super) fn out_of_time(entry: &Entry) -> ApiError {
    let view = entry.view();
    entry.metrics.broken("deadline");
    ApiError::new(
        ErrorKind::Deadline,
        format!(
            "model `{}` did not finish within the time that one request may take here; what came before is incomplete: stream the answer, or ask for a shorter one",
            view.model.name
        ),
    )
}

/// What to tell a caller whose answer broke off.
pub(super) fn broken_answer(broken: BodyError, entry: &Entry) -> ApiError {
    let view = entry.view();
    let name = &view.model.name;
    let (kind, label, what) = match broken {
        BodyError::Cut => (ErrorKind::UpstreamCut, "cut", "ended before it was complete"),
        BodyError::Stalled => (ErrorKind::UpstreamStalled, "stalled", "stopped coming"),
        BodyError::Malformed => (ErrorKind::UpstreamMalformed, "malformed", "was not valid HTTP"),
    };
    entry.metrics.broken(label);
    tracing::warn!(model = %name, kind = label, "an answer of `{name}` broke off: {broken}");
    ApiError::new(
        kind,
        format!(
            "the answer of model `{name}` {what}; what came before it is incomplete, retry the request"
        ),
    )
}

/// A stream whose caller waits for a replica: comments, then the replica's stream.
pub(super) enum HeldStream {
    Holding(Box<(Hold, Call, Account)>),
    Passing(Box<Passing>),
    Ended,
}

impl HeldStream {
    /// The next bytes for the caller.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Passing(passing) => passing.next().await,
            Self::Ended => None,
            Self::Holding(waiting) => {
                let (hold, call, account) = waiting.as_mut();
                let Ok(waited) = until(call.deadline, hold.next()).await else {
                    let error = out_of_time(&account.entry);
                    let event = account.broke_off(&error);
                    *self = Self::Ended;
                    return Some(event.into());
                };
                let mut lease = match waited {
                    Waited::Ready(lease) => lease,
                    Waited::Progress(progress) => {
                        let eta = progress.eta.map(|eta| eta.as_secs());
                        let report = serde_json::json!({
                            "phase": progress.phase,
                            "elapsed_s": hold.elapsed().as_secs(),
                            "eta_s": eta,
                        });
                        return Some(comment(&report));
                    }
                    Waited::Refused(error) => {
                        let event = account.broke_off(&error);
                        *self = Self::Ended;
                        return Some(event.into());
                    }
                };
                let waited = hold.elapsed();
                let sent_at = Instant::now();
                let Ok(sent) = until(call.deadline, call.send(&mut lease)).await else {
                    let error = out_of_time(&account.entry);
                    let event = account.broke_off(&error);
                    *self = Self::Ended;
                    return Some(event.into());
                };
                match sent {
                    Ok(response) => self.open(lease, response, waited, sent_at).await,
                    Err(SendError::Connect(_)) => {
                        lease.entry().take_out(&lease.target);
                        lease.entry().wake().await;
                        Some(Bytes::from_static(
                            b": diogenes the replica refuses connections; waiting\n\n",
                        ))
                    }
                    Err(error) => {
                        let error = upstream_error(&error, lease.entry());
                        let event = account.broke_off(&error);
                        *self = Self::Ended;
                        Some(event.into())
                    }
                }
            }
        }
    }

    async fn open(
        &mut self,
        lease: Lease,
        response: UpstreamResponse,
        waited: Duration,
        sent_at: Instant,
    ) -> Option<Bytes> {
        let Self::Holding(held) = std::mem::replace(self, Self::Ended) else {
            return None;
        };
        let (_, call, mut account) = *held;
        let entry = lease.entry().clone();
        entry.metrics.woke_after(waited);
        entry.metrics.first_byte(account.began.elapsed());
        if response.status != StatusCode::OK || !is_event_stream(&response.headers) {
            return Some(refused(response, &call, &mut account, &entry).await);
        }
        let overhead =
            account.began.elapsed().saturating_sub(waited).saturating_sub(sent_at.elapsed());
        let report = serde_json::json!({
            "phase": "ready",
            "model": entry.view().model.name,
            "target": lease.target.label.to_str().unwrap_or_default(),
            "cold_start_ms": u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            "overhead_ms": overhead.as_micros() as f64 / 1000.0,
        });
        let watch = Watch::new(call.ending, account.counts_tokens());
        let passing = Passing::new(response.body, watch, account, lease, call.deadline);
        *self = Self::Passing(Box::new(passing));
        Some(comment(&report))
    }
}

/// The replica's own error, for a stream whose headers have left with a 200.
async fn refused(
    response: UpstreamResponse,
    call: &Call,
    account: &mut Account,
    entry: &Entry,
) -> Bytes {
    const MOST: usize = 1 << 20;
    account.status = response.status;
    let whole = tokio::time::timeout(call.timeout, read_whole(response.body, MOST)).await;
    let body = whole.ok().and_then(Result::ok).unwrap_or_default();
    if let Ok(error) = serde_json::from_slice::<serde_json::Value>(&body)
        && error.get("error").is_some()
    {
        return format!("data: {error}\n\n").into();
    }
    let name = &entry.view().model.name;
    let status = response.status.as_u16();
    let what = if status == 200 {
        "answered a streamed request with something else than a stream; ask without `stream`".into()
    } else {
        format!("answered with status {status}; see `diogenes logs {name}`")
    };
    ApiError::new(
        ErrorKind::UpstreamRefused,
        format!("the inference server of model `{name}` {what}"),
    )
    .event()
    .into()
}

/// A comment line of an SSE stream, which clients ignore.
fn comment(report: &serde_json::Value) -> Bytes {
    format!(": diogenes {report}\n\n").into()
}

/// The limits of a key, if it has any.
pub(super) fn is_limited(key: &Principal) -> bool {
    !key.limits.is_unlimited()
}

/// Nothing of a reached replica is dropped before its body is.
pub(super) fn pass(
    reached: Reached,
    watch: Watch,
    account: Account,
    deadline: Option<Instant>,
) -> Passing {
    Passing::new(reached.response.body, watch, account, reached.lease, deadline)
}
