//! `/api/v1/routes` and `/api/v1/providers`: where requests may go.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::audit::Actor;
use diogenes_core::fleet::Source;
use diogenes_core::gateway::catalog::{Catalog, CatalogEditor, CatalogError, Listed};
use diogenes_core::gateway::prices::{PriceBook, PriceList};
use diogenes_core::gateway::{ProviderName, ProviderSpec, RouteSpec};
use diogenes_core::name::ModelName;
use diogenes_core::tenancy::{Allowed, may};
use futures_util::TryFutureExt as _;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Allow, Entrance, JsonBody, PathOf, QueryString, parse_name};
use super::preconditions::{ETag, When, etag};
use crate::error::{ApiError, ErrorBody, ErrorKind, store_error};
use crate::proxy::FleetViews;

/// What the handlers of routes and providers share.
pub struct GatewayArea {
    entrance: Entrance,
    pub(super) editor: CatalogEditor,
    views: FleetViews,
    prices: PriceBook,
}

impl GatewayArea {
    /// The area over these parts. `prices` are those by which requests are counted beside imported
    /// ones.
    pub fn new(
        entrance: Entrance,
        editor: CatalogEditor,
        views: FleetViews,
        prices: PriceBook,
    ) -> Self {
        Self { entrance, editor, views, prices }
    }

    pub(super) fn prices(&self, _: &Allowed<may::GatewayRead>) -> &PriceBook {
        &self.prices
    }

    pub(super) async fn read(&self, _: &Allowed<may::GatewayRead>) -> Result<Catalog, ApiError> {
        self.editor.load().await.map_err(|error| catalog_error(&error))
    }

    pub(super) async fn read_with_prices(
        &self,
        _: &Allowed<may::GatewayRead>,
    ) -> Result<(Catalog, Option<PriceList>), ApiError> {
        self.editor.load_with_prices().await.map_err(|error| catalog_error(&error))
    }

    /// Counts requests by the imported prices of a catalog from now on.
    pub(super) fn publish_prices(&self, catalog: &Catalog, imported: Option<&PriceList>) {
        self.views.dispatcher.publish_prices(catalog, imported);
    }

    /// A route with what of it nobody answers to.
    async fn route_body(
        &self,
        catalog: &Catalog,
        name: ModelName,
        route: Listed<RouteSpec>,
    ) -> Result<RouteBody, ApiError> {
        let missing = self.editor.missing_targets(catalog, route.spec.models()).await;
        let missing = missing.map_err(|error| catalog_error(&error))?;
        Ok(RouteBody::new(name, route, &missing))
    }

    /// [`publish_change`] with what is known here.
    pub(super) async fn change<T>(
        &self,
        change: impl Future<Output = Result<(T, Catalog), CatalogError>>,
    ) -> Result<(T, Catalog), ApiError> {
        publish_change(&self.views, change).await
    }
}

/// Makes a change of the catalog, and publishes what comes of it.
pub(super) async fn publish_change<T>(
    views: &FleetViews,
    change: impl Future<Output = Result<(T, Catalog), CatalogError>>,
) -> Result<(T, Catalog), ApiError> {
    let change = change.map_err(|error| catalog_error(&error));
    views.dispatcher.publish_change(change).await
}

impl AsRef<Entrance> for GatewayArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// A route.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RouteBody {
    /// The name that callers send as `model`.
    #[schema(value_type = String)]
    pub name: ModelName,
    /// `config` (read-only here) or `api`.
    #[schema(value_type = String)]
    pub source: Source,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Who may answer, and how one is chosen.
    pub spec: RouteSpec,
    /// The targets whose model or provider does not exist (any more). Requests skip them.
    #[serde(default)]
    #[schema(required = true, value_type = Vec<String>)]
    pub missing_targets: Vec<ModelName>,
}

/// Every route.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RouteList {
    /// The routes, by name.
    pub data: Vec<RouteBody>,
}

/// A provider.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProviderBody {
    /// What stands before the first `/` of the names of its models.
    #[schema(value_type = String)]
    pub name: ProviderName,
    /// `config` (read-only here) or `api`.
    #[schema(value_type = String)]
    pub source: Source,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Where it is, and how it is asked.
    pub spec: ProviderSpec,
}

