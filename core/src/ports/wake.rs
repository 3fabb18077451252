use std::fmt;

use async_trait::async_trait;

use crate::Timestamp;
use crate::jobs::QueueName;
use crate::name::ModelName;

/// Asks that something be looked after soon.
#[async_trait]
pub trait Wake: Send + Sync {
    /// Asks for one look at `topic` and returns without waiting for it.
    ///
    /// A wake-up is a hint: it may be lost, doubled or merged with another. Whoever looks after
    /// the topic does so periodically too, which repairs a lost one; conditional writes make a
    /// doubled one harmless.
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError>;

    /// Asks for one look at `topic` at that time, whatever becomes of other wake-ups: for a receiver
    /// that looks only when somebody asks. One that looks periodically has nothing to do here.
    async fn wake_at(&self, _topic: &Topic, _at: Timestamp) -> Result<(), WakeError> {
        Ok(())
    }
}

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// A reconcile of this model.
    Model(ModelName),
    /// A look of the workers at this queue.
    Queue(QueueName),
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(name) => write!(f, "model `{name}`"),
            Self::Queue(name) => write!(f, "queue `{name}`"),
        }
    }
}

/// Why a wake-up could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum WakeError {
    /// The receiver is not there: a stopped loop, a function that does not exist.
    #[error("nothing is there to wake for {topic}: {reason}")]
    NoReceiver {
        /// What was to be woken.
        topic: Topic,
        /// What is missing.
        reason: String,
    },
    /// A passing fault; the periodic look makes up for it.
    #[error("{topic} could not be woken now")]
    Transient {
        /// What was to be woken.
        topic: Topic,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
