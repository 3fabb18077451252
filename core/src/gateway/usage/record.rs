use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Counts;
use crate::Timestamp;
use crate::days::expiry_of;
use crate::entity::Entity;
use crate::gateway::prices::PriceVersion;
use crate::keys::KeyId;
use crate::name::ModelName;
use crate::ports::{Key, Query, Table};
use crate::tenancy::ProjectId;

/// The most writers that a record remembers.
const MOST_WRITERS: usize = 8;

/// What a record counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UsageId {
    /// Of UTC, on which the requests ended.
    pub day: Date,
    pub project: ProjectId,
    /// The key that the callers have shown, and not the one that it was rotated from: it is the id
    /// that `key list` and the audit log show, and tells whether an old key is still in use.
    pub key: KeyId,
    /// The model that answered, by its registered name or with its provider before it. Where nobody
    /// answered, the first choice.
    pub model: ModelName,
    /// The route that led to it; none where requests name the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<ModelName>,
}

/// What one key has used of one model on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRecord {
    #[serde(flatten)]
    pub id: UsageId,
    /// Which of several records for the same it is, where many processes count; none where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard: Option<u32>,
    /// Whom the key belongs to.
    pub subject: String,
    #[serde(flatten)]
    pub counts: Counts,
    /// What the last price is from that something was counted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_version: Option<PriceVersion>,
    /// When the last request ended.
    pub updated_at: Timestamp,
    /// The last page that each writer has added, the newest last.
    #[serde(default)]
    written: Vec<Written>,
}

/// A page of a writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    by: String,
    page: u64,
}

/// What is to be added to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) subject: String,
    pub(super) counts: Counts,
    pub(super) price_version: Option<PriceVersion>,
    pub(super) at: Timestamp,
}

impl UsageRecord {
    /// Lists what a project used on the days whose names begin with `days`.
    pub(super) fn of_project(project: &ProjectId, days: &str) -> Query {
        Query::new(Table::Main, Self::partition(project), days)
    }

    pub(super) fn key_of(id: &UsageId, shard: Option<u32>) -> Key {
        let UsageId { day, project, key, model, route } = id;
        let route = route.as_ref().map_or("", ModelName::as_str);
        let shard = shard.map(|shard| format!("#{shard}")).unwrap_or_default();
        let sort = format!("{day}#{}#{model}#{route}{shard}", key.as_str());
        Key::new(Self::partition(project), sort)
    }

    fn partition(project: &ProjectId) -> String {
        format!("USAGE#{project}")
    }

    /// The record with the page of a writer added to what `standing` has.
    pub(super) fn with(
        standing: Option<Self>,
        (id, shard): (&UsageId, Option<u32>),
        delta: &Delta,
        by: &str,
        page: u64,
    ) -> Self {
        let mut record = standing.unwrap_or_else(|| Self {
            id: id.clone(),
            shard,
            subject: delta.subject.clone(),
            counts: Counts::default(),
            price_version: None,
            updated_at: delta.at,
            written: Vec::new(),
        });
        record.counts.add(&delta.counts);
        if delta.price_version.is_some() {
            record.price_version.clone_from(&delta.price_version);
        }
        record.updated_at = record.updated_at.max(delta.at);
        record.written.retain(|written| written.by != by);
        record.written.push(Written { by: by.to_owned(), page });
        let surplus = record.written.len().saturating_sub(MOST_WRITERS);
        record.written.drain(..surplus);
        record
    }

    /// Whether it has this page of a writer.
    pub(super) fn has(&self, by: &str, page: u64) -> bool {
        self.written.iter().any(|written| written.by == by && written.page == page)
    }
}

impl Entity for UsageRecord {
    const KIND: &'static str = "usage record";

    fn key(&self) -> Key {
        Self::key_of(&self.id, self.shard)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(expiry_of(self.id.day))
    }
}
