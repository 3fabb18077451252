use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use diogenes_core::keys::{KeyId, Keys, PlainKey};
use diogenes_core::ports::Clock;
use diogenes_core::tenancy::{Principal, ProjectId};
use http::request::Parts;
use sha2::{Digest, Sha256};

use super::{Authenticator, bearer};
use crate::error::{ApiError, ErrorKind, key_error};

/// The most keys that are remembered; beyond it all are forgotten and read again.
const MAX_REMEMBERED: usize = 10_000;

/// Finds the key of a request, and remembers it: one SHA-256 and one look into a map instead of
/// a read of the store.
///
/// It stays exact as long as all changes of keys and projects are followed by
/// [`Authenticator::forget_key`] or [`Authenticator::forget_project`], which holds in `serve`, the
/// only one to open its store.
pub struct KeyRing {
    keys: Keys,
    clock: Arc<dyn Clock>,
    remembered: RwLock<HashMap<[u8; 32], Arc<Principal>>>,
}

impl KeyRing {
    /// A ring over the key service.
    pub fn new(keys: Keys, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock, remembered: RwLock::default() }
    }

    fn recall_token(&self, token: &str) -> Option<Result<Arc<Principal>, ApiError>> {
        let remembered = self.remembered.read().unwrap_or_else(PoisonError::into_inner);
        let principal = remembered.get(&digest(token))?;
        let checked = principal.check(self.clock.now());
        Some(checked.map(|()| principal.clone()).map_err(|rejection| key_error(&rejection.into())))
    }

    fn forget(&self, is_meant: impl Fn(&Principal) -> bool) {
        self.remembered
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, principal| !is_meant(principal));
    }
}

#[async_trait]
impl Authenticator for KeyRing {
    fn recall(&self, request: &Parts) -> Option<Result<Arc<Principal>, ApiError>> {
        match bearer(&request.headers) {
            Ok(token) => self.recall_token(token),
            Err(missing) => Some(Err(missing)),
        }
    }

    async fn look_up(&self, request: &Parts) -> Result<Arc<Principal>, ApiError> {
        let token = bearer(&request.headers)?;
        let plain: PlainKey = token
            .parse()
            .map_err(|malformed| ApiError::new(ErrorKind::InvalidApiKey, format!("{malformed}")))?;
        let key = self.keys.verify(&plain).await.map_err(|error| key_error(&error))?;
        let principal = Arc::new(Principal::from(key));
        {
            let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
            if remembered.len() >= MAX_REMEMBERED {
                remembered.clear();
            }
            remembered.insert(digest(token), principal.clone());
        }
        // A change between the read and the insert has forgotten nothing yet: look again.
        match self.keys.verify(&plain).await {
            Ok(_) => Ok(principal),
            Err(error) => {
                self.forget_key(&principal.key);
                Err(key_error(&error))
            }
        }
    }

    fn forget_key(&self, id: &KeyId) {
        self.forget(|principal| principal.key == *id);
    }

    fn forget_project(&self, id: &ProjectId) {
        self.forget(|principal| principal.project == *id);
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
