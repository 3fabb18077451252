//! What the orchestrator tells CloudWatch, and what the template looks for there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use diogenes_api::jobs::{AttemptEnd, AttemptRecord};
use diogenes_core::Timestamp;
use diogenes_core::fleet::{
    ClaimId, Control, DeploymentId, FailureKind, FleetEvent, InstanceId, Launch, Model, ModelSpec,
    ModelView, Outcome, PhaseTimes, Placement, ReconcileError, Reconciled, Slot, SlotState, Source,
};
use diogenes_core::jobs::{JobKind, Queue, QueueDepth};
use diogenes_core::name::ModelName;
use diogenes_core::ports::ComputeError;
use diogenes_core::secret::Secret;
use diogenes_functions::metrics::{line, line_of_queue, lines_of_attempts};
use serde_json::{Value, json};

use super::template;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn name() -> ModelName {
    "org/model".parse().unwrap()
}

fn slot(index: u32, state: SlotState) -> Slot {
    let spec = ModelSpec::new(["vllm"]);
    Slot {
        model: name(),
        index,
        claim: ClaimId::new(format!("claim-{index}")),
        claimed_at: at(0),
        launch: Launch {
            engine: spec.engine(),
            spec: spec.hash(),
            ladder: vec![Placement::local()],
            rung: 0,
            tried: 1,
            attempt: 0,
            asked_at: at(0),
            upstream_key: Secret::new("up-secret"),
            lifetime: None,
        },
        phases: PhaseTimes::launched(at(0)),
        state,
    }
}

fn ready() -> Slot {
    let instance = InstanceId::new("i-1");
    slot(0, SlotState::Ready { instance, base_url: "http://a".into(), ready_at: at(40) })
}

fn outcome(slots: Vec<Slot>) -> Outcome {
    let model = Model {
        name: name(),
        spec: ModelSpec::new(["vllm"]),
        source: Source::Api,
        created_at: at(0),
        updated_at: at(0),
        deleted_at: None,
    };
    Outcome {
        view: Some(ModelView::new(Arc::new(model), slots, Control::new(name()), None)),
        next_check: None,
        desired: 0,
        events: Vec::new(),
        oldest_launch: None,
        refused: None,
    }
}

fn told(outcome: Outcome) -> Option<Value> {
    let oldest_launch = outcome.oldest_launch;
    told_of(&Reconciled { model: name(), result: Ok(outcome), oldest_launch })
}

fn told_of(one: &Reconciled) -> Option<Value> {
    line(&DeploymentId::new("stack"), one, at(5400))
}

fn denied() -> ReconcileError {
    ReconcileError::Compute(ComputeError::Denied {
        reason: "allow `ec2:TerminateInstances`".into(),
    })
}

/// An outcome in which everything happened.
fn eventful() -> Outcome {
    let cold_start = Duration::from_millis(40_500);
    Outcome {
        events: vec![
            FleetEvent::LaunchFailed { kind: FailureKind::Capacity },
            FleetEvent::Ready { cold_start },
            FleetEvent::LaunchFailed { kind: FailureKind::Quota },
        ],
        oldest_launch: Some(at(0)),
        ..outcome(vec![ready(), slot(1, SlotState::Launching)])
    }
}

/// Each metric of a line with each of its sets of dimensions.
fn series(line: &Value) -> BTreeSet<(String, Vec<String>)> {
    let mut found = BTreeSet::new();
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
        assert_eq!(directive["Namespace"], "Diogenes");
        for metric in directive["Metrics"].as_array().unwrap() {
            let name = metric["Name"].as_str().unwrap();
            assert!(line.get(name).is_some(), "{name} has no value");
            for dimensions in directive["Dimensions"].as_array().unwrap() {
                let dimensions: Vec<String> = serde_json::from_value(dimensions.clone()).unwrap();
                assert!(dimensions.iter().all(|dimension| line[dimension].is_string()));
                found.insert((name.to_owned(), dimensions));
            }
        }
    }
    found
}

#[test]
fn a_line_tells_all_that_happened() {
    let line = told(eventful()).unwrap();
    assert_eq!(line["_aws"]["Timestamp"], json!(1_800_005_400_000_i64));
    let mut values = line.clone();
    values.as_object_mut().unwrap().remove("_aws");
    assert_eq!(
        values,
        json!({
            "Deployment": "stack",
            "Model": "org/model",
            "ModelReady": 1,
            "InstancesRunning": 1,
            "ColdStartSeconds": [40.5],
            "LaunchFailures": 2,
            "OldestInstanceHours": 1.5,
        })
    );
    assert!(!line.to_string().contains('\n'));
}

