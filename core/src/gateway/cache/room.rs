use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::Timestamp;
use crate::ports::Key;

/// How many answers are kept at once where nothing else bounds them.
pub const MOST_KEPT: usize = 10_000;

/// How many bytes they have together at most.
pub const MOST_KEPT_BYTES: usize = 256 << 20;

/// How much room the answers take that are kept, and which have to go for another one. Pure.
#[derive(Debug)]
pub(super) struct Room {
    most: usize,
    most_bytes: usize,
    bytes: usize,
    /// The number of the next answer; the oldest one has the lowest.
    next: u64,
    by_age: BTreeMap<u64, Taken>,
    by_key: HashMap<Key, u64>,
    by_expiry: BTreeSet<(Timestamp, u64)>,
}

/// What one answer takes.
#[derive(Debug)]
struct Taken {
    key: Key,
    bytes: usize,
    expires_at: Timestamp,
}

impl Default for Room {
    fn default() -> Self {
        Self::new(MOST_KEPT, MOST_KEPT_BYTES)
    }
}

impl Room {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            most,
            most_bytes,
            bytes: 0,
            next: 0,
            by_age: BTreeMap::new(),
            by_key: HashMap::new(),
            by_expiry: BTreeSet::new(),
        }
    }

    /// Makes room for an answer; returns those that have to go for it: all that have expired at
    /// `now`, and then the oldest ones. One that stood at the same key is replaced.
    pub(super) fn take(
        &mut self,
        key: Key,
        bytes: usize,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Vec<Key> {
        if let Some(&number) = self.by_key.get(&key) {
            self.give_back(number);
        }
        let mut gone = Vec::new();
        while let Some(&(at, number)) = self.by_expiry.first()
            && at <= now
        {
            gone.extend(self.give_back(number));
        }
        while (self.by_age.len() >= self.most || self.bytes.saturating_add(bytes) > self.most_bytes)
            && let Some((&number, _)) = self.by_age.first_key_value()
        {
            gone.extend(self.give_back(number));
        }
        let number = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.by_key.insert(key.clone(), number);
        self.by_expiry.insert((expires_at, number));
        self.by_age.insert(number, Taken { key, bytes, expires_at });
        gone
    }

    fn give_back(&mut self, number: u64) -> Option<Key> {
        let Taken { key, bytes, expires_at } = self.by_age.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.by_key.remove(&key);
        self.by_expiry.remove(&(expires_at, number));
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name, "ANSWER")
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn names(gone: Vec<Key>) -> Vec<String> {
        gone.into_iter().map(|key| key.partition).collect()
    }

    #[test]
    fn the_oldest_answers_make_room_for_new_ones() {
        let mut room = Room::new(3, 100);
        for name in ["a", "b", "c"] {
            assert!(room.take(key(name), 10, at(60), at(0)).is_empty(), "{name}");
        }
        assert_eq!(names(room.take(key("d"), 10, at(60), at(0))), ["a"]);
        // By their size, too.
        assert_eq!(names(room.take(key("e"), 85, at(60), at(0))), ["b", "c"]);
        assert_eq!(room.bytes, 95);
    }

    #[test]
    fn expired_answers_go_first() {
        let mut room = Room::new(3, 100);
        room.take(key("long"), 10, at(600), at(0));
        room.take(key("short"), 10, at(10), at(0));
        room.take(key("other"), 10, at(600), at(0));
        assert_eq!(names(room.take(key("new"), 10, at(600), at(10))), ["short"]);
    }

    #[test]
    fn an_answer_that_is_kept_again_is_counted_once() {
        let mut room = Room::new(2, 100);
        room.take(key("a"), 10, at(60), at(0));
        room.take(key("b"), 10, at(60), at(0));
        assert!(room.take(key("a"), 20, at(60), at(0)).is_empty());
        assert_eq!((room.bytes, room.by_age.len()), (30, 2));
        assert_eq!(names(room.take(key("c"), 10, at(60), at(0))), ["b"]);
    }
}
