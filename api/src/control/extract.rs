use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use diogenes_core::keys::{Grant, Scope};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::refused;
use crate::app::App;
use crate::body::read_body;
use crate::error::{ApiError, ErrorKind};

/// The key of a request that has the scope `admin`.
pub(super) struct Admin(
    #[expect(dead_code, reason = "the key itself is of no use yet")] pub(super) Arc<Grant>,
);

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        app.key_ring.authenticate(parts, Scope::Admin).await.map(Self)
    }
}

/// A JSON body. Errors name the field; an empty body reads as `{}`.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>, Body> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body, app.settings.max_body_bytes).await?;
        let bytes = if bytes.is_empty() { b"{}"[..].into() } else { bytes };
        refused::check_object(&bytes)?;
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
pub(super) struct QueryString<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for QueryString<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        let Query(value) = Query::<T>::try_from_uri(&parts.uri)
            .map_err(|rejection| refused::parameter(&rejection.body_text()))?;
        Ok(Self(value))
    }
}

/// How many rows a page has.
pub(super) fn page_size(limit: Option<usize>) -> Result<usize, ApiError> {
    const MOST: usize = 500;
    match limit.unwrap_or(50) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(ApiError::new(ErrorKind::InvalidRequest, format!("`limit` must be 1 to {MOST}"))
            .param("limit")),
    }
}
