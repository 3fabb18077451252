use std::time::Duration;

use diogenes_api::control::{
    CreateDeployment, DeploymentBody, DeploymentType, DetectionBody, PromptVersionBody,
    StrategyBody,
};
use diogenes_core::deployments::InconclusiveAction;
use diogenes_core::prompts::{Label, Selector};
use diogenes_core::tenancy::ProjectId;
use serde_json::json;

use super::{PATH, shown};
use crate::client::{Client, decode};
use crate::commands::job::pair;
use crate::commands::options::in_project;
use crate::commands::output;
use crate::exit::Failure;

/// Create a deployment. It waits for its approval, unless --skip-approval is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes deploy create summarizer --to v5 --environment production --auto-rollback
  diogenes deploy create summarizer --to v5 --initial 5 --increment 15 --interval 5m --auto-rollback
  diogenes deploy create summarizer --to latest --environment staging --strategy immediate \\
    --skip-approval
  diogenes deploy create summarizer --to v5 --strategy canary --initial 10 --interval 2d

Strategies:
  immediate   all requests at once
  gradual     one share after the other: 5, 20, 50 and 100 %, or as --initial and --increment say;
              each stands for --interval at least, and until enough users have met the new version
  canary      one share, until the new version is shown to be no worse or --interval is over
  blue-green  both versions as SLUG:blue and SLUG:green; all requests change over with `promote`,
              or after --interval")]
pub(super) struct CreateArgs {
    /// The prompt's slug or id
    prompt: String,
    /// The version that is to become live: v5, latest or a label
    #[arg(long, value_name = "VERSION")]
    to: Selector,
    /// The label at which it is to become live
    #[arg(long, value_name = "LABEL", default_value = "production")]
    environment: Label,
    /// How it gets its requests; see below
    #[arg(long, value_enum, value_name = "STRATEGY", default_value = "gradual")]
    strategy: StrategyArg,
    /// The first share in per cent [default: 5]
    #[arg(long, value_name = "PERCENT", value_parser = percent())]
    initial: Option<u8>,
    /// What each step adds in per cent [default: the shares 5, 20, 50 and 100]
    #[arg(long, value_name = "PERCENT", value_parser = percent())]
    increment: Option<u8>,
    /// How long a share stands at least, or a canary at most [default: 5m, of gradual]
    #[arg(long, value_name = "DURATION", value_parser = diogenes_core::duration::parse)]
    interval: Option<Duration>,
    /// Return the requests by itself when the version is found to be worse
    #[arg(long)]
    auto_rollback: bool,
    /// The least quality score, 0 to 1; without effect as long as nothing scores answers
    #[arg(long, value_name = "SCORE")]
    rollback_threshold: Option<f64>,
    /// What to do when the evidence does not suffice [default: hold]
    #[arg(long, value_enum, value_name = "ACTION")]
    on_inconclusive: Option<ActionArg>,
    /// How long a share stands before that is done [default: 1d]
    #[arg(long, value_name = "DURATION", value_parser = diogenes_core::duration::parse)]
    inconclusive_after: Option<Duration>,
    /// Approve it with its creation
    #[arg(long)]
    skip_approval: bool,
    /// Something to be kept with it; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// The project [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StrategyArg {
    Immediate,
    Gradual,
    Canary,
    BlueGreen,
}

impl From<StrategyArg> for DeploymentType {
    fn from(strategy: StrategyArg) -> Self {
        match strategy {
            StrategyArg::Immediate => Self::Immediate,
            StrategyArg::Gradual => Self::Gradual,
            StrategyArg::Canary => Self::Canary,
            StrategyArg::BlueGreen => Self::BlueGreen,
        }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ActionArg {
    Hold,
    Promote,
    Rollback,
}

impl From<ActionArg> for InconclusiveAction {
    fn from(action: ActionArg) -> Self {
        match action {
            ActionArg::Hold => Self::Hold,
            ActionArg::Promote => Self::Promote,
            ActionArg::Rollback => Self::Rollback,
        }
    }
}

fn percent() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(1..=100)
}

pub(super) async fn run(
    client: &Client,
    args: CreateArgs,
    format: output::Format,
) -> Result<(), Failure> {
    let query = in_project(args.project.as_ref());
    let to_version = match &args.to {
        Selector::Number(number) => *number,
        Selector::Default | Selector::Latest | Selector::Label(_) => {
            let version = args.to.to_string();
            let path = ["api", "v1", "prompts", &args.prompt, "versions", &version];
            decode::<PromptVersionBody>(client.get(&path, &query).await?)?.version
        }
    };
    let body = CreateDeployment {
        prompt_id: args.prompt,
        to_version,
        environment: args.environment.to_string(),
        strategy: StrategyBody {
            kind: args.strategy.into(),
            initial_percentage: args.initial,
            increment: args.increment,
            interval_seconds: args.interval.map(|interval| interval.as_secs()),
            auto_rollback: args.auto_rollback,
            rollback_threshold: args.rollback_threshold,
            on_inconclusive: args.on_inconclusive.map(Into::into).unwrap_or_default(),
            on_inconclusive_after_seconds: args.inconclusive_after.map(|after| after.as_secs()),
        },
        skip_approval: args.skip_approval,
        metadata: args.metadata.into_iter().collect(),
    };
    let created = client.post_to(&PATH, &query, &json!(body)).await?;
    shown::deployment(&created, format)?;
    if format == output::Format::Table {
        let created: DeploymentBody = decode(created)?;
        if let Some(detection) = &created.detection {
            output::note(&takes(detection));
        }
        if created.approved_by.is_none() {
            output::note(&format!(
                "it waits for its approval: `diogenes deploy approve {}`",
                created.id
            ));
        }
    }
    Ok(())
}

/// What the evidence will take.
fn takes(detection: &DetectionBody) -> String {
    let DetectionBody { percentage, bad_units_p50, bad_units_p80 } = detection;
    // Of the requests of a version that fails 5 % of them, and of one that fails twice as many.
    let requests = |bad: &u64| bad * 2000 / (100 + u64::from(*percentage));
    format!(
        "at {percentage} %, a doubled error rate shows after {bad_units_p50} to {bad_units_p80} users with errors: {} to {} requests where 5 % fail today",
        requests(bad_units_p50),
        requests(bad_units_p80)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_evidence_takes_is_told_in_requests() {
        let detection = DetectionBody { percentage: 10, bad_units_p50: 99, bad_units_p80: 198 };
        let text = takes(&detection);
        assert!(text.contains("99 to 198 users"), "{text}");
        assert!(text.contains("1800 to 3600 requests"), "{text}");
    }
}
