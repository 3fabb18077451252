use std::sync::Arc;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::{ModelView, Progress};
use diogenes_core::gateway::{GiveUp, Health, Outcome, Step, Waiting, next};
use tokio::time::Instant;

use super::call::Call;
use super::casualties::Casualties;
use super::entry::{Entry, Lease};
use super::fleet_link::{Guard, Place};
use super::gateway::Gateway;
use super::hold::{Hold, Turn};
use super::refusal;
use super::resolution::Planned;
use super::route::Route;
use super::settlement::Settlement;
use super::upstream::{SendError, UpstreamResponse};
use crate::error::ApiError;

/// Third and fourth step: follows the plan for one request, which waits and is attempted until a
/// replica begins to answer, or the plan gives up.
pub(super) struct Pursuit {
    gateway: Arc<Gateway>,
    pub(super) call: Call,
    /// The model that it waits for or is sent to.
    pub(super) entry: Arc<Entry>,
    route: Route,
    outcomes: Vec<Outcome>,
    hold: Option<Hold>,
}

/// How a pursuit gets on.
pub(super) enum Move {
    /// The request has begun to wait.
    Waits,
    /// The boot that it waits for is so far.
    Progress(Progress),
    /// A replica has begun to answer.
    Reached(Box<Reached>),
    /// There will be no answer.
    Refused(ApiError),
}

/// An answer that has begun.
pub(super) struct Reached {
    pub(super) response: UpstreamResponse,
    pub(super) lease: Lease,
    /// Shows the fleet that the replica is in use.
    pub(super) in_use: Option<Box<dyn Guard>>,
    /// How long the request was held.
    pub(super) waited: Option<Duration>,
    pub(super) sent_at: Instant,
    /// Along which route, and why this far; none where the request names a model.
    pub(super) routed: Option<String>,
}

impl Pursuit {
    /// Follows the plan of a request; apart from it, what is settled at the end.
    pub(super) fn new(gateway: Arc<Gateway>, planned: Planned) -> (Self, Settlement) {
        let Planned { call, route, settlement } = planned;
        let entry = route.first().clone();
        let pursuit = Self { gateway, call, entry, route, outcomes: Vec::new(), hold: None };
        (pursuit, settlement)
    }

    pub(super) fn casualties(&self) -> &Arc<Casualties> {
        &self.gateway.casualties
    }

    /// How long the request has been held.
    pub(super) fn waited(&self) -> Option<Duration> {
        self.hold.as_ref().map(Hold::elapsed)
    }

    /// Goes on until there is something to tell.
    pub(super) async fn next(&mut self) -> Move {
        loop {
            if let Some(hold) = &mut self.hold {
                hold.mark();
            }
            let now = self.entry.now();
            match self.step(now) {
                Step::Attempt { target, warm } => {
                    if let Some(done) = self.attempt(target, warm).await {
                        return done;
                    }
                }
                Step::Wait { target, most } => {
                    self.entry = self.route.at(target).clone();
                    let progress = self.entry.view().progress(now);
                    if let Some(told) = self.wait(&progress, most).await {
                        return told;
                    }
                }
                Step::GiveUp(why) => {
                    self.entry = self.route.first().clone();
                    if matches!(why, GiveUp::Warming(_)) && self.hold.is_none() {
                        // Whoever is turned away will come back.
                        self.gateway.views.link.ask(&self.entry).await;
                    }
                    return Move::Refused(refusal::given_up(&why, &self.entry.view(), now));
                }
            }
        }
    }

    /// What the plan says.
    fn step(&self, now: Timestamp) -> Step {
        let waiting = Waiting {
            patience: self.call.patience,
            since: self.hold.as_ref().map_or(now, |hold| hold.since),
            waited: self.waited().unwrap_or_default(),
            closing: self.entry.is_closing(),
        };
        let decide =
            |health: &[_]| next(self.route.while_cold, health, &self.outcomes, &waiting, now);
        let first = self.route.first();
        if self.route.is_single() {
            return decide(&[self.health(first, &first.view())]);
        }
        let views: Vec<_> = self.route.entries().map(|entry| (entry, entry.view())).collect();
        let health: Vec<_> = views.iter().map(|(entry, view)| self.health(entry, view)).collect();
        decide(&health)
    }

    fn health<'a>(&self, entry: &Entry, view: &'a ModelView) -> Health<'a> {
        Health {
            view,
            reachable: entry.is_reachable(),
            neglected: entry.is_neglected(),
            casualties: self.gateway.casualties.count(&self.call, entry),
        }
    }

    /// Sends the request to the best replica of a target. Nothing comes of it where none is left.
    async fn attempt(&mut self, target: usize, warm: Option<usize>) -> Option<Move> {
        self.entry = self.route.at(target).clone();
        let waited = self.waited();
        let lease = match &mut self.hold {
            Some(hold) => self.entry.start(&mut hold.place)?,
            None => self.entry.start(&mut None::<Place>)?,
        };
        if target > 0 {
            self.entry.asked_for();
        }
        let cold = warm.map(|place| self.route.at(place));
        if let Some(cold) = cold.filter(|cold| cold.is_due_to_warm()) {
            self.gateway.views.link.ask(cold).await;
        }
        let in_use = self.gateway.views.link.in_use(&self.entry, &lease.target.claim);
        let sent_at = Instant::now();
        match self.call.send(&lease.target, &self.entry.view()).await {
            Ok(response) => {
                let routed = self.routed(target, warm);
                let reached = Reached { response, lease, in_use, waited, sent_at, routed };
                Some(Move::Reached(Box::new(reached)))
            }
            Err(SendError::Connect(_)) => {
                self.outcomes.push(Outcome::Unsent);
                self.entry.take_out(&lease.target);
                self.entry.wake().await;
                None
            }
            Err(error) => {
                self.outcomes.push(Outcome::Sent);
                if matches!(error, SendError::Closed(_)) {
                    self.gateway.casualties.note(&self.call, &lease.target.claim);
                }
                Some(Move::Refused(refusal::no_answer(&error, &self.entry)))
            }
        }
    }

    /// What is told of the route: which of its targets has answered, and why none before it.
    fn routed(&self, target: usize, warm: Option<usize>) -> Option<String> {
        let name = self.route.name.as_ref()?;
        let place = target + 1;
        Some(match (target, warm) {
            (0, _) => format!("{name}; position={place}"),
            (_, Some(_)) => format!("{name}; position={place}; reason=cold"),
            (_, None) => format!("{name}; position={place}; reason=unavailable"),
        })
    }

    async fn wait(&mut self, progress: &Progress, most: Option<Duration>) -> Option<Move> {
        let link = &*self.gateway.views.link;
        let Some(hold) = &mut self.hold else {
            return Some(match Hold::begin(&self.route, &self.entry, link, &self.call).await {
                Ok(hold) => {
                    self.hold = Some(hold);
                    Move::Waits
                }
                Err(error) => Move::Refused(error),
            });
        };
        if !hold.is_for(&self.entry) {
            // Its first choice has refused meanwhile.
            if let Err(error) = hold.turn_to(&self.entry, link).await {
                return Some(Move::Refused(error));
            }
        } else if hold.place.is_none() {
            // Its replica refused the connection. It had a place, and it is not sent to the end of
            // the queue; where the store cannot be asked it waits uncounted.
            hold.place = link.enter(&self.entry, u32::MAX).await.ok().flatten();
        }
        match hold.turn(&self.entry, link, progress, most).await {
            Turn::Changed => None,
            Turn::Report => {
                let now = self.entry.now();
                Some(Move::Progress(self.entry.view().progress(now)))
            }
        }
    }
}
