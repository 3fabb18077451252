use std::collections::BTreeMap;

use serde_json::Value;

use super::fits;
use super::statement::texts;

/// Values of condition keys, such as `dynamodb:LeadingKeys`; a key that a call does not have is
/// missing.
pub(super) type Context = BTreeMap<String, Vec<String>>;

/// One operator over one key of a statement's `Condition`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    operator: String,
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

impl Condition {
    /// The conditions of a statement, all of which must hold.
    ///
    /// # Panics
    /// If it uses an operator that is not known here.
    pub(super) fn read(statement: &Value) -> Vec<Self> {
        let operators = statement["Condition"].as_object().into_iter().flatten();
        let conditions = operators.flat_map(|(operator, keys)| {
            assert!(
                ["StringEquals", "StringLike", "ArnEquals", "ArnLike", "Null"]
                    .contains(&operator.trim_start_matches("ForAllValues:")),
                "the operator `{operator}` is not known; teach it to {}",
                file!()
            );
            keys.as_object().into_iter().flatten().map(|(key, values)| Self {
                operator: operator.clone(),
                key: key.clone(),
                values: texts(values),
            })
        });
        conditions.collect()
    }

    /// Whether it holds for a call. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>
    pub(super) fn holds(&self, context: &Context) -> bool {
        let found = context.get(&self.key).map(Vec::as_slice);
        let (of_all, operator) = match self.operator.strip_prefix("ForAllValues:") {
            Some(operator) => (true, operator),
            None => (false, self.operator.as_str()),
        };
        let matches = |value: &String| match operator {
            "StringEquals" => self.values.contains(value),
            _ => self.values.iter().any(|pattern| fits(pattern, value)),
        };
        match found {
            _ if operator == "Null" => self.values == [found.is_none().to_string()],
            // `ForAllValues` holds for a key that is missing.
            None => of_all,
            Some(found) if of_all => found.iter().all(matches),
            Some(found) => found.iter().any(matches),
        }
    }
}
