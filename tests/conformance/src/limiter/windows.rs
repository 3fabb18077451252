//! The minutes in which is counted.

use super::{Fixture, key, requests, tokens, tokens_left};

/// The limit is per minute, and the refusal says when the next one begins.
pub async fn window_starts_anew_after_its_reset(fixture: &Fixture) {
    for (name, limits) in [("a", requests(1)), ("b", tokens(10))] {
        let key = key(name);
        let admission = fixture.admit(&key, &limits, 10).await;
        fixture.settle(admission, 10).await;
        fixture.pass(20);
        let refused = fixture.refuse(&key, &limits, 10).await;
        assert_eq!(refused.retry_after.as_secs(), 40, "{limits:?}");
        fixture.pass(39);
        fixture.refuse(&key, &limits, 10).await;
        fixture.pass(1);
        fixture.admit(&key, &limits, 10).await;
    }
}

/// Tokens are settled in the window in which they were reserved, so that a long request neither
/// takes from a later one nor gives to it.
pub async fn tokens_are_settled_where_they_were_reserved(fixture: &Fixture) {
    let (key, limits) = (key("a"), tokens(100));
    let generous = fixture.admit(&key, &limits, 50).await;
    let sparing = fixture.admit(&key, &limits, 50).await;
    fixture.pass(60);
    assert_eq!(tokens_left(&fixture.admit(&key, &limits, 10).await), 90);
    fixture.settle(generous, 500).await;
    fixture.settle(sparing, 0).await;
    assert_eq!(tokens_left(&fixture.admit(&key, &limits, 10).await), 80);
}

/// However late a request is settled, nothing happens to other windows.
pub async fn late_settlement_changes_nothing(fixture: &Fixture) {
    let (key, limits) = (key("a"), tokens(100));
    let late = fixture.admit(&key, &limits, 50).await;
    fixture.pass(100_000);
    fixture.settle(late, 0).await;
    assert_eq!(tokens_left(&fixture.admit(&key, &limits, 10).await), 90);
}
