use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::civil::Date;

use super::noted::Noted;
use super::record::{Delta, UsageId};
use crate::Timestamp;
use crate::days::day_of;
use crate::gateway::ProviderName;
use crate::keys::KeyId;
use crate::name::ModelName;
use crate::tenancy::{Principal, ProjectId};

/// How many models of providers are told apart a day and key. Callers choose their names, which
/// must not grow into ever more records.
pub(super) const MOST_NAMES: usize = 100;
/// How many sums are kept that are not written yet.
pub(super) const MOST_SUMS: usize = 20_000;
/// What the rest is called.
const OTHERS: &str = "others";

/// What was noted and is not written yet.
///
/// The maps are nested so that a request is added without a copy of a name.
#[derive(Debug, Default)]
pub(super) struct Pages {
    keys: HashMap<KeyId, OfKey>,
    /// The sums of all keys.
    sums: usize,
    /// Those that are being written. They no longer change, as some may be in the store already.
    sealed: BTreeMap<UsageId, Sealed>,
    page: u64,
}

#[derive(Debug)]
struct OfKey {
    project: ProjectId,
    subject: String,
    /// The models of providers that have been told apart on `day`.
    names: HashSet<ModelName>,
    day: Date,
    models: BTreeMap<ModelName, Vec<Sum>>,
}

#[derive(Debug)]
struct Sum {
    day: Date,
    route: Option<ModelName>,
    delta: Delta,
}

/// What is being written of one record.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    /// Tells it from what the same writer wrote before.
    pub(super) page: u64,
    pub(super) delta: Delta,
}

impl Pages {
    pub(super) fn note(&mut self, noted: &Noted<'_>, now: Timestamp) {
        let day = day_of(now);
        let by = noted.by;
        if !self.keys.contains_key(&by.key) {
            self.keys.insert(by.key.clone(), OfKey::new(by, day));
        }
        let Some(of_key) = self.keys.get_mut(&by.key) else { return };
        if of_key.add(noted.model, noted.route, noted, day, now) {
            return;
        }
        let (mut model, mut route) = (of_key.told_apart(noted, day), noted.route);
        if self.sums + self.sealed.len() >= MOST_SUMS {
            (model, route) = (OTHERS.parse().unwrap_or(model), None);
        }
        if !of_key.add(&model, route, noted, day, now) {
            let delta = Delta {
                subject: of_key.subject.clone(),
                counts: noted.counts,
                price_version: noted.price.cloned(),
                at: now,
            };
            let sum = Sum { day, route: route.cloned(), delta };
            of_key.models.entry(model).or_default().push(sum);
            self.sums += 1;
        }
    }

    /// Seals what was noted, except for records that are being written.
    pub(super) fn seal(&mut self, now: Timestamp) {
        self.page += 1;
        self.sums = 0;
        let (page, today) = (self.page, day_of(now));
        for (key, of_key) in &mut self.keys {
            for (model, sums) in std::mem::take(&mut of_key.models) {
                for sum in sums {
                    let id = UsageId {
                        day: sum.day,
                        project: of_key.project.clone(),
                        key: key.clone(),
                        model: model.clone(),
                        route: sum.route.clone(),
                    };
                    match self.sealed.entry(id) {
                        Entry::Occupied(_) => {
                            self.sums += 1;
                            of_key.models.entry(model.clone()).or_default().push(sum);
                        }
                        Entry::Vacant(free) => {
                            free.insert(Sealed { page, delta: sum.delta });
                        }
                    }
                }
            }
        }
        self.keys.retain(|_, of_key| {
            !of_key.models.is_empty() || (of_key.day >= today && !of_key.names.is_empty())
        });
    }

    pub(super) fn sealed(&self) -> Vec<(UsageId, Sealed)> {
        self.sealed.iter().map(|(id, sealed)| (id.clone(), sealed.clone())).collect()
    }

    /// Forgets what was written.
    pub(super) fn written(&mut self, id: &UsageId) {
        self.sealed.remove(id);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sums + self.sealed.len()
    }
}

impl OfKey {
    fn new(by: &Principal, day: Date) -> Self {
        Self {
            project: by.project.clone(),
            subject: by.subject.to_string(),
            names: HashSet::new(),
            day,
            models: BTreeMap::new(),
        }
    }

    /// Adds to a sum, if it exists.
    fn add(
        &mut self,
        model: &ModelName,
        route: Option<&ModelName>,
        noted: &Noted<'_>,
        day: Date,
        now: Timestamp,
    ) -> bool {
        let sums = self.models.get_mut(model);
        let sum = sums.and_then(|sums| {
            sums.iter_mut().find(|sum| sum.day == day && sum.route.as_ref() == route)
        });
        let Some(Sum { delta, .. }) = sum else { return false };
        delta.counts.add(&noted.counts);
        if let Some(price) = noted.price.filter(|price| delta.price_version.as_ref() != Some(price))
        {
            delta.price_version = Some(price.clone());
        }
        delta.at = delta.at.max(now);
        true
    }

    /// The name that a model is counted by.
    fn told_apart(&mut self, noted: &Noted<'_>, day: Date) -> ModelName {
        let model = noted.model;
        let Some(provider) = noted.provider else { return model.clone() };
        if day > self.day {
            self.day = day;
            self.names.clear();
        }
        if self.names.contains(model) {
            return model.clone();
        }
        if self.names.len() >= MOST_NAMES {
            return others_of(provider).unwrap_or_else(|| model.clone());
        }
        self.names.insert(model.clone());
        model.clone()
    }
}

fn others_of(provider: &ProviderName) -> Option<ModelName> {
    format!("{provider}/{OTHERS}").parse().ok()
}
