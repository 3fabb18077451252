use std::time::Duration;

use diogenes_core::deployments::{
    InconclusiveAction, OnInconclusive, Strategy, StrategyKind, USUAL_INTERVAL, ladder,
};
use diogenes_core::prompts::Percent;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorKind};

/// How a version gets its traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum DeploymentType {
    /// All at once.
    #[serde(rename = "DEPLOYMENT_TYPE_IMMEDIATE")]
    Immediate,
    /// One share after the other.
    #[serde(rename = "DEPLOYMENT_TYPE_GRADUAL")]
    Gradual,
    /// One small share until it is shown to be no worse, then all.
    #[serde(rename = "DEPLOYMENT_TYPE_CANARY")]
    Canary,
    /// Both beside each other under the labels `blue` and `green`, then all at once.
    #[serde(rename = "DEPLOYMENT_TYPE_BLUE_GREEN")]
    BlueGreen,
}

/// A strategy.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StrategyBody {
    #[serde(rename = "type")]
    pub kind: DeploymentType,
    /// The first share, of gradual and canary; 5 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_percentage: Option<u8>,
    /// What each step of a gradual one adds; when absent, the shares are 5, 20, 50 and 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub increment: Option<u8>,
    /// How long each share of a gradual one stands at least, 300 when absent; after how long a canary is
    /// over even if it is not shown to be no worse; when blue-green switches by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_seconds: Option<u64>,
    /// Whether the traffic returns by itself when the version is found to be worse.
    #[serde(default)]
    pub auto_rollback: bool,
    /// The least quality score of the version, 0 to 1. It has no effect as long as nothing scores its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_threshold: Option<f64>,
    /// What is done when the evidence does not suffice for the next step.
    #[serde(default)]
    pub on_inconclusive: InconclusiveAction,
    /// How long a share stands before that is done; a day when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_inconclusive_after_seconds: Option<u64>,
}

impl TryFrom<StrategyBody> for Strategy {
    type Error = ApiError;

    fn try_from(body: StrategyBody) -> Result<Self, ApiError> {
        let share = |name: &str, share: Option<u8>| {
            let wrong = |error| {
                let field = format!("strategy.{name}");
                let problem = format!("`{field}` {error}");
                ApiError::new(ErrorKind::InvalidRequest, problem).param(field)
            };
            share.map(Percent::try_from).transpose().map_err(wrong)
        };
        let first = share("initial_percentage", body.initial_percentage)?;
        let usual = ladder().next().unwrap_or(Percent::ALL);
        let increment = share("increment", body.increment)?;
        let interval = body.interval_seconds.map(Duration::from_secs);
        let misplaced = |name: &str, is_there: bool| {
            if !is_there {
                return Ok(());
            }
            let field = format!("strategy.{name}");
            let problem = format!("`{field}` does not belong to this type; leave it out");
            Err(ApiError::new(ErrorKind::InvalidRequest, problem).param(field))
        };
        let kind = match body.kind {
            DeploymentType::Immediate => {
                misplaced("initial_percentage", first.is_some())?;
                misplaced("increment", increment.is_some())?;
                misplaced("interval_seconds", interval.is_some())?;
                StrategyKind::Immediate
            }
            DeploymentType::Gradual => StrategyKind::Gradual {
                initial: first.unwrap_or(usual),
                increment,
                interval: interval.unwrap_or(USUAL_INTERVAL),
            },
            DeploymentType::Canary => {
                misplaced("increment", increment.is_some())?;
                StrategyKind::Canary { share: first.unwrap_or(usual), longest: interval }
            }
            DeploymentType::BlueGreen => {
                misplaced("initial_percentage", first.is_some())?;
                misplaced("increment", increment.is_some())?;
                StrategyKind::BlueGreen { switch_after: interval }
            }
        };
        let after = body.on_inconclusive_after_seconds.map(Duration::from_secs);
        let after = after.unwrap_or(OnInconclusive::default().after);
        Ok(Self {
            kind,
            auto_rollback: body.auto_rollback,
            rollback_threshold: body.rollback_threshold,
            on_inconclusive: OnInconclusive { action: body.on_inconclusive, after },
        })
    }
}

impl From<Strategy> for StrategyBody {
    fn from(strategy: Strategy) -> Self {
        let (kind, share, increment, interval) = match strategy.kind {
            StrategyKind::Immediate => (DeploymentType::Immediate, None, None, None),
            StrategyKind::Gradual { initial, increment, interval } => {
                (DeploymentType::Gradual, Some(initial), increment, Some(interval))
            }
            StrategyKind::Canary { share, longest } => {
                (DeploymentType::Canary, Some(share), None, longest)
            }
            StrategyKind::BlueGreen { switch_after } => {
                (DeploymentType::BlueGreen, None, None, switch_after)
            }
        };
        Self {
            kind,
            initial_percentage: share.map(Percent::get),
            increment: increment.map(Percent::get),
            interval_seconds: interval.map(|interval| interval.as_secs()),
            auto_rollback: strategy.auto_rollback,
            rollback_threshold: strategy.rollback_threshold,
            on_inconclusive: strategy.on_inconclusive.action,
            on_inconclusive_after_seconds: Some(strategy.on_inconclusive.after.as_secs()),
        }
    }
}
