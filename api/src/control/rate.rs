use diogenes_core::ports::{RateStatus, RateWindow};
use http::{HeaderMap, HeaderName, HeaderValue};

/// OpenAI's `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`.
pub(crate) fn rate_headers(status: &RateStatus, headers: &mut HeaderMap) {
    let mut put = |names: [&'static str; 3], window: Option<RateWindow>| {
        let Some(window) = window else { return };
        let [limit, remaining, reset] = names.map(HeaderName::from_static);
        headers.insert(limit, HeaderValue::from(window.limit));
        headers.insert(remaining, HeaderValue::from(window.remaining));
        let seconds = format!("{}s", window.reset.as_secs());
        if let Ok(seconds) = HeaderValue::from_str(&seconds) {
            headers.insert(reset, seconds);
        }
    };
    put(
        [
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ],
        status.requests,
    );
    put(
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        status.tokens,
    );
}
