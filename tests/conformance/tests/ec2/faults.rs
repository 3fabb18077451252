//! What EC2 does and a child process does not.

use std::sync::Arc;
use std::time::Duration;

use diogenes_backends::aws::ec2::{Ec2Compute, Ec2Settings};
use diogenes_backends::aws::placement::Market;
use diogenes_backends::aws::user_data::UserData;
use diogenes_core::fleet::{ClaimId, InstanceId, LaunchToken, Placement};
use diogenes_core::ports::{
    ComputeBackend, ComputeError, Exit, Instance, InstanceState, LaunchError, LaunchRequest,
};
use diogenes_core::secret::Secret;
use diogenes_core::testing::{Lag, ManualClock, Pool};
use fake_ec2::FakeEc2;

use super::{client, engine, rung, settings};

fn request(claim: &str, rung: Placement) -> LaunchRequest {
    LaunchRequest {
        token: LaunchToken::new(format!("{claim:0>64}")),
        claim: ClaimId::new(claim),
        model: "org/model".parse().unwrap(),
        engine: engine(),
        rung,
        upstream_key: Secret::new("up-test"),
        lifetime: None,
    }
}

fn of(claim: &str) -> LaunchRequest {
    request(claim, rung("us-east-1a", Market::Spot))
}

fn start() -> (FakeEc2, Ec2Compute) {
    let ec2 = FakeEc2::start().unwrap();
    let compute = Ec2Compute::new(client(&ec2), settings("here"));
    (ec2, compute)
}

/// One whose listing knows a new instance after a minute of the clock.
fn start_late() -> (Arc<ManualClock>, FakeEc2, Ec2Compute) {
    let clock = Arc::new(ManualClock::default());
    let ec2 = FakeEc2::with_clock(clock.clone()).unwrap();
    ec2.set_lag(Lag { listing: Duration::from_mins(1), ..Lag::default() });
    let compute = Ec2Compute::new(client(&ec2), settings("here"));
    (clock, ec2, compute)
}

fn ids(seen: &[Instance]) -> Vec<InstanceId> {
    seen.iter().map(|one| one.id.clone()).collect()
}

#[tokio::test]
async fn launch_whose_answer_is_lost_is_found_by_its_repeat() {
    let (ec2, compute) = start();
    // Both tries of the client.
    ec2.lose_answers(2);
    let lost = compute.launch(&of("a")).await;
    assert!(matches!(lost, Err(LaunchError::Transient { .. })), "{lost:?}");
    let id = compute.launch(&of("a")).await.unwrap();
    assert_eq!(ids(&compute.describe().await.unwrap()), [id]);
    assert_eq!(ec2.requests("RunInstances").len(), 3);
    assert_eq!(ec2.instances().len(), 1);
}

#[tokio::test]
async fn throttled_calls_are_repeated_and_then_given_up() {
    let (ec2, compute) = start();
    ec2.throttle(1);
    let id = compute.launch(&of("a")).await.unwrap();
    ec2.throttle(2);
    let error = compute.describe().await.unwrap_err();
    assert!(matches!(error, ComputeError::Transient { .. }), "{error:?}");
    ec2.throttle(2);
    let error = compute.terminate(&id).await.unwrap_err();
    assert!(matches!(error, ComputeError::Transient { .. }), "{error:?}");
    assert_eq!(ids(&compute.describe().await.unwrap()), [id]);
}

#[tokio::test]
async fn exhausted_place_has_no_capacity_and_another_has() {
    let (ec2, compute) = start();
    ec2.exhaust([Pool::of_type("g6.xlarge").with("zone", "us-east-1a").with("market", "spot")]);
    let error = compute.launch(&of("a")).await.unwrap_err();
    assert!(matches!(error, LaunchError::Capacity { .. }), "{error:?}");
    assert!(error.to_string().contains("`g6.xlarge` in us-east-1a on spot"), "{error}");
    // Once: the client must not repeat it though its status is 500.
    assert_eq!(ec2.requests("RunInstances").len(), 1);
    compute.launch(&request("b", rung("us-east-1b", Market::Spot))).await.unwrap();
    compute.launch(&request("c", rung("us-east-1a", Market::OnDemand))).await.unwrap();
    // What was refused has spent no token.
    ec2.exhaust([]);
    compute.launch(&of("a")).await.unwrap();
    assert_eq!(ec2.instances().len(), 3);
}

