use std::sync::Arc;

use super::record::{Action, AuditRecord, Month, RETENTION, TARGETS};
use crate::Timestamp;
use crate::entity::StoreExt;
use crate::ports::{Clock, Cursor, Direction, Query, StateStore, StoreError, Table};
use crate::tenancy::{Allowed, ProjectError, ProjectId, may, reached};

/// The most pages of the store that one page of the log reads.
const MOST_READS: usize = 20;

/// Reads the audit log.
#[derive(Clone)]
pub struct AuditLog {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
}

/// Which records to show. An absent field does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Those by this subject.
    pub subject: Option<String>,
    /// Those of this action, or, as `key.`, of all that begin so.
    pub action: Option<String>,
    /// Those of this target.
    pub target: Option<String>,
    /// Those from this time on.
    pub since: Option<Timestamp>,
    /// Those before this time.
    pub until: Option<Timestamp>,
}

/// A page of the log.
#[derive(Debug)]
pub struct AuditPage {
    /// The records, newest first.
    pub records: Vec<AuditRecord>,
    /// Where the next page starts. A page may be short, even empty; only this ends the log.
    pub next: Option<Cursor>,
}

/// Why the log was not read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The principal has no business with this project.
    #[error("project `{0}` does not exist; list the projects with `diogenes project list`")]
    NoProject(ProjectId),
    /// No record can be meant.
    #[error("`{field}` {problem}")]
    Filter {
        /// The field of the filter.
        field: &'static str,
        /// What is wrong with it, and what there is.
        problem: String,
    },
    /// The store failed.
    #[error("the audit log could not be read")]
    Store(#[from] StoreError),
}

impl AuditLog {
    /// A log over this store.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// One page of the records of `project`, newest first.
    pub async fn list(
        &self,
        by: &Allowed<may::AuditRead>,
        project: &ProjectId,
        filter: &AuditFilter,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<AuditPage, AuditError> {
        reached(&*self.store, by, project).await.map_err(|error| match error {
            ProjectError::Store(error) => AuditError::Store(error),
            _ => AuditError::NoProject(project.clone()),
        })?;
        filter.validate()?;
        let now = self.clock.now();
        let oldest = now.checked_sub(RETENTION).unwrap_or(Timestamp::MIN);
        let last = Month::of(filter.since.map_or(oldest, |since| since.max(oldest)));
        let (mut month, mut inner) = match cursor {
            Some(cursor) => place(&cursor)?,
            None => (Month::of(filter.until.map_or(now, |until| until.min(now))), None),
        };
        let mut records = Vec::new();
        for _ in 0..MOST_READS {
            if month < last {
                return Ok(AuditPage { records, next: None });
            }
            let mut query = Query::new(Table::Main, AuditRecord::partition(project, month), "");
            query.direction = Direction::Descending;
            // One row too many would be lost: the store's cursors stand between its pages.
            query.limit = limit.saturating_sub(records.len());
            query.cursor = inner.take();
            let (page, next) = self.store.load_page::<AuditRecord>(&query).await?;
            records.extend(
                page.into_iter().map(|stored| stored.value).filter(|record| filter.takes(record)),
            );
            match next {
                Some(next) => inner = Some(next),
                None => month = month.before(),
            }
            if records.len() >= limit {
                break;
            }
        }
        let next = (month >= last).then(|| cursor_at(month, inner.as_ref()));
        Ok(AuditPage { records, next })
    }
}

impl AuditFilter {
    /// Refuses what no change of this version is: a typo must not look like a quiet month.
    fn validate(&self) -> Result<(), AuditError> {
        let wrong = |field, problem| Err(AuditError::Filter { field, problem });
        if let Some(action) = self.action.as_deref().filter(|action| !Action::is_known(action)) {
            let all = Action::ALL.iter().map(|action| format!("`{action}`"));
            let all = all.collect::<Vec<_>>().join(", ");
            let problem = format!(
                "{action:?} is not an action; use one of {all}, or a prefix such as `key.`"
            );
            return wrong("action", problem);
        }
        let is_target = |target: &&str| TARGETS.iter().any(|kind| target.starts_with(kind));
        if let Some(target) = self.target.as_deref().filter(|target| !is_target(target)) {
            let problem = format!(
                "{target:?} is not a target; use `key/ID`, `project/ID`, `budget/ID`, `model/NAME`, `route/NAME`, `provider/NAME`, `rate-card/NAME`, `prices/imported`, `job/ID`, `schedule/NAME`, `queue/NAME`, `batch/ID`, `prompt/SLUG`, `dataset/NAME` or `eval/ID`"
            );
            return wrong("target", problem);
        }
        Ok(())
    }

    fn takes(&self, record: &AuditRecord) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        let action = record.action.as_str();
        let is_action = self.action.as_deref().is_none_or(|wanted| {
            if wanted.ends_with('.') { action.starts_with(wanted) } else { action == wanted }
        });
        is(&self.subject, &record.subject)
            && is_action
            && is(&self.target, &record.target)
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
    }
}

/// `2026-11` or `2026-11:CURSOR`.
fn cursor_at(month: Month, inner: Option<&Cursor>) -> Cursor {
    let inner = inner.map(|inner| format!(":{}", inner.as_str())).unwrap_or_default();
    Cursor::from_caller(format!("{month}{inner}"))
}

fn place(cursor: &Cursor) -> Result<(Month, Option<Cursor>), StoreError> {
    let text = cursor.as_str();
    let (month, inner) = match text.split_once(':') {
        Some((month, inner)) => (month, Some(Cursor::from_caller(inner))),
        None => (text, None),
    };
    Ok((Month::parse(month).ok_or(StoreError::InvalidCursor)?, inner))
}
