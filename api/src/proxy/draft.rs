use std::sync::Arc;
use std::time::Duration;

use diogenes_core::gateway::prices::TokenUsage;
use diogenes_core::gateway::record::{
    Attempt, AttemptOutcome, Caller, Host, PassedOver, RequestRecord, RequestSink, Share, Stretch,
    TracePlace,
};
use diogenes_core::name::{MAX_MODEL_NAME, ModelName};
use diogenes_core::ports::Amount;
use diogenes_core::prompts::Assignment;
use diogenes_core::tenancy::Principal;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use super::admission::InferenceRequest;
use super::destination::Destination;
use super::dialect::Dialect;
use super::gateway::{Gateway, Records};
use super::provider::Hosted;
use super::target::Target;
use super::trace;
use super::trials::Trial;
use super::usage::Usage;
use crate::error::{ApiError, client_closed_request};

/// The record of a request that is under way. Where nobody takes records there is none, but for
/// requests under a deployment.
pub(super) struct Draft {
    sink: Option<Arc<dyn RequestSink>>,
    /// The deployment that is under way, if there is one.
    trial: Option<Trial>,
    record: Box<RequestRecord>,
    arrived: Instant,
    /// Since when it waits, or has waited, for a replica.
    held: Option<Instant>,
    /// Whether the last attempt is under way, or is the answer.
    is_open: bool,
    /// The status that has left for the caller.
    head: Option<StatusCode>,
}

