//! What the template of the stack says.

use serde_json::Value;

use super::store::Call;

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");

/// The whole template.
pub(crate) fn read() -> Value {
    serde_saphyr::from_str(&std::fs::read_to_string(TEMPLATE).unwrap()).unwrap()
}

/// The calls that the policies of `role` do not allow.
pub(crate) fn denied(role: &str, calls: &[Call]) -> Vec<Call> {
    let template = read();
    let policies = &template["Resources"][role]["Properties"]["Policies"];
    let statements: Vec<&Value> = list(policies)
        .iter()
        .flat_map(|policy| list(&policy["PolicyDocument"]["Statement"]))
        .collect();
    assert!(!statements.is_empty(), "{role} has no policy");
    let is_allowed = |call: &&Call| statements.iter().any(|statement| allows(statement, call));
    calls.iter().filter(|call| !is_allowed(call)).cloned().collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn allows(statement: &Value, call: &Call) -> bool {
    let resource = if call.index {
        serde_json::json!({"Fn::Sub": "${Table.Arn}/index/index"})
    } else {
        serde_json::json!({"Fn::GetAtt": ["Table", "Arn"]})
    };
    let keys = &statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"];
    statement["Effect"] == "Allow"
        && list(&statement["Action"]).iter().any(|action| action == call.action)
        && list(&statement["Resource"]).contains(&resource)
        && list(keys).iter().any(|key| {
            let key = key.as_str().unwrap();
            match key.strip_suffix('*') {
                Some(start) => call.leading_key.starts_with(start),
                None => call.leading_key == key,
            }
        })
}
