use super::evaluators::EvaluatorProblem;
use super::run::EvalStatus;
use super::stats::StatsError;
use crate::datasets::DatasetError;
use crate::jobs::JobError;
use crate::ports::StoreError;
use crate::prompts::PromptError;
use crate::tenancy::{Denied, ProjectError};

/// Why nothing came of a request about evals.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    #[error("eval run `{0}` does not exist; list the runs with `diogenes eval list`")]
    NotFound(String),
    #[error("dataset `{0}` does not exist; list the datasets with `diogenes dataset list`")]
    NoDataset(String),
    #[error(transparent)]
    Dataset(DatasetError),
    /// A field makes no sense.
    #[error("`{field}` {problem}")]
    Invalid { field: String, problem: String },
    #[error("eval run `{id}` is {status}, and cannot be cancelled any more")]
    NotCancellable { id: String, status: EvalStatus },
    /// It has no results to go by yet.
    #[error("eval run `{id}` is {status}; wait until it has ended")]
    NotEnded { id: String, status: EvalStatus },
    /// Two runs that say nothing about each other.
    #[error("the runs cannot be compared: {0}")]
    NotComparable(String),
    #[error(transparent)]
    Stats(#[from] StatsError),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(transparent)]
    Job(#[from] JobError),
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The examples could not be read.
    #[error("the examples of the dataset could not be read: {0}")]
    Examples(String),
    #[error("the eval runs could not be read or written")]
    Store(#[from] StoreError),
}

impl EvalError {
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }
}

impl From<EvaluatorProblem> for EvalError {
    fn from(problem: EvaluatorProblem) -> Self {
        Self::Invalid { field: problem.field, problem: problem.problem }
    }
}
