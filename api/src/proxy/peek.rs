use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::dialect::Dialect;
use super::form::{self, Form, FormTraits};
use crate::control::{check_object, invalid_json};
use crate::error::{ApiError, ErrorKind};

/// What is read of an inference request. The rest is passed on unread.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Peek {
    pub(super) model: String,
    pub(super) stream: bool,
    /// Where the value of `model` stands in the body, quotes included; in a form, its part.
    model_at: Range<usize>,
    /// The same of `stream_options`, if the field is there.
    stream_options_at: Option<Range<usize>>,
    /// The same of `prompt`, if it is an object and the endpoint takes such ones.
    pub(super) prompt_at: Option<Range<usize>>,
    /// What else a form says; none where the body is JSON.
    form: Option<FormTraits>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(default)]
    stream: Option<bool>,
    // A null is a field that is there, too.
    #[serde(borrow, default, deserialize_with = "as_it_is")]
    stream_options: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt: Option<&'a RawValue>,
}

fn as_it_is<'de: 'a, 'a, D: Deserializer<'de>>(value: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(value).map(Some)
}

impl Peek {
    /// Looks at a request for an endpoint that takes JSON or a form.
    pub(super) fn of(dialect: Dialect, headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let mut peek = if dialect.takes_form() {
            Self::from(Form::read(headers, body)?)
        } else if form::is_form(headers) {
            let problem = format!(
                "`{}` takes JSON and no form; send `content-type: application/json`",
                dialect.path()
            );
            return Err(ApiError::new(ErrorKind::InvalidRequest, problem).param("content-type"));
        } else {
            Self::read_with(body, dialect.takes_prompts())?
        };
        if peek.stream && dialect.is_of_images() {
            let problem = "images are not streamed here; leave `stream` out";
            return Err(ApiError::new(ErrorKind::InvalidRequest, problem).param("stream"));
        }
        peek.stream &= dialect.generates();
        Ok(peek)
    }

    /// Reads `model` and `stream`. Serde checks the whole body's syntax in the same pass and
    /// refuses a field that stands twice, so the replica cannot see another value than we do.
    #[cfg(test)]
    pub(super) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let peek = Self::read_with(body, false)?;
        peek.check_model().map(|()| peek)
    }

    /// The same of a body that may name a prompt, which may name the model.
    fn read_with(body: &[u8], takes_prompts: bool) -> Result<Self, ApiError> {
        if body.first() != Some(&b'{') {
            check_object(body)?;
        }
        let fields: Fields<'_> = serde_json::from_slice(body).map_err(|error| refused(&error))?;
        let is_object = |raw: &&RawValue| raw.get().starts_with('{');
        let prompt = fields.prompt.filter(|raw| takes_prompts && is_object(raw));
        let model = fields.model;
        let name = model.map_or_else(|| Ok(String::new()), |raw| serde_json::from_str(raw.get()));
        Ok(Self {
            model: name.map_err(|_| {
                ApiError::new(ErrorKind::InvalidRequest, "`model` must be a string").param("model")
            })?,
            stream: fields.stream.unwrap_or(false),
            model_at: model.map_or(0..0, |raw| place_of(raw, body)),
            stream_options_at: fields.stream_options.map(|raw| place_of(raw, body)),
            prompt_at: prompt.map(|raw| place_of(raw, body)),
            form: None,
        })
    }

    /// Refuses a request that names no model.
    pub(super) fn check_model(&self) -> Result<(), ApiError> {
        if self.model.is_empty() {
            let problem =
                "the request names no model; add `\"model\": \"…\"` (see `GET /v1/models`)";
            return Err(ApiError::new(ErrorKind::MissingModel, problem).param("model"));
        }
        Ok(())
    }

    /// How much of the body is text, in bytes. Files are none.
    pub(super) fn text_bytes(&self, body: &[u8]) -> u64 {
        self.form.as_ref().map_or(body.len() as u64, |form| form.text_bytes)
    }

    /// Whether the body is a form.
    pub(super) fn is_form(&self) -> bool {
        self.form.is_some()
    }

    /// Whether the answer is to be plain text or subtitles, and not JSON.
    pub(super) fn wants_text(&self) -> bool {
        let format = self.form.as_ref().and_then(|form| form.response_format.as_deref());
        matches!(format, Some("text" | "srt" | "vtt"))
    }

    /// The body with another model in it; every other byte as it was.
    pub(super) fn with_model(&self, body: &Bytes, model: &str) -> Bytes {
        if model == self.model {
            return body.clone();
        }
        let name = match &self.form {
            None => serde_json::Value::from(model).to_string(),
            Some(_) => form::model_part(model),
        };
        splice(body, &self.model_at, &name)
    }

    /// The body asking for usage at the end of the stream, if it does not already; every other
    /// byte as it was. To be called before [`with_model`](Self::with_model).
    pub(super) fn with_usage(&mut self, body: &Bytes) -> Option<Bytes> {
        let Some(place) = self.stream_options_at.clone() else {
            let options = r#""stream_options":{"include_usage":true},"#;
            let start = memchr::memchr(b'{', body)? + 1;
            self.shift(start, options.len(), 0);
            return Some(splice(body, &(start..start), options));
        };
        let mut options = match serde_json::from_slice(body.get(place.clone())?).ok()? {
            serde_json::Value::Null => serde_json::Map::new(),
            serde_json::Value::Object(options) => options,
            // The replica knows best what is wrong with it.
            _ => return None,
        };
        if options.get("include_usage") == Some(&true.into()) {
            return None;
        }
        options.insert("include_usage".into(), true.into());
        let options = serde_json::Value::from(options).to_string();
        self.shift(place.start, options.len(), place.len());
        Some(splice(body, &place, &options))
    }

    /// Whether the body asks for usage at the end of the stream.
    pub(super) fn asks_for_usage(&self, body: &Bytes) -> bool {
        #[derive(Deserialize)]
        struct Options {
            #[serde(default)]
            include_usage: Option<bool>,
        }
        let options = self.stream_options_at.clone().and_then(|place| body.get(place));
        let options = options.and_then(|text| serde_json::from_slice::<Options>(text).ok());
        options.and_then(|options| options.include_usage).unwrap_or(false)
    }

    /// Bytes at `at` were replaced.
    fn shift(&mut self, at: usize, put: usize, taken: usize) {
        if self.model_at.start >= at {
            let moved = |place: usize| place + put - taken;
            self.model_at = moved(self.model_at.start)..moved(self.model_at.end);
        }
    }
}

