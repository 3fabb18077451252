use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use diogenes_core::Timestamp;
use diogenes_core::keys::{ApiKey, KeyId, Keys, NewKey, Weight};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{Clock, Cursor, Limits};
use diogenes_core::tenancy::{Principal, ProjectId, Scope, may};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Allow, Entrance, JsonBody, PathOf, QueryString, object, page_size};
use crate::error::{ApiError, ErrorBody, ErrorKind, key_error};
use crate::proxy::FleetViews;

/// The longest `expires_in`: a hundred years.
pub(super) const LONGEST_EXPIRY: Duration = Duration::from_hours(24 * 36_525);
/// The longest `grace`: a year.
pub(super) const LONGEST_GRACE: Duration = Duration::from_hours(24 * 366);

/// What the handlers of keys share.
pub struct KeysArea {
    entrance: Entrance,
    keys: Keys,
    views: FleetViews,
    clock: Arc<dyn Clock>,
}

impl KeysArea {
    /// The area over these parts.
    pub fn new(entrance: Entrance, keys: Keys, views: FleetViews, clock: Arc<dyn Clock>) -> Self {
        Self { entrance, keys, views, clock }
    }
}

impl AsRef<Entrance> for KeysArea {
    fn as_ref(&self) -> &Entrance {
        &self.entrance
    }
}

/// A key to issue.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// The project it acts in; the caller's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    pub project: Option<ProjectId>,
    /// Email address of its owner.
    pub email: String,
    /// What it is for.
    #[serde(default)]
    pub name: String,
    /// What it may do; `inference` when absent.
    #[serde(default = "inference")]
    #[schema(value_type = Vec<String>)]
    pub scopes: BTreeSet<Scope>,
    /// The models that it may use; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub models: Option<BTreeSet<ModelName>>,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The same as a duration from now: `30d` is `720h`.
    #[serde(
        default,
        with = "diogenes_core::duration::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    pub expires_in: Option<Duration>,
    /// How much it may use.
    #[serde(default, deserialize_with = "object")]
    #[schema(value_type = LimitsBody)]
    pub limits: Limits,
    /// Whether its requests may leave for providers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub egress: bool,
    /// Its share of a busy model, beside other keys.
    #[serde(default, skip_serializing_if = "Weight::is_default")]
    #[schema(value_type = u32, minimum = 1, maximum = 100, default = 1)]
    pub weight: Weight,
}

/// Limits of a key; an absent one does not limit.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes `Limits` in the OpenAPI document")]
pub(super) struct LimitsBody {
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u32>,
    concurrency: Option<u32>,
}

fn inference() -> BTreeSet<Scope> {
    BTreeSet::from([Scope::Inference])
}

/// A key, without the key itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyBody {
    /// Its id.
    #[schema(value_type = String)]
    pub id: KeyId,
    /// The project it acts in.
    #[schema(value_type = String)]
    #[serde(default)]
    pub project: ProjectId,
    /// Email address of its owner.
    pub email: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    #[schema(value_type = Vec<String>)]
    pub scopes: BTreeSet<Scope>,
    /// The models that it may use; all when null.
    #[schema(value_type = Option<Vec<String>>)]
    pub models: Option<BTreeSet<ModelName>>,
    /// How much it may use.
    #[schema(value_type = LimitsBody)]
    pub limits: Limits,
    /// Whether its requests may leave for providers.
    #[serde(default)]
    pub egress: bool,
    /// Its share of a busy model, beside other keys.
    #[serde(default)]
    #[schema(value_type = u32)]
    pub weight: Weight,
    /// `active`, `revoked` or `expired`.
    pub status: String,
    /// When it was issued.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// From when on it is refused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// The key that replaces it.
    #[schema(value_type = Option<String>)]
    pub rotated_to: Option<KeyId>,
}

