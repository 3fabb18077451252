//! What the fleet offers to work that nobody waits for.

use std::time::Duration;

use diogenes_core::name::ModelName;
use diogenes_core::tenancy::Principal;

use super::entry::Entry;
use super::gateway::Gateway;
use super::route::not_allowed;
use crate::error::ApiError;

/// How many requests of one batch a provider gets at once.
const AT_PROVIDERS: u32 = 8;
/// The least and the longest time between two looks at a model that starts.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Whether requests of background work can be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// `room` of them at once, beside what others ask.
    Ready {
        /// The model of the fleet that answers; none where that is a provider's.
        model: Option<ModelName>,
        room: u32,
    },
    /// The model has to start first.
    Cold {
        model: ModelName,
        /// When to look again.
        pause: Duration,
        /// What is waited for.
        what: String,
    },
}

impl Gateway {
    /// Whether requests for `name` can be sent, `ours` of which are under way.
    ///
    /// # Errors
    /// When there is no such model, or `by` may not use it.
    pub async fn ground(&self, by: &Principal, name: &str, ours: u32) -> Result<Ground, ApiError> {
        let dispatcher = &self.views.dispatcher;
        self.views.refresh(name).await?;
        let first = self.first_of_route(name);
        let Some(entry) = dispatcher.get(first.as_ref().map_or(name, ModelName::as_str)) else {
            if first.is_none() && dispatcher.hosted(name).is_none() {
                // It says what there is.
                dispatcher.find_for(name, Some(by))?;
            }
            return Ok(Ground::Ready { model: None, room: AT_PROVIDERS });
        };
        let view = entry.view();
        let model = view.model.name.clone();
        if first.is_none() && !by.may_use(&model) {
            return Err(not_allowed(by, &model));
        }
        if let Some(room) = room_of(&entry, ours) {
            return Ok(Ground::Ready { model: Some(model), room });
        }
        let now = entry.now();
        let (pause, what) = if let Some(failure) = view.failure(now) {
            let pause = diogenes_core::fleet::eta::since(now, failure.until);
            (pause, format!("model `{model}`, which failed to start: {}", failure.reason))
        } else {
            let progress = view.progress(now);
            let eta = progress.eta.unwrap_or(LOOKS.0 * 2);
            (eta / 2, format!("model `{model}` to start (phase `{}`)", progress.phase))
        };
        Ok(Ground::Cold { model, pause: pause.clamp(LOOKS.0, LOOKS.1), what })
    }

    /// How many requests a model takes beside what others ask in this moment, as far as this process
    /// knows; none where it has no replica. It looks at what is in memory, so that whoever is about to
    /// send one may ask.
    pub fn room(&self, model: &ModelName, ours: u32) -> Option<u32> {
        let entry = self.views.dispatcher.get(model.as_str())?;
        room_of(&entry, ours)
    }

    /// The model of the fleet that requests for `name` are sent to first, if there is one.
    ///
    /// # Errors
    /// When the fleet could not be read.
    pub async fn model_behind(&self, name: &str) -> Result<Option<ModelName>, ApiError> {
        // This process may have seen no request for it.
        self.views.refresh(name).await?;
        Ok(self.known_behind(name))
    }

    fn known_behind(&self, name: &str) -> Option<ModelName> {
        let first = self.first_of_route(name);
        let entry = self.views.dispatcher.get(first.as_ref().map_or(name, ModelName::as_str))?;
        Some(entry.view().model.name.clone())
    }

    /// The first model of the fleet among the targets of a route.
    fn first_of_route(&self, name: &str) -> Option<ModelName> {
        let route = self.views.dispatcher.route_named(name)?;
        route.spec.models().next().cloned()
    }

    /// Asks for a look at what a model needs.
    pub async fn look_after(&self, model: &ModelName) {
        if let Some(entry) = self.views.dispatcher.get(model.as_str()) {
            entry.wake().await;
        }
    }
}

fn room_of(entry: &Entry, ours: u32) -> Option<u32> {
    let (replicas, in_flight) = entry.load();
    let all = entry.view().model.spec.requests_per_replica().saturating_mul(replicas);
    // Ours may be under way, or wait for their turn like those of others.
    let others = in_flight.saturating_add(entry.line.waiting()).saturating_sub(ours);
    (replicas > 0).then(|| all.saturating_sub(others).max(1))
}
