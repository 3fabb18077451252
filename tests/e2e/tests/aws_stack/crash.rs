//! An orchestrator that is killed between any two of its calls; the schedule repairs.

use diogenes_e2e::aws::front::Fault;
use diogenes_e2e::aws::stack::{ORCHESTRATOR, Stack, StackSettings};
use diogenes_e2e::{Client, Model, ready};
use futures_util::future::join_all;

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

/// Kills the orchestrator at its nth call of AWS in the next run of the schedule. Whether there
/// was an nth.
async fn crash_at(stack: &Stack, nth: usize) -> bool {
    let gate = stack.front.rule().by(ORCHESTRATOR).nth(nth).hold_before();
    let run = stack.tick();
    tokio::pin!(run);
    tokio::select! {
        held = gate.reached() => {
            stack.host.kill(ORCHESTRATOR);
            run.await.unwrap_err();
            // Its caller has gone.
            held.drop_connection();
            true
        }
        ended = &mut run => {
            ended.unwrap();
            false
        }
    }
}

/// Tries what is done between any two calls, until there are no more calls.
async fn at_every_call(scenario: impl AsyncFn(usize) -> Option<bool>) {
    let mut next = 1;
    loop {
        let tried = next..next + AT_ONCE;
        next += AT_ONCE;
        let crashed = join_all(tried.map(|nth| scenario(nth))).await;
        if crashed.into_iter().any(|crashed| crashed != Some(true)) {
            break;
        }
    }
    // A launch alone takes more.
    assert!(diogenes_e2e::aws::skipped() || next > 4, "no call was crashed at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scale_up_survives_a_crash_between_any_two_calls() {
    at_every_call(async |nth| {
        let (stack, client) = untriggered().await?;
        stack.apply(&client, &model()).await;
        let crashed = crash_at(&stack, nth).await;
        repaired(&stack, &client, &format!("at call {nth} of the launch")).await;
        Some(crashed)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scale_down_survives_a_crash_between_any_two_calls() {
    at_every_call(async |nth| {
        let (stack, client) = untriggered().await?;
        stack.apply(&client, &model()).await;
        repaired(&stack, &client, "that was none").await;
        assert!(client.delete("/api/v1/models/demo").await.status.is_success());
        let crashed = crash_at(&stack, nth).await;
        stack
            .ticks_until(&format!("no instance after a crash at call {nth}"), async || {
                let alive = stack.alive().await;
                if alive.is_empty() { Ok(()) } else { Err(alive) }
            })
            .await;
        stack
            .ticks_until("the end of the model", async || {
                let state = client.state("demo").await;
                if state.is_null() { Ok(()) } else { Err(state) }
            })
            .await;
        assert_eq!(stack.instances().await.len(), 1, "nothing else was launched");
        Some(crashed)
    })
    .await;
}
