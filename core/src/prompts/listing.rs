//! Prompts of a project, searched and in order.

use std::str::FromStr;

use super::error::PromptError;
use super::record::{Prompt, PromptStatus};
use super::service::Prompts;
use crate::Timestamp;
use crate::entity::StoreExt;
use crate::ports::{Cursor, StoreError};
use crate::tenancy::{Allowed, ProjectId, may};

/// Which prompts to show. What is absent does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptFilter {
    /// Those with this text in slug, name or description, in whatever case.
    pub search: Option<String>,
    /// Those with all of these tags.
    pub tags: Vec<String>,
    /// Those of this status; without it all but the archived.
    pub status: Option<PromptStatus>,
    pub order_by: OrderBy,
    /// The last of the order first.
    pub descending: bool,
}

/// What prompts are ordered by; those that are equal in it by their slugs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    #[default]
    Slug,
    Name,
    CreatedAt,
    UpdatedAt,
}

impl OrderBy {
    pub const ALL: [Self; 4] = [Self::Slug, Self::Name, Self::CreatedAt, Self::UpdatedAt];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slug => "slug",
            Self::Name => "name",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
        }
    }

    /// What is compared.
    fn value(self, prompt: &Prompt) -> String {
        let time = |at: Timestamp| format!("{at:.9}");
        match self {
            Self::Slug => prompt.slug.to_string(),
            Self::Name => prompt.name.to_lowercase(),
            Self::CreatedAt => time(prompt.created_at),
            Self::UpdatedAt => time(prompt.updated_at),
        }
    }
}

impl FromStr for OrderBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|order| order.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(|order| format!("`{}`", order.as_str())).join(", ");
            format!("`{text}` is not an order; use one of {names}")
        })
    }
}

/// A page of prompts.
#[derive(Clone, Debug)]
pub struct PromptPage {
    pub prompts: Vec<Prompt>,
    pub next: Option<Cursor>,
}

impl Prompts {
    /// One page of the prompts of a project.
    pub async fn list(
        &self,
        by: &Allowed<may::PromptsRead>,
        project: &ProjectId,
        filter: &PromptFilter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<PromptPage, PromptError> {
        self.reaches(by, project).await?;
        let after = cursor.map(|cursor| place(&cursor, filter.order_by)).transpose()?;
        let all = self.store.load_all::<Prompt>(Prompt::of_project(project)).await?;
        let place_of = |prompt: &Prompt| (filter.order_by.value(prompt), prompt.slug.to_string());
        let mut found: Vec<_> = all
            .into_iter()
            .map(|stored| stored.value)
            .filter(|prompt| filter.takes(prompt))
            .map(|prompt| (place_of(&prompt), prompt))
            .filter(|(place, _)| match &after {
                None => true,
                Some(after) if filter.descending => place < after,
                Some(after) => place > after,
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| if filter.descending { b.cmp(a) } else { a.cmp(b) });
        let is_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| is_more);
        let next = last.map(|((value, slug), _)| {
            Cursor::from_caller(format!("{}~{value}~{slug}", filter.order_by.as_str()))
        });
        Ok(PromptPage { prompts: found.into_iter().map(|(_, prompt)| prompt).collect(), next })
    }
}

impl PromptFilter {
    fn takes(&self, prompt: &Prompt) -> bool {
        let is_status = match self.status {
            Some(status) => prompt.status == status,
            None => prompt.status != PromptStatus::Archived,
        };
        let has = |text: &str, wanted: &str| text.to_lowercase().contains(wanted);
        is_status
            && self.tags.iter().all(|tag| prompt.tags.contains(tag))
            && self.search.as_ref().is_none_or(|search| {
                let wanted = search.to_lowercase();
                has(prompt.slug.as_str(), &wanted)
                    || has(&prompt.name, &wanted)
                    || has(&prompt.description, &wanted)
            })
    }
}

/// Where a page starts: behind this value and slug.
fn place(cursor: &Cursor, order: OrderBy) -> Result<(String, String), StoreError> {
    let place = cursor.as_str().split_once('~').filter(|(name, _)| *name == order.as_str());
    let place = place.and_then(|(_, rest)| rest.rsplit_once('~'));
    let (value, slug) = place.ok_or(StoreError::InvalidCursor)?;
    Ok((value.to_owned(), slug.to_owned()))
}
