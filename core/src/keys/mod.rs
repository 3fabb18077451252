//! API keys: issue, verify, list, revoke, rotate, and their limits.
//!
//! A key is `dg_`, 43 characters of base62 (256 random bits) and a 6-character checksum. Only its
//! SHA-256 is stored; the key itself is shown once.

mod limiter;
mod new_key;
mod plain;
mod record;
mod rights;
mod service;
mod store_limiter;
mod weight;

pub use limiter::LocalLimiter;
pub use new_key::NewKey;
pub use plain::{KeyHash, KeyId, MalformedKey, PlainKey};
pub use record::{ApiKey, KeyRejection};
pub use rights::BeyondOwn;
pub use service::{KeyError, KeyList, Keys};
pub use store_limiter::StoreLimiter;
pub use weight::{InvalidWeight, Weight};

pub use crate::tenancy::Scope;
