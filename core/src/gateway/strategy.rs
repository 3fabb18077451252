use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ports::Amount;

/// How the targets of a route are chosen: in which order they are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// As they are listed.
    #[default]
    Ordered,
    /// The cheapest first, by its price and what the request is expected to use.
    Cost,
    /// The fastest first token first, as lately measured.
    Latency,
    /// The best [`quality`](super::RouteTarget::quality) first.
    Quality,
    /// By chance, in proportion to [`weight`](super::RouteTarget::weight); the same unit, such as a
    /// user, always in the same order.
    Weighted,
}

impl Strategy {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ordered => "ordered",
            Self::Cost => "cost",
            Self::Latency => "latency",
            Self::Quality => "quality",
            Self::Weighted => "weighted",
        }
    }
}

/// What is known of a target when its place is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank<'a> {
    /// Its name, by which the chance of a unit is the same everywhere.
    pub name: &'a str,
    /// See [`RouteTarget::weight`](super::RouteTarget::weight).
    pub weight: u32,
    /// See [`RouteTarget::quality`](super::RouteTarget::quality).
    pub quality: u32,
    /// From sending a request to the first token of its answer, if it was measured lately.
    pub first_token: Option<Duration>,
    /// What the request is expected to cost, if the target has a price.
    pub cost: Option<Amount>,
}

/// The places of the targets in the order in which they are tried. Equals stay as they are listed.
///
/// `unit` is what a chance is taken for: the same unit gets the same order as long as the weights
/// stay, and when they change, as few units as possible change their first choice (weighted
/// rendezvous hashing, Schindelhauer and Schomaker, SPAA 2005).
pub fn order(strategy: Strategy, ranks: &[Rank<'_>], unit: &[u8]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..ranks.len()).collect();
    let rank = |place: &usize| ranks.get(*place);
    match strategy {
        Strategy::Ordered => {}
        // What has no price may cost anything.
        Strategy::Cost => places
            .sort_by_key(|place| rank(place).and_then(|rank| rank.cost).unwrap_or(Amount::MAX)),
        // What was not measured comes last: it is measured by the requests that are told to.
        Strategy::Latency => places.sort_by_key(|place| {
            rank(place).and_then(|rank| rank.first_token).unwrap_or(Duration::MAX)
        }),
        Strategy::Quality => {
            places.sort_by_key(|place| Reverse(rank(place).map_or(0, |rank| rank.quality)));
        }
        Strategy::Weighted => {
            let score = |place: &usize| rank(place).map_or(f64::INFINITY, |rank| draw(rank, unit));
            places.sort_by(|a, b| score(a).total_cmp(&score(b)));
        }
    }
    places
}

/// How long a target takes to come up in a race that it wins in proportion to its weight.
fn draw(rank: &Rank<'_>, unit: &[u8]) -> f64 {
    if rank.weight == 0 {
        return f64::INFINITY;
    }
    let mut hash = Sha256::new();
    hash.update(rank.name.as_bytes());
    hash.update([0]);
    hash.update(unit);
    let first = hash.finalize().first_chunk::<8>().copied().unwrap_or_default();
    // 53 bits, as many as a float holds, and never 0.
    let chance = ((u64::from_be_bytes(first) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -chance.ln() / f64::from(rank.weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(name: &str) -> Rank<'_> {
        Rank { name, weight: 1, quality: 0, first_token: None, cost: None }
    }

    #[test]
    fn equals_stay_as_they_are_listed() {
        let ranks = [rank("a"), rank("b"), rank("c")];
        for strategy in [Strategy::Ordered, Strategy::Cost, Strategy::Latency, Strategy::Quality] {
            assert_eq!(order(strategy, &ranks, b"x"), [0, 1, 2]);
        }
    }

    #[test]
    fn the_cheapest_the_fastest_and_the_best_come_first() {
        let costs = [None, Some(Amount::saturating(9)), Some(Amount::ZERO)];
        let ranks = costs.map(|cost| Rank { cost, ..rank("a") });
        assert_eq!(order(Strategy::Cost, &ranks, b""), [2, 1, 0]);

        let millis = |millis| Some(Duration::from_millis(millis));
        let ranks = [
            Rank { quality: 5, ..rank("unknown") },
            Rank { first_token: millis(300), quality: 9, ..rank("slow") },
            Rank { first_token: millis(20), quality: 1, ..rank("fast") },
        ];
        assert_eq!(order(Strategy::Latency, &ranks, b""), [2, 1, 0]);
        assert_eq!(order(Strategy::Quality, &ranks, b""), [1, 0, 2]);
    }

    #[test]
    fn shares_are_in_proportion_to_weights_and_a_unit_keeps_its_own() {
        let ranks =
            [Rank { weight: 3, ..rank("a") }, rank("b"), Rank { weight: 0, ..rank("never") }];
        let first = |ranks: &[Rank<'_>], unit: u32| {
            order(Strategy::Weighted, ranks, &unit.to_be_bytes())[0]
        };
        let (mut a, mut moved) = (0_u32, 0_u32);
        let heavier = [Rank { weight: 4, ..ranks[0] }, ranks[1], ranks[2]];
        for unit in 0..10_000 {
            let chosen = first(&ranks, unit);
            assert_eq!(chosen, first(&ranks, unit));
            assert_ne!(chosen, 2);
            a += u32::from(chosen == 0);
            // With more weight, units only come.
            let then = first(&heavier, unit);
            assert!(then == chosen || then == 0);
            moved += u32::from(then != chosen);
        }
        // 7,500 ± 5 standard deviations of 43, and 500 ± 5 of 22.
        assert!((7285..7715).contains(&a), "{a}");
        assert!((390..610).contains(&moved), "{moved}");
    }
}
