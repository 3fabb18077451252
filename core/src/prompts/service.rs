use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::content::PromptContent;
use super::diff::Comparison;
use super::error::{PromptError, PromptProblem};
use super::names::{Label, PromptId, PromptSlug, Selector};
use super::record::{Prompt, PromptPointer, PromptStatus, PromptVersion};
use super::render;
use super::update::{PromptUpdate, checked_update};
use crate::Timestamp;
use crate::audit::{Action, Actor, Change};
use crate::entity::{Entity, StoreExt, Stored};
use crate::ports::{Clock, Cursor, Entropy, Expect, StateStore, StoreError, Write};
use crate::tenancy::{Allowed, Principal, ProjectError, ProjectId, in_use, may, reached};

/// The longest text that says what is new, or why, in characters.
pub(super) const MAX_REASON: usize = 500;

/// Keeps prompts: pushes, shows, compares and changes them.
#[derive(Clone)]
pub struct Prompts {
    pub(super) store: Arc<dyn StateStore>,
    pub(super) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A version that is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewVersion {
    pub content: PromptContent,
    /// What is new in it.
    pub change_description: String,
    /// What is to be changed of the prompt itself.
    pub update: PromptUpdate,
    /// The newest version that the caller knows of, 0 for none: if there is a newer one, nothing is
    /// written.
    pub after: Option<u32>,
}

/// What came of a push.
#[derive(Clone, Debug, PartialEq)]
pub struct Pushed {
    pub prompt: Prompt,
    pub version: PromptVersion,
    /// Whether the version is new. If not, it says the same as what was pushed.
    pub is_new: bool,
    /// What is different from the version before it, if there is one.
    pub comparison: Option<Comparison>,
}

/// A page of versions.
#[derive(Clone, Debug)]
pub struct VersionPage {
    pub prompt: Prompt,
    /// Newest first.
    pub versions: Vec<PromptVersion>,
    pub next: Option<Cursor>,
}

impl Prompts {
    /// A service over these ports.
    pub fn new(
        store: Arc<dyn StateStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, clock, entropy }
    }

    /// Writes a new version of the prompt of this slug or id, unless the newest one says the same. The
    /// first one creates the prompt.
    /// Of two pushes at once both become versions, one after the other.
    pub async fn push(
        &self,
        by: &Allowed<may::PromptsWrite>,
        project: &ProjectId,
        name: &str,
        new: NewVersion,
    ) -> Result<Pushed, PromptError> {
        self.reaches(by, project).await?;
        let slug = &self.slug_of(project, name).await?;
        let project_stands = in_use(&*self.store, project).await?;
        PromptProblem::in_text("change_description", &new.change_description, MAX_REASON)?;
        if let Some(problem) = new.content.problem().or_else(|| render::problem(&new.content)) {
            return Err(problem.into());
        }
        checked_update(&new.update)?;
        loop {
            let now = self.clock.now();
            let stored = self.stored(project, slug).await?;
            let latest = stored.as_ref().map_or(0, |stored| stored.value.latest);
            if let Some(expected) = new.after.filter(|after| *after != latest) {
                let slug = slug.clone();
                return Err(match expected {
                    0 => PromptError::Exists(slug),
                    expected => PromptError::NotAfter { slug, expected, latest },
                });
            }
            let newest = match &stored {
                Some(stored) => Some(self.version_numbered(&stored.value, latest).await?),
                None => None,
            };
            let expect = stored.as_ref().map_or(Expect::Absent, Stored::unchanged);
            let mut prompt = match stored {
                Some(stored) if stored.value.status == PromptStatus::Archived => {
                    return Err(PromptError::Archived(slug.clone()));
                }
                Some(stored) => stored.value,
                None => self.created(by, project, slug, now),
            };
            let before = prompt.clone();
            new.update.apply(by, &mut prompt)?;
            if let Some(same) = newest.as_ref().filter(|newest| newest.content == new.content) {
                let version = same.clone();
                if prompt != before && !self.write(by, &mut prompt, expect, now, None).await? {
                    continue;
                }
                return Ok(Pushed { prompt, version, is_new: false, comparison: None });
            }
            let number = latest.checked_add(1).ok_or_else(|| StoreError::Invalid {
                reason: "a prompt has as many versions as there are numbers".into(),
            })?;
            prompt.latest = number;
            let version = PromptVersion {
                prompt: prompt.id.clone(),
                project: project.clone(),
                slug: slug.clone(),
                number,
                content: new.content.clone(),
                change_description: new.change_description.clone(),
                created_by: by.subject.to_string(),
                created_at: now,
            };
            let more = Push {
                version: &version,
                pointer: newest.is_none(),
                project: project_stands.clone(),
            };
            if self.write(by, &mut prompt, expect, now, Some(more)).await? {
                let comparison =
                    newest.map(|newest| Comparison::of(&newest.content, &version.content));
                return Ok(Pushed { prompt, version, is_new: true, comparison });
            }
        }
    }

