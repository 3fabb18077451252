//! What each refusal becomes.

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::describe_instances::DescribeInstancesOutput;
use aws_sdk_ec2::operation::run_instances::RunInstancesOutput;
use aws_sdk_ec2::types::{Instance, InstanceState, InstanceStateName, Reservation};
use aws_smithy_mocks::{Rule, mock};
use diogenes_core::fleet::InstanceId;
use diogenes_core::ports::{ComputeBackend, ComputeError, LaunchError};

use super::{client, compute, refusal, request, rung, settings};
use crate::aws::ec2::Ec2Compute;
use crate::aws::placement::Market;

const ID: &str = "i-0123456789abcdef0";

fn run(status: u16, code: &'static str) -> Rule {
    mock!(Client::run_instances).then_http_response(move || refusal(status, code, "EC2 says so."))
}

fn instance(state: InstanceStateName) -> Instance {
    let state = InstanceState::builder().name(state).build();
    Instance::builder().instance_id(ID).state(state).build()
}

fn listed(instances: Vec<Instance>) -> Rule {
    mock!(Client::describe_instances)
        .match_requests(|input| {
            let filter = &input.filters()[0];
            filter.name() == Some("client-token") && filter.values() == [request().token.as_str()]
        })
        .then_output(move || {
            let reservation = Reservation::builder().set_instances(Some(instances.clone())).build();
            DescribeInstancesOutput::builder().reservations(reservation).build()
        })
}

/// The variant of an error, without its text.
fn kind(error: &LaunchError) -> &'static str {
    match error {
        LaunchError::Capacity { .. } => "capacity",
        LaunchError::Quota { .. } => "quota",
        LaunchError::InvalidSpec { .. } => "invalid",
        LaunchError::Denied { .. } => "denied",
        LaunchError::TokenSpent => "spent",
        LaunchError::Transient { .. } => "transient",
    }
}

#[tokio::test]
async fn every_refusal_of_a_launch_has_its_meaning() {
    let table = [
        (500, "InsufficientInstanceCapacity", "capacity"),
        (400, "InsufficientInstanceCapacity", "capacity"),
        (500, "InsufficientCapacity", "capacity"),
        (400, "InsufficientCapacityOnHost", "capacity"),
        (400, "InsufficientFreeAddressesInSubnet", "capacity"),
        (500, "InsufficientHostCapacity", "capacity"),
        (500, "InsufficientReservedInstanceCapacity", "capacity"),
        (500, "InsufficientVolumeCapacity", "capacity"),
        (400, "SpotMaxPriceTooLow", "capacity"),
        (400, "UnfulfillableCapacity", "capacity"),
        (400, "Unsupported", "capacity"),
        (400, "InstanceLimitExceeded", "quota"),
        (400, "MaxSpotInstanceCountExceeded", "quota"),
        (400, "VcpuLimitExceeded", "quota"),
        (400, "VolumeLimitExceeded", "quota"),
        (400, "IdempotentInstanceTerminated", "spent"),
        (403, "UnauthorizedOperation", "denied"),
        (401, "AuthFailure", "denied"),
        (401, "Blocked", "denied"),
        (401, "OptInRequired", "denied"),
        (400, "PendingVerification", "denied"),
        (403, "SignatureDoesNotMatch", "denied"),
        (400, "InvalidAMIID.NotFound", "invalid"),
        (400, "InvalidLaunchTemplateId.NotFound", "invalid"),
        (400, "InvalidSubnetID.NotFound", "invalid"),
        (400, "InvalidGroup.NotFound", "invalid"),
        (400, "InvalidParameterValue", "invalid"),
        (400, "InvalidParameterCombination", "invalid"),
        (400, "MissingParameter", "invalid"),
        (400, "SomethingNew", "invalid"),
        (503, "RequestLimitExceeded", "transient"),
        (400, "RequestLimitExceeded", "transient"),
        (400, "Throttling", "transient"),
        (400, "RequestExpired", "transient"),
        (500, "InternalError", "transient"),
        (503, "Unavailable", "transient"),
        (500, "SomethingNew", "transient"),
    ];
    for (status, code, expected) in table {
        let error = compute(&[&run(status, code)]).launch(&request()).await.unwrap_err();
        assert_eq!(kind(&error), expected, "{status} {code}: {error}");
    }
}

#[tokio::test]
async fn refusals_say_what_was_tried_and_what_to_do() {
    let text = async |code, market| {
        let mut request = request();
        request.rung = rung(Some("us-east-1b"), market);
        let error = compute(&[&run(400, code)]).launch(&request).await.unwrap_err();
        error.to_string()
    };
    assert_eq!(
        text("InsufficientInstanceCapacity", Market::Spot).await,
        "no capacity: `g6.xlarge` in us-east-1b on spot: InsufficientInstanceCapacity: EC2 says so"
    );
    assert_eq!(
        text("VcpuLimitExceeded", Market::OnDemand).await,
        "quota reached: one more `g6.xlarge` on demand exceeds the account's quota \"Running \
         On-Demand G and VT instances\" (L-DB2E81BA) in us-east-1 (VcpuLimitExceeded); raise it \
         in the AWS console under Service Quotas, Amazon EC2"
    );
    assert!(text("MaxSpotInstanceCountExceeded", Market::Spot).await.contains("L-3819A6DF"));
    assert_eq!(
        text("UnauthorizedOperation", Market::Spot).await,
        "not allowed: EC2 refused `RunInstances` (UnauthorizedOperation); allow the deployment's \
         role `ec2:RunInstances`, `ec2:CreateTags` and, for the instance profile, `iam:PassRole`"
    );
    assert_eq!(
        text("InvalidAMIID.NotFound", Market::Spot).await,
        "EC2 refused the launch: InvalidAMIID.NotFound: EC2 says so; deploy with an image that \
         exists in this region"
    );
}

