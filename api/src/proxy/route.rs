use std::sync::Arc;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::gateway::budget::{Cap, WakeUp};
use diogenes_core::gateway::{RouteSpec, RouteTarget, WhileCold};
use diogenes_core::name::ModelName;
use diogenes_core::ports::Amount;
use diogenes_core::tenancy::Principal;

use super::arrangement::Arranged;
use super::call::{Call, Translated};
use super::destination::Destination;
use super::dispatch::Dispatcher;
use super::interpreter::Interpreter;
use crate::error::{ApiError, ErrorKind};

/// Where the name in a request leads, the first choice first.
pub(super) struct Route {
    /// Its name; none where the request names a model.
    pub(super) name: Option<ModelName>,
    pub(super) while_cold: WhileCold,
    /// What others may cost while a model starts, in nano-dollars.
    while_cold_budget: Option<Amount>,
    /// Where answers are kept.
    pub(super) keeps: Option<Keeps>,
    /// Whether streams that are cut are continued.
    pub(super) recover: bool,
    pub(super) arranged: Arranged,
    first: Destination,
    /// Empty for nearly every request, and then it takes no memory.
    others: Vec<Destination>,
}

/// How a route keeps answers.
pub(super) struct Keeps {
    pub(super) life: Duration,
    /// What they depend on, in the order of the configuration: each request may try the targets in
    /// another one.
    pub(super) targets: String,
}

impl Route {
    /// The way to one model.
    pub(super) fn to(destination: Destination) -> Self {
        Self {
            name: None,
            while_cold: WhileCold::default(),
            while_cold_budget: None,
            keeps: None,
            recover: false,
            arranged: Arranged::default(),
            first: destination,
            others: Vec::new(),
        }
    }

    /// The way along a route, as far as its models are registered and the key may use them. Who may
    /// use the route by its name may use all of them. A model of the fleet goes before a provider's
    /// of the same name. `arrange` puts them into order.
    pub(super) fn along(
        name: &ModelName,
        spec: &RouteSpec,
        dispatcher: &Dispatcher,
        key: &Principal,
        arrange: impl FnOnce(&mut Vec<(Destination, &RouteTarget)>) -> Arranged,
    ) -> Result<Self, ApiError> {
        let may_use_all = key.may_use(name);
        let mut destinations: Vec<(Destination, &RouteTarget)> =
            Vec::with_capacity(spec.targets.len());
        let (mut is_registered, mut stays_here) = (false, false);
        for listed in &spec.targets {
            let target = &listed.model;
            let (destination, model) = if let Some(entry) = dispatcher.get(target.as_str()) {
                let model = entry.view().model.name.clone();
                (Destination::Model(entry), model)
            } else if let Some(hosted) = dispatcher.hosted(target.as_str()) {
                if !may_use_all && !key.may_use(target) {
                    is_registered = true;
                    continue;
                }
                if !spec.egress || !key.egress {
                    stays_here = true;
                    continue;
                }
                (Destination::Hosted(Arc::new(hosted)), target.clone())
            } else {
                continue;
            };
            is_registered = true;
            // Two names may be aliases of one model.
            let is_new = destinations.iter().all(|(known, _)| !known.is(&destination));
            if is_new && (may_use_all || key.may_use(&model)) {
                destinations.push((destination, listed));
            }
        }
        let keeps = spec.cache_ttl.map(|life| {
            let targets = destinations.iter().map(|(destination, _)| destination.fingerprint());
            Keeps { life, targets: targets.collect::<Vec<_>>().join("\n") }
        });
        let arranged = arrange(&mut destinations);
        let mut destinations = destinations.into_iter().map(|(destination, _)| destination);
        let Some(first) = destinations.next() else {
            return Err(match (is_registered, stays_here) {
                (true, _) => not_allowed(key, name),
                (false, true) if !spec.egress => route_stays_here(name),
                (false, true) => key_stays_here(key),
                (false, false) => nobody(name, spec),
            });
        };
        let (name, others) = (Some(name.clone()), destinations.collect());
        let RouteSpec { while_cold, recover, .. } = *spec;
        let while_cold_budget = spec.while_cold_budget.map(Cap::amount);
        Ok(Self { name, while_cold, while_cold_budget, keeps, recover, arranged, first, others })
    }

    /// The body for the first destination that understands the request, where it has to be
    /// translated.
    ///
    /// # Errors
    /// When none does: why the first does not.
    pub(super) fn translated(&self, call: &Call) -> Result<Option<Translated>, ApiError> {
        let mut why = None;
        for destination in self.destinations() {
            if Interpreter::between(call.dialect, destination).is_some_and(Interpreter::is_idle) {
                return Ok(None);
            }
            match call.translated_for(destination) {
                Ok(translated) => return Ok(Some(translated)),
                Err(error) => why.get_or_insert(error),
            };
        }
        why.map_or(Ok(None), Err)
    }

    /// Whether the cost of other targets is limited while a model starts.
    pub(super) fn limits_wake_ups(&self) -> bool {
        self.while_cold_budget.is_some()
    }

    /// What counts a request that another target answers because the one at `place` has to start,
    /// if the route limits that.
    pub(super) fn wake_up(&self, place: Option<usize>, now: Timestamp) -> Option<WakeUp> {
        let (cap, name) = (self.while_cold_budget?, self.name.as_ref()?);
        let starting = self.at(place?).entry().filter(|entry| !entry.is_reachable())?;
        let view = starting.view();
        Some(WakeUp::of((name, cap), &view.model, &view.control, now))
    }

    pub(super) fn first(&self) -> &Destination {
        &self.first
    }

    /// Whether there is but one destination.
    pub(super) fn is_single(&self) -> bool {
        self.others.is_empty()
    }

    /// The destinations in order.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &Destination> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The destination at a place; the first where there is none.
    pub(super) fn at(&self, place: usize) -> &Destination {
        place.checked_sub(1).and_then(|place| self.others.get(place)).unwrap_or(&self.first)
    }
}

/// A route to nobody.
fn nobody(name: &ModelName, spec: &RouteSpec) -> ApiError {
    let targets: Vec<_> = spec.models().map(|name| format!("`{name}`")).collect();
    let targets = targets.join(", ");
    ApiError::new(
        ErrorKind::ModelNotFound,
        format!("no target of the route `{name}` exists any more ({targets}); add the model or its provider, or change the route with `diogenes route apply`"),
    )
    .param("model")
}

/// A route whose targets are all a provider's, and which lets nothing out.
fn route_stays_here(name: &ModelName) -> ApiError {
    ApiError::new(
        ErrorKind::EgressNotAllowed,
        format!(
            "all targets of the route `{name}` are models of providers, but the route does not let requests leave; the operator can set `egress = true` for it"
        ),
    )
    .param("model")
}

/// A key whose requests may not leave for a provider.
pub(super) fn key_stays_here(key: &Principal) -> ApiError {
    ApiError::new(
        ErrorKind::EgressNotAllowed,
        format!(
            "the API key `{}` may not send requests to providers; ask for a key that was created with `--egress`",
            key.key
        ),
    )
    .param("model")
}

/// A key that may not use a model, or any model of a route.
pub(super) fn not_allowed(key: &Principal, name: &ModelName) -> ApiError {
    ApiError::new(
        ErrorKind::ModelNotAllowed,
        format!("the API key `{}` may not use model `{name}`; ask for a key that may", key.key),
    )
    .param("model")
}
