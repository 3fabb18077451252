use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::eta::later;
use crate::keys::KeyId;
use crate::ports::{Expect, Key, StoreError, Write};
use crate::tenancy::{Allowed, ProjectId, Subject};

/// How long records are kept.
pub const RETENTION: Duration = Duration::from_hours(400 * 24);

/// The longest `user_agent` and `summary` that are kept, in characters.
const MOST_TEXT: usize = 300;

/// What was done. A text, so that records of newer versions can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Action(String);

macro_rules! actions {
    ($($name:ident, $text:literal;)*) => {
        impl Action {
            /// Every action of this version.
            pub const ALL: &[&str] = &[$($text,)*];

            $(
                #[doc = concat!("`", $text, "`.")]
                pub fn $name() -> Self {
                    Self($text.into())
                }
            )*
        }
    };
}

actions! {
    key_create, "key.create";
    key_revoke, "key.revoke";
    key_rotate, "key.rotate";
    model_apply, "model.apply";
    model_delete, "model.delete";
    model_up, "model.up";
    model_down, "model.down";
    model_pin, "model.pin";
    model_unpin, "model.unpin";
    project_create, "project.create";
    project_archive, "project.archive";
    budget_set, "budget.set";
    budget_delete, "budget.delete";
    route_apply, "route.apply";
    route_delete, "route.delete";
    provider_apply, "provider.apply";
    provider_delete, "provider.delete";
    rate_card_apply, "rate_card.apply";
    rate_card_delete, "rate_card.delete";
    job_create, "job.create";
    job_cancel, "job.cancel";
    job_retry, "job.retry";
    schedule_apply, "schedule.apply";
    schedule_pause, "schedule.pause";
    schedule_resume, "schedule.resume";
    schedule_delete, "schedule.delete";
    queue_pause, "queue.pause";
    queue_resume, "queue.resume";
    queue_bound, "queue.bound";
    batch_create, "batch.create";
    batch_cancel, "batch.cancel";
    prices_import, "prices.import";
    prices_delete, "prices.delete";
    prompt_push, "prompt.push";
    prompt_update, "prompt.update";
    prompt_archive, "prompt.archive";
    prompt_restore, "prompt.restore";
    prompt_label, "prompt.label";
    prompt_unlabel, "prompt.unlabel";
    prompt_delete, "prompt.delete";
    dataset_create, "dataset.create";
    dataset_update, "dataset.update";
    dataset_delete, "dataset.delete";
    dataset_add, "dataset.add";
    dataset_change, "dataset.change";
    dataset_remove, "dataset.remove";
    dataset_upload, "dataset.upload";
    dataset_enqueue, "dataset.import_begin";
    dataset_import, "dataset.import";
    dataset_export, "dataset.export";
    eval_create, "eval.create";
    eval_cancel, "eval.cancel";
    deployment_create, "deployment.create";
    deployment_approve, "deployment.approve";
    deployment_start, "deployment.start";
    deployment_measure, "deployment.measure";
    deployment_widen, "deployment.widen";
    deployment_pause, "deployment.pause";
    deployment_resume, "deployment.resume";
    deployment_complete, "deployment.complete";
    deployment_roll_back, "deployment.roll_back";
    deployment_cancel, "deployment.cancel";
    deployment_fail, "deployment.fail";
}

/// What a target begins with.
pub(super) const TARGETS: [&str; 16] = [
    "key/",
    "model/",
    "project/",
    "budget/",
    "route/",
    "provider/",
    "rate-card/",
    "job/",
    "schedule/",
    "queue/",
    "batch/",
    "prices/",
    "prompt/",
    "dataset/",
    "eval/",
    "deployment/",
];

