//! Many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use diogenes_core::ports::{AdmitError, Clock as _, LimitKind, TokenBound};

use super::{Fixture, key, requests, tokens};
use crate::state_store::race;

const TASKS: usize = 24;

/// Exactly as many requests as the limit says.
pub async fn requests_stop_at_the_limit(fixture: &Fixture) {
    let admitted = race(TASKS, |_| {
        let (limiter, now) = (Arc::clone(&fixture.limiter), fixture.clock.now());
        async move { limiter.admit(&key("a"), &requests(7), TokenBound::new(0), now).await.is_ok() }
    });
    assert_eq!(admitted.await.into_iter().filter(|admitted| *admitted).count(), 7);
}

/// What is used and what is reserved never pass the limit together, whoever asks when.
pub async fn tokens_never_pass_the_limit(fixture: &Fixture) {
    const LIMIT: u32 = 500;
    // What is surely there: raised after an admission, lowered before a settlement.
    let standing = Arc::new(AtomicU64::new(0));
    let used = race(TASKS, |task| {
        let (limiter, now) = (Arc::clone(&fixture.limiter), fixture.clock.now());
        let standing = Arc::clone(&standing);
        async move {
            let mut sum = 0;
            for round in 0..6_u64 {
                let bound = 20 + (task as u64 * 37 + round * 11) % 80;
                let admission = match limiter
                    .admit(&key("a"), &tokens(LIMIT), TokenBound::new(bound), now)
                    .await
                {
                    Ok(admission) => admission,
                    Err(AdmitError::Exceeded(exceeded)) => {
                        assert_eq!(exceeded.kind, LimitKind::Tokens);
                        continue;
                    }
                    Err(error) => panic!("{error:?}"),
                };
                let now_standing = standing.fetch_add(bound, Ordering::SeqCst) + bound;
                assert!(now_standing <= LIMIT.into(), "{now_standing}");
                tokio::task::yield_now().await;
                let used = bound % 17;
                standing.fetch_sub(bound - used, Ordering::SeqCst);
                limiter.settle(admission, Some(used), now).await;
                sum += used;
            }
            sum
        }
    });
    let used = used.await.into_iter().sum::<u64>();
    assert!(used > 0 && used <= LIMIT.into(), "{used}");
    let left = u64::from(LIMIT) - used;
    if left > 0 {
        let admission = fixture.admit(&key("a"), &tokens(LIMIT), left).await;
        assert_eq!(super::tokens_left(&admission), 0);
    }
    fixture.refuse(&key("a"), &tokens(LIMIT), 1).await;
}
