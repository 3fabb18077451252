use std::time::Duration;

use diogenes_core::ports::{Clock, RateStatus};
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

use super::dialect::Dialect;
use crate::control::{messages_rate_headers, rate_headers};

/// Hop-by-hop (RFC 9110 §7.6.1), written anew by us, or none of the replica's business.
fn stays_here(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TRANSFER_ENCODING
            | header::TE
            | header::TRAILER
            | header::UPGRADE
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION
            | header::CONTENT_LENGTH
            | header::HOST
            | header::AUTHORIZATION
            | header::COOKIE
            | header::SET_COOKIE
            | header::EXPECT
            // A compressed stream could not be watched for its end.
            | header::ACCEPT_ENCODING
    ) || matches!(
        name.as_str(),
        "keep-alive" | "proxy-connection" | "x-api-key" | "prefer" | "x-request-id"
    )
}

/// Removes what must not be passed on: the fixed list, and what `Connection` names.
pub(super) fn strip(headers: &mut HeaderMap) {
    remove(headers, stays_here);
}

/// [`strip`] for the headers of an answer, which also loses what a replica says about an account
/// of its own, as one does that stands before another service, and what only Diogenes may say.
pub(super) fn strip_answer(headers: &mut HeaderMap) {
    remove(headers, |name| stays_here(name) || is_ours_to_say(name.as_str()));
}

fn is_ours_to_say(name: &str) -> bool {
    name.contains("ratelimit")
        || name.starts_with("x-diogenes-")
        || matches!(name, "openai-organization" | "openai-project" | "anthropic-organization-id")
}

/// Removes what `Connection` names, and what `is_gone` says.
fn remove(headers: &mut HeaderMap, is_gone: impl Fn(&HeaderName) -> bool) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(&name);
    }
    let gone: Vec<HeaderName> = headers.keys().filter(|name| is_gone(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// Whether these are the headers of an SSE stream.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| media_type(kind).eq_ignore_ascii_case(b"text/event-stream"))
}

/// A content type without its parameters.
pub(super) fn media_type(kind: &HeaderValue) -> &[u8] {
    kind.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// Whether the body is compressed, so that its end could not be watched.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// N of `Prefer: wait=N` in seconds (RFC 7240 §4.3).
pub(super) fn prefer_wait(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let seconds = value.trim().trim_matches('"').parse().ok()?;
            name.trim().eq_ignore_ascii_case("wait").then(|| Duration::from_secs(seconds))
        })
}

/// What is left of the limits of a key, in the words of the caller's API.
pub(super) fn of_limits(
    status: &RateStatus,
    dialect: Dialect,
    clock: &dyn Clock,
    fields: &mut HeaderMap,
) {
    rate_headers(status, fields);
    if matches!(dialect, Dialect::Messages | Dialect::CountTokens) {
        messages_rate_headers(status, clock.now(), fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_and_named_headers_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("keep-alive", "timeout=5"),
            ("authorization", "Bearer secret"),
            ("content-type", "application/json"),
            ("openai-organization", "org"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "openai-organization"]);
    }

    #[test]
    fn an_answer_says_nothing_of_the_replicas_account() {
        let mut headers = HeaderMap::new();
        for name in [
            "x-ratelimit-limit-requests",
            "x-ratelimit-reset-tokens",
            "ratelimit-policy",
            "anthropic-ratelimit-tokens-remaining",
            "openai-organization",
            "openai-project",
            "x-diogenes-cold-start-ms",
            "connection",
            "openai-processing-ms",
            "retry-after",
        ] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        strip_answer(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["openai-processing-ms", "retry-after"]);
    }

    #[test]
    fn prefer_wait_is_read_among_other_preferences() {
        for (value, seconds) in [
            ("wait=0", Some(0)),
            ("respond-async, wait=10", Some(10)),
            ("Wait = 5", Some(5)),
            ("wait=\"7\"", Some(7)),
            ("wait=soon", None),
            ("return=minimal", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", HeaderValue::from_static(value));
            assert_eq!(prefer_wait(&headers), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
