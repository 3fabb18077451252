//! What is described, and how.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::describe_instances::DescribeInstancesOutput;
use aws_sdk_ec2::types::{
    Instance as Ec2Instance, InstanceState as Ec2State, InstanceStateName, Reservation,
    StateReason, Tag,
};
use aws_smithy_mocks::{mock, mock_client};
use aws_smithy_types::DateTime;
use diogenes_core::fleet::{ClaimId, InstanceId};
use diogenes_core::ports::{ComputeBackend, ComputeError, Exit, Instance, InstanceState};

use super::{compute, refusal, settings};
use crate::aws::ec2::Ec2Compute;

fn id(number: u32) -> String {
    format!("i-{number:017x}")
}

fn instance(number: u32, state: InstanceStateName) -> Ec2Instance {
    Ec2Instance::builder()
        .instance_id(id(number))
        .state(Ec2State::builder().name(state).build())
        .build()
}

fn page(instances: Vec<Ec2Instance>, next: Option<&str>) -> DescribeInstancesOutput {
    // One reservation per instance, as single launches have.
    let reservation = |one| Reservation::builder().instances(one).build();
    let reservations = instances.into_iter().map(reservation).collect();
    DescribeInstancesOutput::builder()
        .set_reservations(Some(reservations))
        .set_next_token(next.map(str::to_owned))
        .build()
}

#[tokio::test]
async fn all_pages_of_the_deployment_are_read() {
    let first = mock!(Client::describe_instances)
        .match_requests(|input| {
            let [filter] = input.filters() else { return false };
            input.next_token().is_none()
                && input.max_results() == Some(1000)
                && filter.name() == Some("tag:diogenes:deployment")
                && filter.values() == ["test"]
        })
        .then_output(|| page(vec![instance(1, InstanceStateName::Running)], Some("more")));
    // A page may be empty and yet not the last.
    let second = mock!(Client::describe_instances)
        .match_requests(|input| input.next_token() == Some("more"))
        .then_output(|| page(vec![], Some("last")));
    let third = mock!(Client::describe_instances)
        .match_requests(|input| input.next_token() == Some("last"))
        .then_output(|| page(vec![instance(2, InstanceStateName::Running)], None));
    let client = mock_client!(aws_sdk_ec2, [&first, &second, &third]);
    let seen = Ec2Compute::new(client, settings()).describe().await.unwrap();
    let ids: Vec<_> = seen.iter().map(|one| one.id.as_str().to_owned()).collect();
    assert_eq!(ids, [id(1), id(2)]);
}

#[tokio::test]
async fn half_a_listing_is_none() {
    let first = mock!(Client::describe_instances)
        .match_requests(|input| input.next_token().is_none())
        .then_output(|| page(vec![instance(1, InstanceStateName::Running)], Some("more")));
    let second = mock!(Client::describe_instances)
        .match_requests(|input| input.next_token().is_some())
        .then_http_response(|| refusal(503, "RequestLimitExceeded", "slow down"));
    let error = compute(&[&first, &second]).describe().await.unwrap_err();
    assert!(matches!(error, ComputeError::Transient { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "the compute backend did not answer: `DescribeInstances` failed: \
         RequestLimitExceeded: slow down"
    );
}

async fn described(instances: Vec<Ec2Instance>) -> Vec<Instance> {
    let rule = mock!(Client::describe_instances).then_output(move || page(instances.clone(), None));
    compute(&[&rule]).describe().await.unwrap()
}

#[tokio::test]
async fn tags_and_launch_time_are_read() {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tagged = Ec2Instance::builder()
        .instance_id(id(1))
        .launch_time(DateTime::from_secs_and_nanos(1_767_225_600, 500_000_000))
        .private_ip_address("10.0.0.7")
        .ipv6_address("2001:db8::7")
        .tags(tag("Name", "anything"))
        .tags(tag("diogenes:claim", "c1"))
        .tags(tag("diogenes:model", "org/model"))
        .build();
    let damaged = Ec2Instance::builder()
        .instance_id(id(2))
        .tags(tag("diogenes:claim", ""))
        .tags(tag("diogenes:model", "no such name!"))
        .build();
    let nameless = Ec2Instance::builder().build();
    let seen = described(vec![tagged, damaged, nameless]).await;
    let expected = [
        Instance {
            id: InstanceId::new(id(1)),
            claim: Some(ClaimId::new("c1")),
            model: Some("org/model".parse().unwrap()),
            state: InstanceState::Running,
            launched_at: Some("2026-01-01T00:00:00.5Z".parse().unwrap()),
            addresses: vec!["10.0.0.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
        },
        Instance {
            id: InstanceId::new(id(2)),
            claim: None,
            model: None,
            state: InstanceState::Running,
            launched_at: None,
            addresses: Vec::new(),
        },
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn every_state_has_its_meaning() {
    let table = [
        (InstanceStateName::Pending, InstanceState::Running),
        (InstanceStateName::Running, InstanceState::Running),
        (InstanceStateName::ShuttingDown, InstanceState::Stopping),
        (InstanceStateName::Stopping, InstanceState::Stopping),
        (InstanceStateName::Stopped, InstanceState::Stopping),
        (InstanceStateName::Terminated, InstanceState::Terminated { exit: None }),
        // What is not known yet may cost money.
        (InstanceStateName::from("new"), InstanceState::Running),
    ];
    for (state, expected) in table {
        assert_eq!(described(vec![instance(1, state)]).await[0].state, expected);
    }
}

#[tokio::test]
async fn end_by_aws_is_told_from_an_end_by_us() {
    let table = [
        (
            "Server.SpotInstanceTermination",
            "Server.SpotInstanceTermination: Spot",
            Some("Spot (Server.SpotInstanceTermination)"),
        ),
        ("Server.InternalError", "", Some("Server.InternalError")),
        (
            "Client.InternalError",
            "Client error on launch",
            Some("Client error on launch (Client.InternalError)"),
        ),
        ("Client.UserInitiatedShutdown", "User initiated", None),
        ("Client.InstanceInitiatedShutdown", "Instance initiated", None),
    ];
    for (code, message, expected) in table {
        let reason = StateReason::builder().code(code).message(message).build();
        let ended = Ec2Instance::builder()
            .instance_id(id(1))
            .state(Ec2State::builder().name(InstanceStateName::Terminated).build())
            .state_reason(reason)
            .build();
        let exit = expected.map(|text| Exit::Reclaimed(text.into()));
        assert_eq!(described(vec![ended]).await[0].state, InstanceState::Terminated { exit });
    }
}
