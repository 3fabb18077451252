//! What callers are told when they get no answer, or not the replica's own.

use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::{Failure, FailureKind, ModelView};
use diogenes_core::gateway::GiveUp;
use diogenes_core::gateway::translation::Untranslatable;
use http::StatusCode;

use super::destination::Destination;
use super::dialect::Dialect;
use super::entry::Limit;
use super::provider::Hosted;
use super::upstream::{BodyError, SendError};
use crate::error::{ApiError, ErrorKind};

/// Clients do not wait longer than this for a retry.
const SOON: Duration = Duration::from_mins(1);

/// What is wrong with an answer in a coding that nobody asked for; behind "the answer".
pub(super) const COMPRESSED: &str = "is compressed, which was not asked for";

/// A request that cannot be put into the words of its target.
pub(super) fn untranslatable(error: &Untranslatable) -> ApiError {
    ApiError::new(ErrorKind::InvalidRequest, error.to_string()).param(error.field.clone())
}

/// A request that a budget counts and nothing bounds.
pub(super) fn unbounded(place: &str) -> ApiError {
    ApiError::new(
        ErrorKind::InvalidRequest,
        format!(
            "this request counts against a budget, and nobody can tell in advance how many tokens `{place}` will use; send its content in the request if it is elsewhere, or use a key without a budget"
        ),
    )
    .param(place)
}

/// A target that has no such endpoint.
pub(super) fn no_endpoint(at: &Destination, dialect: Dialect) -> ApiError {
    let (name, path) = (at.name(), dialect.path());
    ApiError::new(
        ErrorKind::InvalidRequest,
        format!("model `{name}` has no `{path}`; send it to `/v1/chat/completions` or `/v1/messages`, or use another model"),
    )
    .param("model")
}

/// Why the plan gave a request up; `first` is the first choice.
pub(super) fn given_up(why: &GiveUp, first: &Destination, now: Timestamp) -> ApiError {
    let name = first.name();
    match why {
        GiveUp::Unavailable { until } => {
            let wait = diogenes_core::fleet::eta::since(now, *until).max(Duration::from_secs(1));
            ApiError::new(
                ErrorKind::ProviderUnavailable,
                format!(
                    "no requests are sent to model `{name}` now, because its provider has failed or has asked for a pause; retry after the time in `Retry-After`"
                ),
            )
            .retry_after(wait)
        }
        GiveUp::Attempted => ApiError::new(
            ErrorKind::UpstreamUnreachable,
            format!("model `{name}` did not answer; retry the request"),
        ),
        GiveUp::BringsReplicasDown => ApiError::new(
            ErrorKind::RequestCrashesModel,
            format!(
                "this request has ended two replicas of model `{name}` within a minute; change it before you send it again, and see `diogenes logs {name}`"
            ),
        )
        .no_retry(),
        GiveUp::Deleted => ApiError::new(
            ErrorKind::ModelNotFound,
            match first {
                Destination::Model(_) => {
                    format!("model `{name}` was deleted while the request waited; see `GET /v1/models`")
                }
                Destination::Hosted(hosted) => format!(
                    "`{name}` was a model of this server and is no longer registered; its requests are never sent to the provider `{}`",
                    hosted.provider()
                ),
            },
        )
        .param("model"),
        GiveUp::ShuttingDown => ApiError::new(
            ErrorKind::ShuttingDown,
            "Diogenes is shutting down; retry once it is back",
        )
        .retry_after(Duration::from_secs(5)),
        GiveUp::Neglected => ApiError::new(
            ErrorKind::StoreUnavailable,
            format!(
                "model `{name}` cannot be started now because the state store does not answer; see the log of Diogenes"
            ),
        )
        .retry_after(Duration::from_secs(5)),
        GiveUp::Failed(failure) => failed(name.as_str(), failure, now),
        // A retry would start at once what an operator has just stopped.
        GiveUp::Down => ApiError::new(
            ErrorKind::ModelDown,
            format!(
                "an operator took model `{name}` down while the request waited; a new request starts it again"
            ),
        )
        .no_retry(),
        GiveUp::Warming(progress) => ApiError::warming(name.as_str(), progress),
        GiveUp::Busy => ApiError::new(
            ErrorKind::ModelBusy,
            format!(
                "model `{name}` is at its limit of concurrent requests, and this one did not get its turn in time; retry after the time in `Retry-After`"
            ),
        )
        .retry_after(Duration::from_secs(5)),
    }
}

