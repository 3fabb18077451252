//! One attempt at one target: what it may use is set aside, the request is sent, and what it came
//! to is judged.

use std::fmt::Write as _;
use std::sync::Arc;

use diogenes_core::fleet::eta::later;
use diogenes_core::gateway::record::AttemptOutcome;
use diogenes_core::gateway::{Attempted, Outcome, Strategy};
use http::StatusCode;
use tokio::time::Instant;

use super::{Better, Move, Pursuit, Reached};
use crate::error::{ApiError, ErrorKind, store_error};
use crate::proxy::arrangement::Arranged;
use crate::proxy::destination::{Answerer, Destination};
use crate::proxy::draft::Asked;
use crate::proxy::entry::{Entry, Lease};
use crate::proxy::fleet_link::Place;
use crate::proxy::headers::{is_encoded, is_event_stream};
use crate::proxy::opening::{self, Opening};
use crate::proxy::provider::Hosted;
use crate::proxy::purse::{NotReserved, Spent};
use crate::proxy::recovery::Recovery;
use crate::proxy::refusal;
use crate::proxy::settlement::Settlement;
use crate::proxy::upstream::{SendError, UpstreamResponse};
use crate::proxy::usage::Usage;
use crate::proxy::verdict::{Verdict, pause, verdict};

impl Pursuit {
    /// Sends the request to a target. Nothing comes of it where the plan is to be asked again.
    pub(super) async fn attempt(
        &mut self,
        target: usize,
        better: Better,
        settlement: &mut Settlement,
    ) -> Option<Move> {
        let warm = better.warm;
        self.at = self.route.at(target).clone();
        let (waited, stream) = (self.waited(), self.call.patience.stream);
        let (body, interpreter) = match self.call.body_for(&self.at) {
            Ok(translated) => translated,
            Err(error) => {
                // Another target may understand it.
                self.pass_over(target, error, settlement);
                return None;
            }
        };
        let dialect = interpreter.target();
        let mut recovery = None;
        let (by, sent_at, mut answer) = match self.at.clone() {
            Destination::Model(entry) => {
                let by = self.begin(&entry, target, settlement)?;
                self.reserve(target, better, settlement).await?;
                self.warm(warm).await;
                let in_use = if self.call.is_background {
                    None
                } else {
                    self.gateway.views.link.in_use(&entry, &by.target.claim)
                };
                self.note(&Asked::Replica(&by.target), settlement);
                if self.route.recover {
                    recovery = Recovery::arm(&self.gateway, &self.call, &by, dialect, &body);
                }
                let body = recovery.as_ref().map_or(body, |armed| armed.body.clone());
                let sent_at = Instant::now();
                let answer =
                    self.call.send(&by.target, dialect, body, self.at.timeout(stream)).await;
                if matches!(answer, Err(SendError::Connect(_))) {
                    self.attempts.push(Attempted { target, outcome: Outcome::Unsent });
                    if let Some(draft) = settlement.draft() {
                        let error = trouble(&answer, None);
                        draft.end_attempt(None, AttemptOutcome::Unsent, Some(error));
                    }
                    settlement.tried(Spent::NOTHING);
                    entry.take_out(&by.target);
                    entry.wake().await;
                    return None;
                }
                (Answerer::Replica { lease: by, _in_use: in_use }, sent_at, answer)
            }
            Destination::Hosted(hosted) => {
                if !self.may_leave(&hosted, target, settlement).await {
                    return None;
                }
                self.reserve(target, better, settlement).await?;
                if let Some(hold) = &mut self.hold {
                    hold.place = None;
                }
                self.ticket = None;
                self.warm(warm).await;
                self.note(&Asked::Provider(&hosted), settlement);
                hosted.begin(self.gateway.clock.now());
                let sent_at = Instant::now();
                let answer = self.call.send_out(&hosted, dialect, body).await;
                (Answerer::Provider(hosted), sent_at, answer)
            }
        };
        let opening = match &mut answer {
            Ok(response) if self.may_go_on(&by, response) => {
                // On the heap, as few requests come here and every one would carry its state.
                Some(Box::pin(opening::look(&mut response.body, dialect)).await)
            }
            _ => None,
        };
        let outcome = self.outcome(target, &by, &answer, opening);
        if outcome.is_some() {
            settlement.tried(self.spent(&by, &answer, opening));
        }
        if let Some(draft) = settlement.draft() {
            let status = answer.as_ref().ok().map(|answer| answer.status);
            match (outcome, status) {
                (None, Some(status)) => draft.answered(status),
                (None, None) => {}
                (Some(outcome), _) => {
                    let error = trouble(&answer, opening);
                    draft.end_attempt(status, told(outcome), Some(error));
                }
            }
        }
        let done = match answer {
            Ok(response) => {
                let routed = self.routed(target, warm, recovery.is_some());
                let is_retold = outcome.is_some();
                let recovery = recovery.map(Box::new);
                let reached = Reached {
                    response,
                    by,
                    interpreter,
                    waited,
                    sent_at,
                    routed,
                    is_retold,
                    recovery,
                };
                Move::Reached(Box::new(reached))
            }
            Err(error) => {
                if matches!(error, SendError::Closed(_)) {
                    self.gateway.casualties.note(&self.call, by.claim());
                }
                Move::Refused(refusal::no_answer(&error, &self.at))
            }
        };
        let Some(outcome) = outcome else {
            // The replica of an earlier one is free again.
            self.last = None;
            if let Some(conversation) = self.route.arranged.conversation {
                self.gateway.conversations.note(conversation, self.at.name());
            }
            return Some(done);
        };
        self.attempts.push(Attempted { target, outcome });
        self.last = Some(done);
        None
    }

