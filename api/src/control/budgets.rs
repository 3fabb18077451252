use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::gateway::budget::{
    Budget, BudgetError, BudgetId, BudgetScope, Budgets, Cap, InvalidBudgetId, Period,
};
use diogenes_core::ports::{Clock, Cursor, Ledger, Unit};
use diogenes_core::tenancy::{Permission, ProjectId, may};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Allow, Entrance, JsonBody, PathOf, QueryString, page_size};
use crate::error::{ApiError, ErrorBody, ErrorKind, ledger_error, project_error, store_error};
use crate::proxy::FleetViews;

/// What the handlers of budgets share.
pub struct BudgetsArea {
    entrance: Entrance,
    parts: BudgetParts,
}

/// What a [`BudgetsArea`] is made of.
pub struct BudgetParts {
    /// Sets and lists budgets.
    pub budgets: Budgets,
    /// What is charged to them: the ledger that requests are charged to.
    pub ledger: Arc<dyn Ledger>,
    /// Which routes there are.
    pub views: FleetViews,
    /// Which windows the budgets are in.
    pub clock: Arc<dyn Clock>,
}

impl BudgetsArea {
    /// The area over these parts.
    pub fn new(entrance: Entrance, parts: BudgetParts) -> Self {
        Self { entrance, parts }
    }

    /// A budget with what is charged to it at `now`.
    async fn report(&self, budget: Budget, now: Timestamp) -> Result<BudgetBody, ApiError> {
        let account = budget.account(now);
        let charged =
            self.parts.ledger.charged(&account).await.map_err(|error| ledger_error(&error))?;
        let (id, cap) = (budget.id(), budget.cap);
        let (scope, scope_id) = id.scope.parts();
        Ok(BudgetBody {
            scope: scope.into(),
            scope_id: scope_id.into(),
            project: budget.project,
            unit: id.unit_name().into(),
            period: id.period,
            cap,
            charged: cap.with_amount(charged),
            left: cap.with_amount(cap.amount().minus(charged)),
            used_percent: percent(charged.get(), cap.amount().get()),
            resets_at: account.ends_at,
            created_at: budget.created_at,
            updated_at: budget.updated_at,
            id: id.to_string(),
        })
    }
}

/// Rounded down, so that 100 means that nothing is left. Nothing is left of nothing, either.
fn percent(charged: u64, cap: u64) -> u64 {
    let percent = (u128::from(charged) * 100).checked_div(cap.into()).unwrap_or(100);
    u64::try_from(percent).unwrap_or(u64::MAX)
}

impl AsRef<Entrance> for BudgetsArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// How much may be used.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBudget {
    /// Dollars, such as `$0.50`, for a budget in `usd`; tokens, such as `2000000`, `2000k` or
    /// `2M`, for one in `tokens`.
    #[schema(
        value_type = String,
        pattern = r"^(\$[0-9]{1,9}(\.[0-9]{1,9})?|[0-9]{1,18}|[0-9]{1,15}k|[0-9]{1,12}M)$"
    )]
    pub cap: Cap,
}

/// A budget, and how much of it has been used.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BudgetBody {
    /// Scope, id of the scope, unit and period: `key/3kTMd9XbQ2LpVw7z/usd/month`.
    pub id: String,
    /// Whose requests it counts: `key`, `project` or `route`.
    pub scope: String,
    /// The id of the key or the project, or the name of the route.
    pub scope_id: String,
    /// The project that it belongs to; null for that of a route.
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectId>,
    /// `usd` or `tokens`.
    pub unit: String,
    /// `day` or `month`, which begin at midnight UTC, or `total`.
    #[schema(value_type = String)]
    pub period: Period,
    /// How much may be used in a period.
    #[schema(value_type = String)]
    pub cap: Cap,
    /// What has been used in this period, with what is reserved for requests in flight.
    #[schema(value_type = String)]
    pub charged: Cap,
    /// What is left in this period.
    #[schema(value_type = String)]
    pub left: Cap,
    /// How much of it that is, rounded down. It is above 100 if the cap was lowered since.
    pub used_percent: u64,
    /// When the next period begins; null for `total`.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resets_at: Option<Timestamp>,
    /// When it was first set.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its cap last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A page of budgets.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BudgetPage {
    /// The budgets: those of routes, then those of each project.
    pub data: Vec<BudgetBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListBudgets {
    /// Only those of this project and its keys.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Rows of the page, 1 to 500; 50 when absent. A page may be shorter.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// List the budgets: all of them, or only those of the caller's project.
#[utoipa::path(get, path = "/api/v1/budgets", params(ListBudgets), tag = "budgets",
    responses((status = 200, body = BudgetPage), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::BudgetsRead>,
    State(area): State<Arc<BudgetsArea>>,
    QueryString(query): QueryString<ListBudgets>,
) -> Result<Json<BudgetPage>, ApiError> {
    let limit = page_size(query.limit)?;
    let cursor = query.cursor.map(Cursor::from_caller);
    let page = area.parts.budgets.list(&by, query.project.as_ref(), limit, cursor).await;
    let page = page.map_err(|error| match error {
        BudgetError::Project(error) => project_error(&error).param("project"),
        error => budget_error(&error),
    })?;
    let now = area.parts.clock.now();
    let mut data = Vec::with_capacity(page.budgets.len());
    for budget in page.budgets {
        data.push(area.report(budget, now).await?);
    }
    Ok(Json(BudgetPage { data, next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()) }))
}

