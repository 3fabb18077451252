//! `/api/v1/prices`: what requests cost here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::gateway::prices::PriceList;
use diogenes_core::tenancy::may;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Allow, QueryString};
use super::gateway::{GatewayArea, NoQuery};
use super::rate_cards::RateCardBody;
use crate::error::{ApiError, ErrorBody};

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

/// Where a list of prices comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PriceOrigin {
    /// The `prices` file of the configuration.
    File,
    /// The release of the server.
    Embedded,
}

/// List the prices by which requests are counted.
#[utoipa::path(get, path = "/api/v1/prices", tag = "prices",
    responses((status = 200, body = PricesBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::GatewayRead>,
    State(area): State<Arc<GatewayArea>>,
    QueryString(NoQuery {}): QueryString<NoQuery>,
) -> Result<Json<PricesBody>, ApiError> {
    let cards = area.read(&by).await?.rate_cards.into_iter();
    let cards = cards.map(|(model, card)| RateCardBody::new(model, card));
    let lists = area.prices(&by).lists().map(|(list, is_embedded)| PriceListBody {
        origin: if is_embedded { PriceOrigin::Embedded } else { PriceOrigin::File },
        list: list.clone(),
    });
    Ok(Json(PricesBody { lists: lists.collect(), rate_cards: cards.collect() }))
}
