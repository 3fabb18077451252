use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use diogenes_core::fleet::ModelView;
use diogenes_core::tenancy::may;
use http::request::Parts;
use serde::Serialize;

use super::ProxyState;
use super::arrangement::Arranged;
use super::destination::Destination;
use super::entry::Entry;
use super::route::Route;
use crate::error::{ApiError, ErrorKind};

/// OpenAI's model object; callers may ask for it whether it runs or not.
#[derive(Debug, Serialize)]
pub(super) struct ModelObject {
    id: String,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
}

/// OpenAI's list of models.
#[derive(Debug, Serialize)]
pub(super) struct ModelObjects {
    object: &'static str,
    data: Vec<ModelObject>,
}

impl ModelObject {
    fn new(id: String, view: &ModelView) -> Self {
        let created = view.model.created_at.as_second();
        Self { id, object: "model", created, owned_by: "diogenes" }
    }

    /// A route is as old as its first model; with none of the fleet, nobody knows how old.
    fn of_route(id: String, route: &Route) -> Self {
        let created = |entry: &Arc<Entry>| entry.view().model.created_at.as_second();
        let created = route.destinations().find_map(Destination::entry).map_or(0, created);
        Self { id, object: "model", created, owned_by: "diogenes" }
    }
}

/// `GET /v1/models`: the models that the key may use, their aliases and the routes included.
pub(super) async fn list(
    State(app): State<Arc<ProxyState>>,
    parts: Parts,
) -> Result<Json<ModelObjects>, ApiError> {
    let key = app.authenticator.allow::<may::InferenceUse>(&parts).await?;
    app.gateway.views.refresh_models().await?;
    let dispatcher = &app.gateway.views.dispatcher;
    let views = dispatcher.views();
    let data = views
        .iter()
        .filter(|view| key.may_use(&view.model.name))
        .flat_map(|view| {
            let names = std::iter::once(&view.model.name).chain(&view.model.spec.aliases);
            names.map(|name| ModelObject::new(name.to_string(), view))
        })
        .chain(dispatcher.routes().filter_map(|(name, spec)| {
            let route =
                Route::along(name, spec, dispatcher, key.principal(), |_| Arranged::default())
                    .ok()?;
            Some(ModelObject::of_route(name.to_string(), &route))
        }))
        .collect();
    Ok(Json(ModelObjects { object: "list", data }))
}

/// `GET /v1/models/{id}`.
pub(super) async fn show(
    State(app): State<Arc<ProxyState>>,
    id: Result<Path<String>, PathRejection>,
    parts: Parts,
) -> Result<Json<ModelObject>, ApiError> {
    let key = app.authenticator.allow::<may::InferenceUse>(&parts).await?;
    let Path(id) = id.map_err(|_| {
        ApiError::new(ErrorKind::NotFound, "the path is not valid UTF-8; see `GET /v1/models`")
    })?;
    app.gateway.views.refresh(&id).await?;
    let dispatcher = &app.gateway.views.dispatcher;
    if let Some((name, spec)) = dispatcher.route_named(&id) {
        let route = Route::along(name, spec, dispatcher, key.principal(), |_| Arranged::default())?;
        return Ok(Json(ModelObject::of_route(id, &route)));
    }
    let entry = dispatcher.find_for(&id, Some(key.principal()))?;
    let view = entry.view();
    if !key.may_use(&view.model.name) {
        // As if it were not there: the key's holder has no business with it.
        return Err(ApiError::new(
            ErrorKind::ModelNotFound,
            format!("model `{id}` is not registered for this key; see `GET /v1/models`"),
        )
        .param("model"));
    }
    Ok(Json(ModelObject::new(id, &view)))
}
