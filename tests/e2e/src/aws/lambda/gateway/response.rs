use std::error::Error;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value};

use super::super::template::Mock;

/// Why a body ends early.
pub(super) type BodyError = Box<dyn Error + Send + Sync>;

/// An answer to a client.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, BodyError>>;

/// Headers of functions that come to the client under another name
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html>).
const REMAPPED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-md5",
    "date",
    "host",
    "max-forwards",
    "server",
    "user-agent",
    "www-authenticate",
];

/// Headers of functions that do not come to the client (same page).
const DROPPED: &[&str] =
    &["expect", "proxy-authenticate", "te", "trailer", "transfer-encoding", "upgrade"];

/// A body that is there already.
pub(super) fn whole(body: Bytes) -> UnsyncBoxBody<Bytes, BodyError> {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// Whether a media type is one of an API's binary ones.
pub(super) fn is_binary(media_type: &str, binary: &[String]) -> bool {
    let media_type = media_type.split([';', ',']).next().unwrap_or_default().trim();
    binary.iter().any(|kind| kind == "*/*" || kind.eq_ignore_ascii_case(media_type))
}

/// The answer of a mock integration.
pub(super) fn mocked(answer: &Mock, request_id: &str) -> Answer {
    let response = Response::builder()
        .status(answer.status)
        .header(CONTENT_TYPE, &answer.content_type)
        .header("x-amzn-requestid", request_id);
    response.body(whole(answer.body.clone().into())).expect("a status and headers of the template")
}

/// The answer of a function that is not streamed, or what is wrong with it.
pub(super) fn buffered(
    payload: &[u8],
    accept: Option<&str>,
    binary: &[String],
    request_id: &str,
) -> Result<Answer, String> {
    let answer: Map<String, Value> =
        serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let known = ["statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"];
    if let Some(field) = answer.keys().find(|field| !known.contains(&field.as_str())) {
        return Err(format!("`{field}` is not known"));
    }
    let text = match answer.get("body") {
        None | Some(Value::Null) => "",
        Some(body) => body.as_str().ok_or("`body` is not text")?,
    };
    let encoded = match answer.get("isBase64Encoded") {
        None | Some(Value::Null) => false,
        Some(encoded) => encoded.as_bool().ok_or("`isBase64Encoded` is not a boolean")?,
    };
    // Without a binary media type among what the client accepts first, it gets the Base64.
    let body = if encoded && is_binary(accept.unwrap_or("*/*"), binary) {
        BASE64_STANDARD.decode(text).map_err(|error| error.to_string())?
    } else {
        text.as_bytes().to_vec()
    };
    head(&answer, request_id, whole(body.into()))
}

/// The answer of a function that is streamed, or what is wrong with its metadata.
pub(super) fn streamed(
    metadata: &[u8],
    body: UnsyncBoxBody<Bytes, BodyError>,
    request_id: &str,
) -> Result<Answer, String> {
    let metadata: Map<String, Value> =
        serde_json::from_slice(metadata).map_err(|error| error.to_string())?;
    let known = ["statusCode", "headers", "multiValueHeaders", "cookies"];
    if let Some(field) = metadata.keys().find(|field| !known.contains(&field.as_str())) {
        return Err(format!("`{field}` is not known"));
    }
    head(&metadata, request_id, body)
}

/// Status and headers.
fn head(
    fields: &Map<String, Value>,
    request_id: &str,
    body: UnsyncBoxBody<Bytes, BodyError>,
) -> Result<Answer, String> {
    let status = match fields.get("statusCode") {
        None => StatusCode::OK,
        Some(Value::Number(number)) => status(&number.to_string())?,
        Some(Value::String(text)) => status(text)?,
        Some(_) => return Err("`statusCode` is not a number".into()),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in object(fields, "headers")? {
        // A list is for `multiValueHeaders`.
        add(&mut headers, name, value)?;
    }
    for (name, values) in object(fields, "multiValueHeaders")? {
        let values = values.as_array().ok_or(format!("`{name}` is not a list"))?;
        // The list wins over a single value of the same name.
        headers.remove(name);
        for value in values {
            add(&mut headers, name, value)?;
        }
    }
    for cookie in fields.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        add(&mut headers, SET_COOKIE.as_str(), cookie)?;
    }
    if !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert("x-amzn-requestid", request_id.parse().expect("an id in ASCII"));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn status(text: &str) -> Result<StatusCode, String> {
    text.parse().map_err(|_| format!("`{text}` is not a status"))
}

fn object<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, String> {
    let object = match fields.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::Object(object)) => Some(object),
        Some(_) => return Err(format!("`{name}` is not an object")),
    };
    Ok(object.into_iter().flatten())
}

fn add(headers: &mut HeaderMap, name: &str, value: &Value) -> Result<(), String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        _ => return Err(format!("the header `{name}` is not text")),
    };
    let lower = name.to_lowercase();
    if DROPPED.contains(&lower.as_str()) {
        return Ok(());
    }
    let name =
        if REMAPPED.contains(&lower.as_str()) { format!("x-amzn-remapped-{lower}") } else { lower };
    let name: HeaderName = name.parse().map_err(|_| format!("`{name}` is not a header"))?;
    let value = text.parse().map_err(|_| format!("`{text}` is not a header value"))?;
    headers.append(name, value);
    Ok(())
}