impl From<Form> for Peek {
    fn from(Form { model, model_at, stream, traits }: Form) -> Self {
        Self {
            model,
            stream,
            model_at,
            stream_options_at: None,
            prompt_at: None,
            form: Some(traits),
        }
    }
}

/// A body, an object with fields, with another one before them.
pub(super) fn with_field(body: &Bytes, name: &str, value: u64) -> Bytes {
    let Some(brace) = memchr::memchr(b'{', body) else { return body.clone() };
    splice(body, &(brace + 1..brace + 1), &format!("\"{name}\":{value},"))
}

/// Where a part of `body` stands in it. Both are in one allocation, so the distance of their
/// addresses is the offset.
fn place_of(raw: &RawValue, body: &[u8]) -> Range<usize> {
    let start = raw.get().as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start + raw.get().len()
}

fn splice(body: &Bytes, place: &Range<usize>, text: &str) -> Bytes {
    let mut spliced = BytesMut::with_capacity(body.len() + text.len());
    spliced.extend_from_slice(body.get(..place.start).unwrap_or_default());
    spliced.extend_from_slice(text.as_bytes());
    spliced.extend_from_slice(body.get(place.end..).unwrap_or_default());
    spliced.freeze()
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
    fn usage_is_asked_for_where_it_is_not_and_nothing_else_changes() {
        let spliced = |body: &'static str, model: &str| {
            let body = Bytes::from_static(body.as_bytes());
            let mut peek = Peek::read(&body).expect("valid");
            let body = peek.with_usage(&body).unwrap_or(body);
            let body = peek.with_model(&body, model);
            String::from_utf8(body.to_vec()).unwrap()
        };
        for (body, expected) in [
            (
                r#" {"model":"m", "x":1.0}"#,
                r#" {"stream_options":{"include_usage":true},"model":"long", "x":1.0}"#,
            ),
            (
                r#"{"stream_options" : {"a":1}, "model":"m"}"#,
                r#"{"stream_options" : {"a":1,"include_usage":true}, "model":"long"}"#,
            ),
            (
                r#"{"model":"m","stream_options":{"include_usage":false}}"#,
                r#"{"model":"long","stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream_options":null,"model":"m"}"#,
                r#"{"stream_options":{"include_usage":true},"model":"long"}"#,
            ),
            (
                r#"{"stream_options":{"include_usage":true},"model":"m"}"#,
                r#"{"stream_options":{"include_usage":true},"model":"long"}"#,
            ),
            (r#"{"stream_options":7,"model":"m"}"#, r#"{"stream_options":7,"model":"long"}"#),
        ] {
            assert_eq!(spliced(body, "long"), expected);
            let read = Peek::read(expected.as_bytes()).expect("valid");
            assert_eq!(read.model, "long", "{expected}");
        }
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
