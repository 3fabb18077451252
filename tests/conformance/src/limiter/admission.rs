//! Who is admitted.

use diogenes_core::ports::{LimitKind, Limits};

use super::{Fixture, key, requests, tokens};

/// As many requests as the limit says, and the status counts them down.
pub async fn requests_are_counted_and_refused(fixture: &Fixture) {
    let (key, limits) = (key("a"), requests(3));
    for left in [2, 1, 0] {
        let status = fixture.admit(&key, &limits, 10).await.status;
        assert_eq!((status.requests.unwrap().remaining, status.tokens), (left, None));
    }
    let refused = fixture.refuse(&key, &limits, 10).await;
    assert_eq!((refused.kind, refused.limit), (LimitKind::Requests, 3));
    assert_eq!(refused.status.requests.unwrap().remaining, 0);
    assert!((1..=60).contains(&refused.retry_after.as_secs()), "{refused:?}");
}

/// Nothing is reserved where tokens are not limited.
pub async fn unlimited_tokens_are_not_reserved(fixture: &Fixture) {
    for limits in [requests(3), Limits::default()] {
        assert_eq!(fixture.admit(&key("a"), &limits, 10).await.reservation, None);
    }
}

/// A request that one limit refuses takes nothing of another.
pub async fn refused_request_counts_for_nothing(fixture: &Fixture) {
    let one = key("a");
    let limits = Limits { tokens_per_minute: Some(100), ..requests(1) };
    let admission = fixture.admit(&one, &limits, 10).await;
    assert_eq!(fixture.refuse(&one, &limits, 10).await.kind, LimitKind::Requests);
    fixture.settle(admission, 10).await;
    let limits = Limits { tokens_per_minute: Some(100), ..requests(2) };
    assert_eq!(fixture.refuse(&one, &limits, 91).await.kind, LimitKind::Tokens);
    let status = fixture.admit(&one, &limits, 90).await.status;
    assert_eq!(status.tokens.unwrap().remaining, 0);
    assert_eq!(status.requests.unwrap().remaining, 0);
}

/// Each key has windows of its own.
pub async fn keys_are_apart(fixture: &Fixture) {
    for limits in [requests(1), tokens(10)] {
        for name in ["a", "ab", "b"] {
            fixture
                .admit(&key(&format!("{name}{}", limits.tokens_per_minute.is_some())), &limits, 10)
                .await;
        }
    }
}

/// Requests in flight are limited until their admission is dropped or settled, where they are.
pub async fn slot_is_held_until_the_admission_goes(fixture: &Fixture) {
    let one = key("a");
    let limits = Limits { concurrency: Some(2), tokens_per_minute: Some(100), ..Limits::default() };
    if !fixture.counts_concurrency {
        return;
    }
    let first = fixture.admit(&one, &limits, 1).await;
    let second = fixture.admit(&one, &limits, 1).await;
    assert_eq!(fixture.refuse(&one, &limits, 1).await.kind, LimitKind::Concurrency);
    drop(first);
    let third = fixture.admit(&one, &limits, 1).await;
    assert_eq!(fixture.refuse(&one, &limits, 1).await.kind, LimitKind::Concurrency);
    fixture.settle(second, 1).await;
    let fourth = fixture.admit(&one, &limits, 1).await;
    assert_eq!(fixture.refuse(&one, &limits, 1).await.kind, LimitKind::Concurrency);
    drop((third, fourth));
}
