use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::evaluators::EvaluatorSpec;
use super::pin::DatasetPin;
use super::tally::Tally;
use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::jobs::{Creator, JobId, JobKind};
use crate::ordered_id::ordered_ids;
use crate::ports::{Amount, Key, Query, Table};
use crate::tenancy::ProjectId;

/// How long a run and its results are kept.
pub const EVAL_LIFE: Duration = Duration::from_hours(400 * 24);

ordered_ids! {
    /// The id of a run: `eval_` and 32 hexadecimal digits that sort by the time of its creation.
    EvalId, "eval_";
}

/// The states of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EvalStatus {
    /// Its job waits for its turn, or for a model.
    Pending,
    /// Its examples are being answered.
    Running,
    /// Every example has a result, even if that is an error.
    Completed,
    /// It could not be finished.
    Failed,
    /// Somebody wanted its end; what was answered is kept.
    Cancelled,
}

impl EvalStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for EvalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Subject {
    /// A version of a prompt.
    Prompt {
        slug: String,
        version: u32,
        /// The model that is asked: the version's own, or another one.
        model: String,
        /// Its variables, which the fields of an input fill.
        variables: Vec<String>,
        /// The variable that an input fills which is not an object.
        variable: Option<String>,
    },
    /// A model or a route, asked as it is.
    Model { model: String },
    /// Answers that stand in the dataset, such as `metadata.answer`.
    Column { path: String },
}

impl Subject {
    /// As people name it.
    pub fn name(&self) -> String {
        match self {
            Self::Prompt { slug, version, .. } => format!("{slug}:v{version}"),
            Self::Model { model } => model.clone(),
            Self::Column { path } => path.clone(),
        }
    }

    /// The model or route that it asks.
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Prompt { model, .. } | Self::Model { model } => Some(model),
            Self::Column { .. } => None,
        }
    }
}

/// Everything that the results of a run depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalConfig {
    pub subject: Subject,
    pub dataset: DatasetPin,
    pub evaluators: Vec<EvaluatorSpec>,
    /// What the judges were asked with: it changes with the wording of their instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge_template: Option<String>,
    /// Fields of every request to the subject, such as `temperature`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// How many examples are under way at once at most; as many as the model has room for when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// How long an example may take with everything that it asks.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
    /// How often a request is sent that fails by no fault of its own.
    pub attempts: u32,
    /// How often each example is asked.
    pub repeats: u32,
    /// How many examples are evaluated; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<u32>,
    /// Whether these are drawn at random, and not the first ones.
    #[serde(default)]
    pub shuffle: bool,
    pub seed: u64,
    /// Where in an example the name of its cluster stands, such as `metadata.document`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_by: Option<String>,
    /// The most that it may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Amount>,
    /// The share of examples that must pass, for the run to pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_pass_rate: Option<f64>,
    /// The overall score that it must reach, to pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_score: Option<f64>,
}

/// A run: a subject, examples, evaluators, and what came of it so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalRun {
    pub id: EvalId,
    pub project: ProjectId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    pub config: EvalConfig,
    pub status: EvalStatus,
    /// The job that does the work.
    pub job: JobId,
    /// Whose key the requests count for.
    pub created_by: Creator,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Examples times repeats: so many results there will be.
    pub total: u32,
    /// What the results say that are there.
    #[serde(default)]
    pub tally: Tally,
    /// Why it failed, or ended before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What to know of it, such as that the judge is the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl EvalRun {
    /// The kind of the jobs that do runs.
    pub const JOB: JobKind = JobKind::known("eval");

    pub fn key_of(project: &ProjectId, id: &EvalId) -> Key {
        Key::new(format!("EVALS#{project}"), id.as_str())
    }

    /// Lists the runs of a project by their ids, and so by their times of creation.
    pub fn of_project(project: &ProjectId) -> Query {
        Query::new(Table::Main, format!("EVALS#{project}"), "")
    }

    /// The run at its end; `None` where it has ended already.
    #[must_use]
    pub fn ended(
        &self,
        status: EvalStatus,
        problem: Option<String>,
        now: Timestamp,
    ) -> Option<Self> {
        (!self.status.is_final()).then(|| Self {
            status,
            problem,
            ended_at: Some(now),
            ..self.clone()
        })
    }
}

impl Entity for EvalRun {
    const KIND: &'static str = "eval run";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.id)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.created_at, EVAL_LIFE))
    }
}
