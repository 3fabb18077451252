use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::wait::DEADLINE;

use super::answer::{ASYNCHRONOUS_LIMIT, InvokeError, SYNCHRONOUS_LIMIT, Streamed};
use super::events::{self, Dropped};
use super::function::{Function, name_of};
use super::pool::Pool;

/// A small Lambda. Its processes end with its last clone, or with this process.
#[derive(Clone, Debug)]
pub struct LambdaHost(Arc<Pools>);

#[derive(Debug)]
struct Pools {
    by_name: BTreeMap<String, Arc<Pool>>,
    pending: watch::Sender<usize>,
}

impl Drop for Pools {
    fn drop(&mut self) {
        for pool in self.by_name.values() {
            pool.close();
        }
    }
}

impl LambdaHost {
    /// A host of these functions. No process starts before the first invocation.
    pub fn start(functions: impl IntoIterator<Item = Function>) -> Self {
        let pending = watch::Sender::new(0);
        let pool = |function: Function| {
            let name = function.name.clone();
            (name, Arc::new(Pool::new(function, pending.clone())))
        };
        let by_name = functions.into_iter().map(pool).collect();
        Self(Arc::new(Pools { by_name, pending }))
    }

    /// Invokes a function, by name or ARN, and waits for its whole answer.
    pub async fn invoke(
        &self,
        name: &str,
        payload: impl Into<Bytes>,
    ) -> Result<Bytes, InvokeError> {
        self.invoke_streaming(name, payload).await?.collect().await
    }

    /// Invokes a function and returns when it begins to answer.
    pub async fn invoke_streaming(
        &self,
        name: &str,
        payload: impl Into<Bytes>,
    ) -> Result<Streamed, InvokeError> {
        let (pool, payload) = (self.find(name)?, payload.into());
        if payload.len() > SYNCHRONOUS_LIMIT {
            return Err(InvokeError::TooLarge(SYNCHRONOUS_LIMIT));
        }
        Streamed::begin(pool.invoke(payload)).await
    }

    /// Queues an event. It is tried until the function succeeds, its retries are used up, or it
    /// is too old.
    pub fn invoke_async(&self, name: &str, payload: impl Into<Bytes>) -> Result<(), InvokeError> {
        let (pool, payload) = (self.find(name)?, payload.into());
        if payload.len() > ASYNCHRONOUS_LIMIT {
            return Err(InvokeError::TooLarge(ASYNCHRONOUS_LIMIT));
        }
        events::enqueue(pool.clone(), payload);
        Ok(())
    }

    /// Waits until no invocation runs and no event waits; panics if that takes too long.
    pub async fn wait_idle(&self) {
        let mut pending = self.0.pending.subscribe();
        let idle = tokio::time::timeout(DEADLINE, pending.wait_for(|pending| *pending == 0)).await;
        assert!(idle.is_ok(), "{} invocations still run or wait", *self.0.pending.borrow());
    }

    /// Kills every process of a function, also those that serve.
    pub fn kill(&self, name: &str) {
        self.pool(name).kill();
    }

    /// The ids of a function's living processes.
    pub fn pids(&self, name: &str) -> Vec<u32> {
        self.pool(name).pids()
    }

    /// How many processes of a function were started.
    pub fn starts(&self, name: &str) -> usize {
        self.pool(name).starts()
    }

    /// How often a function was invoked, retries included and throttled invocations not.
    pub fn invocations(&self, name: &str) -> usize {
        self.pool(name).invocations()
    }

    /// What a function's processes have written.
    pub fn logs(&self, name: &str) -> String {
        self.pool(name).log().text()
    }

    /// The events of a function that were given up.
    pub fn dropped(&self, name: &str) -> Vec<Dropped> {
        self.pool(name).dropped()
    }

    /// The names of its functions.
    pub fn names(&self) -> Vec<&str> {
        self.0.by_name.keys().map(String::as_str).collect()
    }

    fn find(&self, name: &str) -> Result<&Arc<Pool>, InvokeError> {
        let pool = self.0.by_name.get(name_of(name));
        pool.ok_or_else(|| InvokeError::NotFound(name.to_owned()))
    }

    fn pool(&self, name: &str) -> &Arc<Pool> {
        self.find(name).unwrap_or_else(|error| panic!("{error}; there are {:?}", self.names()))
    }
}