/// Every provider.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ProviderList {
    /// The providers, by name.
    pub data: Vec<ProviderBody>,
}

/// Whether a provider answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderCheck {
    /// Whether it accepts requests with its key.
    pub ok: bool,
    /// The status that it answered with; null where it did not answer.
    pub status: Option<u16>,
    /// How long it took to answer, in milliseconds; null where it did not.
    pub latency_ms: Option<u64>,
    /// How many models it lists; null where it does not say.
    pub models: Option<usize>,
    /// What is wrong or doubtful, and what to do about it; null where nothing is.
    pub problem: Option<String>,
}

impl RouteBody {
    fn new(name: ModelName, route: Listed<RouteSpec>, missing: &BTreeSet<ModelName>) -> Self {
        let Listed { spec, source, created_at, updated_at } = route;
        let missing_targets = spec.models().filter(|target| missing.contains(*target)).cloned();
        let missing_targets = missing_targets.collect();
        Self { name, source, created_at, updated_at, spec, missing_targets }
    }
}

fn provider_body(name: ProviderName, provider: Listed<ProviderSpec>) -> ProviderBody {
    let Listed { spec, source, created_at, updated_at } = provider;
    ProviderBody { name, source, created_at, updated_at, spec }
}

/// Lists that are whole take no parameter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoQuery {}

