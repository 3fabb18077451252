//! What people see of deployments.

use diogenes_api::control::{
    DeploymentBody, DeploymentStatusBody, DeploymentType, MetricsBody, RolloutBody,
};
use diogenes_core::Timestamp;
use diogenes_core::deployments::Status;
use serde_json::Value;

use crate::client::decode;
use crate::commands::{output, time};
use crate::exit::Failure;

/// One deployment.
pub(super) fn deployment(value: &Value, format: output::Format) -> Result<(), Failure> {
    output::result(format, value, || Ok(details(&decode(value.clone())?)))
}

fn details(deployment: &DeploymentBody) -> String {
    let mut rows = vec![
        ("id", deployment.id.clone()),
        ("prompt", format!("{}:{}", deployment.prompt, deployment.environment)),
        ("versions", format!("v{} to v{}", deployment.from_version, deployment.to_version)),
        ("status", deployment.status.to_string()),
        ("strategy", strategy(deployment)),
        ("share", share(&deployment.rollout)),
        ("project", deployment.project.to_string()),
        ("created", format!("{} by {}", time::stamp(deployment.created_at), deployment.created_by)),
    ];
    if let Some(by) = &deployment.approved_by {
        let comment = deployment.approval_comment.as_deref().filter(|text| !text.is_empty());
        let comment = comment.map_or_else(String::new, |comment| format!(": {comment}"));
        rows.push(("approved", format!("by {by}{comment}")));
    }
    if let Some(at) = deployment.started_at {
        rows.push(("started", time::stamp(at)));
    }
    if let Some(at) = deployment.completed_at {
        rows.push(("ended", time::stamp(at)));
        rows.push(("reason", deployment.status_message.clone()));
    }
    if let Some(reverts) = &deployment.reverts {
        rows.push(("takes back", reverts.clone()));
    }
    output::details(rows)
}

fn strategy(deployment: &DeploymentBody) -> String {
    let it = &deployment.strategy;
    let kind = match it.kind {
        DeploymentType::Immediate => "immediate",
        DeploymentType::Gradual => "gradual",
        DeploymentType::Canary => "canary",
        DeploymentType::BlueGreen => "blue-green",
    };
    let mut parts = vec![kind.to_owned()];
    parts.extend(it.initial_percentage.map(|share| format!("from {share} %")));
    parts.extend(it.increment.map(|share| format!("by {share} %")));
    parts.extend(it.interval_seconds.map(|seconds| {
        format!(
            "interval {}",
            diogenes_core::duration::format(std::time::Duration::from_secs(seconds))
        )
    }));
    if it.auto_rollback {
        parts.push("auto-rollback".into());
    }
    parts.join(", ")
}

fn share(rollout: &RolloutBody) -> String {
    let mut text = format!("{} %", rollout.current_percentage);
    if let Some(by) = &rollout.paused_by {
        text = format!("{text}, paused by {by}");
    }
    if let Some(at) = rollout.next_increment_at {
        text = format!("{text}, next step at {} at the earliest", time::stamp(at));
    }
    text
}

pub(super) fn table(deployments: &[DeploymentBody], now: Timestamp) -> String {
    output::table(
        &["ID", "PROMPT", "VERSIONS", "STATUS", "SHARE", "AGE", "BY"],
        deployments.iter().map(|it| {
            vec![
                it.id.clone(),
                format!("{}:{}", it.prompt, it.environment),
                format!("v{}→v{}", it.from_version, it.to_version),
                it.status.to_string(),
                format!("{}%", it.rollout.current_percentage),
                time::rough(time::since(it.created_at, now)),
                it.created_by.clone(),
            ]
        }),
    )
}

/// How a deployment stands.
pub(super) fn status(status: &DeploymentStatusBody) -> String {
    let of_rollout = match status.status {
        Status::InProgress => format!(", {}", share(&status.rollout)),
        _ => String::new(),
    };
    let evidence = &status.evidence;
    let mut rows = vec![
        ("status", format!("{}{of_rollout}", status.status)),
        ("message", status.status_message.clone()),
        ("verdict", evidence.verdict.as_str().replace('_', " ")),
    ];
    for metric in &evidence.metrics {
        let name = metric.metric.as_str();
        let text = format!(
            "{} bad users of the new version, {} of the old: worse {}, no worse {}, alarm at {:.0}",
            metric.candidate,
            metric.baseline,
            figure(metric.worse),
            figure(metric.no_worse),
            evidence.alarm_at,
        );
        rows.push((name, text));
    }
    let sides = output::table(
        &["VERSION", "REQUESTS", "USERS", "ERRORS", "P50", "P95", "COST"],
        [("new", &status.current_metrics), ("old", &status.baseline_metrics)]
            .map(|(name, metrics)| side(name, metrics)),
    );
    format!("{}\n\n{sides}", output::details(rows))
}

fn figure(evidence: f64) -> String {
    if evidence < 1e6 { format!("{evidence:.2}") } else { format!("{evidence:.0e}") }
}

fn side(name: &str, metrics: &MetricsBody) -> Vec<String> {
    let dash = || "-".to_owned();
    let millis = |ms: Option<f64>| ms.map_or_else(dash, |ms| format!("{ms:.0}ms"));
    vec![
        name.to_owned(),
        metrics.request_count.to_string(),
        metrics.unit_count.to_string(),
        metrics.error_rate.map_or_else(dash, |rate| format!("{:.1}%", rate * 100.0)),
        millis(metrics.latency_p50_ms),
        millis(metrics.latency_p95_ms),
        metrics.cost_per_request_usd.as_deref().map_or_else(dash, output::dollars),
    ]
}
