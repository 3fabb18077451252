//! The parts of a form with files (`multipart/form-data`, RFC 7578), as far as a gateway reads it.
//!
//! A parser such as `multer` hands out what parts hold. What is needed here is where a part stands
//! in a body that is in memory already, so that the model can be replaced without a look at the
//! file; so this is a scanner of our own. It is stricter than the parsers of inference servers:
//! what two of them may read in two ways is refused, as one could find another model than the one
//! that was checked. The tests compare it with `multer`.

use std::ops::Range;

use diogenes_core::name::MAX_MODEL_NAME;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use memchr::memmem::{self, Finder};

use super::headers::media_type;
use crate::error::{ApiError, ErrorKind};

mod syntax;

use syntax::{Disposition, parameters};

/// The most parts of a form. OpenAI's largest has sixteen images beside a dozen fields.
const MAX_PARTS: usize = 256;
/// The longest that the headers of a part may be together, in bytes.
const MAX_PART_HEAD: usize = 4096;
/// The longest boundary (RFC 2046 §5.1.1).
const MAX_BOUNDARY: usize = 70;

/// What is read of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) model: String,
    /// Where the part of `model` stands: its headers and its value.
    pub(super) model_at: Range<usize>,
    pub(super) stream: bool,
    pub(super) traits: FormTraits,
}

/// What else is to be known of a form.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FormTraits {
    pub(super) response_format: Option<String>,
    /// How long the values are together that are not files.
    pub(super) text_bytes: u64,
}

/// The fields that are read. Each may be there once.
#[derive(Default)]
struct Fields<'a> {
    model: Option<(&'a str, Range<usize>)>,
    stream: Option<bool>,
    response_format: Option<&'a str>,
    text_bytes: u64,
}

/// A part between two boundaries.
struct Part<'a> {
    head: &'a [u8],
    value: &'a [u8],
    place: Range<usize>,
}

impl Form {
    /// Reads `model`, `stream` and `response_format`, and checks that every part can be read in
    /// one way only.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, ApiError> {
        let delimiter = [b"--", boundary(headers)?.as_bytes()].concat();
        let mut fields = Fields::default();
        let mut parts = Parts::of(body, &delimiter)?;
        let mut count = 0;
        while let Some(part) = parts.next()? {
            count += 1;
            if count > MAX_PARTS {
                return Err(refused(format!(
                    "the form has more than {MAX_PARTS} parts; send less"
                )));
            }
            fields.take(&part)?;
        }
        let Some((model, model_at)) = fields.model.filter(|(model, _)| !model.is_empty()) else {
            return Err(ApiError::new(
                ErrorKind::MissingModel,
                "the form names no model; add a field `model` (see `GET /v1/models`)",
            )
            .param("model"));
        };
        let response_format = fields.response_format.map(str::to_owned);
        Ok(Self {
            model: model.to_owned(),
            model_at,
            stream: fields.stream.unwrap_or(false),
            traits: FormTraits { response_format, text_bytes: fields.text_bytes },
        })
    }
}

/// Whether these are the headers of a form with files.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let is_form =
        |kind: &HeaderValue| media_type(kind).to_ascii_lowercase().starts_with(b"multipart/");
    headers.get_all(CONTENT_TYPE).iter().any(is_form)
}

/// A part that names this model, without the boundaries around it. What no name has in it and a
/// form could not hold is left out.
pub(super) fn model_part(model: &str) -> String {
    let name = model.replace(char::is_control, "");
    format!("Content-Disposition: form-data; name=\"model\"\r\n\r\n{name}")
}

fn refused(problem: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::InvalidRequest, problem)
}

/// The boundary that the content type names.
fn boundary(headers: &HeaderMap) -> Result<&str, ApiError> {
    let refused = |problem: &str| Err(refused(problem).param("content-type"));
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return refused(
            "this endpoint takes a form; send one `content-type: multipart/form-data; boundary=…`",
        );
    };
    if !media_type(kind).eq_ignore_ascii_case(b"multipart/form-data") {
        return refused(
            "this endpoint takes a form; send `content-type: multipart/form-data; boundary=…`, as `-F` of curl does",
        );
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte);
    let is_boundary =
        |text: &str| (1..=MAX_BOUNDARY).contains(&text.len()) && text.bytes().all(is_allowed);
    let mut boundary = None;
    for (name, value) in kind.to_str().ok().and_then(parameters).unwrap_or_default() {
        match name.to_ascii_lowercase().as_str() {
            "boundary" if boundary.is_none() && is_boundary(value) => boundary = Some(value),
            "charset" if value.eq_ignore_ascii_case("utf-8") => {}
            "boundary" => {
                return refused(
                    "the `boundary` of the content type must be there once, with 1 to 70 of A–Z a–z 0–9 ' ( ) + _ , - . / : = ?",
                );
            }
            _ => return refused("a form has no parameter of its content type but `boundary`"),
        }
    }
    match boundary {
        Some(boundary) => Ok(boundary),
        None => refused(
            "the content type of the form names no `boundary`; leave the header to your HTTP client, which knows it",
        ),
    }
}

