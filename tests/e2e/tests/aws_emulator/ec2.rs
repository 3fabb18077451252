//! EC2 through the front: what the product asks of it, and the rules of `ClientToken`.

use std::collections::BTreeSet;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    Filter, Instance, InstanceAttributeName, InstanceLifecycleType, InstanceMarketOptionsRequest,
    InstanceStateName, InstanceType, LaunchTemplateSpecification, MarketType,
    RequestLaunchTemplateData, ResourceType, Subnet, Tag, TagSpecification,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{code, front, name};

/// A launch of one instance for this deployment from a template of its own.
async fn launch(client: &Client, deployment: &str) -> RunInstancesFluentBuilder {
    let data = RequestLaunchTemplateData::builder()
        .image_id("ami-12345678")
        .instance_type(InstanceType::T3Micro);
    let created = client
        .create_launch_template()
        .launch_template_name(name("template"))
        .launch_template_data(data.build())
        .send()
        .await
        .unwrap();
    let template = created.launch_template().unwrap().launch_template_id().unwrap().to_owned();
    from_template(client, &template, deployment)
}

fn from_template(client: &Client, template: &str, deployment: &str) -> RunInstancesFluentBuilder {
    let template =
        LaunchTemplateSpecification::builder().launch_template_id(template).version("$Latest");
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tags = TagSpecification::builder()
        .resource_type(ResourceType::Instance)
        .tags(tag("diogenes:deployment", deployment))
        .tags(tag("diogenes:claim", "claim-1"));
    client
        .run_instances()
        .min_count(1)
        .max_count(1)
        .launch_template(template.build())
        .instance_type(InstanceType::G5Xlarge)
        .tag_specifications(tags.build())
        .user_data(STANDARD.encode(r#"{"claim":"claim-1"}"#))
}

/// The instances of a deployment, ended ones too.
async fn described(client: &Client, deployment: &str) -> Vec<Instance> {
    let filter = Filter::builder().name("tag:diogenes:deployment").values(deployment).build();
    let described = client.describe_instances().filters(filter).send().await.unwrap();
    described.reservations().iter().flat_map(|of| of.instances().to_vec()).collect()
}

async fn subnets(client: &Client) -> Vec<Subnet> {
    client.describe_subnets().send().await.unwrap().subnets().to_vec()
}

fn state(instance: &Instance) -> InstanceStateName {
    instance.state().unwrap().name().unwrap().clone()
}

#[tokio::test]
async fn an_instance_is_launched_described_and_terminated() {
    let Some(front) = front().await else { return };
    let (client, deployment) = (front.ec2("orchestrator"), name("deployment"));
    let subnet = subnets(&client).await.pop().unwrap();
    let spot = InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).build();
    let launched = launch(&client, &deployment)
        .await
        .subnet_id(subnet.subnet_id().unwrap())
        .instance_market_options(spot)
        .client_token(name("token"))
        .send()
        .await
        .unwrap();
    let id = launched.instances()[0].instance_id().unwrap().to_owned();

    let found = described(&client, &deployment).await;
    let [instance] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(instance.instance_id(), Some(id.as_str()));
    assert_eq!(instance.instance_type(), Some(&InstanceType::G5Xlarge));
    assert_eq!(instance.image_id(), Some("ami-12345678"));
    assert_eq!(instance.instance_lifecycle(), Some(&InstanceLifecycleType::Spot));
    let zone = instance.placement().unwrap().availability_zone();
    assert_eq!(zone, subnet.availability_zone());
    let claim = instance.tags().iter().find(|tag| tag.key() == Some("diogenes:claim"));
    assert_eq!(claim.unwrap().value(), Some("claim-1"));
    assert!(described(&client, "another").await.is_empty());

    let attribute = client
        .describe_instance_attribute()
        .instance_id(&id)
        .attribute(InstanceAttributeName::UserData);
    let answer = attribute.send().await.unwrap();
    let user_data = STANDARD.decode(answer.user_data().unwrap().value().unwrap()).unwrap();
    assert_eq!(user_data, br#"{"claim":"claim-1"}"#);

    for _ in 0..2 {
        client.terminate_instances().instance_ids(&id).send().await.unwrap();
    }
    let ended = described(&client, &deployment).await;
    assert!(
        ended.iter().all(|instance| matches!(
            state(instance),
            InstanceStateName::ShuttingDown | InstanceStateName::Terminated
        )),
        "{ended:?}"
    );

    let recorded = front.calls().by("orchestrator").action("RunInstances");
    let call = recorded.iter().next().unwrap();
    assert_eq!(call.resource.instance_tag("diogenes:claim"), Some("claim-1"));
    assert_eq!(call.resource.parameters["InstanceType"], "g5.xlarge");
}

#[tokio::test]
async fn what_does_not_exist_is_refused_as_on_aws() {
    let Some(front) = front().await else { return };
    let client = front.ec2("orchestrator");
    let template = from_template(&client, "lt-0123456789abcdef0", "none").send().await;
    assert_eq!(code(template), "InvalidLaunchTemplateId.NotFound");
    let subnet = launch(&client, "none").await.subnet_id("subnet-0123456789abcdef0").send().await;
    assert_eq!(code(subnet), "InvalidSubnetID.NotFound");
    let dry = launch(&client, "none").await.dry_run(true).send().await;
    assert_eq!(code(dry), "DryRunOperation");
    let unknown = client.terminate_instances().instance_ids("i-0123456789abcdef0").send().await;
    assert_eq!(code(unknown), "InvalidInstanceID.NotFound");
}

#[tokio::test]
async fn sixty_four_launches_with_one_token_are_one_instance() {
    let Some(front) = front().await else { return };
    let (client, deployment) = (front.ec2("orchestrator"), name("deployment"));
    let launch = launch(&client, &deployment).await.client_token(name("token"));
    let launches = (0..64).map(|_| launch.clone().send());
    let answers = futures_util::future::join_all(launches).await;
    let ids: BTreeSet<_> = answers
        .into_iter()
        .map(|answer| answer.unwrap().instances()[0].instance_id().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(described(&client, &deployment).await.len(), 1);
}

#[tokio::test]
async fn a_token_stands_for_its_parameters_and_for_a_living_instance() {
    let Some(front) = front().await else { return };
    let (client, deployment) = (front.ec2("orchestrator"), name("deployment"));
    let launch = launch(&client, &deployment).await.client_token(name("token"));
    let first = launch.clone().send().await.unwrap();
    let id = first.instances()[0].instance_id().unwrap().to_owned();

    let other = launch.clone().instance_type(InstanceType::G6Xlarge).send().await;
    assert_eq!(code(other), "IdempotentParameterMismatch");

    client.terminate_instances().instance_ids(&id).send().await.unwrap();
    assert_eq!(code(launch.send().await), "IdempotentInstanceTerminated");
    assert_eq!(described(&client, &deployment).await.len(), 1);
}

#[tokio::test]
async fn a_token_guards_one_zone_only() {
    let Some(front) = front().await else { return };
    let (client, deployment) = (front.ec2("orchestrator"), name("deployment"));
    let launch = launch(&client, &deployment).await.client_token(name("token"));
    for subnet in &subnets(&client).await[..2] {
        launch.clone().subnet_id(subnet.subnet_id().unwrap()).send().await.unwrap();
    }
    assert_eq!(described(&client, &deployment).await.len(), 2);
}