/// Who is asked.
pub(super) enum Asked<'a> {
    Replica(&'a Target),
    Provider(&'a Hosted),
}

impl Gateway {
    /// Begins the record of a request, if somebody takes them.
    pub(super) fn draft(
        &self,
        id: &HeaderValue,
        dialect: Dialect,
        headers: &HeaderMap,
        arrived: Instant,
    ) -> Option<Draft> {
        let Records { sink, share } = self.records.as_ref()?;
        Some(self.begun(id, dialect, headers, arrived, Some((sink, *share))))
    }

    /// Lets the record of a request, which begins here if nobody else takes it, tell of a deployment.
    pub(super) fn puts_on_trial(
        &self,
        draft: &mut Option<Draft>,
        by: &Principal,
        request: &InferenceRequest,
        at: Assignment,
    ) {
        let Some(trials) = self.trials.clone() else { return };
        let InferenceRequest { id, dialect, headers, arrived, .. } = request;
        let draft = draft.get_or_insert_with(|| self.begun(id, *dialect, headers, *arrived, None));
        draft.trial = Some(Trial { trials, project: by.project.clone(), at });
    }

    fn begun(
        &self,
        id: &HeaderValue,
        dialect: Dialect,
        headers: &HeaderMap,
        arrived: Instant,
        taken: Option<(&Arc<dyn RequestSink>, Share)>,
    ) -> Draft {
        let (sink, share) = taken.unzip();
        let age = arrived.elapsed();
        let now = self.clock.now();
        let record = RequestRecord {
            id: text(id),
            trace: trace::place(headers, share.unwrap_or(Share::ALL)),
            arrived: now.checked_sub(age).unwrap_or(now),
            took: Duration::ZERO,
            endpoint: dialect.path(),
            caller: None,
            requested: None,
            prompt: None,
            model: None,
            provider: None,
            route: None,
            stream: false,
            max_tokens: None,
            held: None,
            first_content: None,
            status: 0,
            error: None,
            usage: None,
            cost: None,
            attempts: Vec::new(),
            passed_over: Vec::new(),
        };
        let (sink, record) = (sink.cloned(), Box::new(record));
        Draft { sink, trial: None, record, arrived, held: None, is_open: false, head: None }
    }

    /// Tells whoever takes records of a request that was refused before it was read.
    pub(super) fn refused(
        &self,
        id: &HeaderValue,
        dialect: Dialect,
        headers: &HeaderMap,
        arrived: Instant,
        error: &ApiError,
    ) {
        if let Some(draft) = self.draft(id, dialect, headers, arrived) {
            draft.refused(error);
        }
    }
}

impl Draft {
    pub(super) fn place(&self) -> TracePlace {
        self.record.trace
    }

    pub(super) fn called_by(&mut self, by: &Principal) {
        self.record.caller = Some(Caller { project: by.project.clone(), key: by.key.clone() });
    }

    /// The version of a prompt that the body was made of.
    pub(super) fn made_of(&mut self, prompt: String) {
        self.record.prompt = Some(prompt);
    }

    /// What the body says.
    pub(super) fn asks_for(&mut self, model: &str, stream: bool) {
        // No name of a model is longer, but a caller's may be.
        self.record.requested = Some(model.chars().take(MAX_MODEL_NAME).collect());
        self.record.stream = stream;
    }

    /// Where that leads.
    pub(super) fn leads_to(
        &mut self,
        route: Option<&ModelName>,
        first: &Destination,
        max_tokens: Option<u64>,
    ) {
        self.record.route = route.cloned();
        self.record.max_tokens = max_tokens;
        self.is_about(first);
    }

    fn is_about(&mut self, at: &Destination) {
        self.record.model = Some(at.name());
        self.record.provider = host(at);
    }

    /// It waits from now on.
    pub(super) fn held(&mut self) {
        self.held.get_or_insert_with(Instant::now);
    }

    /// Somebody is asked; returns the `traceparent` for them.
    pub(super) fn ask(&mut self, at: &Destination, asked: &Asked<'_>) -> Option<HeaderValue> {
        self.note_hold();
        let span = trace::fresh_span();
        let (target, authority) = match asked {
            Asked::Replica(target) => (&target.label, target.upstream.authority().to_owned()),
            Asked::Provider(hosted) => (&hosted.label, asked_at(&hosted.spec().base_url)),
        };
        self.record.attempts.push(Attempt {
            span,
            target: text(target),
            model: at.name(),
            asked_as: at.with_model(str::to_owned),
            provider: host(at),
            authority,
            time: Stretch { after: self.arrived.elapsed(), took: Duration::ZERO },
            status: None,
            outcome: AttemptOutcome::Failed,
            error: None,
        });
        self.is_open = true;
        // Of spans that nobody gets nobody is told.
        self.sink.as_ref()?;
        trace::parent_field(&self.record.trace, span)
    }

    /// The stream goes on at another replica of the same model: behind a cut, of which this is the
    /// code, or because it has left the one before.
    pub(super) fn goes_on_at(&mut self, replica: &Target, cut: Option<&str>) {
        let Some(mut next) = self.record.attempts.last().cloned() else { return };
        let outcome = match cut {
            Some(_) => AttemptOutcome::Continued,
            None => AttemptOutcome::HandedOver,
        };
        self.end_attempt(None, outcome, cut.map(str::to_owned));
        next.span = trace::fresh_span();
        next.target = text(&replica.label);
        replica.upstream.authority().clone_into(&mut next.authority);
        next.time.after = self.arrived.elapsed();
        self.record.attempts.push(next);
        self.is_open = true;
    }

    /// Whoever was asked last has begun to answer, and that is the answer.
    pub(super) fn answered(&mut self, status: StatusCode) {
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.status = Some(status.as_u16());
        }
    }

    /// The last attempt came to nothing.
    pub(super) fn end_attempt(
        &mut self,
        status: Option<StatusCode>,
        outcome: AttemptOutcome,
        error: Option<String>,
    ) {
        let age = self.arrived.elapsed();
        let is_open = std::mem::take(&mut self.is_open);
        if let Some(attempt) = self.record.attempts.last_mut().filter(|_| is_open) {
            attempt.time.took = age.saturating_sub(attempt.time.after);
            attempt.status = status.map(|status| status.as_u16()).or(attempt.status);
            attempt.outcome = outcome;
            attempt.error = error;
        }
    }

    /// A target is not asked.
    pub(super) fn pass_over(&mut self, at: &Destination, why: &ApiError) {
        let (after, error) = (self.arrived.elapsed(), code_of(why));
        self.record.passed_over.push(PassedOver { model: at.name(), after, error });
    }

    /// The head of the answer leaves for the caller.
    pub(super) fn opened(&mut self, status: StatusCode) {
        self.head = Some(status);
    }

    /// The first content of the stream has come.
    pub(super) fn first_content(&mut self) {
        let age = self.arrived.elapsed();
        self.record.first_content.get_or_insert(age);
    }

    /// Hands the record over. `usage` is what was told of it.
    pub(super) fn finish(
        mut self,
        at: &Destination,
        status: StatusCode,
        error: Option<&ApiError>,
        usage: Option<Usage>,
        cost: Option<Amount>,
    ) {
        self.is_about(at);
        self.record.cost = cost;
        self.record.usage = usage.map(TokenUsage::from);
        let (outcome, error) = if status == client_closed_request() {
            (AttemptOutcome::Abandoned, Some("client_closed_request".to_owned()))
        } else if let Some(error) = error {
            (AttemptOutcome::Failed, Some(code_of(error)))
        } else if status.is_success() {
            (AttemptOutcome::Answered, None)
        } else {
            (AttemptOutcome::Answered, Some(status.as_str().to_owned()))
        };
        let of_attempt = error.clone().filter(|_| outcome != AttemptOutcome::Abandoned);
        self.end_attempt(None, outcome, of_attempt);
        let status =
            if outcome == AttemptOutcome::Abandoned { status } else { self.head.unwrap_or(status) };
        self.hand_over(status, error);
    }

    /// Hands over the record of a request that was refused before its way was known.
    pub(super) fn refused(self, error: &ApiError) {
        self.hand_over(error.status(), Some(code_of(error)));
    }

    fn hand_over(mut self, status: StatusCode, error: Option<String>) {
        if self.record.attempts.is_empty() {
            self.note_hold();
        }
        self.record.took = self.arrived.elapsed();
        self.record.status = status.as_u16();
        self.record.error = error;
        if let Some(trial) = &self.trial {
            trial.note(&self.record);
        }
        if let Some(sink) = &self.sink {
            sink.take(self.record);
        }
    }

    fn note_hold(&mut self) {
        let arrived = self.arrived;
        self.record.held = self.held.map(|began| Stretch {
            after: began.saturating_duration_since(arrived),
            took: began.elapsed(),
        });
    }
}

fn host(at: &Destination) -> Option<Host> {
    match at {
        Destination::Model(_) => None,
        Destination::Hosted(hosted) => Some(Host {
            name: hosted.provider().as_str().to_owned(),
            kind: hosted.spec().kind,
            authority: authority_of(&hosted.spec().base_url),
        }),
    }
}

/// Host and port of a URL, and the port also where it is the scheme's.
fn asked_at(url: &str) -> String {
    let authority = authority_of(url);
    let host = authority.rsplit_once(']').map_or(authority.as_str(), |(_, behind)| behind);
    if host.contains(':') {
        return authority;
    }
    let port = if url.starts_with("https:") { 443 } else { 80 };
    format!("{authority}:{port}")
}

/// Host and port of a URL, as it names them.
fn authority_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned()
}

fn code_of(error: &ApiError) -> String {
    error.kind.http().1.to_owned()
}

fn text(value: &HeaderValue) -> String {
    value.to_str().unwrap_or_default().to_owned()
}