/// List the routes.
#[utoipa::path(get, path = "/api/v1/routes", tag = "routes",
    responses((status = 200, body = RouteList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list_routes(
    Allow(by): Allow<may::GatewayRead>,
    State(area): State<Arc<GatewayArea>>,
    QueryString(NoQuery {}): QueryString<NoQuery>,
) -> Result<Json<RouteList>, ApiError> {
    let catalog = area.read(&by).await?;
    let targets = catalog.routes.values().flat_map(|route| route.spec.models());
    let missing = area.editor.missing_targets(&catalog, targets).await;
    let missing = missing.map_err(|error| catalog_error(&error))?;
    let routes = catalog.routes.into_iter();
    let data = routes.map(|(name, route)| RouteBody::new(name, route, &missing)).collect();
    Ok(Json(RouteList { data }))
}

/// Show a route.
#[utoipa::path(get, path = "/api/v1/routes/{name}", tag = "routes",
    params(("name" = String, Path, description = "the route's name; slashes are not escaped")),
    responses(
        (status = 200, body = RouteBody, headers(("ETag", description = "for `If-Match`"))),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn show_route(
    Allow(by): Allow<may::GatewayRead>,
    State(area): State<Arc<GatewayArea>>,
    PathOf(name): PathOf<String>,
) -> Result<(ETag, Json<RouteBody>), ApiError> {
    let name: ModelName = parse_name(&name)?;
    let mut catalog = area.read(&by).await?;
    let route = catalog.routes.remove(&name);
    let route = route.ok_or_else(|| catalog_error(&CatalogError::NoRoute(name.clone())))?;
    Ok((etag(&route)?, Json(area.route_body(&catalog, name, route).await?)))
}

/// Add a route, or change it.
#[utoipa::path(put, path = "/api/v1/routes/{name}", request_body = RouteSpec, tag = "routes",
    params(
        ("name" = String, Path, description = "the route's name; slashes are not escaped"),
        ("If-Match" = Option<String>, Header, pattern = r#"^(\*|"[0-9a-f]{32}")$"#,
            description = "the `ETag` of what was read; 412 if the route has changed since"),
        ("If-None-Match" = Option<String>, Header, pattern = r"^\*$",
            description = "`*` to add the route and not to change it; 412 if it is there")),
    responses(
        (status = 200, body = RouteBody, headers(("ETag", description = "for `If-Match`"))),
        (status = 201, body = RouteBody, headers(("ETag", description = "for `If-Match`"))),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn apply_route(
    Allow(by): Allow<may::GatewayWrite>,
    State(area): State<Arc<GatewayArea>>,
    PathOf(name): PathOf<String>,
    When(precondition): When,
    JsonBody(spec): JsonBody<RouteSpec>,
) -> Result<(StatusCode, ETag, Json<RouteBody>), ApiError> {
    let name: ModelName = parse_name(&name)?;
    let actor = Actor::from(&by);
    let applied = area.editor.apply_route(&actor, &name, &spec, &precondition);
    let (is_new, mut catalog) = area.change(applied).await?;
    let route = catalog.routes.remove(&name);
    let route = route.ok_or_else(|| catalog_error(&CatalogError::NoRoute(name.clone())))?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, etag(&route)?, Json(area.route_body(&catalog, name, route).await?)))
}

/// Delete a route. Requests that name it are refused from then on.
#[utoipa::path(delete, path = "/api/v1/routes/{name}", tag = "routes",
    params(
        ("name" = String, Path, description = "the route's name; slashes are not escaped"),
        ("If-Match" = Option<String>, Header, pattern = r#"^(\*|"[0-9a-f]{32}")$"#,
            description = "the `ETag` of what was read; 412 if the route has changed since")),
    responses((status = 200, body = RouteBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete_route(
    Allow(by): Allow<may::GatewayWrite>,
    State(area): State<Arc<GatewayArea>>,
    PathOf(name): PathOf<String>,
    When(precondition): When,
) -> Result<Json<RouteBody>, ApiError> {
    let name: ModelName = parse_name(&name)?;
    let actor = Actor::from(&by);
    let deleted = area.editor.delete_route(&actor, &name, &precondition);
    let (route, catalog) = area.change(deleted).await?;
    area.route_body(&catalog, name, route).await.map(Json)
}

/// List the providers.
#[utoipa::path(get, path = "/api/v1/providers", tag = "providers",
    responses((status = 200, body = ProviderList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list_providers(
    Allow(by): Allow<may::GatewayRead>,
    State(area): State<Arc<GatewayArea>>,
    QueryString(NoQuery {}): QueryString<NoQuery>,
) -> Result<Json<ProviderList>, ApiError> {
    let providers = area.read(&by).await?.providers.into_iter();
    let data = providers.map(|(name, provider)| provider_body(name, provider)).collect();
    Ok(Json(ProviderList { data }))
}

/// Show a provider.
#[utoipa::path(get, path = "/api/v1/providers/{name}", tag = "providers",
    params(("name" = String, Path, description = "the provider's name")),
    responses(
        (status = 200, body = ProviderBody, headers(("ETag", description = "for `If-Match`"))),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn show_provider(
    Allow(by): Allow<may::GatewayRead>,
    State(area): State<Arc<GatewayArea>>,
    PathOf(name): PathOf<String>,
) -> Result<(ETag, Json<ProviderBody>), ApiError> {
    let name: ProviderName = parse_name(&name)?;
    let provider = area.read(&by).await?.providers.remove(&name);
    let provider = provider.ok_or_else(|| no_provider(&name))?;
    Ok((etag(&provider)?, Json(provider_body(name, provider))))
}

/// Add a provider, or change it. Requests leave for it only where their route and key allow it.
#[utoipa::path(put, path = "/api/v1/providers/{name}", request_body = ProviderSpec,
    tag = "providers",
    params(
        ("name" = String, Path, description = "the provider's name"),
        ("If-Match" = Option<String>, Header, pattern = r#"^(\*|"[0-9a-f]{32}")$"#,
            description = "the `ETag` of what was read; 412 if the provider has changed since"),
        ("If-None-Match" = Option<String>, Header, pattern = r"^\*$",
            description = "`*` to add the provider and not to change it; 412 if it is there")),
    responses(
        (status = 200, body = ProviderBody, headers(("ETag", description = "for `If-Match`"))),
        (status = 201, body = ProviderBody, headers(("ETag", description = "for `If-Match`"))),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn apply_provider(
    Allow(by): Allow<may::GatewayWrite>,
    State(area): State<Arc<GatewayArea>>,
    PathOf(name): PathOf<String>,
    When(precondition): When,
    JsonBody(spec): JsonBody<ProviderSpec>,
) -> Result<(StatusCode, ETag, Json<ProviderBody>), ApiError> {
    let name: ProviderName = parse_name(&name)?;
    let actor = Actor::from(&by);
    let applied = area.editor.apply_provider(&actor, &name, &spec, &precondition);
    let (is_new, mut catalog) = area.change(applied).await?;
    let provider = catalog.providers.remove(&name).ok_or_else(|| no_provider(&name))?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, etag(&provider)?, Json(provider_body(name, provider))))
}

/// Delete a provider that no route leads to.
#[utoipa::path(delete, path = "/api/v1/providers/{name}", tag = "providers",
    params(
        ("name" = String, Path, description = "the provider's name"),
        ("If-Match" = Option<String>, Header, pattern = r#"^(\*|"[0-9a-f]{32}")$"#,
            description = "the `ETag` of what was read; 412 if the provider has changed since")),
    responses((status = 200, body = ProviderBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete_provider(
    Allow(by): Allow<may::GatewayWrite>,
    State(area): State<Arc<GatewayArea>>,
    PathOf(name): PathOf<String>,
    When(precondition): When,
) -> Result<Json<ProviderBody>, ApiError> {
    let name: ProviderName = parse_name(&name)?;
    let actor = Actor::from(&by);
    let deleted = area.editor.delete_provider(&actor, &name, &precondition);
    let (provider, _) = area.change(deleted).await?;
    Ok(Json(provider_body(name, provider)))
}

/// Ask a provider for its list of models, as a request would be sent: with its key, and from where
/// requests leave. It costs nothing.
#[utoipa::path(get, path = "/api/v1/providers/{name}/check", tag = "providers",
    params(("name" = String, Path, description = "the provider's name")),
    responses((status = 200, body = ProviderCheck), (status = "4XX", body = ErrorBody)))]
pub(super) async fn check_provider(
    Allow(by): Allow<may::GatewayRead>,
    State(area): State<Arc<GatewayArea>>,
    PathOf(name): PathOf<String>,
) -> Result<Json<ProviderCheck>, ApiError> {
    let name: ProviderName = parse_name(&name)?;
    let dispatcher = &area.views.dispatcher;
    dispatcher.publish_change(async { Ok(((), area.read(&by).await?)) }).await?;
    let checked = dispatcher.check_provider(&name).await;
    checked.map(Json).ok_or_else(|| no_provider(&name))
}

fn no_provider(name: &ProviderName) -> ApiError {
    catalog_error(&CatalogError::NoProvider(name.clone()))
}

/// A change that was not made, as callers see it.
pub(super) fn catalog_error(error: &CatalogError) -> ApiError {
    let text = error.to_string();
    match error {
        CatalogError::NoRoute(_) => ApiError::new(ErrorKind::RouteNotFound, text),
        CatalogError::NoProvider(_) => ApiError::new(ErrorKind::ProviderNotFound, text),
        CatalogError::ReadOnly(_) => ApiError::new(ErrorKind::ReadOnly, text),
        CatalogError::Route(invalid) => {
            ApiError::new(ErrorKind::InvalidRequest, text).param(invalid.field)
        }
        CatalogError::Provider(invalid) => {
            ApiError::new(ErrorKind::InvalidRequest, text).param(invalid.field)
        }
        CatalogError::Target(_) => ApiError::new(ErrorKind::Conflict, text).param("targets"),
        CatalogError::Precondition(_) => ApiError::new(ErrorKind::PreconditionFailed, text),
        CatalogError::NoPrices => ApiError::new(ErrorKind::NotFound, text),
        CatalogError::PricesTooLarge { .. } => ApiError::new(ErrorKind::BodyTooLarge, text),
        CatalogError::NoRateCard(_) => ApiError::new(ErrorKind::RateCardNotFound, text),
        CatalogError::RateCard(_) | CatalogError::CardVersion { .. } => {
            let kind = match error {
                CatalogError::RateCard(_) => ErrorKind::InvalidRequest,
                _ => ErrorKind::Conflict,
            };
            ApiError::new(kind, text).param("version")
        }
        CatalogError::NoModel(_) => ApiError::new(ErrorKind::ModelNotFound, text),
        CatalogError::CardOfAlias { .. }
        | CatalogError::NameTaken { .. }
        | CatalogError::IsRoute(_)
        | CatalogError::InUse { .. }
        | CatalogError::Full => ApiError::new(ErrorKind::Conflict, text),
        CatalogError::Store(error) => store_error(error),
    }
}