    /// A prompt by its slug or its id.
    pub async fn get(
        &self,
        by: &Allowed<may::PromptsRead>,
        project: &ProjectId,
        name: &str,
    ) -> Result<Prompt, PromptError> {
        Ok(self.reached(by, project, name).await?.value)
    }

    /// One version of a prompt.
    pub async fn version(
        &self,
        by: &Allowed<may::PromptsRead>,
        project: &ProjectId,
        name: &str,
        version: &Selector,
    ) -> Result<(Prompt, PromptVersion), PromptError> {
        let prompt = self.reached(by, project, name).await?.value;
        let version = self.selected(&prompt, version).await?;
        Ok((prompt, version))
    }

    /// The versions of a prompt, newest first.
    pub async fn history(
        &self,
        by: &Allowed<may::PromptsRead>,
        project: &ProjectId,
        name: &str,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<VersionPage, PromptError> {
        let prompt = self.reached(by, project, name).await?.value;
        let mut query = PromptVersion::newest_first(&prompt);
        query.limit = limit;
        query.cursor = cursor;
        let (versions, next) = self.store.load_page::<PromptVersion>(&query).await?;
        let versions = versions.into_iter().map(|stored| stored.value).collect();
        Ok(VersionPage { prompt, versions, next })
    }

    /// Two versions of a prompt.
    pub async fn both(
        &self,
        by: &Allowed<may::PromptsRead>,
        project: &ProjectId,
        name: &str,
        from: &Selector,
        to: &Selector,
    ) -> Result<(PromptVersion, PromptVersion), PromptError> {
        let prompt = self.reached(by, project, name).await?.value;
        Ok((self.selected(&prompt, from).await?, self.selected(&prompt, to).await?))
    }

    /// Refuses a project that the principal does not reach.
    pub(super) async fn reaches(
        &self,
        by: &Principal,
        project: &ProjectId,
    ) -> Result<(), PromptError> {
        Ok(reached(&*self.store, by, project).await?)
    }

    /// The prompt of this slug or id, as it stands.
    pub(crate) async fn reached(
        &self,
        by: &Principal,
        project: &ProjectId,
        name: &str,
    ) -> Result<Stored<Prompt>, PromptError> {
        if !by.reaches(project) {
            return Err(ProjectError::NotFound(project.clone()).into());
        }
        let slug = self.slug_of(project, name).await?;
        let not_found = || PromptError::NotFound(slug.to_string());
        self.stored(project, &slug).await?.ok_or_else(not_found)
    }

    /// The slug that a caller means by a slug or an id.
    async fn slug_of(&self, project: &ProjectId, name: &str) -> Result<PromptSlug, PromptError> {
        let Some(id) = PromptId::from_caller(name) else {
            let wrong = |error| PromptProblem::new("prompt", format!("is not one: {error}"));
            return Ok(name.parse().map_err(wrong)?);
        };
        let key = PromptPointer::key_of(project, &id);
        let pointer = self.store.load::<PromptPointer>(&key).await?;
        Ok(pointer.ok_or_else(|| PromptError::NotFound(id.to_string()))?.value.slug)
    }

    async fn stored(
        &self,
        project: &ProjectId,
        slug: &PromptSlug,
    ) -> Result<Option<Stored<Prompt>>, StoreError> {
        self.store.load(&Prompt::key_of(project, slug)).await
    }

    /// The version that is meant.
    async fn selected(
        &self,
        prompt: &Prompt,
        version: &Selector,
    ) -> Result<PromptVersion, PromptError> {
        let number = prompt.number_of(version);
        let missing = || PromptError::missing(&prompt.slug, version, prompt.latest);
        self.version_numbered(prompt, number.ok_or_else(missing)?).await
    }

    pub(crate) async fn version_numbered(
        &self,
        prompt: &Prompt,
        number: u32,
    ) -> Result<PromptVersion, PromptError> {
        load_version(&*self.store, prompt, number).await
    }

    fn created(
        &self,
        by: &Principal,
        project: &ProjectId,
        slug: &PromptSlug,
        now: Timestamp,
    ) -> Prompt {
        Prompt {
            id: PromptId::new(now, &*self.entropy),
            project: project.clone(),
            slug: slug.clone(),
            name: slug.to_string(),
            description: String::new(),
            tags: BTreeSet::new(),
            metadata: BTreeMap::new(),
            status: PromptStatus::Active,
            latest: 0,
            labels: BTreeMap::new(),
            protected_labels: BTreeSet::from([Label::default_label()]),
            splits: BTreeMap::new(),
            created_by: by.subject.to_string(),
            created_at: now,
            updated_by: by.subject.to_string(),
            updated_at: now,
        }
    }

    /// Commits a push, or what it changes of the prompt; whether nobody else was faster.
    async fn write(
        &self,
        by: &Allowed<may::PromptsWrite>,
        prompt: &mut Prompt,
        expect: Expect,
        now: Timestamp,
        push: Option<Push<'_>>,
    ) -> Result<bool, PromptError> {
        prompt.updated_at = now;
        prompt.updated_by = by.subject.to_string();
        let mut writes = vec![prompt.put(expect)?];
        let action = if push.is_some() { Action::prompt_push() } else { Action::prompt_update() };
        let mut summary = String::new();
        if let Some(Push { version, pointer, project }) = push {
            summary = format!("v{}", version.number);
            if !version.change_description.is_empty() {
                summary = format!("{summary}: {}", version.change_description);
            }
            writes.push(version.put(Expect::Absent)?);
            if pointer {
                let pointer = PromptPointer {
                    id: prompt.id.clone(),
                    project: prompt.project.clone(),
                    slug: prompt.slug.clone(),
                };
                writes.push(pointer.put(Expect::Absent)?);
            }
            writes.extend(project);
        }
        writes.push(change(prompt, action, summary).write(&Actor::from(by), now)?);
        Ok(self.store.committed(&writes).await?)
    }
}

/// What a push writes beside the prompt.
struct Push<'a> {
    version: &'a PromptVersion,
    /// Whether the prompt's id is new.
    pointer: bool,
    /// That the project has not been archived meanwhile.
    project: Option<Write>,
}

pub(super) async fn load_version(
    store: &dyn StateStore,
    prompt: &Prompt,
    number: u32,
) -> Result<PromptVersion, PromptError> {
    let stored = store.load::<PromptVersion>(&PromptVersion::key_of(prompt, number)).await?;
    let missing = || PromptError::missing(&prompt.slug, &Selector::Number(number), prompt.latest);
    Ok(stored.ok_or_else(missing)?.value)
}

pub(super) fn change(prompt: &Prompt, action: Action, summary: impl Into<String>) -> Change {
    Change {
        project: prompt.project.clone(),
        action,
        target: format!("prompt/{}", prompt.slug),
        summary: summary.into(),
    }
}
