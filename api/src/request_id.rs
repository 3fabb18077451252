//! `x-request-id`: the caller's own, where it sends a sensible one, or a fresh one.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderValue};

/// The longest id of a caller that is taken over.
const MAX_LENGTH: usize = 128;

static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The id of a request with these headers.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    headers
        .get("x-request-id")
        .filter(|id| is_sensible(id.as_bytes()))
        .cloned()
        .unwrap_or_else(fresh)
}

fn is_sensible(id: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
}

/// Unique within the process and, by its random part, among processes. It is no secret.
fn fresh() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // A bijection of the counter (the finaliser of SplitMix64), so that ids never repeat.
    let mut mixed = count.wrapping_add(*SEED);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let mut text = *b"req_0000000000000000";
    for (place, digit) in text.iter_mut().skip(4).enumerate() {
        let nibble = (mixed >> (60 - 4 * place)) & 0xf;
        *digit = DIGITS.get(nibble as usize).copied().unwrap_or(b'0');
    }
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("req_unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensible_id_of_the_caller_is_kept_and_another_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_static("abc-123"));
        assert_eq!(of(&headers), "abc-123");
        headers.insert("x-request-id", HeaderValue::from_static("a b\"c"));
        assert_ne!(of(&headers), "a b\"c");
    }

    #[test]
    fn fresh_ids_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| fresh()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
