//! One asker per wake-up.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::{Entity, StoreExt as _};
use crate::fleet::eta::later;
use crate::ports::{Clock, Expect, Key, StateStore, StoreError, Topic, Wake, WakeError};

/// A [`Wake`] for many processes that ask for the same thing: one of them is elected and asks,
/// and for the others the wake-up is done.
///
/// The election is one conditional write, won for [`ElectedWake::TERM`]. A wake-up within the
/// term of another is merged with it, even if its cause is newer than the look that the first one
/// led to; whoever still waits asks again after the term. A store that fails elects everybody: a
/// doubled wake-up does less harm than a lost one.
pub struct ElectedWake {
    inner: Arc<dyn Wake>,
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
}

impl ElectedWake {
    /// How long nobody else asks. It is shorter than the two seconds after which a waiting router
    /// repeats itself, so that a router alone always gets through.
    pub const TERM: Duration = Duration::from_millis(1500);

    /// Elections in `store`, timed by `clock`; the elected asker wakes `inner`.
    pub fn new(inner: Arc<dyn Wake>, store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, store, clock }
    }

    async fn is_elected(&self, topic: &Topic) -> bool {
        let election = Election::new(topic, later(self.clock.now(), Self::TERM));
        match self.store.save(election, Expect::Absent).await {
            Ok(_) => true,
            Err(StoreError::Conflict(_)) => false,
            Err(error) => {
                tracing::warn!(
                    topic = %topic, error = &error as &dyn std::error::Error,
                    "no asker could be elected to wake {topic}; this process asks"
                );
                true
            }
        }
    }
}

#[async_trait]
impl Wake for ElectedWake {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        if self.is_elected(topic).await { self.inner.wake(topic).await } else { Ok(()) }
    }

    async fn wake_at(&self, topic: &Topic, at: Timestamp) -> Result<(), WakeError> {
        self.inner.wake_at(topic, at).await
    }
}

/// Stands for as long as somebody else has just asked.
#[derive(Serialize, Deserialize)]
struct Election {
    topic: String,
    until: Timestamp,
}

impl Election {
    fn new(topic: &Topic, until: Timestamp) -> Self {
        let topic = match topic {
            Topic::Model(name) => format!("MODEL#{name}"),
            Topic::Queue(name) => format!("QUEUE#{name}"),
        };
        Self { topic, until }
    }
}

impl Entity for Election {
    const KIND: &'static str = "election";

    fn key(&self) -> Key {
        Key::new(format!("WAKE#{}", self.topic), "ASKER")
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::testing::{CountingWake, ManualClock, MemoryStore, UnavailableStore};

    fn topic(name: &str) -> Topic {
        Topic::Model(name.parse().unwrap())
    }

    /// Processes, each with a `Wake` of its own over one store.
    struct World {
        clock: Arc<ManualClock>,
        store: Arc<dyn StateStore>,
        woken: Arc<CountingWake>,
    }

    impl World {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::default());
            let store = Arc::new(MemoryStore::new(clock.clone()));
            Self { clock, store, woken: Arc::default() }
        }

        fn process(&self) -> ElectedWake {
            ElectedWake::new(self.woken.clone(), self.store.clone(), self.clock.clone())
        }
    }

    #[test]
    fn a_herd_wakes_a_topic_once() {
        let world = World::new();
        let herd = (0..200).map(|_| {
            let process = world.process();
            std::thread::spawn(move || block_on(process.wake(&topic("demo"))))
        });
        for process in herd.collect::<Vec<_>>() {
            process.join().unwrap().unwrap();
        }
        assert_eq!(world.woken.count(), 1);
    }

    #[test]
    fn after_the_term_somebody_else_asks() {
        let world = World::new();
        block_on(world.process().wake(&topic("demo"))).unwrap();
        world.clock.advance(ElectedWake::TERM.saturating_sub(Duration::from_millis(1)));
        block_on(world.process().wake(&topic("demo"))).unwrap();
        assert_eq!(world.woken.count(), 1);
        world.clock.advance(Duration::from_millis(1));
        block_on(world.process().wake(&topic("demo"))).unwrap();
        assert_eq!(world.woken.count(), 2);
    }

    #[test]
    fn without_a_store_everybody_asks() {
        let world = World { store: Arc::new(UnavailableStore), ..World::new() };
        for _ in 0..3 {
            block_on(world.process().wake(&topic("demo"))).unwrap();
        }
        assert_eq!(world.woken.count(), 3);
    }
}
