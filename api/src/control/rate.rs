use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::later;
use diogenes_core::ports::{RateStatus, RateWindow};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Limit, remaining and reset, made once: it costs more to check a name than to write the field.
type Names = [HeaderName; 3];

const OPENAI_REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const OPENAI_TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];
const ANTHROPIC_REQUESTS: Names = [
    HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    HeaderName::from_static("anthropic-ratelimit-requests-reset"),
];
const ANTHROPIC_TOKENS: Names = [
    HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
];

/// OpenAI's `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`.
pub(crate) fn rate_headers(status: &RateStatus, headers: &mut HeaderMap) {
    let reset = |window: RateWindow| format!("{}s", window.reset.as_secs());
    put(OPENAI_REQUESTS, status.requests, reset, headers);
    put(OPENAI_TOKENS, status.tokens, reset, headers);
}

/// Anthropic's `anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}`.
pub(crate) fn messages_rate_headers(status: &RateStatus, now: Timestamp, headers: &mut HeaderMap) {
    // In whole seconds, as it does.
    let reset = |window: RateWindow| {
        let at = later(now, window.reset);
        Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
    };
    put(ANTHROPIC_REQUESTS, status.requests, reset, headers);
    put(ANTHROPIC_TOKENS, status.tokens, reset, headers);
}

fn put(
    [limit, remaining, end]: Names,
    window: Option<RateWindow>,
    reset: impl FnOnce(RateWindow) -> String,
    headers: &mut HeaderMap,
) {
    let Some(window) = window else { return };
    headers.insert(limit, HeaderValue::from(window.limit));
    headers.insert(remaining, HeaderValue::from(window.remaining));
    if let Ok(reset) = HeaderValue::try_from(reset(window)) {
        headers.insert(end, reset);
    }
}
