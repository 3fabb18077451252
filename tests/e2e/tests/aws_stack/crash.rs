//! An orchestrator that is killed between any two of its calls, or while the answer of one is on
//! its way; the schedule repairs.

use std::time::Duration;

use diogenes_core::entity::{StoreExt as _, Stored};
use diogenes_core::fleet;
use diogenes_core::ports::Expect;
use diogenes_e2e::aws::front::{Fault, Gate, HeldCall, Recorded, RuleBuilder};
use diogenes_e2e::aws::stack::{ORCHESTRATOR, Stack, StackSettings};
use diogenes_e2e::{Client, Model, ready};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::fast;

/// How many stacks are crashed side by side.
const AT_ONCE: usize = 3;

/// A stack whose orchestrator runs only when the test says so: every trigger is lost.
async fn untriggered() -> Option<(Stack, Client)> {
    let settings = StackSettings::default()
        .variable(ORCHESTRATOR, "DIOGENES_ROUTER_LAG", "1ms")
        .variable(ORCHESTRATOR, "DIOGENES_LAUNCH_PATIENCE", "1s");
    let stack = Stack::with(settings).await?;
    stack.front.rule().to("lambda").fail(Fault::throttled());
    let admin = stack.admin().await;
    Some((stack, admin))
}

fn model() -> Model {
    fast("demo").line("min_replicas = 1")
}

/// Lets the schedule run until the one replica is ready, and sees that nothing else was paid for.
async fn repaired(stack: &Stack, client: &Client, when: &str) {
    stack
        .ticks_until(&format!("a ready replica after a crash {when}"), async || {
            let state = client.state("demo").await;
            if ready(&state).len() == 1 { Ok(()) } else { Err((state, stack.machine_logs())) }
        })
        .await;
    let instances = stack.instances().await;
    assert_eq!(instances.len(), 1, "after a crash {when}: {instances:?}");
}

/// Kills the orchestrator, which waits for the answer of this call. Which action that is.
fn crash(stack: &Stack, held: HeldCall) -> String {
    let action = held.call().action.clone();
    stack.host.kill(ORCHESTRATOR);
    // Its caller has gone.
    held.drop_connection();
    action
}

/// Kills the orchestrator at its nth call of AWS in the next run of the schedule. Which that was,
/// if there was an nth.
async fn crash_before(stack: &Stack, nth: usize) -> Option<String> {
    crash_at(stack, stack.front.rule().by(ORCHESTRATOR).nth(nth).hold_before()).await
}

/// The same when the nth call that changes something is done, and not yet answered.
async fn crash_after(stack: &Stack, nth: usize) -> Option<String> {
    let changes = stack.front.rule().by(ORCHESTRATOR).that(changes_something);
    crash_at(stack, changes.nth(nth).hold_after()).await
}

async fn crash_at(stack: &Stack, gate: Gate) -> Option<String> {
    let run = stack.tick();
    tokio::pin!(run);
    tokio::select! {
        held = gate.reached() => {
            let action = crash(stack, held);
            run.await.unwrap_err();
            Some(action)
        }
        ended = &mut run => {
            ended.unwrap();
            None
        }
    }
}

/// Whether a call is one whose lost answer leaves something behind.
fn changes_something(call: &Recorded) -> bool {
    let reads = ["GetItem", "Query", "DescribeInstances", "Invoke"];
    !reads.contains(&call.action.as_str())
}

/// Tries what is done at each call, until there are no more calls. One of them is `expected`.
async fn at_every_call(expected: &str, scenario: impl AsyncFn(usize) -> Option<String>) {
    let mut actions: Vec<String> = Vec::new();
    for first in (1..).step_by(AT_ONCE) {
        let crashed = join_all((first..first + AT_ONCE).map(|nth| scenario(nth))).await;
        let there_are_more = crashed.iter().all(Option::is_some);
        actions.extend(crashed.into_iter().flatten());
        if !there_are_more {
            break;
        }
    }
    let met = actions.iter().any(|action| action == expected);
    assert!(diogenes_e2e::aws::skipped() || met, "only crashed at {actions:?}");
}

