//! Metrics of jobs, written after each stint of a worker: what its attempts were, and how much is left
//! in its queue where something is.

use std::collections::BTreeMap;

use diogenes_api::jobs::{AttemptEnd, AttemptRecord};
use diogenes_core::Timestamp;
use diogenes_core::fleet::DeploymentId;
use diogenes_core::fleet::eta::since;
use diogenes_core::jobs::{JobKind, QueueDepth, QueueName};
use serde_json::{Value, json};

use super::emf::{Line, MAX_VALUES, write};
use crate::workers::KINDS;

/// By installation and kind of job, of which there are six.
const OF_KIND: &[&str] = &["Deployment", "Kind"];
/// By installation and queue. Callers name queues as they like and each name would be paid for, so
/// that all but those of the kinds are one.
const OF_QUEUE: &[&str] = &["Deployment", "Queue"];
const OTHER_QUEUES: &str = "other";

/// The lines about attempts that have ended, by kind:
///
/// - `JobWaitSeconds`: from the time at which each could begin to its beginning;
/// - `JobDurationSeconds`: from its beginning to its end;
/// - `JobsCompleted`, `JobsFailed`, `JobsSnoozed`, `JobsReleased`, `JobsCancelled`: how many ended so,
///   where any did.
pub fn lines_of_attempts(
    deployment: &DeploymentId,
    attempts: &[AttemptRecord],
    now: Timestamp,
) -> Vec<Value> {
    let mut kinds: BTreeMap<&JobKind, Vec<&AttemptRecord>> = BTreeMap::new();
    for attempt in attempts {
        kinds.entry(&attempt.kind).or_default().push(attempt);
    }
    let mut lines = Vec::new();
    for (kind, attempts) in kinds {
        for some in attempts.chunks(MAX_VALUES) {
            let mut line = Line::default();
            line.label("Kind", kind.as_str());
            let waits: Vec<f64> = some.iter().map(|one| one.wait.as_secs_f64()).collect();
            line.put("JobWaitSeconds", "Seconds", &[OF_KIND], json!(waits));
            let durations: Vec<f64> = some.iter().map(|one| one.duration.as_secs_f64()).collect();
            line.put("JobDurationSeconds", "Seconds", &[OF_KIND], json!(durations));
            let mut ends: BTreeMap<AttemptEnd, usize> = BTreeMap::new();
            for attempt in some {
                *ends.entry(attempt.end).or_default() += 1;
            }
            for (end, count) in ends {
                line.put(name_of(end), "Count", &[OF_KIND], json!(count));
            }
            lines.extend(line.finish(deployment, now));
        }
    }
    lines
}

fn name_of(end: AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Completed => "JobsCompleted",
        AttemptEnd::Failed => "JobsFailed",
        AttemptEnd::Snoozed => "JobsSnoozed",
        AttemptEnd::Released => "JobsReleased",
        AttemptEnd::Cancelled => "JobsCancelled",
    }
}

/// The line about a queue where jobs are due: `JobsAvailable`, how many, and `OldestJobSeconds`, for
/// how long the oldest could have begun.
pub fn line_of_queue(
    deployment: &DeploymentId,
    depth: &QueueDepth,
    now: Timestamp,
) -> Option<Value> {
    let oldest = depth.oldest?;
    let is_known = KINDS.iter().any(|kind| depth.queue.name == QueueName::from(kind));
    let mut line = Line::default();
    line.label("Queue", if is_known { depth.queue.name.as_str() } else { OTHER_QUEUES });
    line.put("JobsAvailable", "Count", &[OF_QUEUE], json!(depth.available));
    let age = since(oldest, now).as_secs_f64();
    line.put("OldestJobSeconds", "Seconds", &[OF_QUEUE], json!(age));
    line.finish(deployment, now)
}

/// Writes what a worker has done in a stint, and what it has left.
pub fn report_jobs(
    deployment: &DeploymentId,
    attempts: &[AttemptRecord],
    depth: Option<&QueueDepth>,
    now: Timestamp,
) {
    let left = depth.and_then(|depth| line_of_queue(deployment, depth, now));
    write(lines_of_attempts(deployment, attempts, now).into_iter().chain(left));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use diogenes_api::jobs::HttpJobs;
    use diogenes_core::jobs::{Queue, WEBHOOK};

    use super::*;

    fn deployment() -> DeploymentId {
        DeploymentId::new("prod")
    }

    fn attempt(kind: JobKind, end: AttemptEnd) -> AttemptRecord {
        let (wait, duration) = (Duration::from_secs(2), Duration::from_millis(1500));
        AttemptRecord { kind, end, wait, duration }
    }

    #[test]
    fn attempts_are_told_by_kind_and_only_what_there_was() {
        let attempts = [
            attempt(HttpJobs::JOB, AttemptEnd::Completed),
            attempt(WEBHOOK, AttemptEnd::Failed),
            attempt(HttpJobs::JOB, AttemptEnd::Completed),
        ];
        let now = Timestamp::UNIX_EPOCH + Duration::from_secs(7);
        let lines = lines_of_attempts(&deployment(), &attempts, now);
        let [http, webhook] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((&http["Kind"], &http["Deployment"]), (&json!("http"), &json!("prod")));
        assert_eq!(http["JobWaitSeconds"], json!([2.0, 2.0]));
        assert_eq!(http["JobDurationSeconds"], json!([1.5, 1.5]));
        assert_eq!((&http["JobsCompleted"], http.get("JobsFailed")), (&json!(2), None));
        assert_eq!((&webhook["JobsFailed"], webhook.get("JobsCompleted")), (&json!(1), None));
        assert_eq!(http["_aws"]["Timestamp"], 7000);
        let directives = http["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(directives.len(), 3);
        assert!(directives.iter().all(|one| one["Dimensions"] == json!([["Deployment", "Kind"]])));
        assert_eq!(lines_of_attempts(&deployment(), &[], now), Vec::<Value>::new());
    }

    #[test]
    fn a_line_has_no_more_values_than_one_may() {
        let attempts = vec![attempt(HttpJobs::JOB, AttemptEnd::Completed); 2 * MAX_VALUES + 1];
        let lines = lines_of_attempts(&deployment(), &attempts, Timestamp::UNIX_EPOCH);
        let counts: Vec<_> = lines.iter().map(|line| line["JobsCompleted"].as_u64()).collect();
        assert_eq!(counts, [Some(100), Some(100), Some(1)]);
    }

    #[test]
    fn queues_that_callers_name_are_one() {
        let now = Timestamp::UNIX_EPOCH + Duration::from_secs(9);
        let depth = |name: &str, oldest| QueueDepth {
            queue: Queue::new(name.parse().unwrap()),
            available: 3,
            waiting: 1,
            running: 0,
            oldest,
        };
        let oldest = Some(Timestamp::UNIX_EPOCH);
        for (name, told) in [("http", "http"), ("batch", "batch"), ("mine", "other")] {
            let line = line_of_queue(&deployment(), &depth(name, oldest), now).unwrap();
            assert_eq!(line["Queue"], told);
            assert_eq!(
                (&line["JobsAvailable"], &line["OldestJobSeconds"]),
                (&json!(3), &json!(9.0))
            );
        }
        assert_eq!(line_of_queue(&deployment(), &depth("http", None), now), None);
    }
}
