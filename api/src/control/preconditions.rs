//! `If-Match`, `If-None-Match` and `ETag`: changes of what the caller has seen.

use axum::extract::FromRequestParts;
use diogenes_core::gateway::catalog::{Listed, Precondition, Tag};
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use serde::Serialize;

use crate::error::{ApiError, ErrorKind, store_error};

/// What a request wants to stand before it changes anything.
pub(super) struct When(pub(super) Precondition);

/// The header that tells a definition from what it was before.
pub(super) type ETag = [(HeaderName, String); 1];

/// The tag of a definition, for a response.
pub(super) fn etag<T: Serialize>(listed: &Listed<T>) -> Result<ETag, ApiError> {
    let tag = listed.tag().map_err(|error| store_error(&error))?;
    Ok([(header::ETAG, format!("\"{tag}\""))])
}

impl<S: Send + Sync> FromRequestParts<S> for When {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        precondition(&parts.headers).map(Self)
    }
}

fn precondition(headers: &HeaderMap) -> Result<Precondition, ApiError> {
    let unchanged = list(headers, &header::IF_MATCH)?;
    let absent = list(headers, &header::IF_NONE_MATCH)?;
    if absent.as_deref().is_some_and(|listed| listed != "*") {
        return Err(refused(
            &header::IF_NONE_MATCH,
            "`If-None-Match` must be `*`; send the `ETag` of what you have read as `If-Match`",
        ));
    }
    let unchanged = match unchanged.as_deref() {
        None => None,
        Some("*") => Some(Precondition::Present),
        Some(listed) => Some(Precondition::Unchanged(tags(listed)?)),
    };
    match (unchanged, absent) {
        (None, None) => Ok(Precondition::None),
        (Some(unchanged), None) => Ok(unchanged),
        (None, Some(_)) => Ok(Precondition::Absent),
        (Some(_), Some(_)) => Err(ApiError::new(
            ErrorKind::PreconditionFailed,
            "`If-Match` and `If-None-Match` cannot both hold; send one of them",
        )),
    }
}

/// The lines of a header as one.
fn list(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, ApiError> {
    let lines = headers.get_all(name).iter().map(|line| line.to_str());
    let lines = lines.collect::<Result<Vec<_>, _>>();
    let lines = lines.map_err(|_| refused(name, MALFORMED))?;
    Ok((!lines.is_empty()).then(|| lines.join(",").trim().to_owned()))
}

const MALFORMED: &str = "`If-Match` must be `*`, or an `ETag` as it was received, in its quotes";

/// Entity tags as RFC 9110 writes them. A weak one never matches here.
fn tags(listed: &str) -> Result<Vec<Tag>, ApiError> {
    let mut tags = Vec::new();
    for tag in listed.split(',').map(str::trim) {
        let quoted = tag.strip_prefix("W/").unwrap_or(tag);
        let text = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let text = text.filter(|text| !text.contains('"'));
        let text = text.ok_or_else(|| refused(&header::IF_MATCH, MALFORMED))?;
        if quoted.len() == tag.len() {
            tags.push(Tag::new(text));
        }
    }
    Ok(tags)
}

fn refused(name: &HeaderName, problem: &str) -> ApiError {
    ApiError::new(ErrorKind::InvalidRequest, problem).param(name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(HeaderName, &str)]) -> Result<Precondition, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        precondition(&headers).map_err(|error| error.param.unwrap_or(error.message))
    }

    #[test]
    fn preconditions_are_read_as_the_rfc_writes_them() {
        let unchanged = |tags: &[&str]| {
            Ok(Precondition::Unchanged(tags.iter().map(|tag| Tag::new(*tag)).collect()))
        };
        let (matches, none) = (header::IF_MATCH, header::IF_NONE_MATCH);
        assert_eq!(read(&[]), Ok(Precondition::None));
        assert_eq!(read(&[(matches.clone(), "*")]), Ok(Precondition::Present));
        assert_eq!(read(&[(none.clone(), "*")]), Ok(Precondition::Absent));
        assert_eq!(read(&[(matches.clone(), "\"a\"")]), unchanged(&["a"]));
        let both = [(matches.clone(), "\"a\", \"b\""), (matches.clone(), "W/\"c\"")];
        assert_eq!(read(&both), unchanged(&["a", "b"]));
        for bad in ["", "a", "\"a", "\"a\"b\"", "\"a\","] {
            assert_eq!(read(&[(matches.clone(), bad)]), Err("if-match".into()), "{bad}");
        }
        assert_eq!(read(&[(none.clone(), "\"a\"")]), Err("if-none-match".into()));
        let both = read(&[(matches, "*"), (none, "*")]).unwrap_err();
        assert!(both.contains("cannot both hold"), "{both}");
    }
}
