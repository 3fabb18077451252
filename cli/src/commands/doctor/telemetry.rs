//! Whether a collector takes what `serve` would send.

use std::sync::Arc;

use diogenes_backends::system::SystemClock;

use super::report::Report;
use crate::serve::TelemetryConfig;

const NAME: &str = "telemetry";

/// Sends nothing to the collector, and sees what it says.
pub(super) async fn check(telemetry: &TelemetryConfig, report: &mut Report) {
    let endpoint = telemetry.endpoint();
    let settings = match telemetry.open() {
        Ok(settings) => settings,
        Err(error) => {
            let next = "put it there; `diogenes serve` will not start without it";
            report.warn(NAME, error.to_string(), next);
            return;
        }
    };
    match diogenes_api::telemetry::check(&settings, Arc::new(SystemClock)).await {
        Ok(()) => report.ok(NAME, format!("the collector at {endpoint} takes traces")),
        // Requests are served all the same.
        Err(problem) => report.warn(
            NAME,
            format!("the collector at {endpoint} takes no traces: {problem}"),
            "start it, or correct `otlp_endpoint` in `[telemetry]`",
        ),
    }
}