/// Crashes a scale-up everywhere, one stack for each place.
async fn scale_up_survives(place: &str, crash: impl AsyncFn(&Stack, usize) -> Option<String>) {
    at_every_call("RunInstances", async |nth| {
        let (stack, client) = untriggered().await?;
        stack.apply(&client, &model()).await;
        let crashed = crash(&stack, nth).await;
        repaired(&stack, &client, &format!("{place} {nth} of the launch")).await;
        crashed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scale_up_survives_a_crash_between_any_two_calls() {
    scale_up_survives("at call", crash_before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scale_up_survives_the_loss_of_any_answer() {
    scale_up_survives("after change", crash_after).await;
}

/// What changes the records of a model and its instances. An end takes several runs, and each of
/// them renews leases.
fn steps_of_an_end(stack: &Stack) -> RuleBuilder<'_> {
    stack.front.rule().by(ORCHESTRATOR).that(|call| {
        let keys = &call.resource.leading_keys;
        changes_something(call) && !keys.iter().any(|key| key.starts_with("LEASE#"))
    })
}

/// Kills the orchestrator at this gate, unless the schedule comes to its end without.
async fn crash_within(
    stack: &Stack,
    gate: Gate,
    schedule: impl Future<Output = ()>,
) -> Option<String> {
    tokio::select! {
        held = gate.reached() => Some(crash(stack, held)),
        () = schedule => None,
    }
}

/// Lets the schedule run until `demo` stands so; a model that is gone does not at all.
async fn until_standing(stack: &Stack, client: &Client, standing: &Value) {
    stack
        .ticks_until(&format!("`demo`: {standing}"), async || {
            let state = client.state("demo").await;
            if state["standing"] == *standing { Ok(()) } else { Err(state) }
        })
        .await;
}

/// Checks that the one instance has ended.
async fn assert_ended(stack: &Stack, when: &str) {
    let instances = stack.instances().await;
    let ended = instances.len() == 1 && !instances[0].is_alive();
    assert!(ended, "after a crash {when} of the end: {instances:?}");
}

/// Makes the replica of `demo` one that is idle for long enough. The control plane refuses so
/// short a timeout, as routers note a use every 15 seconds only; here is none.
async fn make_idle(stack: &Stack) {
    let store = stack.store();
    let key = fleet::Model::key_of(&"demo".parse().unwrap());
    let Stored { mut value, version } = store.load::<fleet::Model>(&key).await.unwrap().unwrap();
    (value.spec.min_replicas, value.spec.idle_timeout) = (0, Duration::from_millis(1));
    store.save(value, Expect::Version(version)).await.unwrap();
}

/// Ends the one replica and crashes that everywhere, one stack for each place; in the end `demo`
/// stands so.
async fn end_survives(
    place: &str,
    end: impl AsyncFn(&Stack, &Client),
    hold: impl Fn(&Stack, usize) -> Gate,
    standing: Value,
) {
    at_every_call("TerminateInstances", async |nth| {
        let (stack, client) = untriggered().await?;
        stack.apply(&client, &model()).await;
        repaired(&stack, &client, "that was none").await;
        end(&stack, &client).await;
        let gate = hold(&stack, nth);
        let until_over = || until_standing(&stack, &client, &standing);
        let crashed = crash_within(&stack, gate, until_over()).await;
        until_over().await;
        assert_ended(&stack, &format!("{place} {nth}")).await;
        crashed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scale_down_survives_a_crash_before_any_change() {
    let delete = async |_: &Stack, client: &Client| {
        assert!(client.delete("/api/v1/models/demo").await.status.is_success());
    };
    let hold = |stack: &Stack, nth| steps_of_an_end(stack).nth(nth).hold_before();
    end_survives("before change", delete, hold, Value::Null).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_idle_instance_survives_the_loss_of_any_answer() {
    let make_idle = async |stack: &Stack, _: &Client| make_idle(stack).await;
    let hold = |stack: &Stack, nth| steps_of_an_end(stack).nth(nth).hold_after();
    end_survives("after change", make_idle, hold, json!("asleep")).await;
}
