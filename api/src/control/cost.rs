use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use diogenes_core::fleet::InstanceTime;
use diogenes_core::gateway::usage::{CostBy, CostError, CostReport, CostRow, Costs};
use diogenes_core::money::Dollars;
use diogenes_core::tenancy::may;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Allow, QueryString};
use super::usage::{UsageArea, day, wrong};
use crate::error::{ApiError, ErrorBody, store_error};

/// How long instances existed, in seconds.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct InstanceSeconds {
    /// From launch until ready, or until the end of a boot that failed.
    pub boot: f64,
    /// Ready, with requests. Counted about once a minute.
    #[serde(rename = "use")]
    pub in_use: f64,
    /// Ready, without requests.
    pub idle: f64,
    pub total: f64,
}

impl From<InstanceTime> for InstanceSeconds {
    fn from(time: InstanceTime) -> Self {
        let seconds = |millis| Duration::from_millis(millis).as_secs_f64();
        Self {
            boot: seconds(time.boot_ms),
            in_use: seconds(time.use_ms),
            idle: seconds(time.idle_ms),
            total: seconds(time.total_ms()),
        }
    }
}

/// What that time cost, in dollars, exact to the billionth. Time without a price costs nothing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct InstanceCost {
    #[schema(examples("0.013413333"))]
    pub boot: String,
    #[serde(rename = "use")]
    #[schema(examples("0.402400000"))]
    pub in_use: String,
    #[schema(examples("0.067066666"))]
    pub idle: String,
    #[schema(examples("0.482879999"))]
    pub total: String,
}

impl From<Costs> for InstanceCost {
    fn from(costs: Costs) -> Self {
        Self {
            boot: Dollars(costs.boot).decimal(),
            in_use: Dollars(costs.in_use).decimal(),
            idle: Dollars(costs.idle).decimal(),
            total: Dollars(costs.total()).decimal(),
        }
    }
}

/// The instances of one day, instance type or model, or all of them.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CostRowBody {
    /// The day, the instance type or the model; empty for the total.
    pub name: String,
    pub instance_seconds: InstanceSeconds,
    pub cost_usd: InstanceCost,
    /// Seconds on instances whose model's ladder has no `price_per_hour`.
    pub unpriced_seconds: f64,
    /// What callers were charged for these models by rate cards, in all projects. Null by instance
    /// type, and for a key that may not see the usage of every project.
    #[schema(examples("0.310000000"))]
    pub charged_usd: Option<String>,
}

impl From<CostRow> for CostRowBody {
    fn from(row: CostRow) -> Self {
        Self {
            name: row.name,
            instance_seconds: row.time.into(),
            cost_usd: row.cost.into(),
            unpriced_seconds: Duration::from_millis(row.unpriced_ms).as_secs_f64(),
            charged_usd: row.charged.map(|amount| Dollars(amount).decimal()),
        }
    }
}

/// What instances cost from one day to another in UTC, both included.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CostBody {
    /// The first day.
    #[schema(format = Date)]
    pub from: String,
    /// The last day.
    #[schema(format = Date)]
    pub to: String,
    /// What the rows are: `day`, `instance_type` or `model`.
    #[schema(value_type = String)]
    pub by: CostBy,
    /// Days in order; anything else by cost, then by time, highest first.
    pub data: Vec<CostRowBody>,
    /// The sum of the rows.
    pub total: CostRowBody,
}

impl From<CostReport> for CostBody {
    fn from(report: CostReport) -> Self {
        Self {
            from: report.days.first.to_string(),
            to: report.days.last.to_string(),
            by: report.by,
            data: report.rows.into_iter().map(CostRowBody::from).collect(),
            total: report.total.into(),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadCost {
    /// The first day; the first of the month of `to` when absent. At most 400 days are reported.
    #[param(format = Date)]
    from: Option<String>,
    /// The last day; today, in UTC, when absent.
    #[param(format = Date)]
    to: Option<String>,
    /// What the rows are; `model` when absent.
    #[param(pattern = "^(day|instance_type|model)$")]
    by: Option<String>,
}

/// Show what the instances of the fleet cost, beside what callers were charged.
#[utoipa::path(get, path = "/api/v1/cost", params(ReadCost), tag = "usage",
    responses((status = 200, body = CostBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn read(
    Allow(by): Allow<may::ClusterRead>,
    State(area): State<Arc<UsageArea>>,
    QueryString(query): QueryString<ReadCost>,
) -> Result<Json<CostBody>, ApiError> {
    let rows = query.by.map(|rows| rows.parse());
    let rows =
        rows.transpose().map_err(|problem: String| wrong("by", format!("`by` {problem}")))?;
    let (from, to) = (day("from", query.from)?, day("to", query.to)?);
    let report = area.costs.report(&by, (from, to), rows.unwrap_or_default()).await;
    let report = report.map_err(|error| match &error {
        CostError::Days(days) => wrong(days.field, error.to_string()),
        CostError::Store(error) => store_error(error),
    })?;
    Ok(Json(report.into()))
}
