use super::names::{Label, PromptSlug, Selector};
use crate::deployments::DeploymentId;
use crate::ports::StoreError;
use crate::tenancy::ProjectError;

/// Something that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct PromptProblem {
    /// The field, such as `messages[1].content`.
    pub field: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

impl PromptProblem {
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// Refuses a text that is too long, in characters, or not printable.
    pub(super) fn in_text(field: &str, text: &str, most: usize) -> Result<(), Self> {
        let is_control = |c: char| c.is_control() && c != '\n';
        if text.chars().count() > most || text.chars().any(is_control) {
            return Err(Self::new(field, format!("must be at most {most} printable characters")));
        }
        Ok(())
    }
}

/// Why a prompt was not read, changed or used.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("prompt `{0}` does not exist; list the prompts with `diogenes prompt list`")]
    NotFound(String),
    #[error(
        "prompt `{slug}` has no version {number}; its newest is v{latest}, see `diogenes prompt history {slug}`"
    )]
    NoVersion { slug: PromptSlug, number: u32, latest: u32 },
    #[error(
        "prompt `{slug}` has no label `{label}`; set it with `diogenes prompt label {slug} {label} v{latest}`, or ask for `{slug}:latest`"
    )]
    NoLabel { slug: PromptSlug, label: String, latest: u32 },
    #[error("prompt `{0}` is archived; restore it with `diogenes prompt restore {0}`")]
    Archived(PromptSlug),
    #[error(
        "prompt `{0}` is in use; archive it first with `diogenes prompt archive {0}`, which can be undone"
    )]
    NotArchived(PromptSlug),
    /// Somebody else has pushed meanwhile.
    #[error(
        "the newest version of `{slug}` is v{latest}, not v{expected}; look at it with `diogenes prompt show {slug}:latest` and push again"
    )]
    NotAfter { slug: PromptSlug, expected: u32, latest: u32 },
    #[error("a prompt `{0}` exists; push a new version of it, or choose another slug")]
    Exists(PromptSlug),
    /// Somebody else has moved the label meanwhile.
    #[error(
        "the label `{label}` of `{slug}` is at {standing}, not where it was expected; look again with `diogenes prompt show {slug}`"
    )]
    LabelElsewhere { slug: PromptSlug, label: Label, standing: String },
    #[error(
        "the label `{label}` of `{slug}` is protected; use a key with the permission `prompts:release`"
    )]
    Protected { slug: PromptSlug, label: Label },
    /// A deployment decides where the label stands.
    #[error(
        "the deployment `{deployment}` of `{slug}` to `{label}` is under way; cancel it or roll it back first with `diogenes deploy cancel {deployment}`"
    )]
    UnderDeployment { slug: PromptSlug, label: Label, deployment: DeploymentId },
    #[error(transparent)]
    Invalid(#[from] PromptProblem),
    #[error("prompt `{reference}` cannot be rendered: {problem}")]
    Render { reference: String, problem: PromptProblem },
    #[error(transparent)]
    Project(#[from] ProjectError),
    #[error("the prompts could not be read or written")]
    Store(#[from] StoreError),
}

impl PromptError {
    /// What it means that a selector leads nowhere.
    pub(crate) fn missing(slug: &PromptSlug, version: &Selector, latest: u32) -> Self {
        match version {
            Selector::Number(number) => {
                Self::NoVersion { slug: slug.clone(), number: *number, latest }
            }
            label => Self::NoLabel { slug: slug.clone(), label: label.to_string(), latest },
        }
    }
}
