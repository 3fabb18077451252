//! What can be changed of a prompt beside its versions.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{PromptError, PromptProblem};
use super::names::Label;
use super::record::{Prompt, PromptStatus};
use crate::tenancy::{Permission, Principal};

const MAX_NAME: usize = 100;
const MAX_DESCRIPTION: usize = 1000;
const MOST_TAGS: usize = 20;
const MAX_TAG: usize = 64;
const MOST_METADATA: usize = 20;
const MAX_METADATA: usize = 500;
const MOST_PROTECTED: usize = 20;

/// What is to be changed of a prompt. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptUpdate {
    pub name: Option<String>,
    pub description: Option<String>,
    pub tags: Option<BTreeSet<String>>,
    pub metadata: Option<BTreeMap<String, String>>,
    pub status: Option<PromptStatus>,
    /// Takes the permission `prompts:release`.
    pub protected_labels: Option<BTreeSet<Label>>,
}

/// Refuses an update with a field that cannot be.
pub(super) fn checked_update(update: &PromptUpdate) -> Result<(), PromptProblem> {
    if let Some(name) = &update.name {
        PromptProblem::in_text("name", name, MAX_NAME)?;
        if name.trim().is_empty() {
            return Err(PromptProblem::new("name", "must not be empty"));
        }
    }
    if let Some(description) = &update.description {
        PromptProblem::in_text("description", description, MAX_DESCRIPTION)?;
    }
    if let Some(tags) = &update.tags {
        if tags.len() > MOST_TAGS || tags.contains("") {
            let problem = format!("must be at most {MOST_TAGS}, none of them empty");
            return Err(PromptProblem::new("tags", problem));
        }
        tags.iter().try_for_each(|tag| PromptProblem::in_text("tags", tag, MAX_TAG))?;
    }
    if let Some(metadata) = &update.metadata {
        if metadata.len() > MOST_METADATA || metadata.contains_key("") {
            let problem = format!("must be at most {MOST_METADATA}, none without a name");
            return Err(PromptProblem::new("metadata", problem));
        }
        for (name, value) in metadata {
            PromptProblem::in_text("metadata", name, MAX_TAG)?;
            PromptProblem::in_text("metadata", value, MAX_METADATA)?;
        }
    }
    if update.protected_labels.as_ref().is_some_and(|labels| labels.len() > MOST_PROTECTED) {
        let problem = format!("must be at most {MOST_PROTECTED}");
        return Err(PromptProblem::new("protected_labels", problem));
    }
    Ok(())
}

impl PromptUpdate {
    /// Makes the changes, if the principal may.
    pub(super) fn apply(&self, by: &Principal, prompt: &mut Prompt) -> Result<(), PromptError> {
        let releases = by.permissions.contains(Permission::PromptsRelease);
        if let Some(labels) = &self.protected_labels {
            let mut changed = labels.symmetric_difference(&prompt.protected_labels);
            if let Some(label) = changed.next().filter(|_| !releases) {
                return Err(protected(prompt, label));
            }
            prompt.protected_labels.clone_from(labels);
        }
        if let Some(status) = self.status {
            let ends = status == PromptStatus::Archived && prompt.status != status;
            if let Some(label) = prompt.standing_protected().filter(|_| ends && !releases) {
                return Err(protected(prompt, label));
            }
            prompt.status = status;
        }
        if let Some(name) = &self.name {
            prompt.name.clone_from(name);
        }
        if let Some(description) = &self.description {
            prompt.description.clone_from(description);
        }
        if let Some(tags) = &self.tags {
            prompt.tags.clone_from(tags);
        }
        if let Some(metadata) = &self.metadata {
            prompt.metadata.clone_from(metadata);
        }
        Ok(())
    }
}

pub(super) fn protected(prompt: &Prompt, label: &Label) -> PromptError {
    PromptError::Protected { slug: prompt.slug.clone(), label: label.clone() }
}
