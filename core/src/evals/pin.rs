use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The examples of a dataset at one moment. They never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetPin {
    /// What the dataset is called.
    pub name: String,
    /// The number of its snapshot; the first is 1.
    pub version: u32,
    /// The digest of its content.
    pub digest: String,
    /// How many examples it has.
    pub examples: u64,
    /// What its source finds it by.
    #[serde(default)]
    pub place: Value,
}

impl DatasetPin {
    /// As people name it: `golden@v3`.
    pub fn reference(&self) -> String {
        format!("{}@v{}", self.name, self.version)
    }
}