/// The parts of a body, one after the other.
struct Parts<'a> {
    body: &'a [u8],
    delimiter: &'a [u8],
    /// A line break and the delimiter. That of a line feed alone is found too, and refused.
    finder: Finder<'static>,
    /// Behind the last delimiter.
    at: usize,
}

impl<'a> Parts<'a> {
    fn of(body: &'a [u8], delimiter: &'a [u8]) -> Result<Self, ApiError> {
        if !body.starts_with(delimiter) {
            return Err(refused(
                "the body does not begin with the `boundary` that its content type names",
            )
            .param("content-type"));
        }
        let finder = Finder::new(&[b"\n", delimiter].concat()).into_owned();
        Ok(Self { body, delimiter, finder, at: delimiter.len() })
    }

    fn next(&mut self) -> Result<Option<Part<'a>>, ApiError> {
        let behind = self.body.get(self.at..).unwrap_or_default();
        if let Some(rest) = behind.strip_prefix(b"--") {
            return match rest {
                b"" | b"\r\n" => Ok(None),
                _ => Err(refused("something stands behind the last boundary of the form")),
            };
        }
        if behind.len() < 2 {
            return Err(truncated());
        }
        if !behind.starts_with(b"\r\n") {
            return Err(refused(
                "a `boundary` is not followed by a line break; it must not be in a file or a value",
            ));
        }
        let start = self.at + 2;
        let rest = self.body.get(start..).unwrap_or_default();
        let near = rest.get(..MAX_PART_HEAD + 4).unwrap_or(rest);
        let (length, gap) = match memmem::find(near, b"\r\n\r\n") {
            _ if near.starts_with(b"\r\n") => (0, 2),
            Some(length) => (length, 4),
            None if near.len() == rest.len() => return Err(truncated()),
            None => {
                return Err(refused(format!(
                    "the headers of a part are longer than {MAX_PART_HEAD} bytes"
                )));
            }
        };
        let head = near.get(..length).unwrap_or_default();
        let from = start + length + gap;
        // The line break before it may be the one behind the headers, and then it is none of its own.
        let found = self.finder.find(self.body.get(from - 1..).unwrap_or_default());
        let feed = from - 1 + found.ok_or_else(truncated)?;
        let end = feed.saturating_sub(1);
        if end < from || self.body.get(end) != Some(&b'\r') {
            return Err(refused(
                "a `boundary` does not begin a line of its own; it must not be in a file or a value",
            ));
        }
        self.at = feed + 1 + self.delimiter.len();
        let value = self.body.get(from..end).unwrap_or_default();
        Ok(Some(Part { head, value, place: start..end }))
    }
}

fn truncated() -> ApiError {
    refused("the form ends before its last boundary; send it whole")
}

impl<'a> Fields<'a> {
    fn take(&mut self, part: &Part<'a>) -> Result<(), ApiError> {
        let Disposition { name, is_file, is_text } =
            Disposition::read(part.head).map_err(refused)?;
        if !is_file {
            self.text_bytes = self.text_bytes.saturating_add(part.value.len() as u64);
        }
        let Some(field) = ["model", "stream", "response_format"].into_iter().find(|it| *it == name)
        else {
            return Ok(());
        };
        let refused = |problem: &str| Err(refused(format!("`{field}` {problem}")).param(field));
        if is_file || !is_text {
            return refused("must be a text, not a file");
        }
        let Ok(text) = std::str::from_utf8(part.value) else {
            return refused("must be text in UTF-8");
        };
        let is_twice = match field {
            "model" if text.len() > MAX_MODEL_NAME => {
                return refused(&format!("is longer than {MAX_MODEL_NAME} bytes"));
            }
            "model" => self.model.replace((text, part.place.clone())).is_some(),
            "stream" => {
                let stream = match text {
                    _ if text.eq_ignore_ascii_case("true") => true,
                    _ if text.eq_ignore_ascii_case("false") => false,
                    _ => return refused("must be `true` or `false`"),
                };
                self.stream.replace(stream).is_some()
            }
            _ => self.response_format.replace(text).is_some(),
        };
        if is_twice { refused("is there twice") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
