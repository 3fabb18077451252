use std::collections::{BTreeMap, VecDeque};

/// Who goes next where more requests wait than may go at once: a queue per key, of which that one
/// is next that was served the fewest tokens for its weight.
///
/// Each key has a counter of the tokens that it was served, divided by its weight. One that begins
/// to wait gets at least the lowest counter of those that wait, or, where nobody waits, what the
/// last one had that went: time without requests earns no credit. Within a key the first comes
/// first. While everybody waits, two keys' counters differ by at most what the requests in flight
/// are worth. These are the virtual token counters of Sheng et al., "Fairness in Serving Large
/// Language Models", <https://arxiv.org/abs/2401.00588>.
///
/// It only decides: who waits, and with what, is the caller's.
#[derive(Debug)]
pub struct FairQueue<T> {
    lanes: BTreeMap<String, Lane<T>>,
    /// The counter that the last one had when it went.
    level: i64,
    entered: u64,
}

/// The requests of one key.
#[derive(Debug)]
struct Lane<T> {
    weight: u32,
    counter: i64,
    waiting: VecDeque<(u64, T)>,
}

/// A place in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePlace {
    key: String,
    number: u64,
}

/// Counters are in thousandths of a token at weight 1, so that weights divide without a loss that
/// matters.
const TOKEN: i64 = 1000;

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), level: 0, entered: 0 }
    }
}

impl<T> FairQueue<T> {
    /// Takes the last place among those of `key`.
    pub fn enter(&mut self, key: &str, weight: u32, who: T) -> QueuePlace {
        let floor = self.lowest().map_or(self.level, |(lowest, _)| lowest);
        let lane = self.lane(key, weight);
        if lane.waiting.is_empty() {
            lane.counter = lane.counter.max(floor);
        }
        self.entered += 1;
        let number = self.entered;
        self.lane(key, weight).waiting.push_back((number, who));
        QueuePlace { key: key.to_owned(), number }
    }

