//! The prompts that are in use, at hand: a request for one of them reads nothing of the store.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::PromptError;
use super::names::{PromptRef, PromptSlug, Selector};
use super::record::{Prompt, PromptStatus, PromptVersion};
use super::service::load_version;
use super::split::Assignment;
use crate::Timestamp;
use crate::entity::StoreExt;
use crate::fleet::eta::since;
use crate::ports::{Clock, StateStore, StoreError};
use crate::tenancy::ProjectId;

/// How old what is known of a prompt may be before a request looks at the store: so late a moved
/// label is followed at most.
pub const MOST_LAG: Duration = Duration::from_secs(5);
/// How long the last known version is served while the store is away.
pub const LONGEST_OUTAGE: Duration = Duration::from_hours(24);

/// How long after a failed look the store is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// How long after its last request a prompt is kept up to date.
const IN_USE: Duration = Duration::from_mins(5);
/// The most prompts that are known at once.
const MOST: usize = 1000;
/// The most versions of one prompt that are known at once.
const MOST_VERSIONS: usize = 20;

/// Knows prompts that requests have named.
pub struct PromptShelf {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<Name, Known>>,
}

type Name = (ProjectId, PromptSlug);
type Versions = HashMap<u32, Arc<PromptVersion>>;

/// A version to be rendered.
#[derive(Clone, Debug)]
pub struct ServedPrompt {
    pub version: Arc<PromptVersion>,
    /// Where the request stands, if a deployment of the prompt is under way.
    pub assignment: Option<Assignment>,
    /// How old what is known of the prompt is, where the store could not be asked.
    pub stale: Option<Duration>,
}

/// What is known of one prompt.
struct Known {
    prompt: Prompt,
    versions: Versions,
    /// What each selector led to last.
    led_to: HashMap<Selector, u32>,
    /// When the store told.
    read_at: Timestamp,
    /// Whether it has changed since, as somebody says.
    is_outdated: bool,
    /// When the store did not answer last.
    failed_at: Option<Timestamp>,
    used_at: Timestamp,
}

