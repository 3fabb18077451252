use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::call::{Call, Resource};

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Not ended yet, or its front was stopped before.
    Pending,
    /// The emulator, or the handler of invocations, has answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The error's code, such as `ConditionalCheckFailedException`.
        code: Option<String>,
    },
    /// A rule has answered with this code; nothing was done.
    Injected(String),
    /// A rule has dropped the connection before anything was done.
    Refused,
    /// It was done, and a rule has dropped the connection in the place of the answer.
    Lost,
}

/// A call that came in.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its place in the order of arrival, from 0 in each front.
    pub number: u64,
    /// The access key id that it was signed with.
    pub caller: String,
    /// `dynamodb`, `ec2`, `lambda`, `sts` …, as the signature names it.
    pub service: String,
    /// `GetItem`, `RunInstances`, `Invoke` …; method and path of what is not understood.
    pub action: String,
    /// What it is about.
    pub resource: Resource,
    /// When it came in.
    pub at: SystemTime,
    /// How it ended.
    pub outcome: Outcome,
}

/// Calls in their order of arrival, to be narrowed down and counted.
#[derive(Debug, Clone)]
pub struct Calls(Vec<Recorded>);

impl Calls {
    /// Those of one caller.
    #[must_use]
    pub fn by(self, caller: &str) -> Self {
        self.that(|call| call.caller == caller)
    }

    /// Those to one service.
    #[must_use]
    pub fn to(self, service: &str) -> Self {
        self.that(|call| call.service == service)
    }

    /// Those of one action.
    #[must_use]
    pub fn action(self, action: &str) -> Self {
        self.that(|call| call.action == action)
    }

    /// Those that touch an item whose partition key begins so.
    #[must_use]
    pub fn on_key(self, prefix: &str) -> Self {
        self.that(|call| call.resource.leading_keys.iter().any(|key| key.starts_with(prefix)))
    }

    /// Those that this says yes to.
    #[must_use]
    pub fn that(mut self, which: impl FnMut(&Recorded) -> bool) -> Self {
        self.0.retain(which);
        self
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// In the order of arrival.
    pub fn iter(&self) -> std::slice::Iter<'_, Recorded> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Calls {
    type Item = &'a Recorded;
    type IntoIter = std::slice::Iter<'a, Recorded>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The calls of one front.
#[derive(Debug, Default)]
pub(super) struct Record(Mutex<(u64, Vec<Recorded>)>);

impl Record {
    /// Notes its arrival.
    pub(super) fn arrived(&self, call: &Call) -> Recorded {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = Recorded {
            number: calls.0,
            caller: call.caller.clone(),
            service: call.service.clone(),
            action: call.action.clone(),
            resource: call.resource.clone(),
            at: SystemTime::now(),
            outcome: Outcome::Pending,
        };
        calls.0 += 1;
        calls.1.push(recorded.clone());
        recorded
    }

    /// Notes its end. One that came before a reset is known no more.
    pub(super) fn ended(&self, number: u64, outcome: Outcome) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = calls.1.iter_mut().rev().find(|call| call.number == number) {
            call.outcome = outcome;
        }
    }

    pub(super) fn calls(&self) -> Calls {
        Calls(self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone())
    }

    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clear();
    }
}
