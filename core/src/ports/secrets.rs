use async_trait::async_trait;

use crate::secret::{Secret, SecretRef};

/// Reads secrets where they are kept.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The secret as it stands now; every call reads it anew.
    ///
    /// # Errors
    /// What is wrong, to stand behind where it should be: "does not exist".
    async fn read(&self, reference: &SecretRef) -> Result<Secret, String>;
}
