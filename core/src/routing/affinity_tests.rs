//! Eight replicas that remember the prefixes they have computed, as far as their memory goes.

use std::collections::{BTreeMap, VecDeque};

use super::*;

const REPLICAS: u32 = 8;
/// Requests that are under way at once.
const AT_ONCE: usize = 128;
const REQUESTS: usize = 20_000;
/// Blocks of tokens that one replica can remember.
const MEMORY: usize = 600;
/// Blocks of a system prompt, and of one turn of a conversation.
const SYSTEM: u64 = 8;
const TURN: u64 = 2;

/// Remembers the blocks that were used last. A block is told by all that comes before it.
#[derive(Default)]
struct Cache {
    used: BTreeMap<(u64, u64), usize>,
    order: BTreeMap<usize, (u64, u64)>,
    now: usize,
}

impl Cache {
    /// How many of the first blocks were there already; afterwards all are.
    fn hits(&mut self, blocks: &[(u64, u64)], memory: usize) -> usize {
        let hits = blocks.iter().take_while(|block| self.used.contains_key(block)).count();
        for block in blocks {
            self.now += 1;
            if let Some(before) = self.used.insert(*block, self.now) {
                self.order.remove(&before);
            }
            self.order.insert(self.now, *block);
        }
        while self.used.len() > memory {
            let (_, oldest) = self.order.pop_first().unwrap();
            self.used.remove(&oldest);
        }
        hits
    }
}

/// Numbers as if by chance, the same at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        usize::try_from(mixed(self.0, 7) % most as u64).unwrap()
    }
}

struct Conversation {
    id: u64,
    system: u64,
    turns: u64,
}

impl Conversation {
    fn new(id: u64, dice: &mut Dice) -> Self {
        Self { id, system: dice.below(4) as u64, turns: 1 }
    }

    fn blocks(&self) -> Vec<(u64, u64)> {
        let system = (0..SYSTEM).map(|at| (1_000_000 + self.system, at));
        let own = (0..self.turns * TURN).map(|at| (self.id, at));
        system.chain(own).collect()
    }
}

/// The part of the blocks that were remembered where they came, that of one memory as large as all
/// together, and the largest load of a replica beside the mean.
fn run(choose: impl Fn(u64, &[Candidate]) -> usize) -> (f64, f64) {
    let mut dice = Dice(1);
    let mut caches: Vec<Cache> = (0..REPLICAS).map(|_| Cache::default()).collect();
    let mut oracle = Cache::default();
    let mut candidates: Vec<_> =
        (0..REPLICAS).map(|slot| Candidate { slot, in_flight: 0, reachable: true }).collect();
    let mut talks: Vec<_> = (0..150).map(|id| Conversation::new(id, &mut dice)).collect();
    let (mut hits, mut possible, mut worst) = (0, 0, 0.0_f64);
    let mut under_way: VecDeque<usize> = VecDeque::new();
    for at in 0..REQUESTS {
        if under_way.len() == AT_ONCE {
            let over = dice.below(AT_ONCE);
            candidates[under_way.swap_remove_back(over).unwrap()].in_flight -= 1;
        }
        let talk = dice.below(talks.len());
        let blocks = talks[talk].blocks();
        let place = choose(talks[talk].id, &candidates);
        hits += caches[place].hits(&blocks, MEMORY);
        possible += oracle.hits(&blocks, MEMORY * REPLICAS as usize);
        candidates[place].in_flight += 1;
        under_way.push_back(place);
        if under_way.len() == AT_ONCE {
            let most = candidates.iter().map(|replica| replica.in_flight).max().unwrap();
            worst = worst.max(f64::from(most) / (AT_ONCE as f64 / f64::from(REPLICAS)));
        }
        talks[talk].turns += 1;
        if talks[talk].turns > 12 {
            talks[talk] = Conversation::new(1000 + at as u64, &mut dice);
        }
    }
    (f64::from(u32::try_from(hits).unwrap()) / f64::from(u32::try_from(possible).unwrap()), worst)
}

#[test]
fn conversations_find_what_a_replica_remembers_and_none_is_overloaded() {
    let near = |id: u64, candidates: &[Candidate]| {
        nearest(mixed(id, 0), candidates.iter().copied()).unwrap()
    };
    let (hits, worst) = run(near);
    assert!(hits >= 0.9, "{hits} of what one memory would have found");
    assert!(worst <= 1.25 + f64::EPSILON, "{worst} times the mean");
    let (apart, _) = run(|_, candidates| least_in_flight(candidates.iter().copied()).unwrap());
    assert!(apart < hits - 0.2, "without affinity {apart}, with it {hits}");
}

#[test]
fn a_key_moves_only_when_its_replica_is_busy_or_gone() {
    let idle = |slot| Candidate { slot, in_flight: 0, reachable: true };
    let all: Vec<_> = (0..REPLICAS).map(idle).collect();
    let mut moved = 0;
    for key in 0..1000 {
        let home = nearest(key, all.iter().copied()).unwrap();
        let mut one_more = all.clone();
        one_more.push(idle(REPLICAS));
        moved += u32::from(nearest(key, one_more).unwrap() != home);
        let mut busy = all.clone();
        busy[home].in_flight = 2;
        assert_ne!(nearest(key, busy).unwrap(), home);
        let mut gone = all.clone();
        gone[home].reachable = false;
        assert_ne!(nearest(key, gone).unwrap(), home);
    }
    assert!((60..170).contains(&moved), "a ninth of 1000: {moved}");
    assert_eq!(nearest(1, []), None);
}
