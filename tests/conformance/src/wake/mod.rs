//! The promises of [`Wake`].

pub mod asking;
pub mod failing;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use diogenes_core::ports::{Topic, Wake};

/// A wake for one check.
pub struct Fixture {
    wake: Arc<dyn Wake>,
    received: Box<dyn Fn() -> Vec<Topic> + Send + Sync>,
    orphan: Arc<dyn Wake>,
    faulty: Option<Arc<dyn Wake>>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// A wake, what its receiver has been asked for until now, and a wake whose receiver is gone.
    /// The receiver looks after nothing.
    pub fn new(
        wake: Arc<dyn Wake>,
        received: impl Fn() -> Vec<Topic> + Send + Sync + 'static,
        orphan: Arc<dyn Wake>,
    ) -> Self {
        Self { wake, received: Box::new(received), orphan, faulty: None, _keep: Box::new(()) }
    }

    /// A wake of the same kind that fails for the moment, where that can happen.
    #[must_use]
    pub fn or_faulty(self, faulty: Arc<dyn Wake>) -> Self {
        Self { faulty: Some(faulty), ..self }
    }

    /// Keeps what the wake stands on until the check ends.
    #[must_use]
    pub fn keeping(self, what: impl Any + Send + Sync) -> Self {
        Self { _keep: Box::new(what), ..self }
    }

    /// What has been asked for, each topic once.
    fn topics(&self) -> Vec<Topic> {
        let mut topics = (self.received)();
        topics.sort();
        topics.dedup();
        topics
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}

fn topic(name: &str) -> Topic {
    Topic::Model(name.parse().unwrap())
}
