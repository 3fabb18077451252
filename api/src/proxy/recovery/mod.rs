//! A stream that outlives its replica: what was cut is continued by another replica of the same
//! model, and the caller sees one stream. Where a replica is known to end, the stream leaves it
//! before. What is exact about it is decided in
//! [`diogenes_core::gateway::continuation`]; here are the replicas.
//!
//! Only streams of routes with `recover` come here, and only those that can be continued at all.
//! The others keep their bytes, and pay for nothing.

mod body;
mod fate;
mod search;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::Timestamp;
use diogenes_core::fleet::Engine;
use diogenes_core::gateway::continuation::{Kind, Lost, Request, Splice};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use super::call::Call;
use super::casualties::Suspect;
use super::dialect::Dialect;
use super::entry::{Entry, Lease};
use super::gateway::Gateway;
use super::target::Target;

pub(super) use body::{Moved, StreamBody};

/// A request that is sent to a replica in such a way that its answer can be continued.
pub(super) struct Recovery {
    splice: Splice,
    /// Its body.
    pub(super) body: Bytes,
    target: Arc<Target>,
    way: Arc<Way>,
}

/// What stays the same on the way from one replica to the next.
struct Way {
    gateway: Arc<Gateway>,
    entry: Arc<Entry>,
    /// What the replicas have to run, to say the same.
    engine: Engine,
    request_id: HeaderValue,
    headers: HeaderMap,
    suspect: Suspect,
    /// When the request was sent first.
    since: Timestamp,
    /// How long an answer may take to begin and may pause.
    timeout: Duration,
}

/// Why a stream that was cut is not continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// What has come of it cannot be.
    Lost(Lost),
    /// There is no other replica, and none came in time.
    NoReplica,
    /// A replica has refused the continuation.
    Refused,
    /// A replica would not have continued it.
    Inexact,
    /// A replica that was to take it over said nothing for too long, and it stays where it is.
    Stalled,
    /// It has been continued often enough.
    TooOften,
    /// Replicas have died over it.
    BringsReplicasDown,
}

/// What metrics call the ends of recoveries.
pub(crate) const RECOVERIES: [&str; 12] = [
    RECOVERED,
    HANDED_OVER,
    Lost::Reasoning.as_str(),
    Lost::ToolCalls.as_str(),
    Lost::NoIds.as_str(),
    Lost::Uneven.as_str(),
    Lost::Unknown.as_str(),
    Reason::NoReplica.as_str(),
    Reason::Refused.as_str(),
    Reason::Inexact.as_str(),
    Reason::TooOften.as_str(),
    Reason::BringsReplicasDown.as_str(),
];
const RECOVERED: &str = "recovered";
const HANDED_OVER: &str = "handed_over";

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Lost(lost) => lost.as_str(),
            Self::NoReplica => "no_replica",
            Self::Refused => "refused",
            Self::Inexact => "inexact",
            Self::Stalled => "stalled",
            Self::TooOften => "too_often",
            Self::BringsReplicasDown => "brings_replicas_down",
        }
    }
}

impl Recovery {
    /// Arms a request that is about to be sent to a replica with this body, if its stream can be
    /// continued.
    pub(super) fn arm(
        gateway: &Arc<Gateway>,
        call: &Call,
        by: &Lease,
        dialect: Dialect,
        body: &Bytes,
    ) -> Option<Self> {
        let kind = match dialect {
            Dialect::ChatCompletions => Kind::Chat,
            Dialect::Completions => Kind::Text,
            _ => return None,
        };
        if !call.patience.stream {
            return None;
        }
        let request = Request::arm(kind, body);
        let request = request
            .inspect_err(|unfit| {
                tracing::debug!(
                    model = call.peek.model,
                    field = unfit.field,
                    "a stream will not be recovered if it is cut: {unfit}"
                );
            })
            .ok()?;
        let entry = by.entry().clone();
        let view = entry.view();
        let slot = view.slots.iter().find(|slot| slot.claim == by.target.claim)?;
        let mut headers = call.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let way = Way {
            engine: slot.launch.engine.clone(),
            request_id: call.id.clone(),
            headers,
            suspect: gateway.casualties.suspect(call),
            since: gateway.clock.now(),
            timeout: view.model.spec.stall_timeout,
            gateway: gateway.clone(),
            entry,
        };
        Some(Self {
            body: request.body().into(),
            splice: Splice::new(request),
            target: by.target.clone(),
            way: Arc::new(way),
        })
    }
}
