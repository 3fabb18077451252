//! The prompts that are in use, at hand: a request for one of them reads nothing of the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::error::PromptError;
use super::names::{PromptRef, PromptSlug, Selector};
use super::record::{Prompt, PromptStatus, PromptVersion};
use super::service::load_version;
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

/// A version to be rendered.
#[derive(Clone, Debug)]
pub struct ServedPrompt {
    pub version: Arc<PromptVersion>,
    /// How old what is known of the prompt is, where the store could not be asked.
    pub stale: Option<Duration>,
}

/// What is known of one prompt.
struct Known {
    prompt: Prompt,
    versions: HashMap<u32, Arc<PromptVersion>>,
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
    /// # Errors
    /// [`PromptError::NotFound`] and its like; [`PromptError::Store`] where the store is away and
    /// nothing is known, or nothing newer than [`LONGEST_OUTAGE`].
    pub async fn find(
        &self,
        project: &ProjectId,
        wanted: &PromptRef,
    ) -> Result<ServedPrompt, PromptError> {
        let name = (project.clone(), wanted.slug.clone());
        let now = self.clock.now();
        if let Some(known) = self.known().get_mut(&name) {
            known.used_at = now;
        }
        if let Some(found) = self.at_hand(&name, &wanted.version, now) {
            return found;
        }
        match self.read(&name, &wanted.version, now).await {
            Ok(version) => Ok(ServedPrompt { version, stale: None }),
            Err(PromptError::Store(error)) => self.last_known(&name, &wanted.version, now, error),
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
                if index > 0 && self.at_hand(&name, &version, now).is_some() {
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

    /// What is known and new enough.
    fn at_hand(
        &self,
        name: &Name,
        version: &Selector,
        now: Timestamp,
    ) -> Option<Result<ServedPrompt, PromptError>> {
        let mut prompts = self.known();
        let known = prompts.get_mut(name)?;
        if known.is_outdated || since(known.read_at, now) > MOST_LAG {
            return None;
        }
        let number = match known.number_of(version) {
            Ok(number) => number,
            Err(error) => return Some(Err(error)),
        };
        let found = known.versions.get(&number)?.clone();
        known.led_to.insert(version.clone(), number);
        Some(Ok(ServedPrompt { version: found, stale: None }))
    }

    /// Looks at the store.
    async fn read(
        &self,
        name: &Name,
        version: &Selector,
        now: Timestamp,
    ) -> Result<Arc<PromptVersion>, PromptError> {
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
        let number = number_of(&prompt, version);
        let known = match &number {
            Ok(number) => self.known().get(name).and_then(|known| known.version(&prompt, *number)),
            Err(_) => None,
        };
        let read = match (number, known) {
            (Ok(number), None) => match load_version(&*self.store, &prompt, number).await {
                Ok(version) => Ok(Arc::new(version)),
                // What the label led to before is better than nothing.
                Err(PromptError::Store(error)) => return Err(self.failed(name, now, error)),
                Err(error) => Err(error),
            },
            (Ok(_), Some(version)) => Ok(version),
            (Err(error), _) => Err(error),
        };
        self.note(name, prompt, version, read.as_ref().ok(), now);
        read
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
        version: Option<&Arc<PromptVersion>>,
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
        if let Some(version) = version {
            if known.versions.len() >= MOST_VERSIONS {
                let in_use: Vec<u32> = known.led_to.values().copied().collect();
                known.versions.retain(|number, _| in_use.contains(number));
            }
            if known.led_to.len() >= MOST_VERSIONS {
                known.led_to.clear();
            }
            known.versions.insert(version.number, version.clone());
            known.led_to.insert(selector.clone(), version.number);
        } else {
            known.led_to.remove(selector);
        }
    }

    /// What a selector led to before the store went away.
    fn last_known(
        &self,
        name: &Name,
        version: &Selector,
        now: Timestamp,
        error: StoreError,
    ) -> Result<ServedPrompt, PromptError> {
        let prompts = self.known();
        let Some(known) = prompts.get(name) else { return Err(error.into()) };
        let age = since(known.read_at, now);
        let number = known.led_to.get(version).copied();
        let number = number.or_else(|| known.number_of(version).ok());
        let found = number.and_then(|number| known.versions.get(&number));
        match found {
            Some(version) if age <= LONGEST_OUTAGE => {
                Ok(ServedPrompt { version: version.clone(), stale: Some(age) })
            }
            _ => Err(error.into()),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Name, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn number_of(&self, version: &Selector) -> Result<u32, PromptError> {
        number_of(&self.prompt, version)
    }

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
