use diogenes_core::deployments::Status;
use diogenes_core::prompts::Label;
use diogenes_core::tenancy::ProjectId;

#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The deployment's id
    pub(super) id: String,
    /// The project of the deployment [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// List the deployments of a project, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes deploy list
  diogenes deploy list --prompt summarizer --status IN_PROGRESS")]
pub(super) struct ListArgs {
    /// Only those of this prompt: its slug or id
    #[arg(long, value_name = "PROMPT")]
    pub(super) prompt: Option<String>,
    /// Only those to this label
    #[arg(long, value_name = "LABEL")]
    pub(super) environment: Option<Label>,
    /// Only those of this status, such as IN_PROGRESS
    #[arg(long, value_name = "STATUS")]
    pub(super) status: Option<Status>,
    /// The project [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// List the deployments of a prompt, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes deploy history summarizer")]
pub(super) struct HistoryArgs {
    /// The prompt's slug or id
    pub(super) prompt: String,
    /// The project [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Show how a deployment stands: both versions, the evidence, and what it waits for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes deploy status deploy_0123456789abcdef0123456789abcdef
  diogenes deploy status deploy_0123456789abcdef0123456789abcdef --watch

With --watch it exits with 0 once the deployment is completed, with 100 if it was rolled back or
its gates failed, and with 1 if it was cancelled or failed.")]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) deployment: Which,
    /// Refresh every second until the deployment has ended
    #[arg(short, long)]
    pub(super) watch: bool,
}

/// Approve a deployment. It starts as soon as its gates are passed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes deploy approve deploy_0123456789abcdef0123456789abcdef --comment 'looks good'")]
pub(super) struct ApproveArgs {
    #[command(flatten)]
    pub(super) deployment: Which,
    /// Kept with the deployment
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) comment: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct ReasonArgs {
    #[command(flatten)]
    pub(super) deployment: Which,
    /// Why, for the audit log and those who look at the deployment
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) reason: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(super) yes: bool,
}
