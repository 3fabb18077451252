use std::path::PathBuf;

use diogenes_core::prompts::{Label, PromptRef, PromptStatus, Selector};
use diogenes_core::tenancy::ProjectId;
use serde_json::{Map, Value};

use crate::commands::job::{Argument, argument, arguments, pair, set};
use crate::exit::Failure;

/// List prompts.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt list
  diogenes prompt list --search summar --order-by updated_at --descending
  diogenes prompt list --status archived -o json")]
pub(super) struct ListArgs {
    /// Only those with this text in slug, name or description
    #[arg(long, value_name = "TEXT")]
    pub(super) search: Option<String>,
    /// Only those with this tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// Only those with this status [default: all but the archived]
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(super) status: Option<StatusArg>,
    /// `slug`, `name`, `created_at` or `updated_at` [default: slug]
    #[arg(long, value_name = "FIELD")]
    pub(super) order_by: Option<String>,
    /// The last of the order first
    #[arg(long)]
    pub(super) descending: bool,
    /// The project [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// How far along a prompt is.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum StatusArg {
    Draft,
    Active,
    Deprecated,
    Archived,
}

impl From<StatusArg> for PromptStatus {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Draft => Self::Draft,
            StatusArg::Active => Self::Active,
            StatusArg::Deprecated => Self::Deprecated,
            StatusArg::Archived => Self::Archived,
        }
    }
}

/// Show a prompt and where its labels are, or one of its versions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt show summarizer
  diogenes prompt show summarizer:latest
  diogenes prompt show summarizer:v2 -o yaml > summarizer.yaml")]
pub(super) struct ShowArgs {
    /// SLUG for the prompt; SLUG:v2, SLUG:latest or SLUG:LABEL for a version
    #[arg(value_name = "REFERENCE")]
    pub(super) reference: PromptRef,
    /// The project of the prompt [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// List the versions of a prompt, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt history summarizer")]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    pub(super) prompt: Which,
}

/// Show what is different between two versions of a prompt.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt diff summarizer:v1 summarizer:v2
  diogenes prompt diff summarizer latest
  diogenes prompt diff summarizer:v1 v2 --embedding-model nomic-embed")]
pub(super) struct DiffArgs {
    /// The one version
    #[arg(value_name = "REFERENCE")]
    pub(super) from: PromptRef,
    /// The other one, as a reference or as `v2`, `latest` or a label
    #[arg(value_name = "REFERENCE")]
    pub(super) to: String,
    /// Measure how alike they are by the embeddings of this model [default: by their words]
    #[arg(long, value_name = "MODEL")]
    pub(super) embedding_model: Option<String>,
    /// The project of the prompt [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Let a label stand at a version. Requests follow within five seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt label summarizer production v2 --reason 'better on long texts'
  diogenes prompt label summarizer production v1 --from v2
  diogenes prompt label summarizer staging latest
  diogenes prompt label summarizer staging --remove

The label `production` is what a reference without a version means. It is protected: moving it takes
the permission `prompts:release`; see `diogenes prompt update --protect`.")]
pub(super) struct LabelArgs {
    /// The prompt's slug
    #[arg(value_name = "SLUG")]
    pub(super) prompt: String,
    /// The label
    pub(super) label: Label,
    /// The version that gets it: `v2`, `latest` or another label
    #[arg(required_unless_present = "remove", conflicts_with = "remove")]
    pub(super) version: Option<String>,
    /// Take the label away
    #[arg(long)]
    pub(super) remove: bool,
    /// Why, for the audit log and those who look at the prompt
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) reason: String,
    /// Move it only from this version
    #[arg(long, value_name = "VERSION", conflicts_with = "remove")]
    pub(super) from: Option<Selector>,
    /// The project of the prompt [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Show what a version says with values for its variables. No model is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt render summarizer --var text='Once upon a time …' --var sentences:=2
  diogenes prompt render summarizer:latest --variables values.json")]
pub(super) struct RenderArgs {
    /// SLUG, SLUG:v2, SLUG:latest or SLUG:LABEL
    #[arg(value_name = "REFERENCE")]
    pub(super) reference: PromptRef,
    /// A value: NAME=TEXT, or NAME:=JSON for anything else
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = argument)]
    vars: Vec<Argument>,
    /// Read values from a JSON file; `-` is standard input. --var overrides what is in it
    #[arg(long, value_name = "FILE")]
    variables: Option<PathBuf>,
    /// The project of the prompt [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

impl RenderArgs {
    pub(super) fn values(&self) -> Result<Map<String, Value>, Failure> {
        let mut values = self.variables.as_deref().map_or_else(|| Ok(Map::new()), arguments)?;
        for Argument { path, value } in &self.vars {
            set(&mut values, path, value.clone())?;
        }
        Ok(values)
    }
}

/// Change what stands beside the versions of a prompt.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt update summarizer --name Summarizer --tag support --tag docs
  diogenes prompt update summarizer --status deprecated
  diogenes prompt update summarizer --protect production --protect staging")]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    pub(super) prompt: Which,
    /// What it is called
    #[arg(long, value_name = "TEXT")]
    pub(super) name: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(super) description: Option<String>,
    /// A tag, instead of those that it has; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// Metadata, instead of what it has; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) metadata: Vec<(String, String)>,
    /// How far along it is
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(super) status: Option<StatusArg>,
    /// A label that only `prompts:release` moves, instead of those that are; `none` for no label
    #[arg(long = "protect", value_name = "LABEL", value_parser = protected)]
    pub(super) protected: Vec<Protected>,
}

/// A label, or none.
#[derive(Clone, Debug)]
pub(super) struct Protected(pub(super) Option<Label>);

fn protected(text: &str) -> Result<Protected, String> {
    match text {
        "none" => Ok(Protected(None)),
        label => label.parse().map(|label| Protected(Some(label))).map_err(|e| format!("{e}")),
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt archive summarizer
  diogenes prompt restore summarizer")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) prompt: Which,
}

/// Delete an archived prompt with all its versions, for good.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt delete summarizer --yes")]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    pub(super) prompt: Which,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(super) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The prompt's slug
    pub(super) slug: String,
    /// The project of the prompt [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}
