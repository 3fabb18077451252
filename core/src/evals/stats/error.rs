use thiserror::Error;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum StatsError {
    #[error("at least {needed} measured examples are needed, and there are {found}")]
    TooFew { needed: usize, found: usize },
    #[error("the lists must have one entry per example, but have {left} and {right}")]
    Lengths { left: usize, right: usize },
    /// NaN, an infinity, or beyond [`MAX_SCORE`](super::MAX_SCORE).
    #[error("a score must be a number between -1e100 and 1e100")]
    NotAScore,
    #[error("some results are scores and some are pass or fail; compare one evaluator at a time")]
    Mixed,
    #[error("all examples are in one cluster; at least two clusters are needed")]
    OneCluster,
    #[error(
        "some examples have a cluster and some do not; give every example its cluster, or none"
    )]
    ClusterMissing,
    #[error("`{name}` must be {range}, not {value}")]
    OutOfRange { name: &'static str, range: &'static str, value: f64 },
    #[error("label {label} is not one of the {labels} labels, which are counted from 0")]
    UnknownLabel { label: usize, labels: usize },
}
