use std::sync::Mutex;
use std::time::Instant;

use super::super::template::Throttle;

/// A token bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: Throttle,
    level: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(limit: Throttle) -> Self {
        Self { limit, level: Mutex::new((f64::from(limit.burst), Instant::now())) }
    }

    /// Takes one token, if there is one.
    pub(super) fn take(&self) -> bool {
        let mut level = self.level.lock().unwrap();
        let (tokens, then) = *level;
        let now = Instant::now();
        let grown = tokens + now.duration_since(then).as_secs_f64() * f64::from(self.limit.rate);
        let tokens = grown.min(f64::from(self.limit.burst));
        let taken = tokens >= 1.0;
        *level = (if taken { tokens - 1.0 } else { tokens }, now);
        taken
    }
}
