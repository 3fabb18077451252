use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a test waits for a state. Far more than it ever takes: machines are shared.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Waits until `look` gives a value that is `Ok`; panics with the last state seen at the
/// deadline.
pub async fn eventually<T, S: Debug>(what: &str, look: impl AsyncFnMut() -> Result<T, S>) -> T {
    eventually_within(DEADLINE, what, look).await
}

/// The same for what takes longer.
pub async fn eventually_within<T, S: Debug>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let began = Instant::now();
    loop {
        let seen = match look().await {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        assert!(began.elapsed() < deadline, "{what} did not come to be; last seen: {seen:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
