//! What becomes of instances.

use std::time::Duration;

use aws_sdk_ec2::types::{InstanceType, ResourceType, Tag, TagSpecification};
use diogenes_e2e::aws::front::HeldCall;
use diogenes_e2e::aws::stack::{Listed, ORCHESTRATOR, Stack, StackSettings};
use diogenes_e2e::{Client, Event, Model, eventually};
use serde_json::json;

use crate::{fast, until_ready};

/// A stack in which a replica drains as soon as nothing runs on it.
fn quick() -> StackSettings {
    StackSettings::default().variable(ORCHESTRATOR, "DIOGENES_ROUTER_LAG", "1s")
}

/// Lets the schedule run until the alive instances are as wanted.
async fn ticks_until_alive(
    stack: &Stack,
    what: &str,
    wanted: impl Fn(&[Listed]) -> bool,
) -> Vec<Listed> {
    stack
        .ticks_until(what, async || {
            let alive = stack.alive().await;
            if wanted(&alive) { Ok(alive) } else { Err(stack.instances().await) }
        })
        .await
}

#[tokio::test]
async fn an_idle_instance_is_terminated_and_the_next_request_launches_another() {
    let Some(stack) = Stack::with(quick()).await else { return };
    let client = stack.admin().await;
    stack.apply(&client, &fast("demo").line("idle_timeout = \"15s\"")).await;
    assert_eq!(client.chat("demo").await.status, 200);
    let first = stack.alive().await;
    assert_eq!(first.len(), 1);
    ticks_until_alive(&stack, "no instance", <[_]>::is_empty).await;
    stack
        .ticks_until("sleep", async || {
            let state = client.state("demo").await;
            if state["standing"] == "asleep" { Ok(()) } else { Err(state) }
        })
        .await;
    assert_eq!(client.chat("demo").await.status, 200, "{}", stack.machine_logs());
    let second = stack.alive().await;
    assert_eq!(second.len(), 1);
    assert_ne!(first[0].id, second[0].id);
}

#[tokio::test]
async fn an_instance_in_use_is_not_idle() {
    let Some(stack) = Stack::with(quick()).await else { return };
    let client = stack.admin().await;
    // The stream lasts longer than the idle timeout and is one use all along.
    let model = Model::mock("demo", &["--tokens", "60", "--tokens-per-second", "15"]);
    stack.apply(&client, &model.line("idle_timeout = \"16s\"")).await;
    let mut stream = client.chat_stream("demo").await;
    while let Some(event) = stream.next().await {
        stack.tick().await.unwrap();
        if event == Event::Done {
            break;
        }
        assert_eq!(event.error_code(), None, "{event:?}");
    }
    assert_eq!(stack.instances().await.len(), 1);
}

#[tokio::test]
async fn several_orchestrators_at_once_launch_one_instance() {
    let settings =
        StackSettings::default().variable(ORCHESTRATOR, "DIOGENES_LAUNCH_PATIENCE", "5m");
    let Some(stack) = Stack::with(settings).await else { return };
    let client = stack.admin().await;
    // The one that the model's own arrival asks for is held with the others.
    let gate = stack.front.rule().by(ORCHESTRATOR).to("dynamodb").first(3).hold_before();
    stack.apply(&client, &fast("demo").line("min_replicas = 1")).await;
    let event = json!({"reconcile": {"model": "demo"}}).to_string();
    for _ in 0..2 {
        stack.host.invoke_async(ORCHESTRATOR, event.clone()).unwrap();
    }
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(gate.reached().await);
    }
    held.into_iter().for_each(HeldCall::proceed);
    stack.host.wait_idle().await;
    until_ready(&stack, &client).await;
    assert_eq!(stack.instances().await.len(), 1);
    let launches = stack.front.calls().by(ORCHESTRATOR).action("RunInstances");
    assert_eq!(launches.count(), 1, "{launches:?}");
}

#[tokio::test]
async fn a_spot_notice_drains_the_instance_and_replaces_it() {
    // An agent reports the load of its replica every ten seconds: not before is it known to be idle.
    let settings = quick().variable(ORCHESTRATOR, "DIOGENES_ROUTER_LAG", "13s");
    let Some(stack) = Stack::with(settings).await else { return };
    let client = stack.admin().await;
    let model = Model::mock("demo", &["--tokens", "200", "--tokens-per-second", "10"]);
    // With a place for a second one, its successor need not wait for its end.
    stack.apply(&client, &model.line("min_replicas = 1\nmax_replicas = 2")).await;
    until_ready(&stack, &client).await;
    let first = stack.alive().await.remove(0);
    let mut stream = client.chat_stream("demo").await;
    stream.next().await.unwrap();
    stack.interrupt(&first.id);
    let alive = ticks_until_alive(&stack, "a second instance", |alive| alive.len() == 2).await;
    assert!(alive.iter().any(|instance| instance.id == first.id), "it may end what it serves");
    assert_eq!(stream.all().await.last(), Some(&Event::Done));
    let alive = ticks_until_alive(&stack, "only the second instance", |alive| {
        alive.len() == 1 && alive[0].id != first.id
    })
    .await;
    until_ready(&stack, &client).await;
    assert_eq!(client.chat("demo").await.status, 200);
    assert_eq!(stack.alive().await, alive);
}