#[test]
fn a_model_that_sleeps_is_not_told_of() {
    assert_eq!(told(outcome(Vec::new())), None);
    let gone = Outcome { view: None, ..outcome(Vec::new()) };
    assert_eq!(told(gone), None);
}

#[test]
fn a_model_that_falls_asleep_is_told_of_once_more() {
    let freed = Outcome { events: vec![FleetEvent::Freed], ..outcome(Vec::new()) };
    let line = told(freed).unwrap();
    assert_eq!((&line["ModelReady"], &line["InstancesRunning"]), (&json!(0), &json!(0)));
    assert_eq!(line.get("OldestInstanceHours"), None);
}

#[test]
fn an_instance_that_no_record_knows_is_told_of_by_its_age() {
    let orphaned = Outcome { view: None, oldest_launch: Some(at(0)), ..outcome(Vec::new()) };
    let line = told(orphaned).unwrap();
    let of_deployment = vec!["Deployment".to_owned()];
    assert_eq!(series(&line), BTreeSet::from([("OldestInstanceHours".into(), of_deployment)]));
}

#[test]
fn an_instance_that_cannot_be_ended_is_told_of_by_its_age() {
    let oldest_launch = Some(at(0));
    let refused = Outcome { refused: Some(denied()), oldest_launch, ..outcome(vec![ready()]) };
    assert_eq!(told(refused).unwrap()["OldestInstanceHours"], json!(1.5));
    let failed = Reconciled { model: name(), result: Err(denied()), oldest_launch };
    let of_deployment = vec!["Deployment".to_owned()];
    let line = told_of(&failed).unwrap();
    assert_eq!(series(&line), BTreeSet::from([("OldestInstanceHours".into(), of_deployment)]));
}

/// The metrics of ours that the alarms and the dashboard of the template read.
fn looked_for() -> BTreeSet<(String, Vec<String>)> {
    let template = template::read();
    let mut found = BTreeSet::new();
    for resource in template["Resources"].as_object().unwrap().values() {
        let properties = &resource["Properties"];
        if resource["Type"] == "AWS::CloudWatch::Alarm" && properties["Namespace"] == "Diogenes" {
            let dimensions = properties["Dimensions"].as_array().unwrap();
            let names = dimensions.iter().map(|one| one["Name"].as_str().unwrap().to_owned());
            let metric = properties["MetricName"].as_str().unwrap().to_owned();
            found.insert((metric, names.collect()));
        }
        if resource["Type"] == "AWS::CloudWatch::Dashboard" {
            let body = properties["DashboardBody"]["Fn::Sub"].as_str().unwrap();
            for search in body.split("SEARCH('{").skip(1) {
                let (schema, rest) = search.split_once('}').unwrap();
                let mut schema = schema.split(',').map(str::to_owned);
                assert_eq!(schema.next().as_deref(), Some("Diogenes"));
                let metric = rest.split(r#"MetricName=\""#).nth(1).unwrap();
                let metric = metric.split('\\').next().unwrap().to_owned();
                found.insert((metric, schema.collect()));
            }
        }
    }
    found
}

/// The metrics of a queue in which something is left, and of attempts that succeeded and failed.
fn of_jobs() -> Vec<Value> {
    let deployment = DeploymentId::new("prod");
    let attempt = |end| AttemptRecord {
        kind: JobKind::known("http"),
        end,
        wait: Duration::from_secs(1),
        duration: Duration::from_secs(1),
    };
    let attempts = [attempt(AttemptEnd::Completed), attempt(AttemptEnd::Failed)];
    let queue = Queue::new("http".parse().unwrap());
    let depth = QueueDepth { queue, available: 1, waiting: 0, running: 0, oldest: Some(at(0)) };
    let mut lines = lines_of_attempts(&deployment, &attempts, at(9));
    lines.extend(line_of_queue(&deployment, &depth, at(9)));
    lines
}

#[test]
fn the_template_looks_for_what_is_written_and_for_all_of_the_fleet() {
    let (looked_for, of_fleet) = (looked_for(), series(&told(eventful()).unwrap()));
    assert!(of_fleet.is_subset(&looked_for), "{of_fleet:?} {looked_for:?}");
    let written: BTreeSet<_> = of_jobs().iter().flat_map(series).chain(of_fleet).collect();
    assert!(looked_for.is_subset(&written), "{looked_for:?} {written:?}");
}
