use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::xml;

/// What a caller gets.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        let answer = Self { status, headers: HeaderMap::new(), body: body.into() };
        answer.header("content-type", content_type)
    }

    #[must_use]
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header's value");
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Its text, for the protocols that have one.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// The code of its error, if it is one.
    pub(super) fn code(&self) -> Option<String> {
        if self.status.is_success() {
            return None;
        }
        if let Some(kind) = self.headers.get("x-amzn-errortype") {
            return kind.to_str().ok().map(str::to_owned);
        }
        if let Ok(body) = serde_json::from_slice::<serde_json::Value>(&self.body) {
            let kind = body["__type"].as_str()?;
            return Some(kind.rsplit('#').next().unwrap_or(kind).to_owned());
        }
        xml::text(self.text(), "Code").map(std::borrow::Cow::into_owned)
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
