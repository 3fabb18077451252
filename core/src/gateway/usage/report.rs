use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{Counts, UsageRecord};
use crate::Timestamp;
use crate::days::{Days, InvalidDays, day_of};
use crate::entity::StoreExt as _;
use crate::gateway::prices::PriceVersion;
use crate::name::ModelName;
use crate::ports::{Amount, Clock, StateStore, StoreError};
use crate::tenancy::{Allowed, Permission, ProjectError, ProjectId, all_ids, exists, may};

/// Reads what was used.
#[derive(Clone)]
pub struct Usages {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
}

/// What the rows of a report are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    Day,
    Key,
    #[default]
    Model,
    Project,
    Route,
}

/// Whose usage is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WhichProjects {
    /// The principal's.
    #[default]
    Own,
    One(ProjectId),
    /// Every project that the principal reaches.
    All,
}

/// What is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub projects: WhichProjects,
    /// The first day; the first of the month of `to` when absent.
    pub from: Option<Date>,
    /// The last day; today when absent.
    pub to: Option<Date>,
    pub by: By,
}

/// What was used between two days, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageReport {
    pub from: Date,
    pub to: Date,
    pub by: By,
    /// Days in their order; others by cost, then by tokens, the most first.
    pub rows: Vec<UsageRow>,
    pub total: Counts,
}

/// A day, a key, a model, a project or a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// None for what went along no route.
    pub name: Option<String>,
    /// Whom a key belongs to.
    pub subject: Option<String>,
    pub counts: Counts,
    /// What the last price is from that something was counted with.
    pub price_version: Option<PriceVersion>,
}

/// Why usage was not reported.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// There is no such project, or the principal has no business with it.
    #[error("project `{0}` does not exist; list the projects with `diogenes project list`")]
    NoProject(ProjectId),
    /// The days are out of order or too many.
    #[error(transparent)]
    Days(#[from] InvalidDays),
    /// The store failed.
    #[error("the usage could not be read")]
    Store(#[from] StoreError),
}

impl Usages {
    /// A service over these ports.
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Adds up what was used. What a [`UsageBook`](super::UsageBook) has not written is not in it.
    pub async fn report(
        &self,
        by: &Allowed<may::UsageRead>,
        filter: &Filter,
    ) -> Result<UsageReport, UsageError> {
        let days = Days::between(filter.from, filter.to, day_of(self.clock.now()))?;
        let mut sums = Sums::default();
        for project in self.projects(by, &filter.projects).await? {
            self.read(&project, &days, |record| sums.add(record, filter.by)).await?;
        }
        let Days { first: from, last: to } = days;
        Ok(UsageReport { from, to, by: filter.by, total: sums.total, rows: sums.rows(filter.by) })
    }

    /// Reads every record of a project on these days.
    async fn read(
        &self,
        project: &ProjectId,
        days: &Days,
        mut each: impl FnMut(UsageRecord),
    ) -> Result<(), StoreError> {
        for prefix in days.prefixes() {
            let mut query = UsageRecord::of_project(project, &prefix);
            loop {
                let (page, next) = self.store.load_page::<UsageRecord>(&query).await?;
                for stored in page {
                    each(stored.value);
                }
                match next {
                    Some(next) => query.cursor = Some(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// What each model has cost its callers on each of these days, in all projects.
    pub(crate) async fn charges(
        &self,
        days: &Days,
    ) -> Result<BTreeMap<(ModelName, Date), Amount>, StoreError> {
        let mut charges = BTreeMap::<_, Amount>::new();
        for project in all_ids(&*self.store).await? {
            self.read(&project, days, |record| {
                let UsageRecord { id, counts, .. } = record;
                let sum = charges.entry((id.model, id.day)).or_default();
                *sum = sum.plus(counts.nano_dollars);
            })
            .await?;
        }
        Ok(charges)
    }

    async fn projects(
        &self,
        by: &Allowed<may::UsageRead>,
        which: &WhichProjects,
    ) -> Result<Vec<ProjectId>, UsageError> {
        match which {
            WhichProjects::One(project) => {
                if !by.reaches(project) {
                    return Err(UsageError::NoProject(project.clone()));
                }
                // A typo must not look like a project without usage.
                exists(&*self.store, project).await.map_err(|error| match error {
                    ProjectError::Store(error) => UsageError::Store(error),
                    _ => UsageError::NoProject(project.clone()),
                })?;
                Ok(vec![project.clone()])
            }
            WhichProjects::All if by.permissions.contains(Permission::ProjectsAny) => {
                Ok(all_ids(&*self.store).await?)
            }
            WhichProjects::Own | WhichProjects::All => Ok(vec![by.project.clone()]),
        }
    }
}

#[derive(Default)]
struct Sums {
    rows: HashMap<Option<String>, (UsageRow, Timestamp)>,
    total: Counts,
}

impl Sums {
    fn add(&mut self, record: UsageRecord, by: By) {
        let UsageRecord { id, subject, counts, price_version, updated_at, .. } = record;
        self.total.add(&counts);
        let (name, subject) = match by {
            By::Day => (Some(id.day.to_string()), None),
            By::Key => (Some(id.key.to_string()), Some(subject)),
            By::Model => (Some(id.model.to_string()), None),
            By::Project => (Some(id.project.to_string()), None),
            By::Route => (id.route.as_ref().map(ToString::to_string), None),
        };
        let (row, priced_at) = self.rows.entry(name.clone()).or_insert_with(|| {
            let counts = Counts::default();
            (UsageRow { name, subject, counts, price_version: None }, Timestamp::MIN)
        });
        row.counts.add(&counts);
        if price_version.is_some() && updated_at >= *priced_at {
            (row.price_version, *priced_at) = (price_version, updated_at);
        }
    }

    fn rows(self, by: By) -> Vec<UsageRow> {
        let mut rows: Vec<_> = self.rows.into_values().map(|(row, _)| row).collect();
        rows.sort_by(|a, b| {
            let most = (b.counts.nano_dollars, b.counts.tokens())
                .cmp(&(a.counts.nano_dollars, a.counts.tokens()));
            let name = a.name.cmp(&b.name);
            if by == By::Day { name } else { most.then(name) }
        });
        rows
    }
}

impl By {
    pub const ALL: [Self; 5] = [Self::Day, Self::Key, Self::Model, Self::Project, Self::Route];

    /// The name in JSON and queries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Key => "key",
            Self::Model => "model",
            Self::Project => "project",
            Self::Route => "route",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|by| by.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(|by| format!("`{by}`")).join(", ");
            format!("must be one of {names}")
        })
    }
}
