use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::DeploymentError;
use crate::prompts::Percent;

/// The shares of a rollout that does not say otherwise.
const LADDER: [u8; 4] = [5, 20, 50, 100];
/// How long a share stands at least, where nobody says.
pub const USUAL_INTERVAL: Duration = Duration::from_mins(5);
/// The longest interval, and the longest wait for evidence.
pub const LONGEST_INTERVAL: Duration = Duration::from_hours(30 * 24);

/// How a version gets its traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strategy {
    pub kind: StrategyKind,
    /// Whether the traffic returns by itself when the candidate is found to be worse.
    pub auto_rollback: bool,
    /// The least quality score of the candidate, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_threshold: Option<f64>,
    pub on_inconclusive: OnInconclusive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StrategyKind {
    /// All at once.
    Immediate,
    /// One share after the other, each for an interval at least and until there is evidence.
    Gradual {
        initial: Percent,
        /// What each step adds; none for the shares 5, 20, 50 and 100 %.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        increment: Option<Percent>,
        #[serde(with = "crate::duration")]
        interval: Duration,
    },
    /// One small share until the candidate is shown to be no worse, then all.
    Canary {
        share: Percent,
        /// After so long it gets all requests even if no worse is not shown, unless it is worse.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "crate::duration::option"
        )]
        longest: Option<Duration>,
    },
    /// Both versions can be reached by the labels `blue` and `green`, and all requests change over at
    /// once: after a time, or when somebody promotes the candidate.
    BlueGreen {
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "crate::duration::option"
        )]
        switch_after: Option<Duration>,
    },
}

/// What is done when the evidence does not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnInconclusive {
    pub action: InconclusiveAction,
    /// How long a share stands before that is done.
    #[serde(with = "crate::duration")]
    pub after: Duration,
}

impl Default for OnInconclusive {
    fn default() -> Self {
        Self { action: InconclusiveAction::Hold, after: Duration::from_hours(24) }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum InconclusiveAction {
    /// The share stays as it is, and the status says what is missing.
    #[default]
    Hold,
    /// The next step is made all the same.
    Promote,
    /// The traffic returns.
    Rollback,
}

impl Strategy {
    /// Refuses one that makes no sense.
    pub fn check(&self) -> Result<(), DeploymentError> {
        let wrong = |field: &str, problem: String| {
            Err(DeploymentError::invalid(format!("strategy.{field}"), problem))
        };
        let share = |field, share: Percent| match share {
            Percent::ZERO => wrong(field, "must be 1 to 100".into()),
            _ => Ok(()),
        };
        let time = |field, time: Duration| {
            if time.is_zero() || time > LONGEST_INTERVAL {
                return wrong(field, "must be more than 0 and at most 30 days".into());
            }
            Ok(())
        };
        if self.rollback_threshold.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
            return wrong("rollback_threshold", "must be 0 to 1".into());
        }
        time("on_inconclusive_after_seconds", self.on_inconclusive.after)?;
        match self.kind {
            StrategyKind::Immediate => Ok(()),
            StrategyKind::Gradual { initial, increment, interval } => {
                share("initial_percentage", initial)?;
                share("increment", increment.unwrap_or(Percent::ALL))?;
                time("interval_seconds", interval)
            }
            StrategyKind::Canary { share: of_canary, longest } => {
                share("initial_percentage", of_canary)?;
                time("interval_seconds", longest.unwrap_or(USUAL_INTERVAL))
            }
            StrategyKind::BlueGreen { switch_after } => {
                time("interval_seconds", switch_after.unwrap_or(USUAL_INTERVAL))
            }
        }
    }
}

impl StrategyKind {
    /// The first share.
    pub fn initial(self) -> Percent {
        match self {
            Self::Immediate => Percent::ALL,
            Self::Gradual { initial, .. } => initial,
            Self::Canary { share, .. } => share,
            Self::BlueGreen { .. } => Percent::ZERO,
        }
    }

    /// The share after `share`.
    pub fn next(self, share: Percent) -> Percent {
        match self {
            Self::Gradual { increment: Some(increment), .. } => share.plus(increment),
            Self::Gradual { increment: None, .. } => {
                ladder().find(|next| *next > share).unwrap_or(Percent::ALL)
            }
            Self::Immediate | Self::Canary { .. } | Self::BlueGreen { .. } => Percent::ALL,
        }
    }
}

/// The usual shares.
pub fn ladder() -> impl Iterator<Item = Percent> {
    LADDER.into_iter().filter_map(|share| Percent::try_from(share).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(share: u8) -> Percent {
        share.try_into().unwrap()
    }

    fn steps(initial: u8, increment: Option<u8>) -> Vec<u8> {
        let kind = StrategyKind::Gradual {
            initial: percent(initial),
            increment: increment.map(percent),
            interval: USUAL_INTERVAL,
        };
        let mut shares = vec![kind.initial()];
        while shares.last() < Some(&Percent::ALL) {
            shares.push(kind.next(*shares.last().unwrap()));
        }
        shares.into_iter().map(Percent::get).collect()
    }

    #[test]
    fn shares_grow_by_the_increment_or_along_the_ladder() {
        assert_eq!(steps(10, Some(30)), [10, 40, 70, 100]);
        assert_eq!(steps(5, Some(20)), [5, 25, 45, 65, 85, 100]);
        assert_eq!(steps(5, None), [5, 20, 50, 100]);
        assert_eq!(steps(30, None), [30, 50, 100]);
        assert_eq!(steps(100, None), [100]);
    }

    #[test]
    fn shares_and_times_of_nothing_are_refused() {
        let gradual = |initial: u8, increment: u8, seconds: u64| Strategy {
            kind: StrategyKind::Gradual {
                initial: percent(initial),
                increment: Some(percent(increment)),
                interval: Duration::from_secs(seconds),
            },
            auto_rollback: true,
            rollback_threshold: None,
            on_inconclusive: OnInconclusive::default(),
        };
        assert!(gradual(1, 1, 1).check().is_ok());
        for (strategy, field) in [
            (gradual(0, 1, 1), "strategy.initial_percentage"),
            (gradual(1, 0, 1), "strategy.increment"),
            (gradual(1, 1, 0), "strategy.interval_seconds"),
            (gradual(1, 1, 9_999_999), "strategy.interval_seconds"),
            (
                Strategy { rollback_threshold: Some(1.5), ..gradual(1, 1, 1) },
                "strategy.rollback_threshold",
            ),
        ] {
            let error = strategy.check().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }
}
