use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::since;
use http::{HeaderMap, StatusCode, header};
use jiff::fmt::rfc2822;

/// What the head of an answer says of another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the answer: a success, or an error that the caller has made.
    Answer,
    /// This target will say it again; another may not.
    Elsewhere,
    /// The target may answer later; after this time, if it says so.
    Later(Option<Duration>),
}

/// Judges the head of an answer. The statuses that may pass are those that OpenAI's and Anthropic's
/// clients send a request again for.
pub(super) fn verdict(
    status: StatusCode,
    headers: &HeaderMap,
    now: impl FnOnce() -> Timestamp,
) -> Verdict {
    let passes = matches!(status.as_u16(), 408 | 409 | 429 | 500..=599);
    let denied = matches!(status.as_u16(), 401..=404);
    let must_not = || headers.get("x-should-retry").is_some_and(|value| value == "false");
    match (passes, denied) {
        (true, _) if must_not() => Verdict::Elsewhere,
        (true, _) => Verdict::Later(retry_after(headers, now())),
        (_, true) => Verdict::Elsewhere,
        _ => Verdict::Answer,
    }
}

/// `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110 §10.2.3). What makes no
/// sense counts as nothing.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let text = text(header::RETRY_AFTER.as_str())?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(since(now, rfc2822::parse(text).ok()?.timestamp()))
}

/// How long to wait before the next attempt after so many: at first half a second at most, doubled
/// each time, and by chance as little as half of that, so that a herd does not come back as one.
pub(super) fn pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(4);
    let most = Duration::from_millis(500) * 2_u32.pow(doublings);
    let chance = u32::try_from(crate::request_id::unique() % 1024).unwrap_or_default();
    most / 2 + most / 2 * chance / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-27T07:00:00Z".parse().unwrap()
    }

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let parsed = |(name, value): &(&'static str, &'static str)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        };
        fields.iter().map(parsed).collect()
    }

    #[test]
    fn a_status_says_whether_another_attempt_helps() {
        for (status, expected) in [
            (200, Verdict::Answer),
            (400, Verdict::Answer),
            (413, Verdict::Answer),
            (422, Verdict::Answer),
            (401, Verdict::Elsewhere),
            (402, Verdict::Elsewhere),
            (403, Verdict::Elsewhere),
            (404, Verdict::Elsewhere),
            (408, Verdict::Later(None)),
            (429, Verdict::Later(None)),
            (500, Verdict::Later(None)),
            (503, Verdict::Later(None)),
            (529, Verdict::Later(None)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(verdict(status, &HeaderMap::new(), now), expected, "{status}");
        }
        let never = fields(&[("x-should-retry", "false"), ("retry-after", "1")]);
        assert_eq!(verdict(StatusCode::TOO_MANY_REQUESTS, &never, now), Verdict::Elsewhere);
    }

    #[test]
    fn retry_after_is_read_in_every_form_and_nonsense_is_not() {
        for (name, value, expected) in [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", "1000000000", Some(1_000_000_000_000)),
            ("retry-after-ms", "250", Some(250)),
            ("retry-after", "Fri, 27 Nov 2026 07:00:09 GMT", Some(9_000)),
            ("retry-after", "Fri, 27 Nov 2026 06:00:00 GMT", Some(0)),
            ("retry-after", "-5", None),
            ("retry-after", "soon", None),
            ("retry-after", "", None),
        ] {
            let after = retry_after(&fields(&[(name, value)]), now());
            assert_eq!(after, expected.map(Duration::from_millis), "{name}: {value}");
        }
    }

    #[test]
    fn pauses_grow_and_differ() {
        for (attempts, most) in [(1, 500), (2, 1000), (3, 2000), (99, 8000)] {
            let pauses: Vec<_> = (0..64).map(|_| pause(attempts)).collect();
            let most = Duration::from_millis(most);
            assert!(pauses.iter().all(|pause| (most / 2..=most).contains(pause)), "{pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }
}
