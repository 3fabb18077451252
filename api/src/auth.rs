//! Who asks: the bearer token of a request, and the key behind it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use diogenes_core::Timestamp;
use diogenes_core::keys::{ApiKey, Grant, KeyId, Keys, PlainKey, Scope};
use diogenes_core::ports::Clock;
use http::request::Parts;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use crate::error::{ApiError, ErrorKind, key_error};

/// The most keys that are remembered; beyond it all are forgotten and read again.
const MAX_REMEMBERED: usize = 10_000;

/// Finds the key of a request, and remembers it: one SHA-256 and one look into a map instead of
/// a read of the store.
///
/// It stays exact as long as all changes of keys go through [`KeyRing::forget`], which holds in
/// `serve`, the only one to open its store. Behind a gateway that verifies keys itself
/// ([`KeyRing::behind_gateway`]) it takes the gateway's word.
pub struct KeyRing {
    keys: Keys,
    clock: Arc<dyn Clock>,
    remembered: RwLock<HashMap<[u8; 32], Remembered>>,
    behind_gateway: bool,
}

#[derive(Clone)]
struct Remembered {
    key: Arc<ApiKey>,
    grant: Arc<Grant>,
}

impl KeyRing {
    /// A ring over the key service.
    pub fn new(keys: Keys, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock, remembered: RwLock::default(), behind_gateway: false }
    }

    /// A ring that reads no key: whoever hands it requests has verified them, and put an
    /// `Arc<Grant>` into their extensions. A request without one is refused.
    pub fn behind_gateway(keys: Keys, clock: Arc<dyn Clock>) -> Self {
        Self { behind_gateway: true, ..Self::new(keys, clock) }
    }

    /// The key service behind it.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What the sender of this request may do, if the key counts now and has `scope`.
    pub async fn authenticate(
        &self,
        request: &Parts,
        scope: Scope,
    ) -> Result<Arc<Grant>, ApiError> {
        let grant = if self.behind_gateway {
            self.vouched_for(request)?
        } else {
            self.of_token(bearer(&request.headers)?).await?
        };
        if grant.has(scope) {
            return Ok(grant);
        }
        Err(ApiError::new(
            ErrorKind::InsufficientScope,
            format!("the API key `{}` lacks the scope `{scope}`; use a key that has it", grant.key),
        ))
    }

    /// Forgets what is known of a key that was changed.
    pub fn forget(&self, id: &KeyId) {
        self.remembered
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, remembered| remembered.key.id != *id);
    }

    fn vouched_for(&self, request: &Parts) -> Result<Arc<Grant>, ApiError> {
        let Some(grant) = request.extensions.get::<Arc<Grant>>() else {
            tracing::error!("a request came past the authorizer; check the routes of the API");
            return Err(ApiError::new(
                ErrorKind::MissingApiKey,
                "the request has no verified API key; send it as `Authorization: Bearer dg_…`",
            ));
        };
        grant.check(self.now()).map_err(|rejection| key_error(&rejection.into()))?;
        Ok(grant.clone())
    }

    async fn of_token(&self, token: &str) -> Result<Arc<Grant>, ApiError> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let remembered =
            self.remembered.read().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        match remembered {
            Some(Remembered { key, grant }) => {
                key.check(self.now()).map_err(|rejection| key_error(&rejection.into()))?;
                Ok(grant)
            }
            None => self.look_up(token, digest).await,
        }
    }

    async fn look_up(&self, token: &str, digest: [u8; 32]) -> Result<Arc<Grant>, ApiError> {
        let plain: PlainKey = token
            .parse()
            .map_err(|malformed| ApiError::new(ErrorKind::InvalidApiKey, format!("{malformed}")))?;
        let key = self.keys.verify(&plain).await.map_err(|error| key_error(&error))?;
        let grant = Arc::new(Grant::from(key.clone()));
        let key = Arc::new(key);
        {
            let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
            if remembered.len() >= MAX_REMEMBERED {
                remembered.clear();
            }
            remembered.insert(digest, Remembered { key: key.clone(), grant: grant.clone() });
        }
        // A revocation between the read and the insert has forgotten nothing yet: look again.
        match self.keys.verify(&plain).await {
            Ok(_) => Ok(grant),
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
