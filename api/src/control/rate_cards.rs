//! `/api/v1/rate-cards`: what models of the fleet cost.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::audit::Actor;
use diogenes_core::fleet::Source;
use diogenes_core::gateway::catalog::{CatalogError, Listed};
use diogenes_core::gateway::prices::{Price, RateCard};
use diogenes_core::name::ModelName;
use diogenes_core::tenancy::may;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Allow, JsonBody, PathOf, QueryString, parse_name};
use super::gateway::{GatewayArea, NoQuery, catalog_error};
use crate::error::{ApiError, ErrorBody};

/// What a model of the fleet costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RateCardBody {
    #[schema(value_type = String)]
    pub model: ModelName,
    /// `config` (read-only here) or `api`.
    #[schema(value_type = String)]
    pub source: Source,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The operator's name for the price.
    pub version: String,
    /// Dollars per million tokens, as text.
    #[schema(value_type = Object)]
    pub price: Price,
}

/// Every rate card.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RateCardList {
    /// The rate cards, by model.
    pub data: Vec<RateCardBody>,
}

impl RateCardBody {
    pub(super) fn new(model: ModelName, card: Listed<RateCard>) -> Self {
        let Listed { spec: RateCard { version, price }, source, created_at, updated_at } = card;
        Self { model, source, created_at, updated_at, version, price }
    }
}

/// List the rate cards.
#[utoipa::path(get, path = "/api/v1/rate-cards", tag = "prices",
    responses((status = 200, body = RateCardList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::GatewayRead>,
    State(area): State<Arc<GatewayArea>>,
    QueryString(NoQuery {}): QueryString<NoQuery>,
) -> Result<Json<RateCardList>, ApiError> {
    let cards = area.read(&by).await?.rate_cards.into_iter();
    let data = cards.map(|(model, card)| RateCardBody::new(model, card)).collect();
    Ok(Json(RateCardList { data }))
}

/// Show the rate card of a model.
#[utoipa::path(get, path = "/api/v1/rate-cards/{name}", tag = "prices",
    params(("name" = String, Path, description = "the model's name; slashes as they are")),
    responses((status = 200, body = RateCardBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    Allow(by): Allow<may::GatewayRead>,
    State(area): State<Arc<GatewayArea>>,
    PathOf(name): PathOf<String>,
) -> Result<Json<RateCardBody>, ApiError> {
    let name: ModelName = parse_name(&name)?;
    let card = area.read(&by).await?.rate_cards.remove(&name);
    let card = card.ok_or_else(|| none(&name))?;
    Ok(Json(RateCardBody::new(name, card)))
}

/// Set what a model of the fleet costs, from its next request on.
#[utoipa::path(put, path = "/api/v1/rate-cards/{name}", request_body = RateCard, tag = "prices",
    params(("name" = String, Path, description = "the model's name; slashes as they are")),
    responses((status = 200, body = RateCardBody), (status = 201, body = RateCardBody),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn apply(
    Allow(by): Allow<may::GatewayWrite>,
    State(area): State<Arc<GatewayArea>>,
    PathOf(name): PathOf<String>,
    JsonBody(card): JsonBody<RateCard>,
) -> Result<(StatusCode, Json<RateCardBody>), ApiError> {
    let name: ModelName = parse_name(&name)?;
    let actor = Actor::from(&by);
    let applied = area.editor.apply_rate_card(&actor, &name, &card);
    let (is_new, mut catalog) = area.change(applied).await?;
    let card = catalog.rate_cards.remove(&name).ok_or_else(|| none(&name))?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(RateCardBody::new(name, card))))
}

/// Delete the rate card of a model, which costs nothing from then on.
#[utoipa::path(delete, path = "/api/v1/rate-cards/{name}", tag = "prices",
    params(("name" = String, Path, description = "the model's name; slashes as they are")),
    responses((status = 200, body = RateCardBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete(
    Allow(by): Allow<may::GatewayWrite>,
    State(area): State<Arc<GatewayArea>>,
    PathOf(name): PathOf<String>,
) -> Result<Json<RateCardBody>, ApiError> {
    let name: ModelName = parse_name(&name)?;
    let actor = Actor::from(&by);
    let (card, _) = area.change(area.editor.delete_rate_card(&actor, &name)).await?;
    Ok(Json(RateCardBody::new(name, card)))
}

fn none(name: &ModelName) -> ApiError {
    catalog_error(&CatalogError::NoRateCard(name.clone()))
}
