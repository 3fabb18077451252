use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use diogenes_core::tenancy::{Allowed, Needs, Origin, ProjectId};
use http::header;
use http::request::Parts;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use super::{refused, whole};
use crate::auth::{Authenticator, PeerAddress};
use crate::body::read_body;
use crate::error::{ApiError, ErrorKind};

/// The name in a path, of a model, a route or a provider; or a clear error.
pub(super) fn parse_name<T: FromStr<Err: fmt::Display>>(name: &str) -> Result<T, ApiError> {
    parse("name", name)
}

/// A field that a caller has sent, read as what it is; or a clear error.
pub(super) fn parse<T: FromStr<Err: fmt::Display>>(field: &str, text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error| ApiError::new(ErrorKind::InvalidRequest, format!("{error}")).param(field))
}

/// The query of what is in a project.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfProject {
    /// The project; the caller's own when absent.
    #[param(value_type = Option<String>, pattern = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
    pub(super) project: Option<ProjectId>,
}

/// How requests enter an area of the control plane.
#[derive(Clone)]
pub struct Entrance {
    /// Who makes a request.
    pub authenticator: Arc<dyn Authenticator>,
    /// The largest request body in bytes.
    pub max_body_bytes: usize,
}

/// The principal of a request, who may do `P`. Handlers have no other way to it, and what they
/// call asks for it.
pub(crate) struct Allow<P>(pub(crate) Allowed<P>);

impl<S, P> FromRequestParts<Arc<S>> for Allow<P>
where
    S: AsRef<Entrance> + Send + Sync,
    P: Needs,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, area: &Arc<S>) -> Result<Self, ApiError> {
        let entrance: &Entrance = (**area).as_ref();
        let allowed = entrance.authenticator.allow(parts).await?;
        Ok(Self(allowed.with_origin(origin(parts))))
    }
}

/// Where a request came from.
fn origin(parts: &Parts) -> Origin {
    let user_agent = parts.headers.get(header::USER_AGENT);
    Origin {
        address: parts.extensions.get::<PeerAddress>().map(|peer| peer.0.clone()),
        user_agent: user_agent.and_then(|name| name.to_str().ok()).map(str::to_owned),
    }
}

/// What a path names.
pub(crate) struct PathOf<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value)).map_err(|_| {
            ApiError::new(
                ErrorKind::NotFound,
                "the path is not valid UTF-8; the API is described at `/api/v1/openapi.json`",
            )
        })
    }
}

/// A JSON body. Errors name the field; an empty body reads as `{}`.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S, T> FromRequest<Arc<S>, Body> for JsonBody<T>
where
    S: AsRef<Entrance> + Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, area: &Arc<S>) -> Result<Self, ApiError> {
        let entrance: &Entrance = (**area).as_ref();
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body, entrance.max_body_bytes).await?;
        let bytes = if bytes.is_empty() { b"{}"[..].into() } else { bytes };
        refused::check_object(&bytes)?;
        let bytes = whole::numbers(&bytes);
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            refused(error.inner(), &path)
        })?;
        reader.end().map_err(|error| refused(&error, "."))?;
        Ok(Self(value))
    }
}

fn refused(error: &serde_json::Error, path: &str) -> ApiError {
    if error.is_data() {
        refused::field(&error.to_string(), path)
    } else {
        refused::invalid_json(error)
    }
}

/// Query parameters; unknown ones are refused, so that a typo does not pass unseen.
pub(crate) struct QueryString<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryString<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(value) = Query::<T>::try_from_uri(&parts.uri)
            .map_err(|rejection| refused::parameter(&rejection.body_text()))?;
        Ok(Self(value))
    }
}

/// Reads a field that is an object. Serde would take a list for its fields in order, too.
pub(crate) fn object<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Object<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    from.deserialize_map(Object(PhantomData))
}

/// How many rows a page has.
pub(crate) fn page_size(limit: Option<usize>) -> Result<usize, ApiError> {
    const MOST: usize = 500;
    match limit.unwrap_or(50) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(ApiError::new(ErrorKind::InvalidRequest, format!("`limit` must be 1 to {MOST}"))
            .param("limit")),
    }
}
