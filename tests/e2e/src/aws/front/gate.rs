use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::wait::eventually;

use super::record::Recorded;
use super::rule::{Rule, Then};

type Waiting = Arc<Mutex<VecDeque<(Recorded, oneshot::Sender<Then>)>>>;

/// Where calls are held until the test lets them go, in their order of arrival. Dropping it lets
/// all go and ends its rule.
#[derive(Debug)]
pub struct Gate {
    waiting: Waiting,
    rule: Option<Rule>,
}

impl Gate {
    /// A gate and the hook that holds calls at it.
    pub(super) fn new() -> (Self, impl Fn(Recorded) -> WaitsAtGate + Send + Sync + 'static) {
        let waiting = Waiting::default();
        let gate = Self { waiting: waiting.clone(), rule: None };
        let hook = move |call| {
            let (go, may_go) = oneshot::channel();
            waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back((call, go));
            WaitsAtGate(may_go)
        };
        (gate, hook)
    }

    pub(super) fn of(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }

    /// The call that has waited longest; waits for one.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn reached(&self) -> HeldCall {
        let (call, go) = eventually("a call at the gate", async || {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.pop_front().ok_or("none")
        })
        .await;
        HeldCall { call, go: Some(go) }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(rule) = &self.rule {
            rule.remove();
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A call that is held. Dropping it lets it go.
#[derive(Debug)]
pub struct HeldCall {
    call: Recorded,
    go: Option<oneshot::Sender<Then>>,
}

impl HeldCall {
    pub fn call(&self) -> &Recorded {
        &self.call
    }

    /// It goes on.
    pub fn proceed(mut self) {
        self.go(Then::Proceed);
    }

    /// Its connection is dropped.
    pub fn drop_connection(mut self) {
        self.go(Then::Drop);
    }

    fn go(&mut self, then: Then) {
        if let Some(go) = self.go.take() {
            let _ = go.send(then);
        }
    }
}

/// Waits until the test has decided.
pub(super) struct WaitsAtGate(oneshot::Receiver<Then>);

impl Future for WaitsAtGate {
    type Output = Then;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Then> {
        let decided = std::pin::Pin::new(&mut self.0).poll(context);
        decided.map(|then| then.unwrap_or(Then::Proceed))
    }
}
