//! Metrics in CloudWatch's embedded metric format: lines of JSON on the standard output, of which
//! CloudWatch makes metrics. It charges for every metric that is written within an hour, and so
//! nothing is written of what sleeps: an idle installation shall cost nothing.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
//!
//! The alarms and the dashboard in `template.yaml` read them by their names.

mod emf;
#[cfg(feature = "orchestrator")]
mod fleet;
#[cfg(feature = "jobs")]
mod jobs;

#[cfg(feature = "orchestrator")]
pub use fleet::{line, report};
#[cfg(feature = "jobs")]
pub use jobs::{line_of_queue, lines_of_attempts, report_jobs};
