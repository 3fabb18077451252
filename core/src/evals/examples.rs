//! What a run is made on: examples of a dataset, as they were when it was created.

use std::collections::BTreeSet;
use std::ops::Range;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::error::EvalError;
use super::pin::DatasetPin;
use crate::tenancy::Principal;

/// One example.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvalExample {
    pub id: String,
    pub input: Value,
    pub expected: Option<Value>,
    pub metadata: Map<String, Value>,
    pub tags: BTreeSet<String>,
    pub source: Option<String>,
}

impl EvalExample {
    /// What stands at a path such as `metadata.answer`.
    pub fn at(&self, path: &str) -> Option<Value> {
        let (first, rest) =
            path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let found = match first {
            "id" => Some(Value::from(self.id.as_str())),
            "input" => Some(self.input.clone()),
            "expected" => self.expected.clone(),
            "source" => self.source.as_deref().map(Value::from),
            "metadata" => Some(Value::Object(self.metadata.clone())),
            _ => None,
        };
        let Some(rest) = rest else { return found };
        rest.split('.').try_fold(found?, |value, name| value.get(name).cloned())
    }
}

/// Where examples come from.
#[async_trait]
pub trait ExampleSource: Send + Sync {
    /// The examples that `reference` means now, in the principal's project.
    async fn pin(&self, by: &Principal, reference: &str) -> Result<DatasetPin, EvalError>;

    /// Opens what was pinned.
    async fn open(&self, pin: &DatasetPin) -> Result<Box<dyn ExampleReader>, EvalError>;
}

/// Reads examples that were pinned.
#[async_trait]
pub trait ExampleReader: Send + Sync {
    /// Those at these positions, counted from 0, in an order that never changes. What reaches beyond the end is cut
    /// off there.
    async fn read(&self, positions: Range<u64>) -> Result<Vec<EvalExample>, EvalError>;
}
