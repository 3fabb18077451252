use std::time::Duration;

use diogenes_core::gateway::{Rank, RouteSpec, RouteTarget, Strategy, order};
use diogenes_core::name::ModelName;

use super::admission::Admission;
use super::bound::Most;
use super::conversations::{Conversation, unit};
use super::destination::Destination;
use super::gateway::Gateway;

/// Why the targets of a route are in the order that they are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Arranged {
    pub(super) strategy: Strategy,
    /// Whether the first is the one that has answered the conversation before.
    pub(super) is_sticky: bool,
    /// The conversation, where its target is to be remembered.
    pub(super) conversation: Option<Conversation>,
}

/// Puts the targets of a route into the order in which a request tries them.
pub(super) fn arrange(
    gateway: &Gateway,
    admission: &Admission,
    name: &ModelName,
    spec: &RouteSpec,
    targets: &mut Vec<(Destination, &RouteTarget)>,
) -> Arranged {
    let request = &admission.request;
    let needs_unit = spec.strategy == Strategy::Weighted || spec.sticky.is_some();
    let unit = needs_unit.then(|| unit(&request.headers, &request.body)).flatten();
    if spec.strategy != Strategy::Ordered {
        let ranks = ranks(gateway, spec.strategy, targets, || {
            Most::of_request(&admission.peek, request.dialect, &request.body)
        });
        let by = unit.as_deref().map_or(request.id.as_bytes(), str::as_bytes);
        let places = order(spec.strategy, &ranks, by);
        *targets = places.into_iter().filter_map(|place| targets.get(place).cloned()).collect();
    }
    let mut arranged = Arranged { strategy: spec.strategy, ..Arranged::default() };
    if let (Some(kept), Some(unit)) = (spec.sticky, unit) {
        let conversation = gateway.conversations.of(name, &admission.by.principal().key, &unit);
        let standing = gateway.conversations.target_of(conversation, kept);
        let place =
            standing.and_then(|standing| targets.iter().position(|(at, _)| at.name() == standing));
        if let Some(place) = place {
            let standing = targets.remove(place);
            targets.insert(0, standing);
        }
        arranged.is_sticky = place.is_some();
        arranged.conversation = Some(conversation);
    }
    arranged
}

fn ranks<'a>(
    gateway: &Gateway,
    strategy: Strategy,
    targets: &[(Destination, &'a RouteTarget)],
    most: impl FnOnce() -> Most,
) -> Vec<Rank<'a>> {
    let now = gateway.clock.now();
    let purse = gateway.purse.as_ref().filter(|_| strategy == Strategy::Cost);
    let expected = purse.map(|_| most().expected());
    let mut is_sent_to_see = false;
    let mut first_token = |at: &Destination| {
        // Nobody is sent to a model that sleeps just to see how fast it is.
        let can_serve = at.entry().is_none_or(|entry| entry.is_reachable());
        let speed = &at.metrics().speed;
        if can_serve && !is_sent_to_see && speed.is_due(now) {
            is_sent_to_see = true;
            return Some(Duration::ZERO);
        }
        speed.average()
    };
    let ranks = targets.iter().map(|(at, target)| Rank {
        name: target.model.as_str(),
        weight: target.weight,
        quality: target.quality,
        cost: purse.zip(expected).and_then(|(purse, usage)| purse.expected(at, usage)),
        first_token: (strategy == Strategy::Latency).then(|| first_token(at)).flatten(),
    });
    ranks.collect()
}