#[tokio::test]
async fn an_interruption_that_only_eventbridge_tells_of_drains_the_instance() {
    let Some(stack) = Stack::start().await else { return };
    let client = stack.admin().await;
    stack.apply(&client, &fast("demo").line("min_replicas = 1")).await;
    until_ready(&stack, &client).await;
    let instance = stack.alive().await.remove(0);
    stack.warn_of_interruption(&instance.id);
    // No schedule comes by, and a replica that nobody uses drains for half a minute.
    eventually("a draining replica", async || {
        let state = client.state("demo").await;
        let slot = &state["slots"][0];
        if slot["state"] == "draining" { Ok(()) } else { Err(state) }
    })
    .await;
}

#[tokio::test]
async fn an_instance_with_our_tag_that_no_claim_knows_is_terminated() {
    let Some(stack) = Stack::start().await else { return };
    let ec2 = stack.front.ec2("somebody");
    let launch = async |deployment: &str| {
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .tags(tag("diogenes:deployment", deployment))
            .tags(tag("diogenes:claim", "claim-of-nobody"))
            .tags(tag("diogenes:model", "demo"));
        let launched = ec2
            .run_instances()
            .image_id("ami-12345678")
            .instance_type(InstanceType::G6Xlarge)
            .min_count(1)
            .max_count(1)
            .tag_specifications(tags.build())
            .send()
            .await
            .unwrap();
        launched.instances()[0].instance_id().unwrap().to_owned()
    };
    let ours = launch(stack.deployment()).await;
    let other = launch("another-stack").await;
    ticks_until_alive(&stack, "no instance", <[_]>::is_empty).await;
    let ended = stack.front.calls().by(ORCHESTRATOR).action("TerminateInstances");
    for call in &ended {
        assert_eq!(call.resource.parameters["InstanceId.1"], ours);
    }
    crate::logged(&stack, ORCHESTRATOR, "orphan").await;
    ec2.terminate_instances().instance_ids(other).send().await.unwrap();
}

#[tokio::test]
async fn an_instance_whose_control_plane_is_silent_ends_itself() {
    let settings = quick().variable(ORCHESTRATOR, "DIOGENES_LEASE_TIMEOUT", "5s");
    let Some(stack) = Stack::with(settings).await else { return };
    let client = stack.admin().await;
    stack.apply(&client, &fast("demo")).await;
    assert_eq!(client.chat("demo").await.status, 200);
    let first = stack.alive().await.remove(0);
    // No schedule runs any more.
    diogenes_e2e::eventually("the instance's own end", async || {
        let alive = stack.alive().await;
        if alive.is_empty() { Ok(()) } else { Err(alive) }
    })
    .await;
    assert_eq!(stack.front.calls().by(ORCHESTRATOR).action("TerminateInstances").count(), 0);
    assert!(stack.machine_logs().contains("did not renew the lease"), "{}", stack.machine_logs());
    stack.state_changed(&first.id, "shutting-down");
    // The model was asked for a moment ago: the control plane that is back wakes it again.
    until_other(&stack, &client, &first.id).await;
    let instances = stack.instances().await;
    assert!(instances.iter().all(|instance| instance.id != first.id || !instance.is_alive()));
}

/// Lets the schedule run until no slot of `demo` has this instance.
async fn until_other(stack: &Stack, client: &Client, id: &str) {
    stack
        .ticks_until("the end of the claim", async || {
            let state = client.state("demo").await;
            let slots = state["slots"].as_array().cloned().unwrap_or_default();
            if slots.iter().any(|slot| slot["instance"] == json!(id)) { Err(state) } else { Ok(()) }
        })
        .await;
}

#[tokio::test]
async fn a_schedule_keeps_the_leases() {
    let Some(stack) = Stack::with(quick().schedule(Duration::from_millis(200))).await else {
        return;
    };
    let client = stack.admin().await;
    stack.apply(&client, &fast("demo").line("min_replicas = 1")).await;
    client.until_replicas("demo", 1).await;
    stack
        .front
        .until("a renewed lease and its reader", |calls| {
            let written = calls.clone().by(ORCHESTRATOR).on_key("LEASE#").count() > 0;
            let read = calls.by(diogenes_e2e::aws::stack::INSTANCE).on_key("LEASE#").count() > 0;
            written && read
        })
        .await;
}
