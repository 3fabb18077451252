//! Which examples of a snapshot are evaluated.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

/// The positions of `count` examples that a run is made on, ascending: all of them, the first `size`, or so many
/// drawn at random, each set as likely as any other. The same seed draws the same.
pub(super) fn sample(count: u32, size: Option<u32>, is_random: bool, seed: u64) -> Vec<u32> {
    let size = size.unwrap_or(count).min(count);
    if !is_random || size == count {
        return (0..size).collect();
    }
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let (mut wanted, mut positions) = (u64::from(size), Vec::with_capacity(size as usize));
    for position in 0..count {
        // Knuth's algorithm S: each is taken with the probability that what is left to take has among what is left.
        let left = u64::from(count - position);
        if below(&mut random, left) < wanted {
            positions.push(position);
            wanted -= 1;
        }
    }
    positions
}

/// A number below `bound`, each equally likely.
fn below(random: &mut Pcg64Mcg, bound: u64) -> u64 {
    let most = u64::MAX - u64::MAX % bound;
    loop {
        let number = random.next_u64();
        if number < most {
            return number % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_the_first_ones_or_drawn_by_its_seed() {
        assert_eq!(sample(3, None, true, 1), [0, 1, 2]);
        assert_eq!(sample(10, Some(3), false, 1), [0, 1, 2]);
        assert_eq!(sample(2, Some(5), true, 1), [0, 1]);
        let drawn = sample(1_000, Some(100), true, 7);
        assert_eq!((drawn.len(), drawn.is_sorted()), (100, true));
        assert_eq!(drawn, sample(1_000, Some(100), true, 7));
        assert_ne!(drawn, sample(1_000, Some(100), true, 8));
        assert!(sample(0, Some(3), true, 1).is_empty());
    }

    #[test]
    fn every_example_is_as_likely_as_any_other() {
        let mut counts = [0_u32; 10];
        for seed in 0..5_000 {
            for position in sample(10, Some(3), true, seed) {
                counts[position as usize] += 1;
            }
        }
        assert!(counts.iter().all(|count| (1_350..1_650).contains(count)), "{counts:?}");
    }
}