/// One request too many that would wait.
pub(super) fn too_many_held(
    view: &ModelView,
    limit: Limit,
    is_ready: bool,
    now: Timestamp,
) -> ApiError {
    let is = if is_ready { "busy" } else { "starting" };
    let after = diogenes_core::routing::retry_after(view.progress(now).eta);
    let limit = match limit {
        Limit::OfAll(most) => {
            format!("the limit of requests that may wait for it ({most}) is reached")
        }
        Limit::OfKey(most) => {
            format!("the limit of requests of one key that may wait for it ({most}) is reached")
        }
    };
    ApiError::new(
        ErrorKind::TooManyHeld,
        format!(
            "`{}` is {is}, and {limit}; retry after the time in `Retry-After`",
            view.model.name
        ),
    )
    .retry_after(after)
}

/// The last scale-up failed: the reason, and when to come back.
fn failed(name: &str, failure: &Failure, now: Timestamp) -> ApiError {
    let wait = diogenes_core::fleet::eta::since(now, failure.until).max(Duration::from_secs(1));
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let see = failure.kind.see_log(name).map(|see| format!("; {see}")).unwrap_or_default();
    let error = ApiError::new(
        ErrorKind::ModelFailed(failure.kind),
        format!(
            "model `{name}` could not be started: {}{see}; the next attempt is possible in {seconds} seconds",
            failure.reason
        ),
    )
    .retry_after(wait.min(SOON));
    let helps_soon = match failure.kind {
        FailureKind::Quota | FailureKind::InvalidSpec | FailureKind::Denied => false,
        FailureKind::Capacity
        | FailureKind::BootTimeout
        | FailureKind::Exited
        | FailureKind::Unavailable => wait < SOON,
    };
    if helps_soon { error } else { error.no_retry() }
}

/// A provider whose key could not be read. Why is told in the log.
pub(super) fn no_key(hosted: &Hosted) -> ApiError {
    let provider = hosted.provider();
    ApiError::new(
        ErrorKind::UpstreamDenied,
        format!(
            "Diogenes could not read its API key for the provider `{provider}`; ask the operator to run `diogenes provider check {provider}`"
        ),
    )
}

/// What to tell a caller whose request got no answer.
pub(super) fn no_answer(error: &SendError, by: &Destination) -> ApiError {
    let name = by.name();
    tracing::warn!(
        model = %name, error = error as &dyn std::error::Error,
        "a request to `{name}` got no answer"
    );
    let (kind, what) = match error {
        SendError::Connect(_) if by.entry().is_none() => {
            (ErrorKind::UpstreamUnreachable, "could not be reached")
        }
        SendError::Connect(_) | SendError::Closed(_) => {
            (ErrorKind::UpstreamUnreachable, "closed the connection before it answered")
        }
        SendError::Malformed => {
            (ErrorKind::UpstreamMalformed, "sent an incomplete or invalid HTTP response")
        }
        SendError::TimedOut => (ErrorKind::UpstreamStalled, "did not answer in time"),
    };
    by.metrics().broken(kind.http().1);
    let see = match by {
        Destination::Model(_) => format!("see `diogenes logs {name}`"),
        Destination::Hosted(hosted) => {
            format!("see whether {} answers", hosted.spec().base_url)
        }
    };
    ApiError::new(kind, format!("model `{name}` {what}; retry the request, and {see}"))
}

/// What to tell a caller whose request has taken too long.
pub(super) fn out_of_time(by: &Destination) -> ApiError {
    by.metrics().broken("deadline");
    ApiError::new(
        ErrorKind::Deadline,
        format!(
            "model `{}` did not finish within the time limit of one request, so any partial answer is incomplete; stream the answer, or ask for a shorter one",
            by.name()
        ),
    )
}

/// What to tell a caller whose answer broke off.
pub(super) fn broken(broken: BodyError, by: &Destination) -> ApiError {
    let (label, what) = match broken {
        BodyError::Cut => ("cut", "ended before it was complete"),
        BodyError::Stalled => ("stalled", "stopped coming"),
        BodyError::Malformed => ("malformed", "was not a valid HTTP response"),
    };
    flawed(kind_of_break(broken), label, what, by)
}

