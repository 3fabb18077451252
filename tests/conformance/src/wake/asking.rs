//! Wake-ups that arrive. Some may be merged, so that none is counted.

use std::time::Duration;

use super::{Fixture, topic};

/// The receiver is asked for the very topic.
pub async fn receiver_is_told_the_topic(f: &Fixture) {
    assert_eq!(f.topics(), []);
    f.wake.wake(&topic("org/model:8b")).await.unwrap();
    assert_eq!(f.topics(), [topic("org/model:8b")]);
}

/// A wake-up of one topic is not merged with that of another.
pub async fn topics_are_apart(f: &Fixture) {
    for name in ["one", "two", "one", "three"] {
        f.wake.wake(&topic(name)).await.unwrap();
    }
    assert_eq!(f.topics(), ["one", "three", "two"].map(topic));
}

/// Repeated wake-ups arrive once at least, and none is an error.
pub async fn repeated_wake_ups_arrive(f: &Fixture) {
    for _ in 0..5 {
        f.wake.wake(&topic("one")).await.unwrap();
    }
    assert_eq!(f.topics(), [topic("one")]);
}

/// The same of those that are sent at once.
pub async fn concurrent_wake_ups_arrive(f: &Fixture) {
    let herd = (0..50).map(|number| {
        let (wake, name) = (f.wake.clone(), if number % 2 == 0 { "one" } else { "two" });
        tokio::spawn(async move { wake.wake(&topic(name)).await })
    });
    for asked in herd.collect::<Vec<_>>() {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(f.topics(), ["one", "two"].map(topic));
}

/// The call returns though nobody looks.
pub async fn nobody_waits_for_the_look(f: &Fixture) {
    let asked = async {
        for number in 0..100 {
            f.wake.wake(&topic(&format!("model-{number}"))).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.expect("it waits for nobody");
    assert_eq!(f.topics().len(), 100);
}
