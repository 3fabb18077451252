//! The queue of asynchronous invocations
//! (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>).

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::answer::{InvokeError, Streamed};
use super::pool::Pool;

/// An event that was given up: what goes to a function's failure destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub payload: Bytes,
    /// How often it was tried.
    pub attempts: u32,
    /// `RetriesExhausted` or `EventAgeExceeded`, as the destination's record says.
    pub condition: &'static str,
    /// What went wrong at last, if it was tried.
    pub error: Option<InvokeError>,
}

/// Invokes in the background until the function succeeds or the event is given up.
pub(super) fn enqueue(pool: Arc<Pool>, payload: Bytes) {
    let pending = pool.pending();
    tokio::spawn(async move {
        deliver(&pool, payload).await;
        drop(pending);
    });
}

async fn deliver(pool: &Arc<Pool>, payload: Bytes) {
    let function = pool.function();
    let arrived = Instant::now();
    let mut attempts = 0;
    let mut error = None;
    let mut backoff = function.async_backoff;
    let condition = loop {
        if arrived.elapsed() >= function.async_max_age {
            break "EventAgeExceeded";
        }
        let parts = pool.invoke(payload.clone());
        let outcome = match Streamed::begin(parts).await {
            Ok(answer) => answer.collect().await,
            Err(error) => Err(error),
        };
        match outcome {
            // `NotFound`: the host is ending.
            Ok(_) | Err(InvokeError::NotFound(_)) => return,
            // Throttling uses no attempt: only the event's age ends it.
            Err(failure @ InvokeError::Throttled) => error = Some(failure),
            Err(failure) => {
                attempts += 1;
                error = Some(failure);
                if attempts > function.async_retries {
                    break "RetriesExhausted";
                }
            }
        }
        let left = function.async_max_age.saturating_sub(arrived.elapsed());
        sleep(backoff.min(left)).await;
        backoff *= 2;
    };
    pool.give_up(Dropped { payload, attempts, condition, error });
}
