//! What this process has seen of the requests under deployments.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::lock::Mutex as Turn;

use super::facts::{BadUnit, Measures, Metric, UnitCounts};
use super::outcome::Outcome;
use super::record::{DeploymentId, OpenDeployment};
use crate::entity::{Entity, StoreExt};
use crate::ports::{Clock, Expect, StateStore, StoreError};
use crate::prompts::{Assignment, Side, Unit};
use crate::tenancy::ProjectId;

/// The most units of a deployment that are told apart; those beyond are not counted.
const MOST_UNITS: usize = 200_000;
/// The most bad units that wait to be written; those beyond are not counted.
const MOST_WAITING: usize = 10_000;

/// Adds up what requests under deployments came to, and writes it now and then. Bad units are written
/// one by one, each once.
pub struct TrialBook {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    /// The name of this process among those that measure.
    by: String,
    /// One writes at a time, so that nothing older is written over what is newer.
    turn: Turn<()>,
    trials: Mutex<HashMap<DeploymentId, Trial>>,
}

struct Trial {
    measures: Measures,
    /// Whether what an earlier process of this name has written is part of it.
    is_resumed: bool,
    has_changed: bool,
    /// The share during which `units` were seen.
    epoch: u32,
    units: HashSet<Unit>,
    known_bad: HashSet<(Metric, Unit)>,
    waiting: VecDeque<BadUnit>,
}

impl TrialBook {
    /// An empty one over this store.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>, by: impl Into<String>) -> Self {
        let (turn, trials) = (Turn::new(()), Mutex::default());
        Self { store, clock, by: by.into(), turn, trials }
    }

    /// Takes note of a request; whether it has made a unit bad that was not.
    pub fn note(&self, project: &ProjectId, at: &Assignment, outcome: &Outcome) -> bool {
        let now = self.clock.now();
        let mut trials = self.trials();
        let trial = trials.entry(at.deployment.clone()).or_insert_with(|| {
            let (project, id) = (project.clone(), at.deployment.clone());
            Trial::new(Measures::none(project, id, self.by.clone(), now))
        });
        trial.has_changed = true;
        trial.measures.at = now;
        let side = match at.side {
            Side::Live => &mut trial.measures.live,
            Side::Candidate => &mut trial.measures.candidate,
        };
        side.add(outcome);
        trial.see(at);
        let mut is_news = false;
        for metric in Metric::ALL {
            if outcome.is_bad(metric, at.slow_above)
                && trial.waiting.len() < MOST_WAITING
                && trial.known_bad.insert((metric, at.unit))
            {
                is_news = true;
                trial.waiting.push_back(BadUnit {
                    project: project.clone(),
                    deployment: at.deployment.clone(),
                    metric,
                    unit: at.unit,
                    epoch: at.epoch,
                    side: at.side,
                    at: now,
                });
            }
        }
        is_news
    }

    /// Writes what is new. What cannot be written is tried again the next time.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let ids: Vec<_> = self.trials().keys().cloned().collect();
        for id in ids {
            self.write_bad_units(&id).await?;
            self.resume(&id).await?;
            let changed = self.trials().get_mut(&id).and_then(|trial| {
                std::mem::take(&mut trial.has_changed).then(|| trial.measures.clone())
            });
            if let Some(measures) = changed
                && let Err(error) = self.store.commit(&[measures.put(Expect::Any)?]).await
            {
                if let Some(trial) = self.trials().get_mut(&id) {
                    trial.has_changed = true;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Forgets what is not under way any more, once it is written.
    pub fn forget_all_but(&self, open: &[OpenDeployment]) {
        let is_open = |id: &DeploymentId| open.iter().any(|open| open.deployment == *id);
        let is_written = |trial: &Trial| !trial.has_changed && trial.waiting.is_empty();
        self.trials().retain(|id, trial| is_open(id) || !is_written(trial));
    }

    async fn write_bad_units(&self, id: &DeploymentId) -> Result<(), StoreError> {
        loop {
            let next = self.trials().get(id).and_then(|trial| trial.waiting.front().cloned());
            let Some(bad) = next else { return Ok(()) };
            // If it conflicts, the unit was bad already.
            self.store.committed(&bad.writes()?).await?;
            if let Some(trial) = self.trials().get_mut(id) {
                trial.waiting.pop_front();
            }
        }
    }

    /// Adds what this process had measured before it was started anew.
    async fn resume(&self, id: &DeploymentId) -> Result<(), StoreError> {
        let project = self
            .trials()
            .get(id)
            .filter(|trial| !trial.is_resumed)
            .map(|trial| trial.measures.project.clone());
        let Some(project) = project else { return Ok(()) };
        let key = Measures::key_of(&project, id, &self.by);
        let earlier = self.store.load::<Measures>(&key).await?;
        if let Some(trial) = self.trials().get_mut(id) {
            trial.is_resumed = true;
            if let Some(earlier) = earlier {
                trial.goes_on_from(earlier.value);
            }
        }
        Ok(())
    }

    fn trials(&self) -> MutexGuard<'_, HashMap<DeploymentId, Trial>> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trial {
    fn new(measures: Measures) -> Self {
        Self {
            measures,
            is_resumed: false,
            has_changed: false,
            epoch: 0,
            units: HashSet::new(),
            known_bad: HashSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Counts the unit if it is seen for the first time since the candidate has its share.
    fn see(&mut self, at: &Assignment) {
        if at.epoch > self.epoch {
            self.epoch = at.epoch;
            self.units.clear();
        }
        let is_new =
            at.epoch == self.epoch && self.units.len() < MOST_UNITS && self.units.insert(at.unit);
        let place = usize::try_from(at.epoch).unwrap_or(usize::MAX);
        if !is_new || place > 1000 {
            return;
        }
        if self.measures.units.len() <= place {
            self.measures.units.resize(place + 1, UnitCounts::default());
        }
        if let Some(counts) = self.measures.units.get_mut(place) {
            match at.side {
                Side::Live => counts.live += 1,
                Side::Candidate => counts.candidate += 1,
            }
        }
    }

    /// Which units were seen is not kept, so that those of the present share are counted anew.
    fn goes_on_from(&mut self, earlier: Measures) {
        let now = std::mem::replace(&mut self.measures, earlier);
        self.measures.at = now.at;
        self.measures.live.merge(&now.live);
        self.measures.candidate.merge(&now.candidate);
        for (place, counts) in now.units.into_iter().enumerate() {
            match self.measures.units.get_mut(place) {
                Some(_) if counts == UnitCounts::default() => {}
                Some(standing) => *standing = counts,
                None => self.measures.units.push(counts),
            }
        }
    }
}
