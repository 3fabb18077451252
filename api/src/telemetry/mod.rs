//! Telemetry: a trace of each request and metrics of all of them, sent to an OpenTelemetry collector
//! by OTLP over HTTP, in JSON.
//!
//! Names are those of OpenTelemetry's conventions for generative AI, release 0.1.0 ("Development",
//! so that they change); what has no name there begins with `diogenes.`.
//! <https://github.com/open-telemetry/semantic-conventions-genai/tree/v0.1.0/docs/gen-ai>
//!
//! A request hands its record over and goes on. One task does the rest: `spans` and `metrics` are
//! what it sends, `otlp` how that is written, `delivery` how it gets there. What the collector does
//! not take in time is dropped and counted.

mod delivery;
mod exporter;
mod metrics;
mod names;
mod otlp;
mod settings;
mod spans;
#[cfg(test)]
mod testing;

pub use delivery::check;
pub use exporter::{Exporter, start};
pub use settings::{InvalidSetting, OtlpEndpoint, TelemetrySettings};
