//! What a call of DynamoDB touches.

use serde_json::Value;

use super::{Part, Resource};

/// The partition key of the table, and that of its index.
const PARTITION_KEYS: [&str; 2] = ["pk", "ipk"];

/// Fills in the tables, the leading keys and the index of a request.
pub(super) fn describe(body: &[u8], resource: &mut Resource) {
    let Ok(request) = serde_json::from_slice::<Value>(body) else { return };
    single(&request, resource);
    for write in request["TransactItems"].as_array().into_iter().flatten() {
        for (kind, operation) in write.as_object().into_iter().flatten() {
            single(operation, resource);
            let key = [&operation["Key"], &operation["Item"]].map(|item| item["pk"]["S"].as_str());
            if let Some(key) = key.into_iter().flatten().next() {
                let part = Part { action: format!("{kind}Item"), leading_key: key.to_owned() };
                resource.parts.push(part);
            }
        }
    }
    for (table, requests) in request["RequestItems"].as_object().into_iter().flatten() {
        push(&mut resource.tables, table);
        let keys = requests["Keys"].as_array().into_iter().flatten();
        let writes = requests.as_array().into_iter().flatten();
        let of_writes =
            writes.flat_map(|write| [&write["PutRequest"]["Item"], &write["DeleteRequest"]["Key"]]);
        for key in keys.chain(of_writes) {
            leading_key(key, resource);
        }
    }
}

fn single(operation: &Value, resource: &mut Resource) {
    if let Some(table) = operation["TableName"].as_str() {
        push(&mut resource.tables, table);
    }
    leading_key(&operation["Key"], resource);
    leading_key(&operation["Item"], resource);
    if let Some(index) = operation["IndexName"].as_str() {
        resource.index = Some(index.to_owned());
    }
    if let Some(expression) = operation["KeyConditionExpression"].as_str() {
        queried_key(expression, operation, resource);
    }
}

fn leading_key(attributes: &Value, resource: &mut Resource) {
    if let Some(key) = attributes["pk"]["S"].as_str() {
        push(&mut resource.leading_keys, key);
    }
}

/// The partition key of `name = :value`, the names and values of which stand beside it.
fn queried_key(expression: &str, query: &Value, resource: &mut Resource) {
    let names = &query["ExpressionAttributeNames"];
    let values = &query["ExpressionAttributeValues"];
    for condition in expression.split(" AND ").flat_map(|part| part.split(" and ")) {
        let Some((name, value)) = condition.split_once('=') else { continue };
        let name = name.trim_matches([' ', '(', '<', '>']);
        let name = names[name].as_str().unwrap_or(name);
        if PARTITION_KEYS.contains(&name)
            && let Some(key) = values[value.trim_matches([' ', ')'])]["S"].as_str()
        {
            push(&mut resource.leading_keys, key);
        }
    }
}

fn push(list: &mut Vec<String>, value: &str) {
    if !list.iter().any(|known| known == value) {
        list.push(value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn described(request: &Value) -> Resource {
        let mut resource = Resource::default();
        describe(request.to_string().as_bytes(), &mut resource);
        resource
    }

    #[test]
    fn every_kind_of_request_tells_its_leading_keys() {
        let key = |pk: &str| json!({"pk": {"S": pk}, "sk": {"S": "x"}});
        let table = "state";
        for (request, expected) in [
            (json!({"TableName": table, "Key": key("KEY#1")}), vec!["KEY#1"]),
            (json!({"TableName": table, "Item": key("KEY#1")}), vec!["KEY#1"]),
            (
                json!({"TableName": table, "KeyConditionExpression": "#p = :p AND begins_with(#s, :s)",
                    "ExpressionAttributeNames": {"#p": "pk", "#s": "sk"},
                    "ExpressionAttributeValues": {":p": {"S": "MODELS"}, ":s": {"S": "a"}}}),
                vec!["MODELS"],
            ),
            (
                json!({"TableName": table, "KeyConditionExpression": "(pk = :p) AND (sk >= :s)",
                    "ExpressionAttributeValues": {":p": {"S": "MODELS"}, ":s": {"S": "a"}}}),
                vec!["MODELS"],
            ),
            (
                json!({"TransactItems": [
                    {"Put": {"TableName": table, "Item": key("A")}},
                    {"Delete": {"TableName": table, "Key": key("B")}},
                    {"ConditionCheck": {"TableName": table, "Key": key("A")}}]}),
                vec!["A", "B"],
            ),
            (json!({"RequestItems": {table: {"Keys": [key("A"), key("B")]}}}), vec!["A", "B"]),
            (
                json!({"RequestItems": {table: [{"PutRequest": {"Item": key("A")}},
                    {"DeleteRequest": {"Key": key("B")}}]}}),
                vec!["A", "B"],
            ),
            (json!({"TableName": table}), vec![]),
        ] {
            let resource = described(&request);
            assert_eq!(resource.leading_keys, expected, "{request}");
            assert_eq!(resource.tables, [table], "{request}");
        }
    }

    #[test]
    fn a_transaction_tells_what_it_does_to_each_item() {
        let key = |pk: &str| json!({"pk": {"S": pk}, "sk": {"S": "x"}});
        let resource = described(&json!({"TransactItems": [
            {"Put": {"TableName": "state", "Item": key("A")}},
            {"Delete": {"TableName": "state", "Key": key("B")}},
            {"Update": {"TableName": "state", "Key": key("C")}},
            {"ConditionCheck": {"TableName": "state", "Key": key("A")}}]}));
        let parts = resource.parts.iter();
        let parts = parts.map(|part| (part.action.as_str(), part.leading_key.as_str()));
        let expected = [
            ("PutItem", "A"),
            ("DeleteItem", "B"),
            ("UpdateItem", "C"),
            ("ConditionCheckItem", "A"),
        ];
        assert!(parts.eq(expected), "{:?}", resource.parts);
    }

    #[test]
    fn a_query_of_the_index_tells_the_key_of_the_index() {
        let resource = described(&json!({
            "TableName": "state", "IndexName": "index", "KeyConditionExpression": "ipk = :p",
            "ExpressionAttributeValues": {":p": {"S": "KEYS"}},
        }));
        assert_eq!(resource.leading_keys, ["KEYS"]);
        assert_eq!(resource.index.as_deref(), Some("index"));
    }
}
