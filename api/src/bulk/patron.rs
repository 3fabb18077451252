//! On whose behalf requests are sent, and the models that are wanted meanwhile.

use std::sync::Arc;
use std::time::Duration;

use diogenes_core::Timestamp;
use diogenes_core::fleet::UseLease;
use diogenes_core::fleet::eta::later;
use diogenes_core::jobs::{ClaimError, Creator};
use diogenes_core::keys::{KeyError, Keys};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{BlobError, Clock, StateStore, StoreError, Write};
use diogenes_core::tenancy::Principal;

use crate::error::{ApiError, key_error};
use crate::jobs::Work;
use crate::proxy::Gateway;

/// How long a model is wanted beyond the next look at it.
const LEASE: Duration = Duration::from_mins(3);

/// Why an attempt goes no further. Whatever it is, another attempt goes on from what is written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Other(String),
}

/// Commits records of a job's own.
pub(crate) async fn commit(work: &Work, writes: &[Write]) -> Result<(), Trouble> {
    match work.commit(writes).await {
        // Somebody else has written one of them: this worker is not the only one.
        Err(ClaimError::Changed) => Err(ClaimError::Lost.into()),
        result => Ok(result.map(|_| ())?),
    }
}

/// Wants models on behalf of a job.
pub(crate) struct Patron<'a> {
    pub(crate) gateway: &'a Arc<Gateway>,
    pub(crate) keys: &'a Keys,
    pub(crate) store: &'a Arc<dyn StateStore>,
    pub(crate) clock: &'a Arc<dyn Clock>,
    /// Who wants them, such as `batch/ID`.
    pub(crate) holder: String,
}

impl Patron<'_> {
    /// Who asks: the key of a creator, with the rights that it has now.
    pub(crate) async fn principal(&self, creator: &Creator) -> Result<Arc<Principal>, ApiError> {
        if creator.key.as_str().is_empty() {
            return Ok(Arc::new(Principal::operator()));
        }
        let principal = self.keys.principal(&creator.key).await;
        principal.map(Arc::new).map_err(|error: KeyError| key_error(&error))
    }

    /// Wants a model until a while after `at`.
    pub(crate) async fn hold(&self, model: &ModelName, at: Timestamp) -> Result<(), Trouble> {
        let until = later(at, LEASE);
        Ok(UseLease::hold(&**self.store, model, &self.holder, until).await?)
    }

    /// Lets go of the model that requests for `name` are sent to.
    pub(crate) async fn release(&self, name: &str) -> Result<(), Trouble> {
        let model = self.gateway.model_behind(name).await;
        let Some(model) = model.map_err(|error| Trouble::Other(error.message))? else {
            return Ok(());
        };
        UseLease::release(&**self.store, &model, &self.holder, self.clock.now()).await?;
        self.gateway.look_after(&model).await;
        Ok(())
    }
}