impl KeyBody {
    /// A stored key as callers see it at `now`.
    pub fn new(key: ApiKey, now: Timestamp) -> Self {
        let status = match key.check(now) {
            Ok(()) => "active",
            Err(_) if key.revoked_at.is_some() => "revoked",
            Err(_) => "expired",
        };
        Self {
            id: key.id,
            project: key.project,
            email: key.email,
            name: key.name,
            scopes: key.scopes,
            models: key.models,
            limits: key.limits,
            egress: key.egress,
            weight: key.weight,
            status: status.into(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            rotated_to: key.rotated_to,
        }
    }
}

/// A key that was just issued, with the key itself: it is shown only here.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// The key: `dg_…`.
    pub key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub record: KeyBody,
}

/// A page of keys.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyPage {
    /// The keys.
    pub data: Vec<KeyBody>,
    /// Where the next page starts; null on the last page.
    pub next_cursor: Option<String>,
}

/// How to rotate a key.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How long the old key goes on working; not at all when absent.
    #[serde(default, with = "diogenes_core::duration")]
    #[schema(value_type = Option<String>)]
    pub grace: Duration,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListKeys {
    /// The project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    project: Option<ProjectId>,
    /// Only keys of this address.
    email: Option<String>,
    /// Rows of the page, 1 to 500; 50 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// Issue a key. The answer is the only place that shows it.
#[utoipa::path(post, path = "/api/v1/keys", request_body = CreateKey, tag = "keys",
    responses((status = 201, body = CreatedKey), (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    Allow(by): Allow<may::KeysWrite>,
    State(area): State<Arc<KeysArea>>,
    JsonBody(body): JsonBody<CreateKey>,
) -> Result<(StatusCode, Json<CreatedKey>), ApiError> {
    let now = area.clock.now();
    let expires_at = match (body.expires_at, body.expires_in) {
        (Some(_), Some(_)) => {
            return Err(ApiError::new(
                ErrorKind::InvalidRequest,
                "give `expires_at` or `expires_in`, not both",
            )
            .param("expires_in"));
        }
        (at, None) => at,
        (None, Some(after)) if after <= LONGEST_EXPIRY => {
            Some(now.checked_add(after).unwrap_or(Timestamp::MAX))
        }
        (None, Some(_)) => {
            return Err(ApiError::new(
                ErrorKind::InvalidRequest,
                "`expires_in` must be at most 36525d; leave it out for no end",
            )
            .param("expires_in"));
        }
    };
    let models = match &body.models {
        Some(models) => Some(registered(&area, &by, models).await?),
        None => None,
    };
    let new = NewKey {
        project: body.project.unwrap_or_else(|| by.project.clone()),
        email: body.email,
        name: body.name,
        scopes: body.scopes,
        models,
        expires_at,
        limits: body.limits,
        egress: body.egress,
        weight: body.weight,
    };
    let (record, plain) = area.keys.issue(&by, new).await.map_err(|error| key_error(&error))?;
    let created = CreatedKey { key: plain.expose().into(), record: KeyBody::new(record, now) };
    Ok((StatusCode::CREATED, Json(created)))
}

/// The registered names behind an allow-list that may name aliases, routes and models of providers.
/// An unknown name is refused: most likely it is a typo, and the key would be of no use. Nobody is
/// told of models that are not theirs to use.
async fn registered(
    area: &KeysArea,
    by: &Principal,
    names: &BTreeSet<ModelName>,
) -> Result<BTreeSet<ModelName>, ApiError> {
    let mut models = BTreeSet::new();
    for name in names {
        area.views.refresh(name.as_str()).await?;
        let route = area.views.dispatcher.route_named(name.as_str());
        if let Some(route) = route.filter(|route| by.may_use(&route.name)) {
            models.insert(route.name.clone());
            continue;
        }
        let hosted = area.views.dispatcher.hosted(name.as_str());
        if let Some(hosted) = hosted.filter(|hosted| by.may_use(&hosted.name)) {
            models.insert(hosted.name);
            continue;
        }
        let found = area.views.dispatcher.find_for(name.as_str(), Some(by));
        let entry = found.map_err(|error| error.param("models"))?;
        models.insert(entry.view().model.name.clone());
    }
    Ok(models)
}

/// List the keys of a project, or those of one email address in it.
#[utoipa::path(get, path = "/api/v1/keys", params(ListKeys), tag = "keys",
    responses((status = 200, body = KeyPage), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    Allow(by): Allow<may::KeysRead>,
    State(area): State<Arc<KeysArea>>,
    QueryString(query): QueryString<ListKeys>,
) -> Result<Json<KeyPage>, ApiError> {
    let limit = page_size(query.limit)?;
    let cursor = query.cursor.map(Cursor::from_caller);
    let project = query.project.unwrap_or_else(|| by.project.clone());
    let page = area
        .keys
        .list(&by, &project, query.email.as_deref(), limit, cursor)
        .await
        .map_err(|error| key_error(&error))?;
    let now = area.clock.now();
    Ok(Json(KeyPage {
        data: page.keys.into_iter().map(|key| KeyBody::new(key, now)).collect(),
        next_cursor: page.next.map(|cursor| cursor.as_str().to_owned()),
    }))
}

/// Show a key.
#[utoipa::path(get, path = "/api/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "the key's id")),
    responses((status = 200, body = KeyBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn show(
    Allow(by): Allow<may::KeysRead>,
    State(area): State<Arc<KeysArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<KeyBody>, ApiError> {
    let id = KeyId::from_caller(id);
    let key = area.keys.get(&by, &id).await.map_err(|error| key_error(&error))?;
    Ok(Json(KeyBody::new(key, area.clock.now())))
}

/// Revoke a key; it stops working at once.
#[utoipa::path(delete, path = "/api/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "the key's id")),
    responses((status = 200, body = KeyBody), (status = "4XX", body = ErrorBody)))]
pub(super) async fn revoke(
    Allow(by): Allow<may::KeysWrite>,
    State(area): State<Arc<KeysArea>>,
    PathOf(id): PathOf<String>,
) -> Result<Json<KeyBody>, ApiError> {
    let id = KeyId::from_caller(id);
    let revoked = area.keys.revoke(&by, &id).await;
    area.entrance.authenticator.forget_key(&id);
    let key = revoked.map_err(|error| key_error(&error))?;
    Ok(Json(KeyBody::new(key, area.clock.now())))
}

/// Issue a key with the same rights and retire the old one.
#[utoipa::path(post, path = "/api/v1/keys/{id}/rotate", request_body = RotateKey, tag = "keys",
    params(("id" = String, Path, description = "the key's id")),
    responses((status = 201, body = CreatedKey), (status = "4XX", body = ErrorBody)))]
pub(super) async fn rotate(
    Allow(by): Allow<may::KeysWrite>,
    State(area): State<Arc<KeysArea>>,
    PathOf(id): PathOf<String>,
    JsonBody(body): JsonBody<RotateKey>,
) -> Result<(StatusCode, Json<CreatedKey>), ApiError> {
    if body.grace > LONGEST_GRACE {
        let error = ApiError::new(ErrorKind::InvalidRequest, "`grace` must be at most a year");
        return Err(error.param("grace"));
    }
    let id = KeyId::from_caller(id);
    let rotated = area.keys.rotate(&by, &id, body.grace).await;
    area.entrance.authenticator.forget_key(&id);
    let (record, plain) = rotated.map_err(|error| match error {
        // The caller's own key is fine; the one it names is not.
        diogenes_core::keys::KeyError::Rejected(rejection) => {
            ApiError::new(ErrorKind::Conflict, format!("{rejection}; create a new key instead"))
        }
        error => key_error(&error),
    })?;
    let record = KeyBody::new(record, area.clock.now());
    Ok((StatusCode::CREATED, Json(CreatedKey { key: plain.expose().into(), record })))
}
