//! `/api/v1/prices`: what requests cost here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::audit::Actor;
use diogenes_core::gateway::catalog::{CatalogError, ImportedPrices, Listed};
use diogenes_core::gateway::prices::{InvalidPriceList, PriceList, PriceOrigin};
use diogenes_core::tenancy::may;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::{Allow, JsonBody, QueryString};
use super::gateway::{GatewayArea, NoQuery, catalog_error};
use super::preconditions::{ETag, When, etag};
use super::rate_cards::RateCardBody;
use crate::error::{ApiError, ErrorBody, ErrorKind};

/// How many problems of a list one answer tells.
const MOST_PROBLEMS: usize = 20;

/// Every price by which requests are counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PricesBody {
    /// The lists of prices of providers' models; the first that knows a model decides.
    pub lists: Vec<PriceListBody>,
    /// What models of the fleet cost, by name. One without a rate card costs nothing.
    pub rate_cards: Vec<RateCardBody>,
}

/// A list of prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceListBody {
    pub origin: PriceOrigin,
    /// The list, in the form of the `prices` file.
    #[schema(value_type = Object)]
    pub list: PriceList,
}

/// A list of prices.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes `PriceList`")]
pub(super) struct PriceListForm {
    /// Where the prices are from.
    source: String,
    /// The day that they are of.
    #[schema(format = Date)]
    date: String,
    /// The prices of each provider.
    #[schema(value_type = Object)]
    providers: (),
}

/// List the prices by which requests are counted.
#[utoipa::path(get, path = "/api/v1/prices", tag = "prices",
    responses((status = 200, body = PricesBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::GatewayRead>,
    State(area): State<Arc<GatewayArea>>,
    QueryString(NoQuery {}): QueryString<NoQuery>,
) -> Result<Json<PricesBody>, ApiError> {
    let (catalog, imported) = area.read_with_prices(&by).await?;
    let cards = catalog.rate_cards.into_iter();
    let cards = cards.map(|(model, card)| RateCardBody::new(model, card));
    let mut book = area.prices(&by).clone();
    if let Some(imported) = imported {
        book = book.with(PriceOrigin::Imported, imported);
    }
    let lists =
        book.lists().map(|(origin, list)| PriceListBody { origin, list: list.clone() }).collect();
    Ok(Json(PricesBody { lists, rate_cards: cards.collect() }))
}

/// Show the imported price list.
#[utoipa::path(get, path = "/api/v1/prices/imported", tag = "prices",
    responses(
        (status = 200, body = PriceListForm, headers(("ETag", description = "for `If-Match`"))),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn show_imported(
    Allow(by): Allow<may::GatewayRead>,
    State(area): State<Arc<GatewayArea>>,
    QueryString(NoQuery {}): QueryString<NoQuery>,
) -> Result<(ETag, Json<PriceList>), ApiError> {
    let (catalog, imported) = area.read_with_prices(&by).await?;
    let (listed, list) = catalog.prices.zip(imported).ok_or_else(none)?;
    Ok((etag(&listed)?, Json(list)))
}

/// Import a price list, in the place of the one that was imported before.
#[utoipa::path(put, path = "/api/v1/prices/imported", request_body = PriceListForm, tag = "prices",
    params(
        ("If-Match" = Option<String>, Header, pattern = r#"^(\*|"[0-9a-f]{32}")$"#,
            description = "the `ETag` of what was read; 412 if another list was imported since"),
        ("If-None-Match" = Option<String>, Header, pattern = r"^\*$",
            description = "`*` to replace no list; 412 if one is there")),
    responses(
        (status = 200, body = PriceListForm, headers(("ETag", description = "for `If-Match`"))),
        (status = 201, body = PriceListForm, headers(("ETag", description = "for `If-Match`"))),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn import(
    Allow(by): Allow<may::GatewayWrite>,
    State(area): State<Arc<GatewayArea>>,
    When(precondition): When,
    JsonBody(list): JsonBody<Value>,
) -> Result<(StatusCode, ETag, Json<PriceList>), ApiError> {
    let list = PriceList::parse_all(list.to_string().as_bytes());
    let list = list.map_err(|problems| refused(&problems))?;
    let actor = Actor::from(&by);
    let imported = async {
        let (is_new, catalog) = area.editor.import_prices(&actor, &list, &precondition).await?;
        area.publish_prices(&catalog, Some(&list));
        Ok((is_new, catalog))
    };
    let (is_new, catalog) = area.change(imported).await?;
    let listed: Listed<ImportedPrices> = catalog.prices.ok_or_else(none)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, etag(&listed)?, Json(list)))
}

/// Delete the imported price list; returns it.
#[utoipa::path(delete, path = "/api/v1/prices/imported", tag = "prices",
    params(
        ("If-Match" = Option<String>, Header, pattern = r#"^(\*|"[0-9a-f]{32}")$"#,
            description = "the `ETag` of what was read; 412 if another list was imported since")),
    responses((status = 200, body = PriceListForm), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete_imported(
    Allow(by): Allow<may::GatewayWrite>,
    State(area): State<Arc<GatewayArea>>,
    When(precondition): When,
) -> Result<Json<PriceList>, ApiError> {
    let actor = Actor::from(&by);
    let deleted = async {
        let (list, catalog) = area.editor.delete_prices(&actor, &precondition).await?;
        area.publish_prices(&catalog, None);
        Ok((list, catalog))
    };
    let (list, _) = area.change(deleted).await?;
    Ok(Json(list))
}

fn none() -> ApiError {
    catalog_error(&CatalogError::NoPrices)
}

/// What is wrong with a list, and where.
fn refused(problems: &[InvalidPriceList]) -> ApiError {
    let told: Vec<String> =
        problems.iter().take(MOST_PROBLEMS).map(InvalidPriceList::to_string).collect();
    let error = ApiError::new(ErrorKind::InvalidRequest, told.join("; "));
    match problems.first() {
        Some(InvalidPriceList::At { place, .. }) => error.param(place),
        Some(InvalidPriceList::Json(_)) | None => error,
    }
}
