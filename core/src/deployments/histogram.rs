use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The upper end of the first bucket; each is a fifth longer than the one before it.
const FIRST_MS: f64 = 1.0;
const GROWTH: f64 = 1.2;
/// The last bucket ends at eight minutes and takes whatever is longer.
const BUCKETS: usize = 73;

/// How long things took, in buckets, so that quantiles are right to a fifth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The counts of the buckets up to the last one that is not empty.
    buckets: Vec<u64>,
    count: u64,
    sum_us: u64,
}

impl Histogram {
    pub fn add(&mut self, took: Duration) {
        let place = bucket_of(took);
        if self.buckets.len() <= place {
            self.buckets.resize(place + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(place) {
            *count += 1;
        }
        self.count += 1;
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us = self.sum_us.saturating_add(took);
    }

    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (count, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *count += more;
        }
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// None where nothing was counted.
    pub fn mean(&self) -> Option<Duration> {
        self.sum_us.checked_div(self.count).map(Duration::from_micros)
    }

    /// The end of the bucket that has the quantile; none where nothing was counted.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let wanted = self.count as f64 * quantile;
        let mut seen = 0;
        let place = self.buckets.iter().position(|count| {
            seen += count;
            *count > 0 && seen as f64 >= wanted
        })?;
        Some(end_of(place))
    }
}

fn bucket_of(took: Duration) -> usize {
    (0..BUCKETS - 1).find(|place| took <= end_of(*place)).unwrap_or(BUCKETS - 1)
}

fn end_of(place: usize) -> Duration {
    let steps = i32::try_from(place).unwrap_or(i32::MAX);
    Duration::from_secs_f64(FIRST_MS / 1000.0 * GROWTH.powi(steps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_fifth() {
        let mut times = Histogram::default();
        assert_eq!((times.quantile(0.5), times.mean()), (None, None));
        for ms in 1..=1000 {
            times.add(Duration::from_millis(ms));
        }
        for (quantile, ms) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let found = times.quantile(quantile).unwrap().as_secs_f64() * 1000.0;
            assert!(found >= ms && found <= ms * 1.2, "{quantile}: {found}");
        }
        assert_eq!(times.mean(), Some(Duration::from_micros(500_500)));
        times.add(Duration::from_hours(1));
        assert!(times.quantile(1.0).unwrap() > Duration::from_mins(8));
    }

    #[test]
    fn two_are_one_of_all() {
        let (mut both, mut one, mut other) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        for (part, ms) in [(&mut one, 3), (&mut other, 300)] {
            part.add(Duration::from_millis(ms));
            both.add(Duration::from_millis(ms));
        }
        one.merge(&other);
        assert_eq!(one, both);
    }
}