/// What it is called that an answer broke off.
pub(super) fn kind_of_break(broken: BodyError) -> ErrorKind {
    match broken {
        BodyError::Cut => ErrorKind::UpstreamCut,
        BodyError::Stalled => ErrorKind::UpstreamStalled,
        BodyError::Malformed => ErrorKind::UpstreamMalformed,
    }
}

/// What to tell a caller whose answer is not what the endpoint returns.
pub(super) fn malformed(what: &str, by: &Destination) -> ApiError {
    flawed(ErrorKind::UpstreamMalformed, "malformed", what, by)
}

fn flawed(kind: ErrorKind, label: &'static str, what: &str, by: &Destination) -> ApiError {
    let name = by.name();
    by.metrics().broken(label);
    tracing::warn!(model = %name, kind = label, "an answer of `{name}` {what}");
    ApiError::new(
        kind,
        format!(
            "the answer of model `{name}` {what}; discard any partial answer and retry the request"
        ),
    )
}

/// An answer that is larger than is buffered.
pub(super) fn too_large(most: usize) -> ApiError {
    ApiError::new(
        ErrorKind::UpstreamTooLarge,
        format!("the model's answer is larger than {most} bytes; ask for less, or stream it"),
    )
}

/// A replica that refused with a status, and without anything that a caller could use.
pub(super) fn refused(status: StatusCode, by: &Destination) -> ApiError {
    let entry = match by {
        Destination::Model(entry) => entry,
        Destination::Hosted(hosted) => return refused_out(status, hosted),
    };
    let view = entry.view();
    let name = &view.model.name;
    let number = status.as_u16();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        tracing::error!(model = %name, status = number, "`{name}` refused the key that Diogenes sent");
        return ApiError::new(
            ErrorKind::UpstreamDenied,
            format!(
                "the inference server of model `{name}` refused Diogenes with status {number}; your API key is not the problem: ask the operator to check `diogenes logs {name}`"
            ),
        );
    }
    let next = if status == StatusCode::NOT_FOUND {
        format!(
            "it may not have this endpoint, or not know the model as `{}`: its operator can set `upstream_model` to the name that it knows",
            view.model.upstream_name()
        )
    } else {
        format!("see `diogenes logs {name}`")
    };
    ApiError::new(
        ErrorKind::UpstreamRefused,
        format!("the inference server of model `{name}` answered with status {number}; {next}"),
    )
    .upstream_status(status)
}

/// The same for a provider.
fn refused_out(status: StatusCode, hosted: &Hosted) -> ApiError {
    let (name, provider, number) = (&hosted.name, hosted.provider(), status.as_u16());
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        tracing::error!(%provider, model = %name, status = number, "`{provider}` refused the API key that Diogenes sent");
        return ApiError::new(
            ErrorKind::UpstreamDenied,
            format!(
                "the provider `{provider}` refused Diogenes with status {number}; your API key is not the problem: ask the operator to run `diogenes provider check {provider}`"
            ),
        );
    }
    ApiError::new(
        ErrorKind::UpstreamRefused,
        format!(
            "the provider `{provider}` answered a request for `{}` with status {number} and no usable error message",
            hosted.model()
        ),
    )
    .upstream_status(status)
}

/// Tells the operator of a 404 that may be about the model's name; `body` is what the replica said
/// of it, if that makes sense.
pub(super) fn note_unknown(body: Option<&[u8]>, by: &Destination) {
    let Destination::Model(entry) = by else { return };
    let view = entry.view();
    let (name, sent) = (&view.model.name, view.model.upstream_name());
    // One about the path, or about an adapter, is a matter between the caller and the replica.
    let is_about_it = |body: &[u8]| memchr::memmem::find(body, sent.as_bytes()).is_some();
    if body.is_none_or(is_about_it) {
        tracing::warn!(
            model = %name, upstream_model = sent,
            "the inference server of `{name}` answered 404 to a request for `{sent}`; if it knows the model by another name, set `upstream_model` of `{name}` to that"
        );
    }
}

/// A replica that answers a streamed request with something else.
pub(super) fn no_stream(by: &Destination) -> ApiError {
    malformed("to a streamed request is not a stream", by)
}
