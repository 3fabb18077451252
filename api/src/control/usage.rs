use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::gateway::prices::PriceVersion;
use diogenes_core::gateway::usage::{
    By, Counts, Filter, FleetCosts, UsageError, UsageReport, UsageRow, Usages, WhichProjects,
};
use diogenes_core::money::Dollars;
use diogenes_core::ports::{Clock, StateStore};
use diogenes_core::tenancy::{ProjectId, may};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Allow, Entrance, QueryString};
use crate::error::{ApiError, ErrorBody, ErrorKind, store_error};

/// What the handlers of usage share.
pub struct UsageArea {
    entrance: Entrance,
    usages: Usages,
    pub(super) costs: FleetCosts,
}

impl UsageArea {
    /// The area over these parts.
    pub fn new(entrance: Entrance, store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        let usages = Usages::new(store.clone(), clock.clone());
        let costs = FleetCosts::new(store, clock, usages.clone());
        Self { entrance, usages, costs }
    }
}

impl AsRef<Entrance> for UsageArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// What requests have used, summed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageCounts {
    /// Requests that have ended, whatever the outcome.
    pub requests: u64,
    /// Of those, the ones that ended with an error. A caller who goes away is not an error.
    pub errors: u64,
    /// Of those, the ones whose tokens or cost are an estimate, because no usage was reported.
    pub estimated: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Of the prompt's tokens, those that a provider read from its cache.
    pub cached_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// Dollars, exact to the billionth. What has no price costs nothing.
    #[schema(examples("1.250000000"))]
    pub cost_usd: String,
}

impl From<Counts> for UsageCounts {
    fn from(counts: Counts) -> Self {
        Self {
            requests: counts.requests,
            errors: counts.errors,
            estimated: counts.estimated,
            prompt_tokens: counts.prompt_tokens,
            cached_tokens: counts.cached_tokens,
            completion_tokens: counts.completion_tokens,
            cost_usd: Dollars(counts.nano_dollars).decimal(),
        }
    }
}

/// What one day, key, model, project or route has used.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageRowBody {
    /// The day, the key's id, or the name; null for requests that did not name a route.
    pub name: Option<String>,
    /// The email address of the key's owner; null unless the rows are keys.
    pub subject: Option<String>,
    #[serde(flatten)]
    pub counts: UsageCounts,
    /// Where the most recent price is from.
    pub price_version: Option<String>,
}

impl From<UsageRow> for UsageRowBody {
    fn from(row: UsageRow) -> Self {
        Self {
            name: row.name,
            subject: row.subject,
            counts: row.counts.into(),
            price_version: row.price_version.as_ref().map(PriceVersion::to_string),
        }
    }
}

/// What was used from one day to another in UTC, both included.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageBody {
    /// The first day.
    #[schema(format = Date)]
    pub from: String,
    /// The last day.
    #[schema(format = Date)]
    pub to: String,
    /// What the rows are: `day`, `key`, `model`, `project` or `route`.
    #[schema(value_type = String)]
    pub by: By,
    /// Days in order; anything else by cost, then by tokens, highest first.
    pub data: Vec<UsageRowBody>,
    /// The sum of the rows.
    pub total: UsageCounts,
}

impl From<UsageReport> for UsageBody {
    fn from(report: UsageReport) -> Self {
        Self {
            from: report.from.to_string(),
            to: report.to.to_string(),
            by: report.by,
            data: report.rows.into_iter().map(UsageRowBody::from).collect(),
            total: report.total.into(),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadUsage {
    /// The first day; the first of the month of `to` when absent. At most 400 days are reported.
    #[param(format = Date)]
    from: Option<String>,
    /// The last day; today, in UTC, when absent.
    #[param(format = Date)]
    to: Option<String>,
    /// What the rows are; `model` when absent.
    #[param(pattern = "^(day|key|model|project|route)$")]
    by: Option<String>,
    /// The project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Every project that the caller may see, instead of one.
    all_projects: Option<bool>,
}

/// Show who used how much.
#[utoipa::path(get, path = "/api/v1/usage", params(ReadUsage), tag = "usage",
    responses((status = 200, body = UsageBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn read(
    Allow(by): Allow<may::UsageRead>,
    State(area): State<Arc<UsageArea>>,
    QueryString(query): QueryString<ReadUsage>,
) -> Result<Json<UsageBody>, ApiError> {
    let report = area.usages.report(&by, &query.filter()?).await;
    let report = report.map_err(|error| match &error {
        UsageError::NoProject(_) => {
            ApiError::new(ErrorKind::ProjectNotFound, error.to_string()).param("project")
        }
        UsageError::Days(days) => wrong(days.field, error.to_string()),
        UsageError::Store(error) => store_error(error),
    })?;
    Ok(Json(report.into()))
}

impl ReadUsage {
    fn filter(self) -> Result<Filter, ApiError> {
        let projects = match (self.project, self.all_projects.unwrap_or_default()) {
            (Some(_), true) => {
                let problem = "`project` and `all_projects` exclude each other; send one of them";
                return Err(wrong("all_projects", problem.into()));
            }
            (Some(project), false) => WhichProjects::One(project),
            (None, true) => WhichProjects::All,
            (None, false) => WhichProjects::Own,
        };
        let by = self.by.map(|by| by.parse());
        let by =
            by.transpose().map_err(|problem: String| wrong("by", format!("`by` {problem}")))?;
        let (from, to) = (day("from", self.from)?, day("to", self.to)?);
        Ok(Filter { projects, from, to, by: by.unwrap_or_default() })
    }
}

/// A day as it is written.
pub(super) fn day<T: std::str::FromStr>(
    field: &'static str,
    text: Option<String>,
) -> Result<Option<T>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    // Not a time, of which the rest would be dropped.
    let day = text.parse().ok().filter(|_| text.len() == "2026-11-27".len());
    let wrong = || wrong(field, format!("`{field}` must be a day, such as `2026-11-27`"));
    day.map(Some).ok_or_else(wrong)
}

pub(super) fn wrong(field: &str, problem: String) -> ApiError {
    ApiError::new(ErrorKind::InvalidRequest, problem).param(field)
}
