//! Who asks: the bearer token of a request, and the key behind it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use diogenes_core::Timestamp;
use diogenes_core::keys::{ApiKey, KeyId, Keys, PlainKey, Scope};
use diogenes_core::ports::Clock;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use crate::error::{ApiError, ErrorKind, key_error};

/// The most keys that are remembered; beyond it all are forgotten and read again.
const MAX_REMEMBERED: usize = 10_000;

/// Finds the key of a request, and remembers it: one SHA-256 and one look into a map instead of
/// a read of the store.
///
/// It stays exact as long as all changes of keys go through [`KeyRing::forget`], which holds in
/// `serve`, the only one to open its store.
pub struct KeyRing {
    keys: Keys,
    clock: Arc<dyn Clock>,
    remembered: RwLock<HashMap<[u8; 32], Arc<ApiKey>>>,
}

impl KeyRing {
    /// A ring over the key service.
    pub fn new(keys: Keys, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock, remembered: RwLock::default() }
    }

    /// The key service behind it.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The key of a request that has these headers, if it counts now and has `scope`.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        scope: Scope,
    ) -> Result<Arc<ApiKey>, ApiError> {
        let token = bearer(headers)?;
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let remembered =
            self.remembered.read().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        let key = match remembered {
            Some(key) => {
                key.check(self.now()).map_err(|rejection| key_error(&rejection.into()))?;
                key
            }
            None => self.look_up(token, digest).await?,
        };
        if key.has(scope) {
            return Ok(key);
        }
        Err(ApiError::new(
            ErrorKind::InsufficientScope,
            format!("the API key `{}` lacks the scope `{scope}`; use a key that has it", key.id),
        ))
    }

    /// Forgets what is known of a key that was changed.
    pub fn forget(&self, id: &KeyId) {
        self.remembered
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, key| key.id != *id);
    }

    async fn look_up(&self, token: &str, digest: [u8; 32]) -> Result<Arc<ApiKey>, ApiError> {
        let plain: PlainKey = token
            .parse()
            .map_err(|malformed| ApiError::new(ErrorKind::InvalidApiKey, format!("{malformed}")))?;
        let key = Arc::new(self.keys.verify(&plain).await.map_err(|error| key_error(&error))?);
        {
            let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
            if remembered.len() >= MAX_REMEMBERED {
                remembered.clear();
            }
            remembered.insert(digest, key.clone());
        }
        // A revocation between the read and the insert has forgotten nothing yet: look again.
        match self.keys.verify(&plain).await {
            Ok(_) => Ok(key),
            Err(error) => {
                self.forget(&key.id);
                Err(key_error(&error))
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing = || {
        ApiError::new(
            ErrorKind::MissingApiKey,
            "the request has no API key; send it as `Authorization: Bearer dg_…`",
        )
    };
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let text = value.to_str().map_err(|_| missing())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(missing());
    }
    Ok(token.trim())
}