#[tokio::test]
async fn lack_of_capacity_is_not_asked_for_again() {
    for (code, calls) in [("InsufficientInstanceCapacity", 1), ("InternalError", 3)] {
        let rule = run(500, code);
        let compute = Ec2Compute::new(client(&[&rule], 3), settings());
        compute.launch(&request()).await.unwrap_err();
        assert_eq!(rule.num_calls(), calls, "{code}");
    }
}

#[tokio::test]
async fn launch_with_changed_settings_adopts_the_instance_of_its_token() {
    let table = [
        (vec![instance(InstanceStateName::Running)], None),
        (vec![instance(InstanceStateName::Pending)], None),
        (vec![instance(InstanceStateName::ShuttingDown)], Some("spent")),
        (vec![instance(InstanceStateName::Terminated)], Some("spent")),
        (vec![], Some("transient")),
    ];
    for (found, expected) in table {
        let rules = [run(400, "IdempotentParameterMismatch"), listed(found.clone())];
        let launched = compute(&rules.each_ref()).launch(&request()).await;
        match expected {
            None => assert_eq!(launched.unwrap(), InstanceId::new(ID)),
            Some(expected) => {
                assert_eq!(kind(&launched.unwrap_err()), expected, "{found:?}");
            }
        }
    }
}

#[tokio::test]
async fn repeat_that_finds_a_dying_instance_spends_its_token() {
    for (state, spent) in [
        (InstanceStateName::Pending, false),
        (InstanceStateName::Running, false),
        (InstanceStateName::ShuttingDown, true),
        (InstanceStateName::Stopped, true),
        (InstanceStateName::Terminated, true),
    ] {
        let answer = instance(state.clone());
        let rule = mock!(Client::run_instances)
            .then_output(move || RunInstancesOutput::builder().instances(answer.clone()).build());
        let launched = compute(&[&rule]).launch(&request()).await;
        let was_spent = matches!(launched, Err(LaunchError::TokenSpent));
        assert_eq!(was_spent, spent, "{state}: {launched:?}");
    }
}

#[tokio::test]
async fn every_refusal_of_an_end_has_its_meaning() {
    let table = [
        (400, "InvalidInstanceID.NotFound", "gone"),
        (400, "IncorrectInstanceState", "transient"),
        (503, "RequestLimitExceeded", "transient"),
        (500, "InternalError", "transient"),
        (403, "UnauthorizedOperation", "denied"),
        (403, "AccessDenied", "denied"),
        (403, "Client.UnauthorizedOperation", "denied"),
        (403, "", "denied"),
        (400, "OperationNotPermitted", "denied"),
    ];
    for (status, code, expected) in table {
        let rule = mock!(Client::terminate_instances)
            .then_http_response(move || refusal(status, code, "EC2 says so."));
        let ended = compute(&[&rule]).terminate(&InstanceId::new(ID)).await;
        let found = match &ended {
            Ok(()) => "gone",
            Err(ComputeError::Denied { .. }) => "denied",
            Err(ComputeError::Transient { .. }) => "transient",
        };
        assert_eq!(found, expected, "{code}: {ended:?}");
        assert_eq!(rule.num_calls(), 1);
        if let Err(error @ ComputeError::Denied { .. }) = ended {
            let text = error.to_string();
            assert!(text.starts_with("not allowed: EC2 refused `TerminateInstances` ("), "{text}");
        }
    }
}

#[tokio::test]
async fn what_is_no_id_of_an_instance_is_not_sent() {
    let rule = mock!(Client::terminate_instances)
        .then_http_response(|| refusal(400, "InvalidInstanceID.Malformed", "no id"));
    let compute = compute(&[&rule]);
    for id in ["", "i-", "i-123", "i-0123456789abcdefg", "00112233445566778899aabbccddeeff"] {
        compute.terminate(&InstanceId::new(id)).await.unwrap();
    }
    assert_eq!(rule.num_calls(), 0);
}

#[tokio::test]
async fn policy_decision_and_account_are_not_passed_on() {
    let rule = mock!(Client::describe_instances).then_http_response(|| {
        refusal(
            403,
            "UnauthorizedOperation",
            "User: arn:aws:sts::123456789012:assumed-role/x is not authorized. \
             Encoded authorization failure message: abcdef",
        )
    });
    let error = compute(&[&rule]).describe().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not allowed: EC2 refused `DescribeInstances` (UnauthorizedOperation); allow the \
         deployment's role `ec2:DescribeInstances`"
    );
}