impl PromptShelf {
    /// An empty one over this store.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, known: Mutex::default() }
    }

    /// The version that a request means. While the store is away: the one that it meant last.
    ///
    /// `unit` names for whom the request is; it is asked only where a deployment is under way.
    ///
    /// # Errors
    /// [`PromptError::NotFound`] and its like; [`PromptError::Store`] where the store is away and
    /// nothing is known, or nothing newer than [`LONGEST_OUTAGE`].
    pub async fn find(
        &self,
        project: &ProjectId,
        wanted: &PromptRef,
        unit: &(dyn Fn() -> String + Sync),
    ) -> Result<ServedPrompt, PromptError> {
        let name = (project.clone(), wanted.slug.clone());
        let now = self.clock.now();
        let unit = LazyLock::new(unit);
        if self.is_split(&name, &wanted.version, now) {
            // It may read a large body, which is not to be done while others wait for what is known.
            LazyLock::force(&unit);
        }
        let unit = &|| unit.clone();
        if let Some(found) = self.at_hand(&name, &wanted.version, unit, now) {
            return found;
        }
        match self.read(&name, &wanted.version, now).await {
            Ok((prompt, versions)) => {
                let served = served(&prompt, &versions, &wanted.version, unit);
                served.unwrap_or_else(|| {
                    let missing =
                        PromptError::missing(&prompt.slug, &wanted.version, prompt.latest);
                    Err(missing)
                })
            }
            Err(PromptError::Store(error)) => {
                self.last_known(&name, &wanted.version, unit, now, error)
            }
            Err(error) => Err(error),
        }
    }

    /// Looks at every prompt that was asked for lately. What the store does not tell stays as it was.
    ///
    /// # Errors
    /// The store is away.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut due = Vec::new();
        self.known().retain(|name, known| {
            let is_in_use = since(known.used_at, now) < IN_USE;
            if is_in_use {
                let versions: Vec<_> = known.led_to.keys().cloned().collect();
                due.push((name.clone(), versions));
            }
            is_in_use || since(known.read_at, now) < LONGEST_OUTAGE
        });
        for (name, versions) in due {
            for (index, version) in versions.into_iter().enumerate() {
                // One look at the prompt shows where all its labels are.
                if index > 0 && self.at_hand(&name, &version, &String::new, now).is_some() {
                    continue;
                }
                // Of anything else the next request hears.
                if let Err(PromptError::Store(error)) = self.read(&name, &version, now).await {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Somebody has changed this prompt: the next request for it looks at the store.
    pub fn changed(&self, project: &ProjectId, slug: &PromptSlug) {
        if let Some(known) = self.known().get_mut(&(project.clone(), slug.clone())) {
            known.is_outdated = true;
            known.failed_at = None;
        }
    }

    /// Notes that a prompt is in use; whether a deployment of what the selector means is under way.
    fn is_split(&self, name: &Name, version: &Selector, now: Timestamp) -> bool {
        let mut prompts = self.known();
        let Some(known) = prompts.get_mut(name) else { return false };
        known.used_at = now;
        known.prompt.split_of(version).is_some()
    }

    /// What is known and new enough.
    fn at_hand(
        &self,
        name: &Name,
        version: &Selector,
        unit: &dyn Fn() -> String,
        now: Timestamp,
    ) -> Option<Result<ServedPrompt, PromptError>> {
        let mut prompts = self.known();
        let known = prompts.get_mut(name)?;
        if known.is_outdated || since(known.read_at, now) > MOST_LAG {
            return None;
        }
        let number = match number_of(&known.prompt, version) {
            Ok(number) => number,
            Err(error) => return Some(Err(error)),
        };
        let found = served(&known.prompt, &known.versions, version, unit)?;
        known.led_to.insert(version.clone(), number);
        Some(found)
    }

    /// Looks at the store, and returns the prompt with every version that the selector can mean.
    async fn read(
        &self,
        name: &Name,
        version: &Selector,
        now: Timestamp,
    ) -> Result<(Prompt, Versions), PromptError> {
        let failed_lately =
            |known: &Known| known.failed_at.is_some_and(|failed| since(failed, now) < PAUSE);
        if self.known().get(name).is_some_and(failed_lately) {
            return Err(StoreError::Unavailable {
                reason: "it did not answer a moment ago".into(),
                source: None,
            }
            .into());
        }
        let (project, slug) = name;
        let stored = self.store.load::<Prompt>(&Prompt::key_of(project, slug)).await;
        let prompt = match stored {
            Ok(Some(stored)) => stored.value,
            Ok(None) => {
                self.known().remove(name);
                return Err(PromptError::NotFound(slug.to_string()));
            }
            Err(error) => return Err(self.failed(name, now, error)),
        };
        let versions = match number_of(&prompt, version) {
            Ok(_) => self.versions_of(&prompt, name, version).await,
            Err(error) => Err(error),
        };
        let versions = match versions {
            // What the label led to before is better than nothing.
            Err(PromptError::Store(error)) => return Err(self.failed(name, now, error)),
            versions => versions,
        };
        self.note(name, prompt.clone(), version, versions.as_ref().ok(), now);
        Ok((prompt, versions?))
    }

    /// The versions that a selector can mean, read where they are not known.
    async fn versions_of(
        &self,
        prompt: &Prompt,
        name: &Name,
        version: &Selector,
    ) -> Result<Versions, PromptError> {
        let mut versions = Versions::new();
        for number in prompt.numbers_of(version) {
            let known = self.known().get(name).and_then(|known| known.version(prompt, number));
            let found = match known {
                Some(version) => version,
                None => Arc::new(load_version(&*self.store, prompt, number).await?),
            };
            versions.insert(number, found);
        }
        Ok(versions)
    }

    fn failed(&self, name: &Name, now: Timestamp, error: StoreError) -> PromptError {
        if let Some(known) = self.known().get_mut(name) {
            known.failed_at = Some(now);
        }
        error.into()
    }

    /// Remembers what the store told.
    fn note(
        &self,
        name: &Name,
        prompt: Prompt,
        selector: &Selector,
        versions: Option<&Versions>,
        now: Timestamp,
    ) {
        let mut prompts = self.known();
        if prompts.len() >= MOST && !prompts.contains_key(name) {
            let oldest = prompts.iter().min_by_key(|(_, known)| known.used_at);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                prompts.remove(&oldest);
            }
        }
        let known = prompts.entry(name.clone()).or_insert_with(|| Known {
            prompt: prompt.clone(),
            versions: HashMap::new(),
            led_to: HashMap::new(),
            read_at: now,
            is_outdated: false,
            failed_at: None,
            used_at: now,
        });
        if known.prompt.id != prompt.id {
            known.versions.clear();
            known.led_to.clear();
        }
        known.prompt = prompt;
        known.read_at = now;
        known.is_outdated = false;
        known.failed_at = None;
        let live = known.prompt.number_of(selector);
        if let Some((versions, live)) = versions.zip(live) {
            if known.versions.len() >= MOST_VERSIONS {
                let candidates = known.prompt.splits.values().map(|split| split.candidate);
                let in_use: Vec<u32> = known.led_to.values().copied().chain(candidates).collect();
                known.versions.retain(|number, _| in_use.contains(number));
            }
            if known.led_to.len() >= MOST_VERSIONS {
                known.led_to.clear();
            }
            let versions = versions.iter().map(|(number, version)| (*number, version.clone()));
            known.versions.extend(versions);
            known.led_to.insert(selector.clone(), live);
        } else {
            known.led_to.remove(selector);
        }
    }

    /// What a selector led to before the store went away.
    fn last_known(
        &self,
        name: &Name,
        version: &Selector,
        unit: &dyn Fn() -> String,
        now: Timestamp,
        error: StoreError,
    ) -> Result<ServedPrompt, PromptError> {
        let prompts = self.known();
        let Some(known) = prompts.get(name) else { return Err(error.into()) };
        let age = since(known.read_at, now);
        if age > LONGEST_OUTAGE {
            return Err(error.into());
        }
        let found = match served(&known.prompt, &known.versions, version, unit) {
            Some(Ok(found)) => found,
            _ => match known.led_to.get(version).and_then(|number| known.versions.get(number)) {
                Some(version) => {
                    ServedPrompt { version: version.clone(), assignment: None, stale: None }
                }
                None => return Err(error.into()),
            },
        };
        Ok(ServedPrompt { stale: Some(age), ..found })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Name, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// A version of this very prompt, if it is known.
    fn version(&self, prompt: &Prompt, number: u32) -> Option<Arc<PromptVersion>> {
        let is_same = self.prompt.id == prompt.id;
        self.versions.get(&number).filter(|_| is_same).cloned()
    }
}

fn number_of(prompt: &Prompt, version: &Selector) -> Result<u32, PromptError> {
    if prompt.status == PromptStatus::Archived {
        return Err(PromptError::Archived(prompt.slug.clone()));
    }
    let missing = || PromptError::missing(&prompt.slug, version, prompt.latest);
    prompt.number_of(version).ok_or_else(missing)
}

/// What a request gets of these versions; none where the one that it means is not among them.
fn served(
    prompt: &Prompt,
    versions: &Versions,
    version: &Selector,
    unit: &dyn Fn() -> String,
) -> Option<Result<ServedPrompt, PromptError>> {
    if let Err(error) = number_of(prompt, version) {
        return Some(Err(error));
    }
    let (number, assignment) = prompt.number_for(version, unit)?;
    let version = versions.get(&number)?.clone();
    Some(Ok(ServedPrompt { version, assignment, stale: None }))
}
