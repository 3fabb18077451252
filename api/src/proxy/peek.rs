use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::control::{check_object, invalid_json};
use crate::error::{ApiError, ErrorKind};

/// What is read of an inference request. The rest is passed on unread.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Peek {
    pub(super) model: String,
    pub(super) stream: bool,
    /// Where the value of `model` stands in the body, quotes included.
    place: std::ops::Range<usize>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(default)]
    stream: Option<bool>,
}

impl Peek {
    /// Reads `model` and `stream`. Serde checks the whole body's syntax in the same pass and
    /// refuses a field that stands twice, so the replica cannot see another value than we do.
    pub(super) fn read(body: &[u8]) -> Result<Self, ApiError> {
        if body.first() != Some(&b'{') {
            check_object(body)?;
        }
        let fields: Fields<'_> = serde_json::from_slice(body).map_err(|error| refused(&error))?;
        let missing = || {
            ApiError::new(
                ErrorKind::MissingModel,
                "the request names no model; add `\"model\": \"…\"` (see `GET /v1/models`)",
            )
            .param("model")
        };
        let raw = fields.model.ok_or_else(missing)?.get();
        let model: String = serde_json::from_str(raw).map_err(|error| {
            let what = if error.is_data() { "must be a string" } else { "is no valid string" };
            ApiError::new(ErrorKind::InvalidRequest, format!("`model` {what}")).param("model")
        })?;
        if model.is_empty() {
            return Err(missing());
        }
        // Both are in one allocation, so the distance of their addresses is the offset.
        let start = raw.as_ptr().addr().saturating_sub(body.as_ptr().addr());
        Ok(Self { model, stream: fields.stream.unwrap_or(false), place: start..start + raw.len() })
    }

    /// The body with another model in it; every other byte as it was.
    pub(super) fn with_model(&self, body: &Bytes, model: &str) -> Bytes {
        if model == self.model {
            return body.clone();
        }
        let name = serde_json::Value::from(model).to_string();
        let mut rewritten = BytesMut::with_capacity(body.len() + name.len());
        rewritten.extend_from_slice(body.get(..self.place.start).unwrap_or_default());
        rewritten.extend_from_slice(name.as_bytes());
        rewritten.extend_from_slice(body.get(self.place.end..).unwrap_or_default());
        rewritten.freeze()
    }
}

fn refused(error: &serde_json::Error) -> ApiError {
    if error.is_data() {
        let text = error.to_string();
        let param = if text.contains("`model`") { "model" } else { "stream" };
        ApiError::new(ErrorKind::InvalidRequest, format!("the request is not as expected: {text}"))
            .param(param)
    } else {
        invalid_json(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_is_rewritten() {
        let body =
            Bytes::from_static(br#"{ "x":1.50, "model" : "a\"b" ,"stream":true, "u":"\u00e9" }"#);
        let peek = Peek::read(&body).expect("valid");
        assert_eq!((peek.model.as_str(), peek.stream), ("a\"b", true));
        assert_eq!(
            peek.with_model(&body, "c\\d"),
            &br#"{ "x":1.50, "model" : "c\\d" ,"stream":true, "u":"\u00e9" }"#[..]
        );
        assert_eq!(peek.with_model(&body, "a\"b"), body);
    }

    #[test]
    fn nested_models_are_left_alone() {
        let body = Bytes::from_static(br#"{"metadata":{"model":"x"},"model":"y"}"#);
        let peek = Peek::read(&body).expect("valid");
        assert_eq!(peek.with_model(&body, "z"), &br#"{"metadata":{"model":"x"},"model":"z"}"#[..]);
    }

    #[test]
    fn a_bad_body_names_what_is_wrong() {
        for (body, kind) in [
            (&b""[..], ErrorKind::InvalidJson),
            (b"{", ErrorKind::InvalidJson),
            (b"[1]", ErrorKind::InvalidRequest),
            (b"{}", ErrorKind::MissingModel),
            (br#"{"model":""}"#, ErrorKind::MissingModel),
            (br#"{"model":null}"#, ErrorKind::MissingModel),
            (br#"{"model":7}"#, ErrorKind::InvalidRequest),
            (br#"{"model":"a","stream":"yes"}"#, ErrorKind::InvalidRequest),
            (br#"{"model":"a","model":"b"}"#, ErrorKind::InvalidRequest),
            (b"{\"model\":\"a\"} x", ErrorKind::InvalidJson),
        ] {
            assert_eq!(
                Peek::read(body).expect_err("refused").kind,
                kind,
                "{}",
                body.escape_ascii()
            );
        }
    }
}