    /// Whether a request may be sent to a provider's model: not if its name was once a model's of
    /// the fleet, nor while nobody can tell, nor without a key that the provider asks for.
    async fn may_leave(
        &mut self,
        hosted: &Hosted,
        target: usize,
        settlement: &mut Settlement,
    ) -> bool {
        match self.gateway.views.dispatcher.was_a_model(&hosted.name).await {
            Ok(false) => {}
            Ok(true) => {
                self.attempts.push(Attempted { target, outcome: Outcome::Former });
                return false;
            }
            Err(error) => {
                self.pass_over(target, store_error(&error), settlement);
                return false;
            }
        }
        if hosted.ready().await.is_err() {
            self.pass_over(target, refusal::no_key(hosted), settlement);
            return false;
        }
        true
    }

    /// A target that does not get the request, and why; another may.
    fn pass_over(&mut self, target: usize, why: ApiError, settlement: &mut Settlement) {
        self.pass_over_as(target, why, Outcome::Refused, settlement);
    }

    fn pass_over_as(
        &mut self,
        target: usize,
        why: ApiError,
        outcome: Outcome,
        settlement: &mut Settlement,
    ) {
        if let Some(draft) = settlement.draft() {
            draft.pass_over(self.route.at(target), &why);
        }
        self.attempts.push(Attempted { target, outcome });
        self.last = Some(Move::Refused(why));
    }

    /// Sets aside what the attempt can use. None where that is refused, and the plan is to be asked
    /// again: another target may be cheaper.
    async fn reserve(
        &mut self,
        target: usize,
        better: Better,
        settlement: &mut Settlement,
    ) -> Option<()> {
        let (Some(purse), Some(most)) = (&self.gateway.purse, &self.call.most) else {
            return Some(());
        };
        let wake_up = self.route.wake_up(better.instead_of, self.gateway.clock.now());
        match purse.reserve(&self.call.budgets, wake_up.as_ref(), most, &self.at).await {
            Ok(reservation) => {
                settlement.reserved(reservation);
                Some(())
            }
            Err(refused) => {
                if wake_up.is_some() {
                    // It is going to be waited for.
                    self.warm(better.warm).await;
                }
                let (error, outcome) = match refused {
                    NotReserved::ByWakeUp(error) => (error, Outcome::Unaffordable),
                    NotReserved::ByBudget(error) => (error, Outcome::Refused),
                };
                self.pass_over_as(target, error, outcome, settlement);
                None
            }
        }
    }

    /// Notes who is asked now, and tells them where they stand in the trace.
    fn note(&mut self, asked: &Asked<'_>, settlement: &mut Settlement) {
        if let Some(draft) = settlement.draft() {
            let traceparent = draft.ask(&self.at, asked);
            self.call.stands_at(traceparent);
        }
    }

    /// What an attempt has used that is not the answer.
    fn spent(
        &self,
        by: &Answerer,
        answer: &Result<UpstreamResponse, SendError>,
        opening: Option<Opening>,
    ) -> Spent {
        // Nobody charges for a replica whose answer nobody got, for an error, nor for a request that
        // did not leave.
        let is_elsewhere = matches!(by, Answerer::Provider(_));
        match (answer, opening) {
            (Err(error), _) if is_elsewhere && !matches!(error, SendError::Connect(_)) => {
                Spent::Unknown
            }
            (Ok(_), Some(_)) if is_elsewhere => {
                Spent::Tokens(Usage::new(self.call.prompt_guess(), 0))
            }
            _ => Spent::NOTHING,
        }
    }

    /// A place on the best replica of a model; none where none is in rotation any more, or it is
    /// not the request's turn.
    fn begin(
        &mut self,
        entry: &Arc<Entry>,
        target: usize,
        settlement: &mut Settlement,
    ) -> Option<Lease> {
        let ticket = self.ticket.as_ref().filter(|ticket| ticket.is_for(&entry.line));
        let customer = self.call.customer();
        let near = self.call.meets(entry.view().model.spec.affinity);
        let (lease, charge) = match &mut self.hold {
            Some(hold) => entry.start_in_turn(&mut hold.place, near, customer, ticket)?,
            None => entry.start_in_turn(&mut None::<Place>, near, customer, ticket)?,
        };
        self.ticket = None;
        settlement.charged(charge);
        if target > 0 && !self.call.is_background {
            entry.asked_for();
        }
        Some(lease)
    }

