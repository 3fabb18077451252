use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use diogenes_core::Timestamp;
use diogenes_core::ports::Expect;

use super::item::{EXPIRES, PARTITION, VERSION, nanoseconds, text};

/// An expectation as DynamoDB evaluates it; expired counts as absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    pub(super) expression: Option<String>,
    pub(super) names: Option<HashMap<String, String>>,
    pub(super) values: Option<HashMap<String, AttributeValue>>,
}

impl Condition {
    pub(super) fn new(expect: &Expect, now: Timestamp) -> Self {
        let now = (":now", nanoseconds(now));
        match expect {
            Expect::Any => Self::default(),
            Expect::Absent => Self::of(
                "attribute_not_exists(#pk) OR #expires <= :now",
                &[("#pk", PARTITION), ("#expires", EXPIRES)],
                [now],
            ),
            Expect::Version(version) => Self::of(
                "#version = :version AND (attribute_not_exists(#expires) OR #expires > :now)",
                &[("#version", VERSION), ("#expires", EXPIRES)],
                [now, (":version", text(version.as_str()))],
            ),
        }
    }

    fn of<const N: usize>(
        expression: &str,
        attributes: &[(&str, &str)],
        values: [(&str, AttributeValue); N],
    ) -> Self {
        Self {
            expression: Some(expression.to_owned()),
            names: Some(names(attributes)),
            values: Some(values.map(|(name, value)| (name.to_owned(), value)).into()),
        }
    }
}

/// Placeholders and the attributes that they stand for: half of the words one would use as names
/// are reserved.
pub(super) fn names(attributes: &[(&str, &str)]) -> HashMap<String, String> {
    attributes.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned())).collect()
}
