use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a test waits for a state. Far more than it ever takes: machines are shared.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Waits until `look` gives a value that is `Ok`; panics with the last state seen at the
/// deadline.
pub async fn eventually<T, S: Debug>(what: &str, mut look: impl AsyncFnMut() -> Result<T, S>) -> T {
    let began = Instant::now();
    loop {
        let seen = match look().await {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        assert!(began.elapsed() < DEADLINE, "{what} did not come to be; last seen: {seen:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
