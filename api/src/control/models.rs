use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::audit::Actor;
use diogenes_core::fleet::{Model, ModelSpec, Registry, RegistryError, Source};
use diogenes_core::gateway::catalog::CatalogEditor;
use diogenes_core::name::ModelName;
use diogenes_core::ports::Cursor;
use diogenes_core::tenancy::{Allowed, may};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Allow, Entrance, JsonBody, PathOf, QueryString, page_size, parse_name};
use super::gateway::{catalog_error, publish_change};
use crate::error::{ApiError, ErrorBody, ErrorKind, store_error};
use crate::proxy::FleetViews;

/// What the handlers of models share.
pub struct ModelsArea {
    entrance: Entrance,
    registry: Registry,
    catalog: CatalogEditor,
    views: FleetViews,
}

impl ModelsArea {
    /// The area over these parts. `catalog` has the names of routes, which no model may take.
    pub fn new(
        entrance: Entrance,
        registry: Registry,
        catalog: CatalogEditor,
        views: FleetViews,
    ) -> Self {
        Self { entrance, registry, catalog, views }
    }

    fn reads(&self, _: &Allowed<may::ModelsRead>) -> &Registry {
        &self.registry
    }

    async fn delete_orphaned_rate_cards(&self, actor: &Actor) -> Result<(), ApiError> {
        let deleted = self.catalog.delete_orphaned_rate_cards(actor);
        publish_change(&self.views, deleted).await.map(drop)
    }

    fn writes(&self, by: &Allowed<may::ModelsWrite>) -> Registry {
        self.registry.on_behalf_of(Actor::from(by))
    }
}

impl AsRef<Entrance> for ModelsArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// A registered model.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelBody {
    /// The name that callers send.
    #[schema(value_type = String)]
    pub name: ModelName,
    /// `config` (read-only here) or `api`.
    #[schema(value_type = String)]
    pub source: Source,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When its spec last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// How it is served, with `***` for the plain text of its environment.
    pub spec: ModelSpec,
}

/// A page of models.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelPage {
    /// The models, by name.
    pub data: Vec<ModelBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

impl From<Model> for ModelBody {
    fn from(model: Model) -> Self {
        Self {
            name: model.name,
            source: model.source,
            created_at: model.created_at,
            updated_at: model.updated_at,
            spec: model.spec.masked(),
        }
    }
}

/// A model that was not changed, as callers see it.
pub(super) fn registry_error(error: &RegistryError) -> ApiError {
    match error {
        RegistryError::NotFound(_) => ApiError::new(ErrorKind::ModelNotFound, error.to_string()),
        RegistryError::ReadOnly(_) => ApiError::new(ErrorKind::ModelReadOnly, error.to_string()),
        RegistryError::Spec(spec) => {
            ApiError::new(ErrorKind::InvalidRequest, error.to_string()).param(spec.field)
        }
        RegistryError::NameTaken { .. } | RegistryError::IsRoute(_) => {
            ApiError::new(ErrorKind::Conflict, error.to_string())
        }
        RegistryError::Store(error) => store_error(error),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListModels {
    /// Rows of the page, 1 to 500; 50 when absent. A page may be shorter.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// List the models.
#[utoipa::path(get, path = "/api/v1/models", params(ListModels), tag = "models",
    responses((status = 200, body = ModelPage), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::ModelsRead>,
    State(area): State<Arc<ModelsArea>>,
    QueryString(query): QueryString<ListModels>,
) -> Result<Json<ModelPage>, ApiError> {
    let limit = page_size(query.limit)?;
    let cursor = query.cursor.map(Cursor::from_caller);
    let (models, next) =
        area.reads(&by).page(limit, cursor).await.map_err(|error| registry_error(&error))?;
    let data = models.into_iter().map(ModelBody::from).collect();
    Ok(Json(ModelPage { data, next_cursor: next.map(|cursor| cursor.as_str().to_owned()) }))
}

/// Show a model.
#[utoipa::path(get, path = "/api/v1/models/{name}", tag = "models",
    params(("name" = String, Path, description = "the model's name; slashes are not escaped")),
    responses((status = 200, body = ModelBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    Allow(by): Allow<may::ModelsRead>,
    State(area): State<Arc<ModelsArea>>,
    PathOf(name): PathOf<String>,
) -> Result<Json<ModelBody>, ApiError> {
    let mut name: ModelName = parse_name(&name)?;
    area.views.refresh(name.as_str()).await?;
    if let Ok(entry) = area.views.dispatcher.find(name.as_str()) {
        // Callers know it by an alias, too.
        name = entry.view().model.name.clone();
    }
    let model = area.reads(&by).get(&name).await.map_err(|error| registry_error(&error))?;
    Ok(Json(model.into()))
}

/// Register a model, or change it. A changed command or environment replaces its replicas.
#[utoipa::path(put, path = "/api/v1/models/{name}", request_body = ModelSpec, tag = "models",
    params(("name" = String, Path, description = "the model's name; slashes are not escaped")),
    responses((status = 200, body = ModelBody), (status = 201, body = ModelBody),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn apply(
    Allow(by): Allow<may::ModelsWrite>,
    State(area): State<Arc<ModelsArea>>,
    PathOf(name): PathOf<String>,
    JsonBody(spec): JsonBody<ModelSpec>,
) -> Result<(StatusCode, Json<ModelBody>), ApiError> {
    let name: ModelName = parse_name(&name)?;
    let checked = area.catalog.check_model(&name, &spec).await;
    let catalog = checked.map_err(|error| catalog_error(&error))?;
    if catalog.rate_cards.contains_key(&name) {
        // That of an old model, where the deletion below has failed.
        area.delete_orphaned_rate_cards(&Actor::from(&by)).await?;
    }
    let (model, is_new) = area
        .writes(&by)
        .apply(&name, spec, Source::Api)
        .await
        .map_err(|error| registry_error(&error))?;
    // Whoever hears of it may ask for it at once.
    area.views.dispatcher.publish_model(model.clone());
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(model.into())))
}

/// Delete a model and its rate card; its replicas are drained and ended.
#[utoipa::path(delete, path = "/api/v1/models/{name}", tag = "models",
    params(("name" = String, Path, description = "the model's name; slashes are not escaped")),
    responses((status = 200, body = ModelBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn delete(
    Allow(by): Allow<may::ModelsWrite>,
    State(area): State<Arc<ModelsArea>>,
    PathOf(name): PathOf<String>,
) -> Result<Json<ModelBody>, ApiError> {
    let name: ModelName = parse_name(&name)?;
    let model = area
        .writes(&by)
        .delete(&name, Source::Api)
        .await
        .map_err(|error| registry_error(&error))?;
    area.views.dispatcher.publish_model(model.clone());
    area.delete_orphaned_rate_cards(&Actor::from(&by)).await?;
    Ok(Json(model.into()))
}
