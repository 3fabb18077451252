//! The promises of [`SecretSource`].

pub mod reading;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use diogenes_core::ports::SecretSource;
use diogenes_core::secret::SecretRef;

/// Puts a secret where the reference of a fixture leads, or removes it.
type Keep = Box<dyn Fn(Option<&str>) + Send + Sync>;

/// A source for one check.
pub struct Fixture {
    source: Arc<dyn SecretSource>,
    reference: SecretRef,
    keep: Keep,
    elsewhere: Vec<SecretRef>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A source, a reference that leads nowhere yet, and what puts a secret there. `elsewhere` are
    /// references that the source never follows.
    pub fn new(
        source: Arc<dyn SecretSource>,
        reference: SecretRef,
        keep: impl Fn(Option<&str>) + Send + Sync + 'static,
        elsewhere: impl IntoIterator<Item = SecretRef>,
    ) -> Self {
        Self {
            source,
            reference,
            keep: Box::new(keep),
            elsewhere: elsewhere.into_iter().collect(),
            _keep: Box::new(()),
        }
    }

    /// Keeps what the source stands on until the check ends.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        Self { _keep: Box::new(what), ..self }
    }

    async fn read(&self) -> Result<String, String> {
        self.source.read(&self.reference).await.map(|secret| secret.expose().to_owned())
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}
