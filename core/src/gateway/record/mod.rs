//! What a finished request was, for whoever wants to know afterwards: telemetry, stored traces,
//! evaluations.
//!
//! A record tells what happened and how long it took, never what was asked or answered, and nothing
//! that a key could be made of.

mod trace;

use std::time::Duration;

use super::ProviderKind;
use super::prices::TokenUsage;
use crate::Timestamp;
use crate::keys::KeyId;
use crate::name::ModelName;
use crate::ports::Amount;
use crate::tenancy::ProjectId;

pub use trace::{InvalidShare, Share, SpanId, TraceId, TracePlace};

/// Who takes finished requests.
pub trait RequestSink: Send + Sync {
    /// Takes one. It is called on the way of the request, so that it has to return at once: what
    /// cannot be kept is dropped.
    fn take(&self, record: Box<RequestRecord>);
}

/// A finished request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// `x-request-id`.
    pub id: String,
    /// Where it stands in a trace.
    pub trace: TracePlace,
    /// When it arrived. Every other time counts from here.
    pub arrived: Timestamp,
    /// Until the last byte of its answer.
    pub took: Duration,
    /// The path here: `/v1/chat/completions`.
    pub endpoint: &'static str,
    /// Who made it; none where nobody can tell.
    pub caller: Option<Caller>,
    /// The name that it asks for, if its body was read.
    pub requested: Option<String>,
    /// The version of a prompt that it was made of: `tutor:v1`.
    pub prompt: Option<String>,
    /// The model that answered, or was to; none where the name leads to none.
    pub model: Option<ModelName>,
    /// The provider of that model; none for a model of the fleet.
    pub provider: Option<Host>,
    /// The route that it was sent along.
    pub route: Option<ModelName>,
    /// Whether it asks for a stream.
    pub stream: bool,
    /// The most tokens of an answer, as far as it says.
    pub max_tokens: Option<u64>,
    /// Its wait for a replica, or for its turn.
    pub held: Option<Stretch>,
    /// When the first content of its stream came.
    pub first_content: Option<Duration>,
    /// The status that its caller got; 499 for one that went away before.
    pub status: u16,
    /// Why it failed: our code, or the status of a target whose own error was the answer.
    pub error: Option<String>,
    /// The tokens that it used, as told by who answered.
    pub usage: Option<TokenUsage>,
    /// What its answer has cost, if that has a price.
    pub cost: Option<Amount>,
    /// Who was asked, in order. A stream that goes on at another replica has one for each.
    pub attempts: Vec<Attempt>,
    /// Which targets were not asked, and why.
    pub passed_over: Vec<PassedOver>,
}

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub project: ProjectId,
    pub key: KeyId,
}

/// A part of the time of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// How long after the arrival of the request it began.
    pub after: Duration,
    pub took: Duration,
}

/// A provider, as far as a record tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// As it is registered.
    pub name: String,
    pub kind: ProviderKind,
    /// Host and port of its base URL, as far as that names a port.
    pub authority: String,
}

/// One target that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What it is in the trace.
    pub span: SpanId,
    /// Slot and claim of a replica, or a provider.
    pub target: String,
    /// The model, as registered or with its provider before it.
    pub model: ModelName,
    /// The name that the target knows the model by.
    pub asked_as: String,
    /// None for a replica.
    pub provider: Option<Host>,
    /// Host and port that were asked.
    pub authority: String,
    pub time: Stretch,
    /// The status of its answer, if one began.
    pub status: Option<u16>,
    pub outcome: AttemptOutcome,
    /// Why it was not the answer, or not all of it.
    pub error: Option<String>,
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It is the answer.
    Answered,
    /// It refused the request, and another target may take it.
    Refused,
    /// It failed.
    Failed,
    /// There was no connection, so that nothing was sent.
    Unsent,
    /// Its stream was cut and goes on at another replica.
    Continued,
    /// Its stream left the replica, which was going to end, and goes on at another one.
    HandedOver,
    /// The caller went away meanwhile.
    Abandoned,
}

impl AttemptOutcome {
    /// As it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unsent => "unsent",
            Self::Continued => "continued",
            Self::HandedOver => "handed_over",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A target that was not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    pub model: ModelName,
    /// How long after the arrival of the request.
    pub after: Duration,
    /// The code of the reason.
    pub error: String,
}

impl RequestRecord {
    /// Whether its stream was cut and went on at another replica.
    pub fn is_recovered(&self) -> bool {
        self.has(AttemptOutcome::Continued)
    }

    /// Whether its stream left a replica before that ended, and went on at another one.
    pub fn is_handed_over(&self) -> bool {
        self.has(AttemptOutcome::HandedOver)
    }

    fn has(&self, outcome: AttemptOutcome) -> bool {
        self.attempts.iter().any(|attempt| attempt.outcome == outcome)
    }
}
