use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use super::super::template::{Route, Throttle};

/// A token bucket for each route: API Gateway's settings for all methods hold for each on its own
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html>).
#[derive(Debug)]
pub(super) struct Buckets {
    limit: Throttle,
    levels: Mutex<BTreeMap<(String, String), (f64, Instant)>>,
}

impl Buckets {
    /// Full ones.
    pub(super) fn new(limit: Throttle) -> Self {
        Self { limit, levels: Mutex::default() }
    }

    /// Takes one token of this route, if there is one.
    pub(super) fn take(&self, route: &Route) -> bool {
        let now = Instant::now();
        let most = f64::from(self.limit.burst);
        let mut levels = self.levels.lock().unwrap();
        let level = levels.entry((route.path.clone(), route.method.clone())).or_insert((most, now));
        let (tokens, then) = *level;
        let grown = tokens + now.duration_since(then).as_secs_f64() * f64::from(self.limit.rate);
        let tokens = grown.min(most);
        let taken = tokens >= 1.0;
        *level = (if taken { tokens - 1.0 } else { tokens }, now);
        taken
    }
}