    /// Gives a place up: whoever had it goes, or goes away.
    pub fn leave(&mut self, place: &QueuePlace) {
        if let Some(lane) = self.lanes.get_mut(&place.key) {
            lane.waiting.retain(|(number, _)| *number != place.number);
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.lanes.values().map(|lane| lane.waiting.len()).sum()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.lanes.values().all(|lane| lane.waiting.is_empty())
    }

    /// Who goes next.
    pub fn head(&self) -> Option<&T> {
        let (_, lane) = self.lowest()?;
        lane.waiting.front().map(|(_, who)| who)
    }

    /// Whether the one with this place goes next.
    pub fn is_next(&self, place: &QueuePlace) -> bool {
        let next = self.lowest().and_then(|(_, lane)| lane.waiting.front());
        next.is_some_and(|(number, _)| *number == place.number)
    }

    /// Counts tokens for a key whose request goes, before its answer tells how many they are.
    pub fn charge(&mut self, key: &str, weight: u32, tokens: u64) {
        self.level = self.lane(key, weight).counter;
        self.add(key, weight, i64::try_from(tokens).unwrap_or(i64::MAX));
        self.forget_the_even();
    }

    /// Makes good the difference once the tokens are known.
    pub fn correct(&mut self, key: &str, weight: u32, charged: u64, used: u64) {
        let [used, charged] =
            [used, charged].map(|tokens| i64::try_from(tokens).unwrap_or(i64::MAX));
        self.add(key, weight, used.saturating_sub(charged));
    }

    fn add(&mut self, key: &str, weight: u32, tokens: i64) {
        let lane = self.lane(key, weight);
        let worth = tokens.saturating_mul(TOKEN) / i64::from(lane.weight);
        lane.counter = lane.counter.saturating_add(worth);
    }

    fn lane(&mut self, key: &str, weight: u32) -> &mut Lane<T> {
        let level = self.level;
        let lane = self.lanes.entry(key.to_owned()).or_insert_with(|| Lane {
            weight: 1,
            counter: level,
            waiting: VecDeque::new(),
        });
        lane.weight = weight.max(1);
        lane
    }

    /// The lane that is next, and its counter; among equals, the one that has waited longest.
    fn lowest(&self) -> Option<(i64, &Lane<T>)> {
        self.lanes
            .values()
            .filter_map(|lane| {
                let (number, _) = lane.waiting.front()?;
                Some((lane.counter, *number, lane))
            })
            .min_by_key(|(counter, number, _)| (*counter, *number))
            .map(|(counter, _, lane)| (counter, lane))
    }

    /// A key that would begin anew at the same counter need not be remembered.
    fn forget_the_even(&mut self) {
        let level = self.level;
        self.lanes.retain(|_, lane| !lane.waiting.is_empty() || lane.counter > level);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Serves one request at a time for as long as all have some, and tells the tokens of each.
    fn serve(loads: &[(&str, u32, Vec<u64>)]) -> BTreeMap<String, u64> {
        let mut queue = FairQueue::default();
        let mut places = BTreeMap::new();
        for (key, weight, costs) in loads {
            for (at, cost) in costs.iter().enumerate() {
                let place = queue.enter(key, *weight, (*key, *weight, *cost, at));
                places.insert((*key, at), place);
            }
        }
        let mut served = BTreeMap::new();
        let mut left: BTreeMap<&str, usize> =
            loads.iter().map(|(key, _, costs)| (*key, costs.len())).collect();
        while left.values().all(|left| *left > 0) {
            let (key, weight, cost, at) = *queue.head().unwrap();
            assert!(queue.is_next(&places[&(key, at)]));
            queue.leave(&places[&(key, at)]);
            // The guess is wrong, and made good.
            queue.charge(key, weight, 1);
            queue.correct(key, weight, 1, cost);
            *served.entry(key.to_owned()).or_default() += cost;
            *left.get_mut(key).unwrap() -= 1;
        }
        served
    }

    #[test]
    fn one_key_is_first_come_first_served() {
        let mut queue = FairQueue::default();
        assert!(queue.is_empty() && queue.head().is_none());
        let first = queue.enter("a", 1, 1);
        let second = queue.enter("a", 1, 2);
        assert_eq!(queue.head(), Some(&1));
        assert!(queue.is_next(&first) && !queue.is_next(&second));
        queue.leave(&first);
        assert!(queue.is_next(&second));
        queue.leave(&second);
        assert!(queue.is_empty() && !queue.is_next(&second));
    }

    #[test]
    fn whoever_comes_last_goes_before_most_of_a_crowd() {
        let mut queue = FairQueue::default();
        let crowd: Vec<_> = (0..100).map(|at| queue.enter("crowd", 1, at)).collect();
        let one = queue.enter("one", 1, 1000);
        queue.leave(&crowd[0]);
        queue.charge("crowd", 1, 500);
        assert!(queue.is_next(&one), "the crowd was served, and this key was not");
    }

    #[test]
    fn rest_earns_no_credit() {
        let mut queue = FairQueue::default();
        // `busy` has used a lot while nobody else was there.
        for _ in 0..50 {
            queue.charge("busy", 1, 1000);
        }
        let places: Vec<_> = (0..20).map(|at| queue.enter("busy", 1, ("busy", at))).collect();
        let others: Vec<_> = (0..20).map(|at| queue.enter("late", 1, ("late", at))).collect();
        let mut late = 0;
        for _ in 0..20 {
            let (key, at) = *queue.head().unwrap();
            queue.leave(if key == "busy" { &places[at] } else { &others[at] });
            queue.charge(key, 1, 1000);
            late += u32::from(key == "late");
        }
        assert!((9..=11).contains(&late), "{late} of 20");
    }

    #[test]
    fn keys_that_are_even_are_forgotten() {
        let mut queue: FairQueue<()> = FairQueue::default();
        for at in 0..1000 {
            queue.charge(&format!("key-{at}"), 1, 10);
        }
        queue.charge("big", 1, 1_000_000);
        queue.charge("big", 1, 1);
        assert_eq!(queue.lanes.len(), 1);
    }

    #[test]
    fn a_huge_count_is_no_overflow() {
        let mut queue: FairQueue<()> = FairQueue::default();
        for _ in 0..3 {
            queue.charge("a", 1, u64::MAX);
            queue.correct("a", 1, 0, u64::MAX);
        }
        queue.correct("a", 1, u64::MAX, 0);
        let place = queue.enter("b", 0, ());
        assert!(queue.is_next(&place));
    }

    proptest! {
        #[test]
        fn two_backlogged_keys_get_the_same_within_one_request(
            one in prop::collection::vec(1_u64..5000, 10..60),
            other in prop::collection::vec(1_u64..5000, 10..60),
        ) {
            let largest = one.iter().chain(&other).max().copied().unwrap();
            let served = serve(&[("one", 1, one), ("other", 1, other)]);
            let [one, other] = ["one", "other"].map(|key| served.get(key).copied().unwrap_or(0));
            prop_assert!(one.abs_diff(other) <= largest, "{one} and {other}, {largest}");
        }

        #[test]
        fn weights_share_out_the_tokens(
            weight in 2_u32..10,
            heavy in prop::collection::vec(1_u64..1000, 200..300),
            light in prop::collection::vec(1_u64..1000, 200..300),
        ) {
            let served = serve(&[("heavy", weight, heavy), ("light", 1, light)]);
            let (heavy, light) = (served["heavy"], served.get("light").copied().unwrap_or(0));
            let share = u64::from(weight) * light;
            prop_assert!(heavy.abs_diff(share) <= 1000 * u64::from(weight + 1), "{heavy}, {share}");
        }
    }
}
