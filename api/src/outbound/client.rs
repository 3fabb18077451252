use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use diogenes_core::causes::{cause, root};
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use reqwest::{Url, redirect};

use super::resolver::{Guarded, Inward, Names, SystemNames};
use super::rules::OutboundRules;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest URL.
const MAX_URL: usize = 8 * 1024;
/// Headers that the connection sees to. Given by a caller, they could make two requests of one.
const CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What is wrong with a header that a caller may not send.
pub(crate) const NOT_CALLERS: &str = "is set by the connection and cannot be given";

/// Sends requests to public addresses, and to those that the rules open.
#[derive(Clone)]
pub struct Outbound {
    client: reqwest::Client,
    rules: Arc<OutboundRules>,
}

/// A URL that a request may be sent to, as far as can be told before its name is resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination(Url);

/// A request.
#[derive(Clone, Debug)]
pub struct OutboundRequest {
    pub method: Method,
    pub to: Destination,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How long everything may take, from the resolution of the name to the end of the answer.
    pub timeout: Duration,
    /// How much of the answer's body is read, in bytes; with 0 it is not waited for.
    pub most_body: usize,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct OutboundResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether the body goes on.
    pub is_truncated: bool,
}

/// Why no answer came of a request.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// It may not be sent there. Another attempt does not help.
    #[error(transparent)]
    Inward(#[from] Inward),
    /// The URL or the headers make no sense.
    #[error("{0}")]
    Invalid(String),
    #[error("no complete answer came within {}", diogenes_core::duration::format(*.0))]
    Timeout(Duration),
    /// The server could not be reached, or broke off.
    #[error("{}", reason(.0))]
    Failed(#[source] reqwest::Error),
}

impl OutboundError {
    /// Whether another attempt would come to nothing, too.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Inward(_) | Self::Invalid(_) => true,
            Self::Timeout(_) | Self::Failed(_) => false,
        }
    }
}

impl Destination {
    /// The host.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl Outbound {
    /// A client with these rules. Fails where the machine has no certificates.
    pub fn new(rules: OutboundRules) -> Result<Self, reqwest::Error> {
        Self::with_names(rules, Arc::new(SystemNames))
    }

    pub(super) fn with_names(
        rules: OutboundRules,
        names: Arc<dyn Names>,
    ) -> Result<Self, reqwest::Error> {
        let rules = Arc::new(rules);
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(Guarded { names, rules: rules.clone() }))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            // Requests of different projects share nothing, not even a connection.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("diogenes/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, rules })
    }

    /// Reads a URL: `http` or `https`, without credentials, and not an address that leads inward.
    /// What a name means is checked when a request is sent.
    pub fn destination(&self, url: &str) -> Result<Destination, OutboundError> {
        let invalid = |problem: &str| OutboundError::Invalid(problem.to_owned());
        if url.len() > MAX_URL {
            return Err(OutboundError::Invalid(format!("must have at most {MAX_URL} bytes")));
        }
        let url = Url::parse(url)
            .map_err(|error| OutboundError::Invalid(format!("is not a URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("must begin with `https://` or `http://`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("must not hold credentials; send them in a header"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("must name a host"))?;
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(address) = literal
            && let Some(what) = self.rules.refuse(address)
        {
            let (host, advice) = (host.to_owned(), self.rules.advice());
            return Err(Inward { host, address, what, advice }.into());
        }
        Ok(Destination(url))
    }

    /// Sends a request and reads its answer. It is sent once; a redirect is an answer like others.
    pub async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        if let Some(name) = request.headers.keys().find(|name| !is_callers(name)) {
            return Err(OutboundError::Invalid(format!("`{name}` {NOT_CALLERS}")));
        }
        let OutboundRequest { method, to, headers, body, timeout, most_body } = request;
        let sent = self
            .client
            .request(method, to.0)
            .headers(headers)
            .body(reqwest::Body::from(body))
            .timeout(timeout)
            .send();
        let told = |error| told(error, timeout);
        let mut answer = sent.await.map_err(told)?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut body = BytesMut::new();
        let mut is_truncated = false;
        while most_body > 0
            && let Some(piece) = answer.chunk().await.map_err(told)?
        {
            let room = most_body.saturating_sub(body.len());
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if piece.len() > room {
                is_truncated = true;
                break;
            }
        }
        Ok(OutboundResponse { status, headers, body: body.freeze(), is_truncated })
    }
}

/// Whether a caller may send this header.
pub(crate) fn is_callers(name: &HeaderName) -> bool {
    !CONNECTION.contains(name)
}

fn told(error: reqwest::Error, timeout: Duration) -> OutboundError {
    if let Some(inward) = cause::<Inward>(&error) {
        return inward.clone().into();
    }
    if error.is_timeout() {
        return OutboundError::Timeout(timeout);
    }
    // The URL may hold a secret.
    OutboundError::Failed(error.without_url())
}

/// The innermost cause says what happened, the outermost only that something did.
fn reason(error: &reqwest::Error) -> String {
    let what = if error.is_connect() { "the connection failed" } else { "the answer broke off" };
    format!("{what}: {}", root(error))
}
