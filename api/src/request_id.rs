//! `x-request-id`: the caller's own, where it sends a sensible one, or a fresh one.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderValue};
use uuid::Builder;
use uuid::fmt::Hyphenated;

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

/// Unique within the process and, by its random part, among processes. It is not a secret. It has
/// the form of a UUID (RFC 9562, version 8), as it is also sent to inference servers and some, such
/// as llama-cpp-python's, refuse any other.
fn fresh() -> HeaderValue {
    let high = unique();
    let low = mix(high ^ *SEED);
    let bits = (u128::from(high) << 64) | u128::from(low);
    let id = Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid();
    let mut text = [0; Hyphenated::LENGTH];
    let text = id.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// Bits that no other call of this process gets.
pub(crate) fn unique() -> u64 {
    mix(COUNT.fetch_add(1, Ordering::Relaxed).wrapping_add(*SEED))
}

/// A bijection (the finaliser of SplitMix64), so that counted ids never repeat.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
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
    fn fresh_ids_have_the_form_of_a_uuid() {
        let id = fresh();
        let text = id.to_str().unwrap();
        let parts: Vec<&str> = text.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12],
            "{text}"
        );
        assert!(parts[2].starts_with('8') && "89ab".contains(&parts[3][..1]), "{text}");
    }

    #[test]
    fn fresh_ids_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| fresh()).collect();
        assert_eq!(ids.len(), 1000);
    }
}
