use std::collections::BTreeMap;

use super::list::{ModelPrices, PriceList, ProviderPrices};
use super::{Price, PriceEntry};
use crate::Timestamp;

/// How long the text may be that says where prices are from.
const LONGEST_SOURCE: usize = 200;

/// A price that a newer list brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceChange {
    pub provider: String,
    /// The patterns of the models.
    pub models: Vec<String>,
    /// Whether they had no entry of their own before.
    pub is_new: bool,
    /// Their price before and after, as of the day of the change; none if they had or have none.
    pub before: Option<Price>,
    pub after: Option<Price>,
}

impl PriceList {
    /// This list with a newer one before it: an entry of the newer one takes the place of that with
    /// the same patterns, and goes before all others of its provider. What only this list has,
    /// stays. Without a change it is this list.
    #[must_use]
    pub fn with_newer(mut self, newer: Self, now: Timestamp) -> (Self, Vec<PriceChange>) {
        let (mut providers, mut changes) = (BTreeMap::new(), Vec::new());
        for (name, section) in newer.providers {
            let old = self.providers.remove(&name).unwrap_or_default();
            let merged = old.with_newer(section, |before, after| {
                changes.push(change(&name, before, after, now));
            });
            providers.insert(name, merged);
        }
        providers.append(&mut self.providers);
        if changes.is_empty() {
            return (Self::new(self.source, self.date, providers), changes);
        }
        let both = format!("{}, {}", newer.source, self.source);
        let source = if self.source.contains(&newer.source) {
            self.source
        } else if both.len() <= LONGEST_SOURCE {
            both
        } else {
            newer.source
        };
        (Self::new(source, newer.date, providers), changes)
    }
}

impl ProviderPrices {
    fn with_newer(
        mut self,
        newer: Self,
        mut note: impl FnMut(Option<&ModelPrices>, &ModelPrices),
    ) -> Self {
        for entry in &newer.models {
            let standing = self.models.iter().position(|old| old.is_for_the_same(entry));
            let standing = standing.map(|place| self.models.remove(place));
            if standing.as_ref() != Some(entry) {
                note(standing.as_ref(), entry);
            }
        }
        let hosts = if newer.hosts.is_empty() { self.hosts } else { newer.hosts };
        let mut fallback = newer.fallback;
        self.fallback.retain(|other| !fallback.contains(other));
        fallback.append(&mut self.fallback);
        let mut models = newer.models;
        models.append(&mut self.models);
        Self { hosts, fallback, models }
    }
}

fn change(
    provider: &str,
    before: Option<&ModelPrices>,
    after: &ModelPrices,
    now: Timestamp,
) -> PriceChange {
    let price = |entry: &ModelPrices| PriceEntry::of(provider, entry, now).price.cloned();
    PriceChange {
        provider: provider.to_owned(),
        models: after.patterns().map(str::to_owned).collect(),
        is_new: before.is_none(),
        before: before.and_then(price),
        after: price(after),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn list(source: &str, providers: &Value) -> PriceList {
        let list = json!({"source": source, "date": "2026-11-27", "providers": providers});
        PriceList::parse(&serde_json::to_vec(&list).unwrap()).unwrap()
    }

    fn model(name: &str, input: &str) -> Value {
        json!({"match": [name], "price": {"input": input, "output": "1"}})
    }

    #[test]
    fn newer_prices_go_first_and_others_stay() {
        let old = list(
            "our contract",
            &json!({
                "openai": {"hosts": ["api.openai.com"], "models": [model("a*", "1.00"), model("b", "2.00")]},
                "mine": {"models": [model("m", "3.00")]},
            }),
        );
        let newer = list(
            "list",
            &json!({
                "openai": {"models": [model("a1", "4.00"), model("b", "5.00")]},
                "other": {"models": [model("o", "6.00")]},
            }),
        );
        let (merged, changes) = old.with_newer(newer.clone(), Timestamp::UNIX_EPOCH);
        let told = |change: &PriceChange| {
            let input = |price: &Price| price.base().input.get() / 1_000_000_000;
            let before = change.before.as_ref().map(input);
            let after = change.after.as_ref().map(input);
            (change.provider.clone(), change.models.join(","), before, after)
        };
        assert_eq!(
            changes.iter().map(told).collect::<Vec<_>>(),
            [
                ("openai".into(), "a1".into(), None, Some(4)),
                ("openai".into(), "b".into(), Some(2), Some(5)),
                ("other".into(), "o".into(), None, Some(6)),
            ]
        );
        let written = serde_json::to_value(&merged).unwrap();
        assert_eq!(written["source"], "list, our contract");
        assert_eq!(written["providers"]["openai"]["hosts"], json!(["api.openai.com"]));
        let names = written["providers"]["openai"]["models"].as_array().unwrap();
        let names: Vec<_> = names.iter().map(|model| model["match"][0].clone()).collect();
        assert_eq!(names, ["a1", "b", "a*"]);
        assert!(written["providers"]["mine"].is_object());
        // The same once more changes nothing.
        let (again, changes) = merged.clone().with_newer(newer, Timestamp::UNIX_EPOCH);
        assert_eq!((again, changes), (merged, Vec::new()));
    }
}
