use async_trait::async_trait;

use crate::name::ModelName;

/// Asks that a model be reconciled soon.
#[async_trait]
pub trait ScaleTrigger: Send + Sync {
    /// Requests one reconcile of `model` and returns without waiting for it.
    ///
    /// A trigger is a hint: it may be lost, doubled or merged with another. The periodic
    /// reconcile repairs a lost one, the conditional writes of the fleet a doubled one.
    async fn reconcile(&self, model: &ModelName) -> Result<(), TriggerError>;
}

/// Why a trigger could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// The receiver is not there: a stopped loop, a function that does not exist.
    #[error("nobody reconciles `{model}`: {reason}")]
    NoReceiver {
        /// The model that was to be reconciled.
        model: ModelName,
        /// What is missing.
        reason: String,
    },
    /// A passing fault; the periodic reconcile makes up for it.
    #[error("the reconcile of `{model}` could not be requested now")]
    Transient {
        /// The model that was to be reconciled.
        model: ModelName,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
