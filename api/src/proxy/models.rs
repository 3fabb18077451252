use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use diogenes_core::Timestamp;
use diogenes_core::fleet::ModelView;
use diogenes_core::tenancy::may;
use http::HeaderMap;
use http::request::Parts;
use serde_json::{Value, json};

use super::ProxyState;
use super::arrangement::Arranged;
use super::destination::Destination;
use super::entry::Entry;
use super::published::NamedRoute;
use super::route::Route;
use crate::error::{ApiError, ErrorKind};

/// A model or route, for whichever API the caller speaks; it may be asked for whether it runs or
/// not.
#[derive(Debug)]
struct Listed {
    id: String,
    /// Of a route, that of its first model of the fleet.
    created: Timestamp,
}

/// OpenAI's API, or Anthropic's, whose clients send its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    OpenAi,
    Anthropic,
}

impl Shape {
    fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key("anthropic-version") { Self::Anthropic } else { Self::OpenAi }
    }

    fn model(self, listed: &Listed) -> Value {
        let Listed { id, created } = listed;
        match self {
            Self::OpenAi => json!({
                "id": id, "object": "model", "created": created.as_second(), "owned_by": "diogenes",
            }),
            Self::Anthropic => json!({
                "id": id, "type": "model", "display_name": id, "created_at": created,
            }),
        }
    }

    fn models(self, listed: &[Listed]) -> Value {
        let data: Vec<_> = listed.iter().map(|listed| self.model(listed)).collect();
        match self {
            Self::OpenAi => json!({ "object": "list", "data": data }),
            Self::Anthropic => {
                let id = |listed: Option<&Listed>| listed.map(|listed| listed.id.clone());
                let (first, last) = (id(listed.first()), id(listed.last()));
                json!({ "data": data, "has_more": false, "first_id": first, "last_id": last })
            }
        }
    }
}

impl Listed {
    fn new(id: String, view: &ModelView) -> Self {
        Self { id, created: view.model.created_at }
    }

    /// With no model of the fleet, nobody knows how old a route is.
    fn of_route(id: String, route: &Route) -> Self {
        let created = |entry: &Arc<Entry>| entry.view().model.created_at;
        let created = route.destinations().find_map(Destination::entry).map(created);
        Self { id, created: created.unwrap_or(Timestamp::UNIX_EPOCH) }
    }
}

/// `GET /v1/models`: the models that the key may use, their aliases and the routes included.
pub(super) async fn list(
    State(app): State<Arc<ProxyState>>,
    parts: Parts,
) -> Result<Json<Value>, ApiError> {
    let key = app.authenticator.allow::<may::InferenceUse>(&parts).await?;
    app.gateway.views.refresh_models().await?;
    let dispatcher = &app.gateway.views.dispatcher;
    let views = dispatcher.views();
    let listed: Vec<_> = views
        .iter()
        .filter(|view| key.may_use(&view.model.name))
        .flat_map(|view| {
            let names = std::iter::once(&view.model.name).chain(&view.model.spec.aliases);
            names.map(|name| Listed::new(name.to_string(), view))
        })
        .chain(dispatcher.routes().iter().filter_map(|named| {
            let NamedRoute { name, spec } = &**named;
            let route =
                Route::along(name, spec, dispatcher, key.principal(), |_| Arranged::default())
                    .ok()?;
            Some(Listed::of_route(name.to_string(), &route))
        }))
        .collect();
    Ok(Json(Shape::of(&parts.headers).models(&listed)))
}

/// `GET /v1/models/{id}`.
pub(super) async fn show(
    State(app): State<Arc<ProxyState>>,
    id: Result<Path<String>, PathRejection>,
    parts: Parts,
) -> Result<Json<Value>, ApiError> {
    let key = app.authenticator.allow::<may::InferenceUse>(&parts).await?;
    let Path(id) = id.map_err(|_| {
        ApiError::new(ErrorKind::NotFound, "the path is not valid UTF-8; see `GET /v1/models`")
    })?;
    app.gateway.views.refresh(&id).await?;
    let shape = Shape::of(&parts.headers);
    let dispatcher = &app.gateway.views.dispatcher;
    if let Some(named) = dispatcher.route_named(&id) {
        let NamedRoute { name, spec } = &*named;
        let route = Route::along(name, spec, dispatcher, key.principal(), |_| Arranged::default())?;
        return Ok(Json(shape.model(&Listed::of_route(id, &route))));
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
    Ok(Json(shape.model(&Listed::new(id, &view))))
}
