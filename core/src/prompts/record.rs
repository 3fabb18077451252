use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::content::PromptContent;
use super::names::{Label, PromptId, PromptSlug, Selector};
use super::split::Split;
use crate::Timestamp;
use crate::entity::Entity;
use crate::ports::{Direction, Key, Query, Table};
use crate::tenancy::ProjectId;

/// How far along a prompt is. Only `archived` has consequences here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PromptStatus {
    Draft,
    #[default]
    Active,
    /// Still served; for those who look at lists.
    Deprecated,
    /// Neither served nor changed until it is restored.
    Archived,
}

impl PromptStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Deprecated => "deprecated",
            Self::Archived => "archived",
        }
    }
}

impl fmt::Display for PromptStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a label stands, and who put it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelState {
    pub version: u32,
    pub at: Timestamp,
    pub by: String,
    /// Why, in the words of whoever moved it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A prompt: what changes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    pub id: PromptId,
    pub project: ProjectId,
    pub slug: PromptSlug,
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeSet<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    pub status: PromptStatus,
    /// The number of its newest version; the first is 1.
    pub latest: u32,
    #[serde(default)]
    pub labels: BTreeMap<Label, LabelState>,
    /// Those that only `prompts:release` moves.
    #[serde(default)]
    pub protected_labels: BTreeSet<Label>,
    /// The labels for which a deployment is under way.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub splits: BTreeMap<Label, Split>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub updated_by: String,
    pub updated_at: Timestamp,
}

impl Prompt {
    fn partition(project: &ProjectId) -> String {
        format!("PROMPTS#{project}")
    }

    pub(crate) fn key_of(project: &ProjectId, slug: &PromptSlug) -> Key {
        Key::new(Self::partition(project), slug.as_str())
    }

    /// Lists the prompts of a project by their slugs.
    pub(super) fn of_project(project: &ProjectId) -> Query {
        Query::new(Table::Main, Self::partition(project), "")
    }

    /// The number of the version that is meant, if there is one.
    pub fn number_of(&self, version: &Selector) -> Option<u32> {
        let labelled = |label: &Label| self.labels.get(label).map(|state| state.version);
        match version {
            Selector::Default => labelled(&Label::default_label()),
            Selector::Latest => Some(self.latest),
            Selector::Number(number) => (1..=self.latest).contains(number).then_some(*number),
            Selector::Label(label) => labelled(label),
        }
    }

    /// The labels of a version.
    pub fn labels_of(&self, number: u32) -> impl Iterator<Item = &Label> {
        let here = move |(_, state): &(&Label, &LabelState)| state.version == number;
        self.labels.iter().filter(here).map(|(label, _)| label)
    }

    /// A protected label that stands somewhere.
    pub(super) fn standing_protected(&self) -> Option<&Label> {
        self.protected_labels.iter().find(|label| self.labels.contains_key(*label))
    }
}

impl Entity for Prompt {
    const KIND: &'static str = "prompt";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.slug)
    }
}

/// One version of a prompt. It never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptVersion {
    pub prompt: PromptId,
    pub project: ProjectId,
    pub slug: PromptSlug,
    /// 1, 2, …
    pub number: u32,
    pub content: PromptContent,
    /// What is new in it, in the words of whoever pushed it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub change_description: String,
    pub created_by: String,
    pub created_at: Timestamp,
}

impl PromptVersion {
    /// A later prompt of the same slug has another id, so that it cannot meet what a deletion that
    /// was cut short has left.
    fn partition(project: &ProjectId, prompt: &PromptId) -> String {
        format!("PROMPT-VERSIONS#{project}#{prompt}")
    }

    pub(super) fn key_of(prompt: &Prompt, number: u32) -> Key {
        // Ten digits, so that the order of texts is that of numbers.
        Key::new(Self::partition(&prompt.project, &prompt.id), format!("{number:010}"))
    }

    /// Lists the versions of a prompt, newest first.
    pub(super) fn newest_first(prompt: &Prompt) -> Query {
        let partition = Self::partition(&prompt.project, &prompt.id);
        let mut query = Query::new(Table::Main, partition, "");
        query.direction = Direction::Descending;
        query
    }
}

impl Entity for PromptVersion {
    const KIND: &'static str = "prompt version";

    fn key(&self) -> Key {
        Key::new(Self::partition(&self.project, &self.prompt), format!("{:010}", self.number))
    }
}

/// Which slug a prompt's id is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PromptPointer {
    pub(super) id: PromptId,
    pub(super) project: ProjectId,
    pub(super) slug: PromptSlug,
}

impl PromptPointer {
    pub(super) fn key_of(project: &ProjectId, id: &PromptId) -> Key {
        Key::new(format!("PROMPT-IDS#{project}"), id.as_str())
    }
}

impl Entity for PromptPointer {
    const KIND: &'static str = "pointer to a prompt";

    fn key(&self) -> Key {
        Self::key_of(&self.project, &self.id)
    }
}
