//! What the template of the stack says.

use serde_json::Value;

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");

/// The whole template.
pub(crate) fn read() -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(TEMPLATE).unwrap()).unwrap()
}
