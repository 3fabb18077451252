use std::time::Duration;

use crate::Timestamp;
use crate::fleet::eta::since;
use crate::fleet::{ColdStart, Failure, ModelSpec, ModelView, Progress};
use crate::gateway::WhileCold;
use crate::routing::Patience;

/// How long a request waits while the fleet cannot be looked after.
const PATIENCE_WITH_THE_STORE: Duration = Duration::from_secs(3);
/// The longest wait that a caller can ask for; a longer one counts as no wish.
const LONGEST_WISH: Duration = Duration::from_hours(24);
/// How many replicas one request may bring down before it is turned away.
pub const MAX_CASUALTIES: usize = 2;
/// How often one request goes to one provider; the same as OpenAI's clients do.
const MAX_TRIES: usize = 3;
/// The longest pause before a request goes to a provider again. A longer one is the caller's.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How one target of a route stands.
#[derive(Clone, Copy, Debug)]
pub enum Health<'a> {
    /// A model of the fleet.
    Model(ModelHealth<'a>),
    /// A model of a provider.
    Provider {
        /// From when on requests may be sent; see [`Breaker`](super::Breaker).
        opens_at: Option<Timestamp>,
    },
}

/// How a model of the fleet stands.
#[derive(Clone, Copy, Debug)]
pub struct ModelHealth<'a> {
    /// Its newest view.
    pub view: &'a ModelView,
    /// Whether one of its replicas is in rotation.
    pub reachable: bool,
    /// Whether the request has to wait for its turn: the replicas have as many as they may get at
    /// once, or others go before it.
    pub busy: bool,
    /// Whether the fleet cannot be looked after: a full disk, a store that does not answer.
    pub neglected: bool,
    /// How many of its replicas this very request has brought down within the last minute.
    pub casualties: usize,
}

/// An attempt that brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// The place of its target in the route.
    pub target: usize,
    /// What it came to.
    pub outcome: Outcome,
}

/// What an attempt came to that brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A replica: there was no connection. The request has not left, and may go to another.
    Unsent,
    /// A replica: the request has left. It is sent to no other: it may be what brought the target
    /// down. A provider may have it.
    Sent,
    /// The target has refused it, and will refuse it again.
    Refused,
    /// A provider: nothing was sent, as the name has been a model's of the fleet.
    Former,
    /// Nothing was sent: what others may cost while a better target has no replica is used up.
    Unaffordable,
    /// A provider has failed, and may be asked again from then on.
    Failed {
        /// Until when to leave it alone.
        until: Timestamp,
    },
}

/// A request as far as its waiting matters.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// What the caller is willing to wait.
    pub patience: Patience,
    /// When it began to wait; now, if it has not.
    pub since: Timestamp,
    /// How long it has waited.
    pub waited: Duration,
    /// Whether the server is on its way out.
    pub closing: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send it to a target of the route.
    Attempt {
        /// The place of the target in the route.
        target: usize,
        /// A target before it that would be better and has to start first: wake it.
        warm: Option<usize>,
        /// A model before it that has no replica now, whether or not one is on its way: this one
        /// answers in its place.
        instead_of: Option<usize>,
    },
    /// Wait for this target, in all at most so long; without a limit where there is none.
    Wait {
        /// The place of the target in the route.
        target: usize,
        /// The longest wait until the plan is asked again.
        most: Option<Duration>,
    },
    /// Wait until then: a provider may be asked again.
    Pause {
        /// When to ask the plan again.
        until: Timestamp,
    },
    /// Answer with an error.
    GiveUp(GiveUp),
}

/// Why a request gets no answer from any target.
#[derive(Clone, Debug, PartialEq)]
pub enum GiveUp {
    /// Attempts were made and failed; what the last one came to is the answer.
    Attempted,
    /// A provider is left alone for now, as it has failed or asked for it.
    Unavailable {
        /// Until when.
        until: Timestamp,
    },
    /// The request has brought down two replicas already.
    BringsReplicasDown,
    /// The model was deleted: while the request waited, or long ago, and its name, which a provider
    /// could answer to as well, leads to nobody.
    Deleted,
    /// The server is shutting down.
    ShuttingDown,
    /// The fleet cannot be looked after.
    Neglected,
    /// The scale-up failed.
    Failed(Failure),
    /// An operator took the model down while the request waited.
    Down,
    /// The caller, or the model, does not want to wait any longer for a replica.
    Warming(Progress),
    /// The same, for a turn at one.
    Busy,
}

