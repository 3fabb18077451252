//! How the requests for a label are divided between two versions while a deployment is under way.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::names::{Label, Selector};
use super::record::Prompt;
use crate::deployments::DeploymentId;

/// A whole percentage, 0 to 100.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// A number that is not a percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole percentage, 0 to 100")]
pub struct InvalidPercent;

impl Percent {
    pub const ZERO: Self = Self(0);
    pub const ALL: Self = Self(100);

    /// The number of per cent.
    pub fn get(self) -> u8 {
        self.0
    }

    /// From 0 to 1.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// The sum, at most all of it.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).min(100))
    }
}

impl TryFrom<u8> for Percent {
    type Error = InvalidPercent;

    fn try_from(number: u8) -> Result<Self, InvalidPercent> {
        (number <= 100).then_some(Self(number)).ok_or(InvalidPercent)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// One of the two versions that a split divides between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The version at which the label stands.
    Live,
    /// The version that is tried.
    Candidate,
}

/// What is divided: all requests of one unit meet the same version.
///
/// 64 bits of a hash, salted with the deployment, so that nothing of a user's name is kept, and who is
/// among the first of one deployment need not be among the first of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unit(u64);

impl Unit {
    /// The unit of this name: a user, a conversation, or the id of a single request.
    pub fn new(deployment: &DeploymentId, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(deployment.as_str());
        hash.update([0]);
        hash.update(name);
        let hash: [u8; 32] = hash.finalize().into();
        Self(hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
    }

    /// On which side it is while the candidate has this share. Whoever is on the candidate's side
    /// stays there when the share grows.
    pub fn side(self, share: Percent) -> Side {
        let below = (u128::from(share.0) << 64) / 100;
        if u128::from(self.0) < below { Side::Candidate } else { Side::Live }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A label whose requests are divided, or will be: a deployment is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    pub deployment: DeploymentId,
    /// The number of the version that is tried.
    pub candidate: u32,
    /// The candidate's share of the units; 0 before the deployment starts.
    pub share: Percent,
    /// The position of that share among all that the deployment has had.
    pub epoch: u32,
    /// An answer that takes longer is slow; none until it is known how long those of the live version
    /// take.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::duration::option")]
    pub slow_above: Option<Duration>,
}

/// Where a request stands in a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub deployment: DeploymentId,
    pub unit: Unit,
    pub side: Side,
    /// The [`Split::epoch`] in which it was assigned.
    pub epoch: u32,
    /// The [`Split::slow_above`] by then.
    pub slow_above: Option<Duration>,
}

impl Prompt {
    /// The split of the label that a selector means, if there is one.
    pub fn split_of(&self, version: &Selector) -> Option<&Split> {
        match version {
            Selector::Default => self.splits.get(&Label::default_label()),
            Selector::Label(label) => self.splits.get(label),
            Selector::Latest | Selector::Number(_) => None,
        }
    }

    /// The number of the version that a selector means for a unit, and where that unit stands if a
    /// deployment is under way; none where the selector leads nowhere.
    pub fn number_for(
        &self,
        version: &Selector,
        unit: &dyn Fn() -> String,
    ) -> Option<(u32, Option<Assignment>)> {
        let live = self.number_of(version)?;
        let Some(split) = self.split_of(version) else { return Some((live, None)) };
        let deployment = split.deployment.clone();
        let unit = Unit::new(&deployment, &unit());
        let side = unit.side(split.share);
        let number = match side {
            Side::Live => live,
            Side::Candidate => split.candidate,
        };
        let (epoch, slow_above) = (split.epoch, split.slow_above);
        Some((number, Some(Assignment { deployment, unit, side, epoch, slow_above })))
    }

    /// Every version that a selector can mean at present.
    pub(super) fn numbers_of(&self, version: &Selector) -> Vec<u32> {
        let candidate = self.split_of(version).map(|split| split.candidate);
        self.number_of(version).into_iter().chain(candidate).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SeededEntropy;

    fn deployment(seed: u64) -> DeploymentId {
        DeploymentId::new(crate::Timestamp::UNIX_EPOCH, &SeededEntropy::new(seed))
    }

    #[test]
    fn a_share_of_the_units_is_within_a_point_of_what_was_decided() {
        let id = deployment(1);
        let units: Vec<_> = (0..100_000).map(|n| Unit::new(&id, &format!("user-{n}"))).collect();
        for share in [1, 5, 10, 20, 50, 80, 99] {
            let share = Percent(share);
            let on = units.iter().filter(|unit| unit.side(share) == Side::Candidate).count();
            let percent = on as f64 / 1000.0;
            assert!((percent - f64::from(share.get())).abs() < 1.0, "{share}: {percent}");
        }
        assert!(units.iter().all(|unit| unit.side(Percent::ZERO) == Side::Live));
        assert!(units.iter().all(|unit| unit.side(Percent::ALL) == Side::Candidate));
    }

    #[test]
    fn who_is_on_the_candidates_side_stays_there_while_the_share_grows() {
        let id = deployment(2);
        for name in 0..1000 {
            let unit = Unit::new(&id, &name.to_string());
            let sides: Vec<_> =
                (0..=100).map(|share| unit.side(Percent(share)) == Side::Candidate).collect();
            assert!(sides.is_sorted(), "{name}");
        }
    }

    #[test]
    fn each_deployment_divides_anew() {
        let both = [deployment(3), deployment(4)];
        let on = |name: &u32| {
            let share = Percent(50);
            let [a, b] = both.each_ref().map(|id| Unit::new(id, &name.to_string()).side(share));
            a == b
        };
        let same = (0..1000).filter(on).count();
        assert!((400..600).contains(&same), "{same}");
    }
}
