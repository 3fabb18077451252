use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::later;
use diogenes_core::ports::{RateStatus, RateWindow};
use http::{HeaderMap, HeaderName, HeaderValue};

/// OpenAI's `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`.
pub(crate) fn rate_headers(status: &RateStatus, headers: &mut HeaderMap) {
    let reset = |window: RateWindow| format!("{}s", window.reset.as_secs());
    put(
        [
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ],
        status.requests,
        reset,
        headers,
    );
    put(
        ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        status.tokens,
        reset,
        headers,
    );
}

/// Anthropic's `anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}`.
pub(crate) fn messages_rate_headers(status: &RateStatus, now: Timestamp, headers: &mut HeaderMap) {
    // In whole seconds, as it does.
    let reset = |window: RateWindow| {
        let at = later(now, window.reset);
        Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
    };
    put(
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        status.requests,
        reset,
        headers,
    );
    put(
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
        status.tokens,
        reset,
        headers,
    );
}

fn put(
    names: [&'static str; 3],
    window: Option<RateWindow>,
    reset: impl FnOnce(RateWindow) -> String,
    headers: &mut HeaderMap,
) {
    let Some(window) = window else { return };
    let [limit, remaining, end] = names.map(HeaderName::from_static);
    headers.insert(limit, HeaderValue::from(window.limit));
    headers.insert(remaining, HeaderValue::from(window.remaining));
    if let Ok(reset) = HeaderValue::from_str(&reset(window)) {
        headers.insert(end, reset);
    }
}
