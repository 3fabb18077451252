use std::time::Duration;

use crate::Timestamp;
use crate::fleet::{ColdStart, Failure, ModelSpec, ModelView, Progress};
use crate::gateway::WhileCold;
use crate::routing::Patience;

/// How long a request waits while the fleet cannot be looked after.
const PATIENCE_WITH_THE_STORE: Duration = Duration::from_secs(3);
/// The longest wait that a caller can ask for; a longer one counts as no wish.
const LONGEST_WISH: Duration = Duration::from_hours(24);
/// How many replicas one request may bring down before it is turned away.
const MAX_CASUALTIES: usize = 2;

/// How one target of a route stands.
#[derive(Clone, Copy, Debug)]
pub struct Health<'a> {
    /// The newest view of its model.
    pub view: &'a ModelView,
    /// Whether one of its replicas is in rotation.
    pub reachable: bool,
    /// Whether the fleet cannot be looked after: a full disk, a store that does not answer.
    pub neglected: bool,
    /// How many of its replicas this very request has brought down within the last minute.
    pub casualties: usize,
}

/// What an attempt that brought no answer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There was no connection: the request has not left, and may go elsewhere.
    Unsent,
    /// The request has left. It is never sent again: it may be what brought the target down.
    Sent,
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
    },
    /// Wait for this target, in all at most so long; without a limit where there is none.
    Wait {
        /// The place of the target in the route.
        target: usize,
        /// The longest wait.
        most: Option<Duration>,
    },
    /// Answer with an error.
    GiveUp(GiveUp),
}

/// Why a request gets no answer from any target.
#[derive(Clone, Debug, PartialEq)]
pub enum GiveUp {
    /// An attempt was sent and failed; its own error is the answer.
    Attempted,
    /// The request has brought down two replicas already.
    BringsReplicasDown,
    /// The model was deleted while the request waited.
    Deleted,
    /// The server is on its way out.
    ShuttingDown,
    /// The fleet cannot be looked after.
    Neglected,
    /// The scale-up failed.
    Failed(Failure),
    /// An operator took the model down while the request waited.
    Down,
    /// The caller, or the model, does not want to wait any longer.
    Warming(Progress),
}

/// Decides what to do next for a request.
///
/// `health` tells how each target of the route stands, the first choice first; `outcomes` what the
/// attempts so far came to. A target that refuses is passed over. Of the others the first that can
/// serve gets the request; `while_cold` says whether one that has yet to start is passed over too.
/// While none can serve, the request waits for the first that may; where none may, the first
/// target's reason is the answer.
pub fn next(
    while_cold: WhileCold,
    health: &[Health<'_>],
    outcomes: &[Outcome],
    waiting: &Waiting,
    now: Timestamp,
) -> Step {
    if outcomes.contains(&Outcome::Sent) {
        return Step::GiveUp(GiveUp::Attempted);
    }
    let (mut warm, mut wait, mut reason) = (None, None, None);
    for (target, health) in health.iter().enumerate() {
        match prospect(health, waiting, now) {
            Prospect::Serves => return Step::Attempt { target, warm },
            Prospect::MayServe(most) => {
                warm.get_or_insert(target);
                let wait = wait.get_or_insert(Step::Wait { target, most });
                if while_cold == WhileCold::Hold {
                    return wait.clone();
                }
            }
            Prospect::Refuses(why) => {
                if matches!(why, GiveUp::Warming(_)) {
                    warm.get_or_insert(target);
                }
                reason.get_or_insert(Step::GiveUp(why));
            }
        }
    }
    wait.or(reason).unwrap_or(Step::GiveUp(GiveUp::Deleted))
}

/// What a request can expect of one target.
enum Prospect {
    Serves,
    MayServe(Option<Duration>),
    Refuses(GiveUp),
}

fn prospect(health: &Health<'_>, waiting: &Waiting, now: Timestamp) -> Prospect {
    let Health { view, reachable, neglected, casualties } = *health;
    if view.model.deleted_at.is_some() {
        return Prospect::Refuses(GiveUp::Deleted);
    }
    if casualties >= MAX_CASUALTIES {
        return Prospect::Refuses(GiveUp::BringsReplicasDown);
    }
    if reachable {
        return Prospect::Serves;
    }
    if waiting.closing {
        return Prospect::Refuses(GiveUp::ShuttingDown);
    }
    if neglected && waiting.waited >= PATIENCE_WITH_THE_STORE {
        return Prospect::Refuses(GiveUp::Neglected);
    }
    let is_news = |at: Timestamp| at >= waiting.since;
    let failure = view.control.failure.as_ref().filter(|failure| is_news(failure.at));
    if let Some(failure) = view.failure(now).or(failure) {
        return Prospect::Refuses(GiveUp::Failed(failure.clone()));
    }
    if view.control.down_at.is_some_and(is_news) {
        return Prospect::Refuses(GiveUp::Down);
    }
    let most = longest_wait(&view.model.spec, waiting.patience);
    if most.is_some_and(|most| waiting.waited >= most) {
        return Prospect::Refuses(GiveUp::Warming(view.progress(now)));
    }
    Prospect::MayServe(most)
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
