//! Metrics of the fleet in CloudWatch's embedded metric format: one line of JSON on the standard
//! output for each model that is awake. A model that sleeps has none: CloudWatch charges for
//! every metric that is written within an hour, and an idle installation shall cost nothing.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! The alarms and the dashboard in `template.yaml` read them by these names.

use std::io::Write;

use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::since;
use diogenes_core::fleet::{DeploymentId, FleetEvent, Reconciled};
use diogenes_core::name::ModelName;
use serde_json::{Map, Value, json};

/// The namespace of all of them.
const NAMESPACE: &str = "Diogenes";
/// By installation.
const OF_DEPLOYMENT: &[&str] = &["Deployment"];
/// By installation and model.
const OF_MODEL: &[&str] = &["Deployment", "Model"];
/// The most values of one metric in a line, by the specification.
const MAX_VALUES: usize = 100;

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
    line.finish(deployment, &one.model, now)
}

/// Writes the lines about what a reconcile has found.
pub fn report(deployment: &DeploymentId, models: &[Reconciled], now: Timestamp) {
    let lines = models.iter().filter_map(|one| line(deployment, one, now));
    let mut output = std::io::stdout().lock();
    for line in lines {
        if let Err(error) = writeln!(output, "{line}") {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the metrics could not be written"
            );
        }
    }
}

fn cold_start(event: &FleetEvent) -> Option<f64> {
    match event {
        FleetEvent::Ready { cold_start } => Some(cold_start.as_secs_f64()),
        FleetEvent::LaunchFailed { .. } | FleetEvent::Freed => None,
    }
}

/// A line in the making.
#[derive(Default)]
struct Line {
    directives: Vec<Value>,
    values: Map<String, Value>,
}

impl Line {
    fn put(&mut self, name: &str, unit: &str, dimensions: &[&[&str]], value: Value) {
        self.directives.push(json!({
            "Namespace": NAMESPACE,
            "Dimensions": dimensions,
            "Metrics": [{"Name": name, "Unit": unit}],
        }));
        self.values.insert(name.to_owned(), value);
    }

    fn finish(self, deployment: &DeploymentId, model: &ModelName, now: Timestamp) -> Option<Value> {
        if self.directives.is_empty() {
            return None;
        }
        let mut line = self.values;
        let aws = json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": self.directives});
        line.insert("_aws".into(), aws);
        line.insert("Deployment".into(), json!(deployment.to_string()));
        line.insert("Model".into(), json!(model.to_string()));
        Some(Value::Object(line))
    }
}