#[tokio::test]
async fn quota_is_named_by_market() {
    let (ec2, compute) = start();
    ec2.set_quota("g", "spot", 4);
    ec2.set_quota("g", "on_demand", 0);
    let id = compute.launch(&of("a")).await.unwrap();
    for (market, name) in [(Market::Spot, "L-3819A6DF"), (Market::OnDemand, "L-DB2E81BA")] {
        let error = compute.launch(&request("b", rung("us-east-1a", market))).await.unwrap_err();
        assert!(matches!(error, LaunchError::Quota { .. }), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
    compute.terminate(&id).await.unwrap();
    compute.launch(&of("b")).await.unwrap();
}

#[tokio::test]
async fn settings_that_changed_after_a_launch_launch_nothing_twice() {
    let (clock, ec2, before) = start_late();
    let id = before.launch(&of("a")).await.unwrap();
    let changed = Ec2Settings { lease_timeout: Duration::from_mins(1), ..settings("here") };
    let after = Ec2Compute::new(client(&ec2), changed);
    // It is not listed yet.
    let early = after.launch(&of("a")).await;
    assert!(matches!(early, Err(LaunchError::Transient { .. })), "{early:?}");
    clock.advance(Duration::from_mins(1));
    assert_eq!(after.launch(&of("a")).await.unwrap(), id);
    after.terminate(&id).await.unwrap();
    let late = after.launch(&of("a")).await;
    assert!(matches!(late, Err(LaunchError::TokenSpent)), "{late:?}");
    assert_eq!(ec2.instances().len(), 1);
}

#[tokio::test]
async fn end_of_an_instance_that_is_not_listed_yet_must_be_asked_for_again() {
    let (clock, ec2, compute) = start_late();
    let id = compute.launch(&of("a")).await.unwrap();
    assert_eq!(compute.describe().await.unwrap(), []);
    compute.terminate(&id).await.unwrap();
    assert!(ec2.instances()[0].is_alive());
    clock.advance(Duration::from_mins(1));
    assert_eq!(compute.describe().await.unwrap()[0].state, InstanceState::Running);
    compute.terminate(&id).await.unwrap();
    assert!(!ec2.instances()[0].is_alive());
}

#[tokio::test]
async fn interrupted_spot_instance_is_reclaimed() {
    let (ec2, compute) = start();
    let id = compute.launch(&of("a")).await.unwrap();
    ec2.interrupt(&id);
    let exit = Exit::Reclaimed("taken back (Server.SpotInstanceTermination)".into());
    let state = InstanceState::Terminated { exit: Some(exit) };
    assert_eq!(compute.describe().await.unwrap()[0].state, state);
    // What shuts itself down, or is terminated, is not.
    let id = compute.launch(&of("b")).await.unwrap();
    ec2.shut_down(&id);
    let ended = compute.describe().await.unwrap().pop().unwrap();
    assert_eq!((ended.id, ended.state), (id, InstanceState::Terminated { exit: None }));
}

#[tokio::test]
async fn every_page_of_this_deployment_is_listed_and_of_no_other() {
    let (ec2, here) = start();
    let there = Ec2Compute::new(client(&ec2), settings("there"));
    ec2.set_page_size(2);
    let mut launched = Vec::new();
    for claim in ["a", "b", "c", "d", "e"] {
        launched.push(here.launch(&of(claim)).await.unwrap());
        there.launch(&of(&format!("{claim}-there"))).await.unwrap();
    }
    assert_eq!(ids(&here.describe().await.unwrap()), launched);
    assert_eq!(ec2.requests("DescribeInstances").len(), 3);
    assert_eq!(there.describe().await.unwrap().len(), 5);
}

#[tokio::test]
async fn instance_is_told_what_it_serves() {
    let (ec2, compute) = start();
    let request = LaunchRequest { lifetime: Some(Duration::from_hours(2)), ..of("a") };
    let id = compute.launch(&request).await.unwrap();
    let told: UserData = serde_json::from_slice(&ec2.user_data(&id).unwrap()).unwrap();
    let settings = settings("here");
    let expected = UserData {
        deployment: settings.deployment,
        claim: request.claim,
        model: request.model,
        engine: request.engine,
        upstream_key: request.upstream_key,
        table: settings.table,
        region: settings.region,
        max_lifetime: Duration::from_hours(2),
        lease_timeout: settings.lease_timeout,
    };
    assert_eq!(told, expected);
}

#[tokio::test]
async fn unknown_templates_and_subnets_are_refused_with_what_to_mend() {
    let (ec2, _) = start();
    let template = Ec2Settings { launch_template: "lt-0".into(), ..settings("here") };
    let subnet = Ec2Settings {
        subnets: vec!["us-east-1a=subnet-gone".parse().unwrap()],
        ..settings("here")
    };
    for (settings, mend) in [
        (template, "deploy with a launch template that exists"),
        (subnet, "deploy with subnets and security groups that exist, all of one VPC"),
    ] {
        let error = Ec2Compute::new(client(&ec2), settings).launch(&of("a")).await.unwrap_err();
        assert!(matches!(error, LaunchError::InvalidSpec { .. }), "{error:?}");
        assert!(error.to_string().ends_with(mend), "{error}");
    }
}

#[tokio::test]
async fn launch_template_may_be_made_and_named() {
    let (ec2, _) = start();
    let data = aws_sdk_ec2::types::RequestLaunchTemplateData::builder().image_id("ami-1").build();
    let make = || {
        let call = client(&ec2).create_launch_template();
        call.launch_template_name("gpu").launch_template_data(data.clone()).send()
    };
    let first = make().await.unwrap().launch_template.unwrap();
    make().await.unwrap_err();
    let found = client(&ec2).describe_launch_templates().launch_template_names("gpu").send().await;
    let found = found.unwrap().launch_templates.unwrap();
    assert_eq!(found[0].launch_template_id(), first.launch_template_id());
    let named = Ec2Settings { launch_template: "gpu".into(), ..settings("here") };
    Ec2Compute::new(client(&ec2), named).launch(&of("a")).await.unwrap();
}
