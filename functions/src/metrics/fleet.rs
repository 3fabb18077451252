//! Metrics of the fleet: one line for each model that is awake. A model that sleeps has none.

use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::since;
use diogenes_core::fleet::{DeploymentId, FleetEvent, Reconciled};
use serde_json::{Value, json};

use super::emf::{Line, MAX_VALUES, write};

/// By installation.
const OF_DEPLOYMENT: &[&str] = &["Deployment"];
/// By installation and model.
const OF_MODEL: &[&str] = &["Deployment", "Model"];

/// The line about a model after a reconcile, if it has something to tell. One that could not be
/// reconciled tells its age all the same: it may be one whose instance cannot be ended.
///
/// - `ModelReady`: whether a replica serves, 0 or 1;
/// - `InstancesRunning`: the instances of its slots, also those on their way in or out;
/// - `ColdStartSeconds`: from the claim to readiness, of each replica that became ready;
/// - `LaunchFailures`: the scale-ups that came to nothing, by model and of all;
/// - `OldestInstanceHours`: the age of the oldest instance that has not ended, of all; also of
///   one that no record knows.
pub fn line(deployment: &DeploymentId, one: &Reconciled, now: Timestamp) -> Option<Value> {
    let outcome = one.result.as_ref().ok();
    let view = outcome.and_then(|outcome| outcome.view.as_ref());
    let events = outcome.map_or(&[][..], |outcome| &outcome.events);
    let slots = view.map_or(&[][..], |view| &view.slots);
    let mut line = Line::default();
    if !slots.is_empty() || !events.is_empty() {
        let is_ready = view.is_some_and(|view| !view.replicas.is_empty());
        line.put("ModelReady", "Count", &[OF_MODEL], json!(u32::from(is_ready)));
        let instances = slots.iter().filter(|slot| slot.instance().is_some()).count();
        line.put("InstancesRunning", "Count", &[OF_MODEL], json!(instances));
    }
    let cold_starts: Vec<f64> = events.iter().filter_map(cold_start).collect();
    if !cold_starts.is_empty() {
        let kept = cold_starts.get(..MAX_VALUES).unwrap_or(&cold_starts);
        line.put("ColdStartSeconds", "Seconds", &[OF_MODEL], json!(kept));
    }
    let has_failed = |event: &&FleetEvent| matches!(event, FleetEvent::LaunchFailed { .. });
    let failures = events.iter().filter(has_failed).count();
    if failures > 0 {
        line.put("LaunchFailures", "Count", &[OF_DEPLOYMENT, OF_MODEL], json!(failures));
    }
    if let Some(launch) = one.oldest_launch {
        let hours = since(launch, now).as_secs_f64() / 3600.0;
        line.put("OldestInstanceHours", "None", &[OF_DEPLOYMENT], json!(hours));
    }
    line.label("Model", one.model.to_string());
    line.finish(deployment, now)
}

/// Writes the lines about what a reconcile has found.
pub fn report(deployment: &DeploymentId, models: &[Reconciled], now: Timestamp) {
    write(models.iter().filter_map(|one| line(deployment, one, now)));
}

fn cold_start(event: &FleetEvent) -> Option<f64> {
    match event {
        FleetEvent::Ready { cold_start } => Some(cold_start.as_secs_f64()),
        FleetEvent::LaunchFailed { .. } | FleetEvent::Freed => None,
    }
}
