//! Deployments: a new version of a prompt reaches its users only as fast as the evidence allows.
//!
//! A [`Deployment`] takes a version to an environment, which is a label of the prompt. While it is under
//! way, the prompt itself says how the requests for that label are divided, so that whoever knows the
//! prompt knows the split, and a router reads nothing more. [`decide()`] says what is next; a transition
//! is one commit of the deployment, the prompt and the audit record.
//!
//! Requests are divided, and counted, by [unit](crate::prompts::Unit). What they come to is added up in a
//! [`TrialBook`]; bad units are written one by one, each once, and a [`sequential`] test of them may be
//! looked at on every [tick](Deployments::tick).

mod book;
mod decide;
mod error;
mod event;
mod facts;
mod histogram;
mod new_deployment;
mod outcome;
mod record;
pub mod sequential;
mod service;
mod strategy;
mod tick;
mod verdict;

pub use book::TrialBook;
pub use decide::{Decision, Gates, decide};
pub use error::DeploymentError;
pub use event::Event;
pub use facts::{Facts, Measures, Metric, SideMeasures, UnitCounts};
pub use histogram::Histogram;
pub use new_deployment::{MAX_REASON, NewDeployment};
pub use outcome::Outcome;
pub use record::{
    Approval, Deployment, DeploymentId, DeploymentState, End, OpenDeployment, Pause, Rollout,
    Status,
};
pub use service::{DeploymentFilter, DeploymentPage, Deployments, Standing};
pub use strategy::{
    InconclusiveAction, LONGEST_INTERVAL, OnInconclusive, Strategy, StrategyKind, USUAL_INTERVAL,
    ladder,
};
pub use tick::{Gatekeeper, OpenGates, Tick};
pub use verdict::{Evidence, MARGIN, MetricEvidence, Verdict, units_needed};

#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod tests;
