//! A table of version 0.1.0, read and written by this version through any store.

pub mod reading;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use diogenes_core::Timestamp;
use diogenes_core::fleet::{Registry, Slot, read_view};
use diogenes_core::keys::{KeyError, Keys};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Bound, Clock as _, Expect, IndexKey, Key, StateStore, Write};
use diogenes_core::testing::{CountingWake, ManualClock, SeededEntropy};
use serde_json::Value;

/// Shortly after the records were written.
const THEN: &str = "2026-11-26T18:13:00Z";
/// Separates the parts of an index key.
const UNIT_SEPARATOR: char = '\u{1f}';

/// A store with the records, for one check.
pub struct Fixture {
    store: Arc<dyn StateStore>,
    clock: Arc<ManualClock>,
    registry: Registry,
    keys: Keys,
    plain: Value,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A store that holds the [`items`] for its clock.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<ManualClock>) -> Self {
        let wake = Arc::new(CountingWake::default());
        Self {
            registry: Registry::new(store.clone(), clock.clone(), wake),
            keys: Keys::new(store.clone(), clock.clone(), Arc::new(SeededEntropy::new(1))),
            plain: serde_json::from_str(include_str!("../../../fixtures/0.1.0/keys.json")).unwrap(),
            store,
            clock,
            _keep: Box::new(()),
        }
    }

    /// Writes the records into an empty store.
    pub async fn replayed(store: Arc<dyn StateStore>, clock: Arc<ManualClock>) -> Self {
        for item in items(&clock) {
            let text = |name: &str| item[name].as_str().map(str::to_owned);
            let expires_at: Option<Timestamp> = text("expires").map(|end| end.parse().unwrap());
            let sort = text("sk").unwrap();
            if let Some(counters) = text("pk").unwrap().strip_prefix("COUNTER#") {
                let (key, value) = (Key::new(counters, sort), item["value"].as_i64().unwrap());
                store.add(&key, value, Bound::None, expires_at).await.unwrap();
                continue;
            }
            let index = text("ipk").zip(text("isk"));
            let write = Write::Put {
                key: Key::new(text("pk").unwrap(), sort),
                document: item["document"].clone(),
                index: index.map(|(partition, sort)| IndexKey { partition, sort }),
                expires_at,
                expect: Expect::Absent,
            };
            store.commit(&[write]).await.unwrap();
        }
        Self::new(store, clock)
    }

    /// Keeps what the store stands on until the check ends.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        Self { _keep: Box::new(what), ..self }
    }

    /// Whose key it is.
    async fn verify(&self, key: &str) -> Result<String, KeyError> {
        let plain = self.plain[key].as_str().unwrap().parse().unwrap();
        self.keys.verify(&plain).await.map(|key| key.email)
    }

    /// The only slot of a model.
    async fn slot_of(&self, model: &str) -> Slot {
        let view = read_view(&*self.store, &name(model)).await.unwrap().unwrap();
        view.slots.into_iter().next().unwrap()
    }

    /// A time of the fixture.
    fn at(&self, then: &str) -> Timestamp {
        then.parse::<Timestamp>().unwrap() + (self.clock.now() - timestamp(THEN))
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

/// The items of the table, with their times moved as if they had been written shortly before
/// `clock`, which is set to the beginning of a minute, where windows begin. They cannot keep their
/// own times: an emulator deletes by the clock of the world.
pub fn items(clock: &ManualClock) -> Vec<Value> {
    let now = clock.now().as_second();
    let now = Timestamp::from_second(now - now.rem_euclid(60)).unwrap();
    clock.set(now);
    let minutes = (now.as_second() - timestamp(THEN).as_second()) / 60;
    let table = include_str!("../../../fixtures/0.1.0/table.json");
    let mut items: Vec<Value> = serde_json::from_str(table).unwrap();
    for item in &mut items {
        shift(item, minutes);
    }
    items
}

fn shift(value: &mut Value, minutes: i64) {
    match value {
        Value::String(text) => {
            let parts = text.split(UNIT_SEPARATOR).map(|part| shifted(part, minutes));
            *text = parts.collect::<Vec<_>>().join(&UNIT_SEPARATOR.to_string());
        }
        Value::Array(values) => values.iter_mut().for_each(|value| shift(value, minutes)),
        Value::Object(fields) => fields.values_mut().for_each(|value| shift(value, minutes)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A time, or the number of the minute in which a limit counts.
fn shifted(text: &str, minutes: i64) -> String {
    if let Ok(time) = text.parse::<Timestamp>() {
        let seconds = time.as_second() + 60 * minutes;
        return Timestamp::new(seconds, time.subsec_nanosecond()).unwrap().to_string();
    }
    let window = text.split_once('#').filter(|(kind, _)| ["REQUESTS", "TOKENS"].contains(kind));
    match window.and_then(|(kind, minute)| Some((kind, minute.parse::<i64>().ok()?))) {
        Some((kind, minute)) => format!("{kind}#{}", minute + minutes),
        None => text.to_owned(),
    }
}

fn timestamp(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}
