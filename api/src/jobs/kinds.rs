//! The kinds of jobs that callers may create, and what their arguments are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::jobs::{JobKind, Needs};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A kind of job that callers may create.
pub trait Kind: Send + Sync {
    /// What a job with these arguments is like, or what is wrong with them.
    fn draft(&self, arguments: Value) -> Result<Draft, BadArguments>;
}

/// What the arguments of a job say of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The arguments as they are kept.
    pub arguments: Value,
    /// How long an attempt may take, where the job does not say.
    pub timeout: Option<Duration>,
    /// What it needs of its worker.
    pub needs: Needs,
}

/// Arguments that a job cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadArguments {
    /// They are not of the form that the kind takes; `text` is serde's.
    #[error("`{path}`: {text}")]
    Unreadable { path: String, text: String },
    /// A field makes no sense; the problem goes on after its name.
    #[error("`{field}` {problem}")]
    Wrong { field: String, problem: String },
}

impl BadArguments {
    /// A field that makes no sense, and what is wrong with it: "must be …".
    pub fn wrong(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Wrong { field: field.into(), problem: problem.into() }
    }
}

/// Reads the arguments of a job.
///
/// # Errors
/// What they are not, and where.
pub fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, BadArguments> {
    serde_path_to_error::deserialize(arguments).map_err(|error| BadArguments::Unreadable {
        path: error.path().to_string(),
        text: error.inner().to_string(),
    })
}

/// The kinds that callers may create jobs of here.
#[derive(Clone, Default)]
pub struct Kinds(BTreeMap<JobKind, Arc<dyn Kind>>);

impl Kinds {
    /// Adds a kind.
    #[must_use]
    pub fn with(mut self, name: JobKind, kind: Arc<dyn Kind>) -> Self {
        self.0.insert(name, kind);
        self
    }

    pub fn get(&self, name: &JobKind) -> Option<&Arc<dyn Kind>> {
        self.0.get(name)
    }

    /// Their names, in alphabetic order.
    pub fn names(&self) -> impl Iterator<Item = &JobKind> {
        self.0.keys()
    }
}
