use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::fault::Fault;
use super::gate::Gate;
use super::record::Recorded;

/// How a call goes on after a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// As if there were no hook.
    Proceed,
    /// The connection is dropped: before the call is forwarded nothing is done, after it the answer
    /// is lost.
    Drop,
}

type Held = Pin<Box<dyn Future<Output = Then> + Send>>;
type Hook = Arc<dyn Fn(Recorded) -> Held + Send + Sync>;
type Condition = Box<dyn Fn(&Recorded) -> bool + Send + Sync>;

/// What a rule does to a call.
#[derive(Clone)]
pub(super) enum Effect {
    Fail(Fault),
    Delay(Duration),
    Before(Hook),
    After(Hook),
}

/// Which of the calls that match a rule are meant.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Every,
    Nth(usize),
    First(usize),
}

/// A rule in the making: narrow it down, then say what happens to the calls that it means.
#[must_use = "a rule without an effect does nothing"]
pub struct RuleBuilder<'a> {
    rules: &'a Rules,
    conditions: Vec<Condition>,
    turn: Turn,
}

impl fmt::Debug for RuleBuilder<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RuleBuilder").field("turn", &self.turn).finish_non_exhaustive()
    }
}

impl RuleBuilder<'_> {
    /// Calls of this caller.
    pub fn by(self, caller: &str) -> Self {
        let caller = caller.to_owned();
        self.that(move |call| call.caller == caller)
    }

    /// Calls to this service, such as `dynamodb`.
    pub fn to(self, service: &str) -> Self {
        let service = service.to_owned();
        self.that(move |call| call.service == service)
    }

    /// Calls of this action.
    pub fn action(self, action: &str) -> Self {
        let action = action.to_owned();
        self.that(move |call| call.action == action)
    }

    /// Calls that touch an item whose partition key begins so.
    pub fn on_key(self, prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        self.that(move |call| call.resource.leading_keys.iter().any(|key| key.starts_with(&prefix)))
    }

    /// Calls whose form has this field, such as `InstanceType`.
    pub fn parameter(self, name: &str, value: &str) -> Self {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.that(move |call| call.resource.parameters.get(&name) == Some(&value))
    }

    /// Calls that this says yes to.
    pub fn that(mut self, which: impl Fn(&Recorded) -> bool + Send + Sync + 'static) -> Self {
        self.conditions.push(Box::new(which));
        self
    }

    /// Only the nth of them, counted from 1 and from now on.
    pub fn nth(mut self, n: usize) -> Self {
        self.turn = Turn::Nth(n);
        self
    }

    /// Only the first n of them.
    pub fn first(mut self, n: usize) -> Self {
        self.turn = Turn::First(n);
        self
    }

    /// They fail so, and nothing is done.
    pub fn fail(self, fault: Fault) -> Rule {
        self.add(Effect::Fail(fault))
    }

    /// They are done, and the connection is dropped in the place of the answer.
    pub fn lose_answer(self) -> Rule {
        self.after(|_| async { Then::Drop })
    }

    /// The connection is dropped and nothing is done.
    pub fn refuse(self) -> Rule {
        self.before(|_| async { Then::Drop })
    }

    /// They wait before they are done.
    pub fn delay(self, delay: Duration) -> Rule {
        self.add(Effect::Delay(delay))
    }

    /// Runs this before they are done, on the runtime of the test that makes the rule.
    pub fn before<F>(self, hook: impl Fn(Recorded) -> F + Send + Sync + 'static) -> Rule
    where
        F: Future<Output = Then> + Send + 'static,
    {
        let hook = at_home(hook);
        self.add(Effect::Before(hook))
    }

    /// Runs this when they are done and before they are answered.
    pub fn after<F>(self, hook: impl Fn(Recorded) -> F + Send + Sync + 'static) -> Rule
    where
        F: Future<Output = Then> + Send + 'static,
    {
        let hook = at_home(hook);
        self.add(Effect::After(hook))
    }

    /// Holds them before they are done, until the test lets them go.
    pub fn hold_before(self) -> Gate {
        let (gate, hook) = Gate::new();
        let rule = self.before(hook);
        gate.of(rule)
    }

    /// Holds them when they are done and before they are answered.
    pub fn hold_after(self) -> Gate {
        let (gate, hook) = Gate::new();
        let rule = self.after(hook);
        gate.of(rule)
    }

    fn add(self, effect: Effect) -> Rule {
        let entry = Arc::new(Entry {
            conditions: self.conditions,
            turn: self.turn,
            effect,
            seen: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
            removed: AtomicBool::new(false),
        });
        self.rules.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry.clone());
        Rule(entry)
    }
}

/// Runs the hook on the runtime of whoever made it: what it starts there outlives the front.
fn at_home<F>(hook: impl Fn(Recorded) -> F + Send + Sync + 'static) -> Hook
where
    F: Future<Output = Then> + Send + 'static,
{
    let home = Handle::current();
    Arc::new(move |call| {
        let ran = home.spawn(hook(call));
        Box::pin(async move { ran.await.unwrap_or(Then::Drop) })
    })
}

/// A rule in force, until it is removed or its front is reset.
#[derive(Debug, Clone)]
pub struct Rule(Arc<Entry>);

impl Rule {
    /// How many calls it has meant so far.
    pub fn hits(&self) -> usize {
        self.0.hits.load(Ordering::SeqCst)
    }

    /// Ends it.
    pub fn remove(&self) {
        self.0.removed.store(true, Ordering::SeqCst);
    }
}

struct Entry {
    conditions: Vec<Condition>,
    turn: Turn,
    effect: Effect,
    /// Calls that matched, whether or not it was their turn.
    seen: AtomicUsize,
    hits: AtomicUsize,
    removed: AtomicBool,
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Entry").field("turn", &self.turn).finish_non_exhaustive()
    }
}

impl Entry {
    fn means(&self, call: &Recorded) -> bool {
        if self.removed.load(Ordering::SeqCst) || !self.conditions.iter().all(|is| is(call)) {
            return false;
        }
        let place = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        let means = match self.turn {
            Turn::Every => true,
            Turn::Nth(n) => place == n,
            Turn::First(n) => place <= n,
        };
        if means {
            self.hits.fetch_add(1, Ordering::SeqCst);
        }
        means
    }
}

/// The rules of one front.
#[derive(Debug, Default)]
pub(super) struct Rules(Mutex<Vec<Arc<Entry>>>);

impl Rules {
    pub(super) fn builder(&self) -> RuleBuilder<'_> {
        RuleBuilder { rules: self, conditions: Vec::new(), turn: Turn::Every }
    }

    /// What happens to this call, in the order in which the rules were made.
    pub(super) fn effects(&self, call: &Recorded) -> Vec<Effect> {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|rule| !rule.removed.load(Ordering::SeqCst));
        rules.iter().filter(|rule| rule.means(call)).map(|rule| rule.effect.clone()).collect()
    }

    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
