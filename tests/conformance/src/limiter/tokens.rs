//! Tokens that are reserved and settled.

use diogenes_core::ports::{Clock as _, LimitKind};

use super::{Fixture, key, tokens, tokens_left};

/// What a request can use is set aside before anybody knows what it uses.
pub async fn bound_is_reserved(fixture: &Fixture) {
    let (key, limits) = (key("a"), tokens(100));
    let first = fixture.admit(&key, &limits, 60).await;
    assert_eq!(tokens_left(&first), 40);
    let refused = fixture.refuse(&key, &limits, 41).await;
    assert_eq!((refused.kind, refused.limit), (LimitKind::Tokens, 100));
    assert_eq!(refused.status.tokens.unwrap().remaining, 40);
    assert!((1..=60).contains(&refused.retry_after.as_secs()), "{refused:?}");
    assert_eq!(tokens_left(&fixture.admit(&key, &limits, 40).await), 0);
}

/// What was not used is there again for others.
pub async fn settled_request_counts_what_it_used(fixture: &Fixture) {
    let (key, limits) = (key("a"), tokens(100));
    for (bound, used, left) in [(60, 20, 40), (80, 0, 0), (80, 80, 0)] {
        let admission = fixture.admit(&key, &limits, bound).await;
        assert_eq!(tokens_left(&admission), left);
        fixture.settle(admission, used).await;
    }
    assert_eq!(fixture.refuse(&key, &limits, 1).await.kind, LimitKind::Tokens);
}

/// What was used beyond the bound is charged in full.
pub async fn overshoot_is_charged_in_full(fixture: &Fixture) {
    let (key, limits) = (key("a"), tokens(100));
    let admission = fixture.admit(&key, &limits, 10).await;
    fixture.settle(admission, 70).await;
    assert_eq!(fixture.refuse(&key, &limits, 31).await.kind, LimitKind::Tokens);
    let admission = fixture.admit(&key, &limits, 30).await;
    fixture.settle(admission, 200).await;
    let refused = fixture.refuse(&key, &limits, 1).await;
    assert_eq!(refused.status.tokens.unwrap().remaining, 0);
}

/// A reservation that nobody settles counts as used.
pub async fn unsettled_reservation_counts_as_used(fixture: &Fixture) {
    let (key, limits) = (key("a"), tokens(100));
    drop(fixture.admit(&key, &limits, 60).await);
    assert_eq!(fixture.refuse(&key, &limits, 41).await.kind, LimitKind::Tokens);
    let admission = fixture.admit(&key, &limits, 30).await;
    fixture.limiter.settle(admission, None, fixture.clock.now()).await;
    assert_eq!(tokens_left(&fixture.admit(&key, &limits, 10).await), 0);
}

/// A bound above the whole limit takes all of it, and so stands alone in its window.
pub async fn bound_above_the_limit_stands_alone(fixture: &Fixture) {
    let (key, limits) = (key("a"), tokens(100));
    let admission = fixture.admit(&key, &limits, u64::MAX).await;
    assert_eq!(admission.reservation.as_ref().unwrap().tokens, 100);
    assert_eq!(tokens_left(&admission), 0);
    assert_eq!(fixture.refuse(&key, &limits, 1).await.kind, LimitKind::Tokens);
    fixture.settle(admission, 1).await;
    assert_eq!(fixture.refuse(&key, &limits, 101).await.kind, LimitKind::Tokens);
    assert_eq!(tokens_left(&fixture.admit(&key, &limits, 99).await), 0);
}

/// A request that uses nothing is refused once nothing is left.
pub async fn bound_of_zero_needs_something_left(fixture: &Fixture) {
    let (key, limits) = (key("a"), tokens(10));
    fixture.admit(&key, &limits, 0).await;
    drop(fixture.admit(&key, &limits, 10).await);
    assert_eq!(fixture.refuse(&key, &limits, 0).await.kind, LimitKind::Tokens);
}
