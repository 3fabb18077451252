use std::io::Write as _;

use diogenes_core::Timestamp;
use diogenes_core::fleet::DeploymentId;
use serde_json::{Map, Value, json};

/// The namespace of all of them.
const NAMESPACE: &str = "Diogenes";
/// The most values of one metric in a line, by the specification.
pub(super) const MAX_VALUES: usize = 100;

/// A line in the making.
#[derive(Default)]
pub(super) struct Line {
    directives: Vec<Value>,
    values: Map<String, Value>,
}

impl Line {
    /// Adds a metric, and the sets of dimensions that it has.
    pub(super) fn put(&mut self, name: &str, unit: &str, dimensions: &[&[&str]], value: Value) {
        self.directives.push(json!({
            "Namespace": NAMESPACE,
            "Dimensions": dimensions,
            "Metrics": [{"Name": name, "Unit": unit}],
        }));
        self.values.insert(name.to_owned(), value);
    }

    /// Says what a dimension is.
    pub(super) fn label(&mut self, dimension: &str, value: impl Into<Value>) {
        self.values.insert(dimension.to_owned(), value.into());
    }

    /// The line, if there is a metric in it.
    pub(super) fn finish(self, deployment: &DeploymentId, now: Timestamp) -> Option<Value> {
        if self.directives.is_empty() {
            return None;
        }
        let mut line = self.values;
        let aws = json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": self.directives});
        line.insert("_aws".into(), aws);
        line.insert("Deployment".into(), json!(deployment.to_string()));
        Some(Value::Object(line))
    }
}

/// Writes lines to the standard output.
pub(super) fn write(lines: impl IntoIterator<Item = Value>) {
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
