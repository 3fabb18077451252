//! What serde says of a request, in the words of those who sent it.

use diogenes_core::name::nearest;
use serde::de::IgnoredAny;

use crate::error::{ApiError, ErrorKind};

/// A body that is not JSON or not an object. Serde would take a list for the fields in order.
pub(crate) fn check_object(body: &[u8]) -> Result<(), ApiError> {
    match body.trim_ascii_start().first() {
        Some(b'{') => Ok(()),
        None => Err(ApiError::new(
            ErrorKind::InvalidJson,
            "the request body is empty; send a JSON object",
        )),
        Some(_) => match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => Err(ApiError::new(
                ErrorKind::InvalidRequest,
                "the request body must be a JSON object",
            )),
            Err(error) => Err(invalid_json(&error)),
        },
    }
}

/// A body that is not JSON.
pub(crate) fn invalid_json(error: &serde_json::Error) -> ApiError {
    ApiError::new(
        ErrorKind::InvalidJson,
        format!("the request body is not valid JSON: {error}; fix it and send it again"),
    )
}

/// A field that is unknown, missing, or not as expected. `path` is where it stands, `.` for the
/// whole.
pub(super) fn field(text: &str, path: &str) -> ApiError {
    let path = path.trim_matches('.');
    // Serde's position is of the text; the path says the same more plainly.
    let text = text.split(" at line ").next().unwrap_or_default();
    let mut names = text.split('`').skip(1).step_by(2);
    if text.starts_with("unknown field") {
        let near = names.next().and_then(|wrong| nearest(wrong, names));
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return ApiError::new(ErrorKind::UnknownField, format!("{text}{hint}")).param(path);
    }
    if text.starts_with("missing field") {
        let name = names.next().unwrap_or_default();
        let param = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        return ApiError::new(ErrorKind::InvalidRequest, format!("{text}; add it")).param(param);
    }
    let message = if text == "invalid digit found in string" {
        format!("`{path}` must be a whole number, 0 or more")
    } else if (path.ends_with("_at") || matches!(path, "since" | "until"))
        && !text.starts_with("invalid type")
    {
        format!("`{path}` is not a time; use RFC 3339 such as `2030-01-31T12:00:00Z`")
    } else if path.is_empty() {
        plain(text)
    } else {
        format!("`{path}`: {}", plain(text))
    };
    let error = ApiError::new(ErrorKind::InvalidRequest, message);
    if path.is_empty() { error } else { error.param(path) }
}

/// A parameter of the query string, from `NAME: what is wrong` or `what is wrong`.
pub(super) fn parameter(text: &str) -> ApiError {
    let text = text.trim_start_matches("Failed to deserialize query string: ");
    match text.split_once(": ") {
        Some((name, wrong)) if !name.contains([' ', '`']) => field(wrong, name),
        _ => field(text, "."),
    }
}

/// Serde's words for those who write no Rust.
fn plain(text: &str) -> String {
    let text = text.replace("expected a sequence", "expected a list");
    let text = text.replace("expected a map", "expected an object");
    match text.split_once(", expected ") {
        Some((wrong, "u32" | "u64" | "usize")) => {
            format!("{wrong}, expected a whole number, 0 or more")
        }
        Some((wrong, "u16")) => format!("{wrong}, expected a port, 1 to 65535"),
        Some((wrong, expected)) if expected.starts_with("struct ") => {
            format!("{wrong}, expected an object")
        }
        _ => text,
    }
}

/// Says of which part of the request the field is that is at fault.
pub(super) fn within(part: &str, mut error: ApiError) -> ApiError {
    error.param = error.param.map(|field| format!("{part}.{field}"));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rusts_words_are_replaced_by_those_of_json() {
        for (text, plainly) in [
            ("invalid type: map, expected a sequence", "invalid type: map, expected a list"),
            (
                "invalid type: string \"a\", expected u32",
                "invalid type: string \"a\", expected a whole number, 0 or more",
            ),
            (
                "invalid length 0, expected struct OrderRequest with 2 elements",
                "invalid length 0, expected an object",
            ),
        ] {
            assert_eq!(plain(text), plainly);
        }
    }

    #[test]
    fn a_parameter_names_itself() {
        let error =
            parameter("Failed to deserialize query string: limit: invalid digit found in string");
        assert_eq!(error.message, "`limit` must be a whole number, 0 or more");
        assert_eq!(error.param.as_deref(), Some("limit"));
    }
}
