use std::sync::Arc;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::since;
use diogenes_core::fleet::{ModelView, Phase, Progress};
use diogenes_core::gateway::{Attempted, GiveUp, Health, ModelHealth, Step, Waiting, next};
use tokio::time::Instant;

use super::call::Call;
use super::destination::{Answerer, Destination};
use super::entry::Entry;
use super::gateway::Gateway;
use super::hold::{Hold, Turn};
use super::interpreter::Interpreter;
use super::line::Ticket;
use super::provider::Hosted;
use super::recovery::Recovery;
use super::refusal;
use super::resolution::Planned;
use super::route::Route;
use super::settlement::Settlement;
use super::upstream::UpstreamResponse;
use crate::error::ApiError;

mod attempt;

/// Third and fourth step: follows the plan for one request, which waits and is attempted until a
/// replica or a provider begins to answer, or the plan gives up.
pub(super) struct Pursuit {
    gateway: Arc<Gateway>,
    /// On the heap, as is what is settled at the end: every step hands them to the next.
    pub(super) call: Box<Call>,
    /// What it waits for or is sent to.
    pub(super) at: Destination,
    route: Route,
    attempts: Vec<Attempted>,
    /// What the last attempt came to, which is the answer if it stays the last.
    last: Option<Move>,
    hold: Option<Hold>,
    /// Its place among those that wait for a turn.
    ticket: Option<Ticket>,
}

/// Targets that would be better than the one that is asked.
#[derive(Clone, Copy)]
struct Better {
    /// Who has to start first, and is woken.
    warm: Option<usize>,
    /// Who has no replica.
    instead_of: Option<usize>,
}

/// How a pursuit gets on.
pub(super) enum Move {
    /// The request has begun to wait.
    Waits,
    /// The boot that it waits for is so far.
    Progress(Progress),
    /// An answer has begun.
    Reached(Box<Reached>),
    /// There will be no answer.
    Refused(ApiError),
}

/// An answer that has begun.
pub(super) struct Reached {
    pub(super) response: UpstreamResponse,
    pub(super) by: Answerer,
    pub(super) interpreter: Interpreter,
    /// How long the request was held.
    pub(super) waited: Option<Duration>,
    pub(super) sent_at: Instant,
    /// Along which route, and why this far; none where the request names a model.
    pub(super) routed: Option<String>,
    /// Whether how it ends is known and counted already.
    pub(super) is_retold: bool,
    /// Whether it is continued where it is cut.
    pub(super) recovery: Option<Box<Recovery>>,
}

impl Pursuit {
    /// Follows the plan of a request; apart from it, what is settled at the end.
    pub(super) fn new(gateway: Arc<Gateway>, planned: Planned) -> (Self, Settlement) {
        let Planned { call, route, settlement, kept: _ } = planned;
        let at = route.first().clone();
        let (attempts, last, hold, ticket) = (Vec::new(), None, None, None);
        (Self { gateway, call, at, route, attempts, last, hold, ticket }, settlement)
    }

    pub(super) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// How long the request has been held.
    pub(super) fn waited(&self) -> Option<Duration> {
        self.hold.as_ref().map(Hold::elapsed)
    }

    /// Goes on until there is something to tell. What attempts set aside is the settlement's, so
    /// that it is settled also where nobody waits for the answer any more.
    pub(super) async fn next(&mut self, settlement: &mut Settlement) -> Move {
        loop {
            if let Some(hold) = &mut self.hold {
                hold.mark();
            }
            let now = self.gateway.clock.now();
            match self.step(now) {
                Step::Attempt { target, warm, instead_of } => {
                    let better = Better { warm, instead_of };
                    if let Some(done) = self.attempt(target, better, settlement).await {
                        return done;
                    }
                }
                Step::Wait { target, most } => {
                    let Some(entry) = self.route.at(target).entry().cloned() else { continue };
                    self.at = Destination::Model(entry.clone());
                    if let Some(told) = self.wait(&entry, now, most).await {
                        if let (Move::Waits, Some(draft)) = (&told, settlement.draft()) {
                            draft.held();
                        }
                        return told;
                    }
                }
                Step::Pause { until } => {
                    tokio::time::sleep(since(now, until)).await;
                }
                Step::GiveUp(why) => return self.give_up(&why, now).await,
            }
        }
    }

