//! Time limits of single attempts.

use std::time::Duration;

use aws_smithy_types::timeout::TimeoutConfig;

/// The time limits that a client has, and this one for an attempt where it has none.
pub(super) fn limited(set: Option<&TimeoutConfig>, attempt: Duration) -> TimeoutConfig {
    let limit = TimeoutConfig::builder().operation_attempt_timeout(attempt).build();
    let mut limits = set.cloned().unwrap_or_else(|| limit.clone());
    limits.take_defaults_from(&limit);
    limits
}
