//! API keys: issue, verify, list, revoke, rotate, and their limits.
//!
//! A key is `dg_`, 43 characters of base62 (256 random bits) and a 6-character checksum. Only its
//! SHA-256 is stored; the key itself is shown once.

mod limiter;
mod plain;
mod record;
mod service;
mod store_limiter;

pub use limiter::LocalLimiter;
pub use plain::{KeyHash, KeyId, MalformedKey, PlainKey};
pub use record::{ApiKey, KeyRejection};
pub use service::{KeyError, KeyList, Keys, NewKey};
pub use store_limiter::StoreLimiter;

pub use crate::tenancy::Scope;