    async fn give_up(&mut self, why: &GiveUp, now: Timestamp) -> Move {
        if let Some(last) = self.last.take().filter(|_| *why == GiveUp::Attempted) {
            return last;
        }
        self.at = self.route.first().clone();
        if let (GiveUp::Warming(_) | GiveUp::Busy, None, Some(entry)) =
            (why, &self.hold, self.at.entry())
        {
            // Whoever is turned away will come back.
            self.gateway.views.link.ask(entry).await;
        }
        Move::Refused(refusal::given_up(why, &self.at, now))
    }

    /// What the plan says.
    fn step(&self, now: Timestamp) -> Step {
        let waiting = Waiting {
            patience: self.call.patience,
            since: self.hold.as_ref().map_or(now, |hold| hold.since),
            waited: self.waited().unwrap_or_default(),
            closing: self.gateway.views.dispatcher.is_closing(),
        };
        let decide =
            |health: &[_]| next(self.route.while_cold, health, &self.attempts, &waiting, now);
        if self.route.is_single() {
            return match self.route.first() {
                Destination::Model(entry) => decide(&[self.health(entry, &entry.view())]),
                Destination::Hosted(hosted) => decide(&[health_of(hosted)]),
            };
        }
        // What the healths of models borrow.
        let views: Vec<_> = self
            .route
            .destinations()
            .map(|destination| match destination {
                Destination::Model(entry) => Ok((entry, entry.view())),
                Destination::Hosted(hosted) => Err(health_of(hosted)),
            })
            .collect();
        let health = views.iter().map(|target| match target {
            Ok((entry, view)) => self.health(entry, view),
            Err(provider) => *provider,
        });
        decide(&health.collect::<Vec<_>>())
    }

    fn health<'a>(&self, entry: &Arc<Entry>, view: &'a ModelView) -> Health<'a> {
        Health::Model(ModelHealth {
            view,
            reachable: entry.is_reachable(),
            busy: entry.is_busy(self.ticket_for(entry)),
            neglected: entry.is_neglected(),
            casualties: self.gateway.casualties.count(&self.call, entry),
        })
    }

    fn ticket_for(&self, entry: &Arc<Entry>) -> Option<&Ticket> {
        self.ticket.as_ref().filter(|ticket| ticket.is_for(&entry.line))
    }

    async fn wait(
        &mut self,
        entry: &Arc<Entry>,
        now: Timestamp,
        most: Option<Duration>,
    ) -> Option<Move> {
        if self.ticket_for(entry).is_none() {
            self.ticket =
                entry.has_turns().then(|| Ticket::take(&entry.line, self.call.customer()));
        }
        let link = &*self.gateway.views.link;
        let Some(hold) = &mut self.hold else {
            return Some(match Hold::begin(&self.route, entry, link, &self.call).await {
                Ok(hold) => {
                    self.hold = Some(hold);
                    Move::Waits
                }
                Err(error) => Move::Refused(error),
            });
        };
        if !hold.is_for(entry) {
            // Its first choice has refused meanwhile.
            if let Err(error) = hold.turn_to(entry, link, &self.call).await {
                return Some(Move::Refused(error));
            }
        } else if hold.place.is_none() {
            // Its replica refused the connection. It had a place, and it is not sent to the end of
            // the queue.
            hold.place = link.enter_again(entry).await;
        }
        let ticket = self.ticket.as_ref();
        match hold.turn(entry, link, &progress(entry, now), ticket, most).await {
            Turn::Changed => None,
            Turn::Report => Some(Move::Progress(progress(entry, self.gateway.clock.now()))),
        }
    }
}

/// How far the boot is that a request waits for. One that waits for its turn waits for none.
fn progress(entry: &Entry, now: Timestamp) -> Progress {
    if entry.is_reachable() {
        return Progress { phase: Phase::Ready, elapsed: Duration::ZERO, eta: None };
    }
    entry.view().progress(now)
}

fn health_of(hosted: &Hosted) -> Health<'static> {
    Health::Provider { opens_at: hosted.opens_at() }
}
