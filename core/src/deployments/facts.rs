//! What is known of the requests of a deployment, and where it stands in the store.
//!
//! - `DEPLOYMENT-BAD#<project>#<deployment>`: one item for each bad unit and [`Metric`], so that none
//!   counts twice; beside it, in the same commit, counters for each metric, share and side.
//! - `DEPLOYMENT-MEASURES#<project>#<deployment>`: what each process has measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::outcome::Outcome;
use super::record::{Deployment, DeploymentId};
use super::sequential::BadUnits;
use crate::Timestamp;
use crate::entity::{Entity, StoreExt};
use crate::fleet::eta::later;
use crate::ports::{Amount, Bound, Expect, Key, Query, StateStore, StoreError, Table, Write};
use crate::prompts::{Side, Unit};
use crate::tenancy::ProjectId;

/// How long facts are kept.
const FACTS_LIFE: Duration = Duration::from_hours(400 * 24);

/// In what a unit can be bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// A request of it failed.
    Errors,
    /// An answer took longer than 95 % of those of the live version.
    Latency,
}

impl Metric {
    pub const ALL: [Self; 2] = [Self::Errors, Self::Latency];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
        }
    }
}

/// A unit that is bad, with the first share and on the side where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BadUnit {
    pub project: ProjectId,
    pub deployment: DeploymentId,
    pub metric: Metric,
    pub unit: Unit,
    pub epoch: u32,
    pub side: Side,
    pub at: Timestamp,
}

impl BadUnit {
    /// The writes that count it, which conflict if it was counted before.
    pub(super) fn writes(&self) -> Result<[Write; 2], StoreError> {
        let Self { project, deployment, metric, epoch, side, .. } = self;
        let key = count_key(project, deployment, *metric, *epoch, *side);
        let expires_at = self.expires_at();
        let count = Write::Add { key, delta: 1, bound: Bound::None, expires_at };
        Ok([self.put(Expect::Absent)?, count])
    }
}

impl Entity for BadUnit {
    const KIND: &'static str = "bad unit of a deployment";

    fn key(&self) -> Key {
        let partition = format!("DEPLOYMENT-BAD#{}#{}", self.project, self.deployment);
        Key::new(partition, format!("{}#{}", self.metric.as_str(), self.unit))
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.at, FACTS_LIFE))
    }
}

fn count_key(
    project: &ProjectId,
    deployment: &DeploymentId,
    metric: Metric,
    epoch: u32,
    side: Side,
) -> Key {
    let side = match side {
        Side::Live => "live",
        Side::Candidate => "candidate",
    };
    let partition = format!("DEPLOYMENT-BAD#{project}#{deployment}");
    Key::new(partition, format!("{}#{epoch}#{side}", metric.as_str()))
}

/// What was measured of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideMeasures {
    /// Requests that tell something of the version.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// How long the answers took that came, without the wait for a replica.
    pub latency: Histogram,
    /// What the requests have cost that have a price, in nano-dollars, and how many those are.
    pub cost: Amount,
    pub priced: u64,
}

impl SideMeasures {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.requests += 1;
        self.failed += u64::from(outcome.has_failed);
        if let Some(took) = outcome.latency {
            self.latency.add(took);
        }
        if let Some(cost) = outcome.cost {
            self.cost = self.cost.plus(cost);
            self.priced += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.latency.merge(&other.latency);
        self.cost = self.cost.plus(other.cost);
        self.priced += other.priced;
    }

    /// The share of the requests that failed; none without requests.
    pub fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.failed as f64 / self.requests as f64)
    }

    /// What a request costs on average, in nano-dollars; none where none has a price.
    pub fn cost_per_request(&self) -> Option<Amount> {
        self.cost.get().checked_div(self.priced).map(Amount::saturating)
    }
}

/// Distinct units that were seen while the candidate had one share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitCounts {
    pub candidate: u64,
    pub live: u64,
}

/// What one process has measured of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    pub project: ProjectId,
    pub deployment: DeploymentId,
    /// The process.
    pub by: String,
    pub at: Timestamp,
    #[serde(default)]
    pub candidate: SideMeasures,
    #[serde(default)]
    pub live: SideMeasures,
    /// By the position of the share.
    #[serde(default)]
    pub units: Vec<UnitCounts>,
}

impl Measures {
    pub(super) fn none(
        project: ProjectId,
        deployment: DeploymentId,
        by: String,
        at: Timestamp,
    ) -> Self {
        let (candidate, live) = (SideMeasures::default(), SideMeasures::default());
        Self { project, deployment, by, at, candidate, live, units: Vec::new() }
    }

    fn partition(project: &ProjectId, deployment: &DeploymentId) -> String {
        format!("DEPLOYMENT-MEASURES#{project}#{deployment}")
    }

    pub(super) fn key_of(project: &ProjectId, deployment: &DeploymentId, by: &str) -> Key {
        Key::new(Self::partition(project, deployment), by)
    }
}

impl Entity for Measures {
    const KIND: &'static str = "measures of a deployment";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.deployment, &self.by)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.at, FACTS_LIFE))
    }
}

/// All that is known of the requests of a deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub candidate: SideMeasures,
    pub live: SideMeasures,
    /// By the position of the share.
    pub units: Vec<UnitCounts>,
    /// By metric and the position of the share.
    pub bad: Vec<(Metric, Vec<BadUnits>)>,
}

impl Facts {
    /// Reads them.
    pub(super) async fn load(
        store: &dyn StateStore,
        deployment: &Deployment,
    ) -> Result<Self, StoreError> {
        let Deployment { project, id, .. } = deployment;
        let mut facts = Self::default();
        let query = Query::new(Table::Main, Measures::partition(project, id), "");
        for stored in store.load_all::<Measures>(query).await? {
            facts.add(&stored.value);
        }
        for metric in Metric::ALL {
            let mut counts = Vec::new();
            for (epoch, share) in (0_u32..).zip(&deployment.shares) {
                let count = async |side| {
                    let key = count_key(project, id, metric, epoch, side);
                    store.count(&key).await.map(|count| u64::try_from(count).unwrap_or_default())
                };
                counts.push(BadUnits {
                    share: share.fraction(),
                    candidate: count(Side::Candidate).await?,
                    live: count(Side::Live).await?,
                });
            }
            facts.bad.push((metric, counts));
        }
        Ok(facts)
    }

    fn add(&mut self, measures: &Measures) {
        self.candidate.merge(&measures.candidate);
        self.live.merge(&measures.live);
        if self.units.len() < measures.units.len() {
            self.units.resize(measures.units.len(), UnitCounts::default());
        }
        for (sum, more) in self.units.iter_mut().zip(&measures.units) {
            sum.candidate += more.candidate;
            sum.live += more.live;
        }
    }

    /// The units that were seen at the position of a share.
    pub fn units_at(&self, epoch: u32) -> UnitCounts {
        usize::try_from(epoch).ok().and_then(|at| self.units.get(at)).copied().unwrap_or_default()
    }
}