impl Action {
    /// Whether `wanted` is an action of this version, or, as `key.`, what some of them begin with.
    pub(super) fn is_known(wanted: &str) -> bool {
        let is_kind = wanted.ends_with('.');
        Self::ALL.iter().any(|action| *action == wanted || (is_kind && action.starts_with(wanted)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who changes something, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    subject: Subject,
    key: Option<KeyId>,
    address: Option<String>,
    user_agent: Option<String>,
}

impl Actor {
    /// Whoever runs the installation, by its machine or its cloud account.
    pub fn operator() -> Self {
        Self {
            subject: Subject::new(Subject::OPERATOR),
            key: None,
            address: None,
            user_agent: None,
        }
    }
}

impl Actor {
    /// Whoever wanted a job, for what the job changes.
    pub fn behind(subject: &str, key: &KeyId) -> Self {
        Self {
            subject: Subject::new(subject),
            key: Some(key.clone()).filter(|key| !key.as_str().is_empty()),
            address: None,
            user_agent: None,
        }
    }
}

impl<P> From<&Allowed<P>> for Actor {
    fn from(by: &Allowed<P>) -> Self {
        let origin = by.origin();
        Self {
            subject: by.subject.clone(),
            key: Some(by.key.clone()).filter(|key| !key.as_str().is_empty()),
            address: origin.address.clone(),
            user_agent: origin.user_agent.as_deref().map(shortened),
        }
    }
}

/// What is about to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The project that the target belongs to; `default` for what belongs to the installation.
    pub project: ProjectId,
    /// What is done.
    pub action: Action,
    /// To what: `key/ID`, `model/NAME`, `project/ID`, `budget/ID`, `route/NAME`,
    /// `provider/NAME`, `rate-card/MODEL`, `job/ID`, `schedule/NAME`, `queue/NAME`, `batch/ID`,
    /// `prompt/SLUG`, `dataset/NAME`, `eval/ID` or `deployment/ID`.
    pub target: String,
    /// The details, in a few words.
    pub summary: String,
}

impl Change {
    /// A change of something that belongs to the installation.
    pub fn of_installation(action: Action, target: String, summary: impl Into<String>) -> Self {
        Self { project: ProjectId::default(), action, target, summary: summary.into() }
    }

    /// The write of its record, for the commit that makes the change.
    pub fn write(self, by: &Actor, now: Timestamp) -> Result<Write, StoreError> {
        let record = AuditRecord {
            at: now,
            project: self.project,
            subject: by.subject.to_string(),
            key: by.key.clone(),
            action: self.action,
            target: self.target,
            summary: shortened(&self.summary),
            address: by.address.clone(),
            user_agent: by.user_agent.clone(),
        };
        record.put(Expect::Any)
    }
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When the change was committed.
    pub at: Timestamp,
    /// The project that the target belongs to; `default` for what belongs to the installation.
    pub project: ProjectId,
    /// Who: the address of the key's holder, or `operator`.
    pub subject: String,
    /// The key that was used; none for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// What was done.
    pub action: Action,
    /// To what.
    pub target: String,
    /// The details, in a few words.
    #[serde(default)]
    pub summary: String,
    /// The network address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What the client calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

impl AuditRecord {
    /// The partition with the records of a project and the month of `at`, in UTC.
    pub(super) fn partition(project: &ProjectId, month: Month) -> String {
        format!("AUDIT#{project}#{month}")
    }
}

impl Entity for AuditRecord {
    const KIND: &'static str = "audit record";

    /// No two changes of one target share a time, so none overwrites another.
    fn key(&self) -> Key {
        let month = Month::of(self.at);
        Key::new(
            Self::partition(&self.project, month),
            format!("{:.9}#{}#{}", self.at, self.action, self.target),
        )
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.at, RETENTION))
    }
}

/// A month of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month {
    year: i16,
    month: i8,
}

impl Month {
    pub(super) fn of(at: Timestamp) -> Self {
        let date = at.to_zoned(TimeZone::UTC).date();
        Self { year: date.year(), month: date.month() }
    }

    pub(super) fn before(self) -> Self {
        match self.month {
            1 => Self { year: self.year - 1, month: 12 },
            month => Self { month: month - 1, ..self },
        }
    }

    /// Reads `2026-11`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        let month = month.parse().ok().filter(|month| (1..=12).contains(month))?;
        Some(Self { year: year.parse().ok()?, month })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MOST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sort_key(at: &str) -> Key {
        let record = AuditRecord {
            at: at.parse().unwrap(),
            project: ProjectId::default(),
            subject: "operator".into(),
            key: None,
            action: Action::model_up(),
            target: "model/m".into(),
            summary: String::new(),
            address: None,
            user_agent: None,
        };
        record.key()
    }

    #[test]
    fn records_stand_in_the_order_of_time() {
        let times =
            ["2026-01-31T23:59:59Z", "2026-01-31T23:59:59.000000001Z", "2026-01-31T23:59:59.5Z"];
        let keys = times.map(sort_key);
        assert!(keys.is_sorted() && keys[0].partition == "AUDIT#default#2026-01", "{keys:?}");
    }

    #[test]
    fn months_go_back_over_the_new_year() {
        let month = Month::of("2026-02-01T00:00:00Z".parse().unwrap());
        let earlier = month.before().before();
        assert_eq!(earlier.to_string(), "2025-12");
        assert_eq!(Month::parse("2025-12"), Some(earlier));
        for bad in ["", "2025", "2025-13", "2025-0", "x-1"] {
            assert_eq!(Month::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn control_characters_and_long_texts_are_cut() {
        assert_eq!(shortened("a\n\u{1b}b"), "ab");
        assert_eq!(shortened(&"ä".repeat(MOST_TEXT + 1)).chars().count(), MOST_TEXT);
    }
}
