use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Callback, Creator, JobKind, Needs, Priority, QueueName, ScheduleName};
use crate::Timestamp;
use crate::duration::LONGEST;
use crate::ports::document_bytes;
use crate::tenancy::ProjectId;

/// The largest arguments, in bytes of their compact JSON.
pub const MAX_ARGUMENTS: usize = 128 * 1024;
/// The most tags of a job.
pub const MAX_TAGS: usize = 16;
/// The longest name of a tag and the longest unique key, in bytes.
pub const MAX_TAG_NAME: usize = 64;
/// The longest value of a tag, in bytes.
pub const MAX_TAG_VALUE: usize = 512;
/// The most attempts.
pub const MAX_ATTEMPTS: u32 = 100;

/// A job that is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewJob {
    pub project: ProjectId,
    pub kind: JobKind,
    pub queue: QueueName,
    pub priority: Priority,
    pub arguments: Value,
    pub created_by: Creator,
    /// When it may begin; at once when absent.
    pub run_at: Option<Timestamp>,
    /// How often it is tried.
    pub max_attempts: u32,
    /// How long an attempt may take; as long as it wants when absent.
    #[serde(default, with = "crate::duration::option")]
    pub timeout: Option<Duration>,
    /// What it needs of its worker.
    #[serde(default)]
    pub needs: Needs,
    /// Whether its handler runs once more after somebody asked for its end.
    pub cleans_up: bool,
    /// A name that no other unfinished job of its kind and project has.
    pub unique_key: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Who is told that it has ended.
    #[serde(default)]
    pub callback: Option<Callback>,
    /// The schedule that it is of.
    pub(super) schedule: Option<ScheduleName>,
}

impl NewJob {
    /// How often a job is tried that does not say so.
    pub const ATTEMPTS: u32 = 5;

    /// A job of this kind, in the queue of the same name.
    pub fn new(project: ProjectId, kind: JobKind, arguments: Value, created_by: Creator) -> Self {
        Self {
            project,
            queue: QueueName::from(&kind),
            kind,
            priority: Priority::default(),
            arguments,
            created_by,
            run_at: None,
            max_attempts: Self::ATTEMPTS,
            timeout: None,
            needs: Needs::default(),
            cleans_up: false,
            unique_key: None,
            tags: BTreeMap::new(),
            callback: None,
            schedule: None,
        }
    }

    /// The field at fault and what is wrong with it, if anything is.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let bytes = document_bytes(&self.arguments);
        if bytes > MAX_ARGUMENTS {
            return Some(("arguments", format!("has {bytes} bytes; at most {MAX_ARGUMENTS} fit")));
        }
        if !(1..=MAX_ATTEMPTS).contains(&self.max_attempts) {
            return Some(("max_attempts", format!("must be 1 to {MAX_ATTEMPTS}")));
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero() || timeout > LONGEST) {
            return Some(("timeout", "must be more than 0 and at most a year".into()));
        }
        let fits = |text: &str, most| !text.is_empty() && text.len() <= most;
        if self.unique_key.as_ref().is_some_and(|key| !fits(key, MAX_TAG_NAME)) {
            return Some(("unique_key", format!("must have 1 to {MAX_TAG_NAME} bytes")));
        }
        let is_tag = |(name, value): (&String, &String)| {
            fits(name, MAX_TAG_NAME) && value.len() <= MAX_TAG_VALUE
        };
        if self.tags.len() > MAX_TAGS || !self.tags.iter().all(is_tag) {
            let problem = format!(
                "takes at most {MAX_TAGS} pairs, names of 1 to {MAX_TAG_NAME} bytes and values of \
                 at most {MAX_TAG_VALUE}"
            );
            return Some(("tags", problem));
        }
        None
    }
}
