//! How long a boot will still take, from how long earlier ones took.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::{Phase, SpecHash};
use crate::name::ModelName;
use crate::ports::Key;

/// How many boots the history remembers per phase.
const SAMPLES: usize = 20;

/// When each phase of one boot began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PhaseTimes(BTreeMap<Phase, Timestamp>);

impl PhaseTimes {
    /// A boot that begins with its launch at `now`.
    pub fn launched(now: Timestamp) -> Self {
        Self(BTreeMap::from([(Phase::Launch, now)]))
    }

    /// Notes that `phase` began at `now`, unless it had begun before.
    pub fn enter(&mut self, phase: Phase, now: Timestamp) {
        self.0.entry(phase).or_insert(now);
    }

    /// When `phase` began.
    pub fn began(&self, phase: Phase) -> Option<Timestamp> {
        self.0.get(&phase).copied()
    }

    /// When the boot began.
    pub fn start(&self) -> Option<Timestamp> {
        self.0.values().min().copied()
    }

    /// How long each finished phase took; one that was skipped took no time.
    pub fn durations(&self) -> BTreeMap<Phase, Duration> {
        let mut durations = BTreeMap::new();
        let mut entered = self.0.iter().peekable();
        while let Some((phase, began)) = entered.next() {
            if let Some((_, ended)) = entered.peek() {
                durations.insert(*phase, since(*began, **ended));
            }
        }
        durations
    }
}

/// The time from `earlier` to `later`; zero if the clock was set back in between.
pub fn since(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

/// `from` plus `duration`, or the end of time.
pub fn later(from: Timestamp, duration: Duration) -> Timestamp {
    from.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// How long the last boots of one (model, kind of place, engine) took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootHistory {
    pub model: ModelName,
    /// What kind of place it booted in: the label of its [`Placement`](crate::fleet::Placement).
    #[serde(rename = "instance_type")]
    pub label: String,
    /// What booted.
    pub spec: SpecHash,
    /// Milliseconds per phase, oldest first, at most 20 of each.
    pub millis: BTreeMap<Phase, Vec<u64>>,
}

impl BootHistory {
    /// A history without samples.
    pub fn new(model: ModelName, label: String, spec: SpecHash) -> Self {
        Self { model, label, spec, millis: BTreeMap::new() }
    }

    /// Where the history stands.
    pub fn key_of(model: &ModelName, label: &str, spec: &SpecHash) -> Key {
        Key::new(format!("MODEL#{model}"), format!("HISTORY#{label}#{}", spec.as_str()))
    }

    /// Remembers one finished boot.
    pub fn record(&mut self, boot: &PhaseTimes) {
        let durations = boot.durations();
        if durations.is_empty() {
            return;
        }
        for phase in Phase::ALL {
            if phase == Phase::Ready {
                continue;
            }
            let took = durations.get(&phase).copied().unwrap_or_default();
            let samples = self.millis.entry(phase).or_default();
            samples.push(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            let excess = samples.len().saturating_sub(SAMPLES);
            samples.drain(..excess);
        }
    }

    /// The time until `boot` is ready: the medians of the phases to come, plus what is left of
    /// this one's. `None` without history, or when this phase takes longer than its 90th
    /// percentile, as then the history tells nothing.
    pub fn eta(&self, boot: &PhaseTimes, phase: Phase, now: Timestamp) -> Option<Duration> {
        if phase == Phase::Ready {
            return Some(Duration::ZERO);
        }
        let elapsed = since(boot.began(phase).or_else(|| boot.start())?, now);
        let current = self.quantile(phase, 50)?;
        if elapsed > self.quantile(phase, 90)? {
            return None;
        }
        let later = Phase::ALL
            .iter()
            .filter(|later| **later > phase && **later != Phase::Ready)
            .filter_map(|later| self.quantile(*later, 50))
            .sum::<Duration>();
        Some(current.saturating_sub(elapsed) + later)
    }

    /// The whole of a boot that has not begun.
    pub fn eta_of_new_boot(&self) -> Option<Duration> {
        let medians: Vec<_> =
            Phase::ALL.iter().filter_map(|phase| self.quantile(*phase, 50)).collect();
        (!medians.is_empty()).then(|| medians.into_iter().sum())
    }

    /// The nearest-rank quantile of a phase, `percent` of 100.
    fn quantile(&self, phase: Phase, percent: usize) -> Option<Duration> {
        let mut samples = self.millis.get(&phase)?.clone();
        samples.sort_unstable();
        let rank = (samples.len() * percent).div_ceil(100).max(1) - 1;
        samples.get(rank).map(|millis| Duration::from_millis(*millis))
    }
}

impl Entity for BootHistory {
    const KIND: &'static str = "boot history";

    fn key(&self) -> Key {
        Self::key_of(&self.model, &self.label, &self.spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::ModelSpec;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("a valid time")
    }

    fn boot(weights: i64, warmup: i64, ready: i64) -> PhaseTimes {
        let mut times = PhaseTimes::launched(at(0));
        times.enter(Phase::Boot, at(1));
        times.enter(Phase::Weights, at(weights));
        times.enter(Phase::Warmup, at(warmup));
        times.enter(Phase::Ready, at(ready));
        times
    }

    fn history() -> BootHistory {
        let mut history = BootHistory::new(
            "demo".parse().expect("a name"),
            "local".into(),
            ModelSpec::new(["x"]).hash(),
        );
        for late in 0..3 {
            history.record(&boot(2, 10 + late, 20 + late));
        }
        history
    }

    #[test]
    fn eta_is_the_rest_of_this_phase_and_the_medians_of_the_next() {
        let mut now = PhaseTimes::launched(at(0));
        now.enter(Phase::Boot, at(1));
        now.enter(Phase::Weights, at(2));
        // Weights: median 9 s, 4 s are gone; warm-up: median 10 s.
        assert_eq!(history().eta(&now, Phase::Weights, at(6)), Some(Duration::from_secs(15)));
    }

    #[test]
    fn eta_is_unknown_without_history_and_past_the_90th_percentile() {
        let mut now = PhaseTimes::launched(at(0));
        now.enter(Phase::Weights, at(2));
        assert_eq!(history().eta(&now, Phase::Weights, at(13)), None);
        let empty = BootHistory { millis: BTreeMap::new(), ..history() };
        assert_eq!(empty.eta(&now, Phase::Weights, at(3)), None);
        assert_eq!(empty.eta_of_new_boot(), None);
    }

    #[test]
    fn a_new_boot_takes_the_sum_of_the_medians() {
        assert_eq!(history().eta_of_new_boot(), Some(Duration::from_secs(21)));
    }

    #[test]
    fn only_the_last_twenty_boots_count() {
        let mut history = history();
        for _ in 0..20 {
            history.record(&boot(2, 3, 4));
        }
        assert_eq!(history.eta_of_new_boot(), Some(Duration::from_secs(4)));
    }

    #[test]
    fn a_clock_set_back_counts_as_no_time() {
        assert_eq!(since(at(5), at(3)), Duration::ZERO);
    }
}