/// Show a budget.
#[utoipa::path(get, path = "/api/v1/budgets/{id}", tag = "budgets",
    params(("id" = String, Path, description = "the budget's id; slashes are not escaped")),
    responses((status = 200, body = BudgetBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    Allow(by): Allow<may::BudgetsRead>,
    State(area): State<Arc<BudgetsArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<BudgetBody>, ApiError> {
    let budget = area.parts.budgets.get(&by, &parse(&id)?).await;
    let budget = budget.map_err(|error| budget_error(&error))?;
    Ok(Json(area.report(budget, area.parts.clock.now()).await?))
}

/// Set how much may be used. What is charged in this period already counts against the new cap.
#[utoipa::path(put, path = "/api/v1/budgets/{id}", request_body = SetBudget, tag = "budgets",
    params(("id" = String, Path, description = "the budget's id; slashes are not escaped")),
    responses((status = 200, body = BudgetBody), (status = 201, body = BudgetBody),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn set(
    Allow(by): Allow<may::BudgetsWrite>,
    State(area): State<Arc<BudgetsArea>>,
    PathOf(id): PathOf<String>,
    JsonBody(body): JsonBody<SetBudget>,
) -> Result<(StatusCode, Json<BudgetBody>), ApiError> {
    let id = parse(&id)?;
    if id.unit != body.cap.unit() {
        return Err(mismatch(&id));
    }
    let BudgetParts { budgets, views, clock, .. } = &area.parts;
    if let BudgetScope::Route(name) = &id.scope
        // Nobody else may set it, whether it exists or not.
        && by.permissions.contains(Permission::ProjectsAny)
        && views.dispatcher.route_named(name.as_str()).is_none()
    {
        let message =
            format!("route `{name}` does not exist; list routes with `diogenes route list`");
        return Err(ApiError::new(ErrorKind::ModelNotFound, message).param("id"));
    }
    let set = budgets.set(&by, id.scope, id.period, body.cap).await;
    let (budget, is_new) = set.map_err(|error| budget_error(&error))?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(area.report(budget, clock.now()).await?)))
}

/// Delete a budget; it no longer refuses requests.
#[utoipa::path(delete, path = "/api/v1/budgets/{id}", tag = "budgets",
    params(("id" = String, Path, description = "the budget's id; slashes are not escaped")),
    responses((status = 200, body = BudgetBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete(
    Allow(by): Allow<may::BudgetsWrite>,
    State(area): State<Arc<BudgetsArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<BudgetBody>, ApiError> {
    let deleted = area.parts.budgets.delete(&by, &parse(&id)?).await;
    let budget = deleted.map_err(|error| budget_error(&error))?;
    Ok(Json(area.report(budget, area.parts.clock.now()).await?))
}

/// The id in a path, or a clear error.
fn parse(id: &str) -> Result<BudgetId, ApiError> {
    id.parse().map_err(|error: InvalidBudgetId| {
        ApiError::new(ErrorKind::InvalidRequest, error.to_string()).param("id")
    })
}

/// A cap of another unit than the id's.
fn mismatch(id: &BudgetId) -> ApiError {
    let wanted = match id.unit {
        Unit::NanoDollars => "dollars, such as `$5` or `$0.50`",
        Unit::Tokens | Unit::Requests => "tokens, such as `2000000` or `2M`",
    };
    let message = format!("the budget `{id}` is in {}; write `cap` as {wanted}", id.unit_name());
    ApiError::new(ErrorKind::InvalidRequest, message).param("cap")
}

/// A budget that was not set, read or deleted, as callers see it.
fn budget_error(error: &BudgetError) -> ApiError {
    match error {
        BudgetError::NotFound(_) => ApiError::new(ErrorKind::BudgetNotFound, error.to_string()),
        BudgetError::NoKey(_) => ApiError::new(ErrorKind::KeyNotFound, error.to_string()),
        BudgetError::Replaced { .. } => ApiError::new(ErrorKind::Conflict, error.to_string()),
        BudgetError::Denied(_) => ApiError::new(ErrorKind::InsufficientScope, error.to_string()),
        BudgetError::Project(error) => project_error(error),
        BudgetError::Store(error) => store_error(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentage_is_whole_and_never_100_too_early() {
        for (charged, cap, shown) in [
            (0, 10, 0),
            (999, 1_000, 99),
            (1_000, 1_000, 100),
            (3_000, 2_000, 150),
            (0, 0, 100),
            (u64::MAX, 1, u64::MAX),
        ] {
            assert_eq!(percent(charged, cap), shown, "{charged} of {cap}");
        }
    }
}