/// Decides what to do next for a request.
///
/// `health` tells how each target of the route stands, the first choice first; `attempts` what
/// those so far came to. A target that refuses is passed over. Of the others the first that can
/// serve gets the request; `while_cold` says whether one that has yet to start is passed over too.
/// While none can serve, the request waits for the first that may; where none may, for a provider
/// that may be asked again soon. Otherwise what the last attempt came to is the answer, or the
/// first target's reason.
pub fn next(
    while_cold: WhileCold,
    health: &[Health<'_>],
    attempts: &[Attempted],
    waiting: &Waiting,
    now: Timestamp,
) -> Step {
    let (mut warm, mut instead_of, mut wait, mut reason) = (None, None, None, None);
    let mut soonest: Option<Timestamp> = None;
    for (target, health) in health.iter().enumerate() {
        match prospect(target, health, attempts, waiting, now) {
            Prospect::Serves => return Step::Attempt { target, warm, instead_of },
            Prospect::MayServe(most) => {
                warm.get_or_insert(target);
                instead_of.get_or_insert(target);
                wait.get_or_insert((target, most));
                if while_cold == WhileCold::Hold {
                    break;
                }
            }
            Prospect::MayServeAt(at) => {
                soonest = Some(soonest.map_or(at, |soonest| soonest.min(at)));
            }
            Prospect::Refuses(why) => {
                if matches!(why, GiveUp::Warming(_) | GiveUp::Busy) {
                    warm.get_or_insert(target);
                }
                if why.is_without_replica() {
                    instead_of.get_or_insert(target);
                }
                reason.get_or_insert(why);
            }
        }
    }
    if let Some((target, most)) = wait {
        // Whichever comes first.
        let again = soonest.map(|at| waiting.waited.saturating_add(since(now, at)));
        return Step::Wait { target, most: most.into_iter().chain(again).min() };
    }
    match soonest {
        Some(at) if since(now, at) <= LONGEST_PAUSE && !waiting.closing => {
            Step::Pause { until: at }
        }
        _ if attempts.iter().any(Attempted::has_an_answer) => Step::GiveUp(GiveUp::Attempted),
        soonest => {
            let unavailable = soonest.map(|until| GiveUp::Unavailable { until });
            Step::GiveUp(reason.or(unavailable).unwrap_or(GiveUp::Deleted))
        }
    }
}

impl Attempted {
    /// Whether somebody was asked, so that there is something to tell of it. A replica without a
    /// connection is waited for.
    fn has_an_answer(&self) -> bool {
        !matches!(self.outcome, Outcome::Unsent | Outcome::Former | Outcome::Unaffordable)
    }
}

impl GiveUp {
    /// Whether a model refuses because it has no replica.
    fn is_without_replica(&self) -> bool {
        matches!(self, Self::Warming(_) | Self::Failed(_) | Self::Down | Self::Neglected)
    }
}

/// What a request can expect of one target.
enum Prospect {
    Serves,
    MayServe(Option<Duration>),
    MayServeAt(Timestamp),
    Refuses(GiveUp),
}

fn prospect(
    target: usize,
    health: &Health<'_>,
    attempts: &[Attempted],
    waiting: &Waiting,
    now: Timestamp,
) -> Prospect {
    let here = || attempts.iter().filter(|attempt| attempt.target == target);
    for attempt in here() {
        match attempt.outcome {
            Outcome::Refused | Outcome::Unaffordable => {
                return Prospect::Refuses(GiveUp::Attempted);
            }
            Outcome::Former => return Prospect::Refuses(GiveUp::Deleted),
            Outcome::Unsent | Outcome::Sent | Outcome::Failed { .. } => {}
        }
    }
    match health {
        Health::Model(_) if attempts.iter().any(|attempt| attempt.outcome == Outcome::Sent) => {
            Prospect::Refuses(GiveUp::Attempted)
        }
        Health::Model(health) => prospect_of_model(health, waiting, now),
        Health::Provider { opens_at } => {
            if here().count() >= MAX_TRIES {
                return Prospect::Refuses(GiveUp::Attempted);
            }
            let failed = here().filter_map(|attempt| match attempt.outcome {
                Outcome::Failed { until } => Some(until),
                _ => None,
            });
            match failed.chain(*opens_at).max().filter(|at| *at > now) {
                Some(at) => Prospect::MayServeAt(at),
                None => Prospect::Serves,
            }
        }
    }
}

fn prospect_of_model(health: &ModelHealth<'_>, waiting: &Waiting, now: Timestamp) -> Prospect {
    let ModelHealth { view, reachable, busy, casualties, .. } = *health;
    if view.model.deleted_at.is_some() {
        return Prospect::Refuses(GiveUp::Deleted);
    }
    if casualties >= MAX_CASUALTIES {
        return Prospect::Refuses(GiveUp::BringsReplicasDown);
    }
    if reachable && !busy {
        return Prospect::Serves;
    }
    if waiting.closing {
        return Prospect::Refuses(GiveUp::ShuttingDown);
    }
    // Replicas that run serve, whatever becomes of others.
    if !reachable && let Some(why) = no_replica_comes(health, waiting, now) {
        return Prospect::Refuses(why);
    }
    let most = longest_wait(&view.model.spec, waiting.patience);
    if most.is_some_and(|most| waiting.waited >= most) {
        return Prospect::Refuses(if reachable {
            GiveUp::Busy
        } else {
            GiveUp::Warming(view.progress(now))
        });
    }
    Prospect::MayServe(most)
}

/// Why no replica is on its way.
fn no_replica_comes(health: &ModelHealth<'_>, waiting: &Waiting, now: Timestamp) -> Option<GiveUp> {
    let ModelHealth { view, neglected, .. } = *health;
    if neglected && waiting.waited >= PATIENCE_WITH_THE_STORE {
        return Some(GiveUp::Neglected);
    }
    let is_news = |at: Timestamp| at >= waiting.since;
    let failure = view.control.failure.as_ref().filter(|failure| is_news(failure.at));
    if let Some(failure) = view.failure(now).or(failure) {
        return Some(GiveUp::Failed(failure.clone()));
    }
    view.control.down_at.is_some_and(is_news).then_some(GiveUp::Down)
}

/// How long a request waits for a replica at most; zero where the model turns requests away.
fn longest_wait(spec: &ModelSpec, patience: Patience) -> Option<Duration> {
    if spec.cold_start == ColdStart::Reject {
        return Some(Duration::ZERO);
    }
    // A stream has no limit of its own.
    let most = if patience.stream { None } else { Some(spec.hold_timeout) };
    let wish = patience.prefer_wait.filter(|wait| *wait <= LONGEST_WISH);
    match (wish, most) {
        (Some(wait), Some(most)) => Some(wait.min(most)),
        (Some(wait), None) => Some(wait),
        (None, most) => most,
    }
}

#[cfg(test)]
mod tests;