    /// Wakes a better target, now and then.
    async fn warm(&self, place: Option<usize>) {
        let cold = place.and_then(|place| self.route.at(place).entry());
        let wakes = self.call.dialect.wakes();
        if let Some(cold) = cold.filter(|cold| wakes && cold.is_due_to_warm()) {
            self.gateway.views.link.ask(cold).await;
        }
    }

    /// Whether a stream can go on at another target, or at the same one again.
    fn may_go_on(&self, by: &Answerer, response: &UpstreamResponse) -> bool {
        response.status.is_success()
            && is_event_stream(&response.headers)
            && !is_encoded(&response.headers)
            && (matches!(by, Answerer::Provider(_)) || !self.route.is_single())
    }

    /// What an attempt has come to, where another may follow.
    fn outcome(
        &self,
        target: usize,
        by: &Answerer,
        answer: &Result<UpstreamResponse, SendError>,
        opening: Option<Opening>,
    ) -> Option<Outcome> {
        let now = || self.gateway.clock.now();
        let verdict = match (answer, opening) {
            (Err(_), _) | (_, Some(Opening::Broken(_) | Opening::Failed(None))) => {
                Verdict::Later(None)
            }
            (Ok(response), Some(Opening::Failed(Some(status)))) => {
                let status = StatusCode::from_u16(status).unwrap_or(response.status);
                verdict(status, &response.headers, now)
            }
            (Ok(response), _) => verdict(response.status, &response.headers, now),
        };
        match by {
            Answerer::Replica { .. } => match (answer, opening, verdict) {
                (Err(_), ..) | (_, Some(Opening::Broken(_)), _) => Some(Outcome::Sent),
                // Where there is nobody else, its own words are the answer.
                (Ok(_), _, Verdict::Later(_)) if !self.route.is_single() => Some(Outcome::Refused),
                _ => None,
            },
            Answerer::Provider(hosted) => {
                let status = answer.as_ref().map(|response| response.status);
                if matches!(status, Ok(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) {
                    hosted.key_refused();
                }
                match verdict {
                    Verdict::Answer => {
                        hosted.succeeded();
                        None
                    }
                    // It is about the key or the model's name, and tells nothing of how the target fares.
                    Verdict::Elsewhere => Some(Outcome::Refused),
                    Verdict::Later(wish) => {
                        hosted.failed(now(), wish);
                        let here = self.attempts.iter().filter(|attempt| attempt.target == target);
                        let pause = pause(here.count() + 1).max(wish.unwrap_or_default());
                        Some(Outcome::Failed { until: later(now(), pause) })
                    }
                }
            }
        }
    }

    /// What is told of the route: which of its targets has answered, and why none before it.
    fn routed(&self, target: usize, warm: Option<usize>, is_armed: bool) -> Option<String> {
        let name = self.route.name.as_ref()?;
        let Arranged { strategy, is_sticky, .. } = self.route.arranged;
        let mut told = format!("{name}; position={}", target + 1);
        if strategy != Strategy::Ordered {
            let _ = write!(told, "; strategy={}", strategy.as_str());
        }
        let is_busy =
            |better: usize| self.route.at(better).entry().is_some_and(|entry| entry.is_reachable());
        let reason = match (target, warm) {
            (0, _) if is_sticky => Some("sticky"),
            (0, _) => None,
            (_, Some(better)) if is_busy(better) => Some("busy"),
            (_, Some(_)) => Some("cold"),
            (_, None) => Some("unavailable"),
        };
        if let Some(reason) = reason {
            let _ = write!(told, "; reason={reason}");
        }
        if is_armed {
            told.push_str("; recover");
        }
        Some(told)
    }
}

/// What a record calls it.
fn told(outcome: Outcome) -> AttemptOutcome {
    match outcome {
        Outcome::Unsent => AttemptOutcome::Unsent,
        Outcome::Sent | Outcome::Failed { .. } => AttemptOutcome::Failed,
        Outcome::Refused | Outcome::Former | Outcome::Unaffordable => AttemptOutcome::Refused,
    }
}

/// What was wrong with an answer that is none: our code, or its status.
fn trouble(answer: &Result<UpstreamResponse, SendError>, opening: Option<Opening>) -> String {
    let kind = match (answer, opening) {
        (Err(SendError::Connect(_) | SendError::Closed(_)), _) => ErrorKind::UpstreamUnreachable,
        (Err(SendError::Malformed), _) => ErrorKind::UpstreamMalformed,
        (Err(SendError::TimedOut), _) => ErrorKind::UpstreamStalled,
        (Ok(_), Some(Opening::Broken(_))) => ErrorKind::UpstreamCut,
        (Ok(_), Some(Opening::Failed(Some(status)))) => return status.to_string(),
        (Ok(_), Some(Opening::Failed(None))) => ErrorKind::UpstreamRefused,
        (Ok(answer), _) => return answer.status.as_str().to_owned(),
    };
    kind.http().1.to_owned()
}
