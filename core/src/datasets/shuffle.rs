//! A random order of many positions of which any part can be told without the rest.

/// An order of the numbers below a bound, drawn by a seed. The same seed gives the same order in every
/// version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shuffle {
    count: u64,
    seed: u64,
    /// How many bits each of the two halves of a number has.
    half: u32,
}

const ROUNDS: u64 = 6;

impl Shuffle {
    /// An order of the numbers below `count`.
    pub fn new(count: u64, seed: u64) -> Self {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        Self { count, seed, half: bits.div_ceil(2).max(1) }
    }

    /// The number at `place`; `None` where there are not so many.
    pub fn at(self, place: u64) -> Option<u64> {
        if place >= self.count {
            return None;
        }
        // A Feistel network permutes a power of four; what it leads to beyond the bound is led on.
        // At most four times as many numbers are passed as there are.
        let mut number = self.permuted(place);
        while number >= self.count {
            number = self.permuted(number);
        }
        Some(number)
    }

    fn permuted(self, number: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (number >> self.half, number & mask);
        for round in 0..ROUNDS {
            let key = self.seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (left, right) = (right, left ^ (mixed(right ^ mixed(key)) & mask));
        }
        (left << self.half) | right
    }
}

/// The finalizer of SplitMix64: each bit of the result depends on all of `number`.
pub(super) fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once() {
        for count in [0, 1, 2, 3, 4, 5, 7, 63, 64, 65, 1_000, 4_097] {
            let shuffle = Shuffle::new(count, 7);
            let mut order: Vec<_> = (0..count).map(|place| shuffle.at(place).unwrap()).collect();
            assert_eq!(shuffle.at(count), None);
            order.sort_unstable();
            assert_eq!(order, (0..count).collect::<Vec<_>>(), "{count}");
        }
    }

    #[test]
    fn seeds_give_orders_of_their_own_and_always_the_same() {
        let order = |seed| -> Vec<_> {
            (0..8).map(|place| Shuffle::new(1_000, seed).at(place).unwrap()).collect()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        // Half of a large order is about half of the numbers below the middle.
        let shuffle = Shuffle::new(100_000, 3);
        let below = (0..50_000).filter(|place| shuffle.at(*place).unwrap() < 50_000).count();
        assert!((24_000..26_000).contains(&below), "{below}");
    }
}
