//! What the listings of OpenAI's API have in common.

use crate::error::{ApiError, ErrorKind};

/// How many rows a page has.
pub(super) fn limit(wanted: Option<usize>, usual: usize, most: usize) -> Result<usize, ApiError> {
    let limit = wanted.unwrap_or(usual);
    if (1..=most).contains(&limit) {
        Ok(limit)
    } else {
        Err(invalid("limit", format!("`limit` must be 1 to {most}")))
    }
}

/// The id of the row that a page comes after.
pub(super) fn after<I>(
    text: Option<&str>,
    what: &str,
    read: fn(&str) -> Option<I>,
) -> Result<Option<I>, ApiError> {
    text.map(|text| {
        read(text).ok_or_else(|| {
            let message =
                format!("`after` must be the id of a {what}: `last_id` of the page before");
            invalid("after", message)
        })
    })
    .transpose()
}

pub(super) fn invalid(param: &str, message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::InvalidRequest, message).param(param)
}
