//! What a launch asks for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::{RunInstancesInput, RunInstancesOutput};
use aws_sdk_ec2::types::{Instance, MarketType, ResourceType, ShutdownBehavior};
use aws_smithy_mocks::{MockResponse, mock};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use diogenes_core::fleet::{LaunchToken, Placement};
use diogenes_core::ports::{ComputeBackend, LaunchError, LaunchRequest};
use serde_json::{Value, json};

use super::{client, request, rung, settings};
use crate::aws::ec2::{Ec2Compute, Ec2Settings};
use crate::aws::placement::Market;

/// The call that a launch makes.
async fn sent(settings: Ec2Settings, request: &LaunchRequest) -> RunInstancesInput {
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let rule = mock!(Client::run_instances).then_compute_response(move |input| {
        *keep.lock().unwrap() = Some(input.clone());
        let instance = Instance::builder().instance_id("i-0123456789abcdef0").build();
        MockResponse::Output(RunInstancesOutput::builder().instances(instance).build())
    });
    Ec2Compute::new(client(&[&rule], 1), settings).launch(request).await.unwrap();
    seen.lock().unwrap().take().unwrap()
}

fn user_data(input: &RunInstancesInput) -> Value {
    let decoded = BASE64_STANDARD.decode(input.user_data().unwrap()).unwrap();
    serde_json::from_slice(&decoded).unwrap()
}

async fn refused(settings: Ec2Settings, request: &LaunchRequest) -> String {
    let compute = Ec2Compute::new(client(&[], 1), settings);
    match compute.launch(request).await {
        Err(LaunchError::InvalidSpec { reason }) => reason,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn launch_asks_for_one_tagged_instance_of_the_rung() {
    let request = request();
    let input = sent(settings(), &request).await;
    assert_eq!(input.client_token(), Some(request.token.as_str()));
    assert_eq!((input.min_count(), input.max_count()), (Some(1), Some(1)));
    assert_eq!(input.instance_type().unwrap().as_str(), "g6.xlarge");
    assert_eq!(input.subnet_id(), Some("subnet-2"));
    let template = input.launch_template().unwrap();
    assert_eq!(template.launch_template_id(), Some("lt-0123456789abcdef0"));
    assert_eq!(template.version(), Some("7"));
    let shutdown = input.instance_initiated_shutdown_behavior();
    assert_eq!(shutdown, Some(&ShutdownBehavior::Terminate));
    let metadata = input.metadata_options().unwrap();
    assert_eq!(metadata.http_tokens().unwrap().as_str(), "required");
    let market = input.instance_market_options().unwrap();
    assert_eq!(market.market_type(), Some(&MarketType::Spot));
    let spot = market.spot_options().unwrap();
    assert_eq!(spot.spot_instance_type().unwrap().as_str(), "one-time");
    assert_eq!(spot.instance_interruption_behavior().unwrap().as_str(), "terminate");
    let [of_instance, of_volume] = input.tag_specifications() else {
        panic!("{:?}", input.tag_specifications());
    };
    assert_eq!(of_instance.resource_type(), Some(&ResourceType::Instance));
    assert_eq!(of_volume.resource_type(), Some(&ResourceType::Volume));
    assert_eq!(of_instance.tags(), of_volume.tags());
    let tags: Vec<_> =
        of_instance.tags().iter().map(|tag| (tag.key().unwrap(), tag.value().unwrap())).collect();
    assert_eq!(
        tags,
        [
            ("Name", "test/org/model"),
            ("diogenes:deployment", "test"),
            ("diogenes:claim", "00112233445566778899aabbccddeeff"),
            ("diogenes:model", "org/model"),
        ]
    );
    assert_eq!(
        user_data(&input),
        json!({
            "deployment": "test",
            "claim": "00112233445566778899aabbccddeeff",
            "model": "org/model",
            "engine": {
                "command": ["vllm", "serve"],
                "env": {},
                "working_dir": null,
                "health_path": "/health",
            },
            "upstream_key": "up-test",
            "table": "test-table",
            "region": "us-east-1",
            "max_lifetime": 86_400,
            "lease_timeout": 900,
        })
    );
    // A repeat must be the same in everything.
    assert_eq!(sent(settings(), &request).await, input);
}

#[tokio::test]
async fn on_demand_asks_for_no_market_and_a_template_may_be_named() {
    let mut request = request();
    request.rung = rung(Some("us-east-1b"), Market::OnDemand);
    let input = sent(Ec2Settings { launch_template: "gpu".into(), ..settings() }, &request).await;
    assert_eq!(input.instance_market_options(), None);
    let template = input.launch_template().unwrap();
    assert_eq!(template.launch_template_name(), Some("gpu"));
    assert_eq!(template.launch_template_id(), None);
}

#[tokio::test]
async fn shorter_lifetime_counts() {
    for (of_model, seconds) in [(None, 86_400), (Some(1), 3_600), (Some(48), 86_400)] {
        let lifetime = of_model.map(Duration::from_hours);
        let input = sent(settings(), &LaunchRequest { lifetime, ..request() }).await;
        assert_eq!(user_data(&input)["max_lifetime"], seconds);
    }
}

#[tokio::test]
async fn claims_without_a_zone_spread_over_the_subnets() {
    let mut request = request();
    request.rung = rung(None, Market::Spot);
    let mut subnets = BTreeSet::new();
    for number in 0..32 {
        request.token = LaunchToken::new(format!("{number:064x}"));
        let input = sent(settings(), &request).await;
        assert_eq!(sent(settings(), &request).await.subnet_id(), input.subnet_id());
        subnets.insert(input.subnet_id().unwrap().to_owned());
    }
    assert_eq!(subnets.into_iter().collect::<Vec<_>>(), ["subnet-1", "subnet-2"]);
}

#[tokio::test]
async fn what_can_never_be_launched_is_refused_unsent() {
    let mut request = request();
    request.rung = rung(Some("eu-north-1a"), Market::Spot);
    assert_eq!(
        refused(settings(), &request).await,
        "the deployment has no subnet in zone `eu-north-1a`; name one of `us-east-1a`, \
         `us-east-1b` in the model's `ladder`, or none"
    );
    request.rung = Placement::local();
    assert_eq!(
        refused(settings(), &request).await,
        "model `org/model` does not say on which instances it runs; give it a `ladder`, for \
         example [{\"instance_type\": \"g6.xlarge\", \"market\": \"spot\"}]"
    );
    let mut request = super::request();
    let room = 16 * 1024 - user_data(&sent(settings(), &request).await).to_string().len();
    // The quotes and the comma of one more argument.
    request.engine.command.push("x".repeat(room - 3));
    sent(settings(), &request).await;
    request.engine.command.push("x".repeat(4));
    assert_eq!(
        refused(settings(), &request).await,
        "the command and the environment of model `org/model` are 7 bytes too long for an \
         instance's user data (16391 of 16384); shorten them"
    );
}
