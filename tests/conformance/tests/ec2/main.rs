//! The EC2 backend on a fake EC2: the suite, and what only EC2 does.

#![expect(clippy::unwrap_used, reason = "the fixture is not inside a test function")]

mod faults;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use diogenes_backends::aws::ec2::{Ec2Compute, Ec2Settings, Subnet};
use diogenes_backends::aws::placement::{Ec2Placement, Market};
use diogenes_conformance::compute::Fixture;
use diogenes_core::fleet::{DeploymentId, Engine, InstanceId, Placement};
use diogenes_core::testing::Lag;
use fake_ec2::{FakeEc2, LAUNCH_TEMPLATE, SUBNETS};

/// A client of the fake that tries a call twice, without waiting long in between.
fn client(ec2: &FakeEc2) -> Client {
    let retries =
        RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(1));
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(retries)
        .endpoint_url(ec2.endpoint())
        .build();
    Client::from_conf(config)
}

fn settings(deployment: &str) -> Ec2Settings {
    let subnet = |(id, zone): (&str, &str)| Subnet { zone: zone.into(), id: id.into() };
    Ec2Settings {
        deployment: DeploymentId::new(deployment),
        launch_template: LAUNCH_TEMPLATE.into(),
        launch_template_version: "$Default".into(),
        subnets: SUBNETS.map(subnet).into(),
        table: "test".into(),
        region: "us-east-1".into(),
        max_lifetime: Duration::from_hours(24),
        lease_timeout: Duration::from_mins(15),
    }
}

fn engine() -> Engine {
    Engine {
        command: ["vllm", "serve"].map(str::to_owned).to_vec(),
        env: BTreeMap::new(),
        working_dir: None,
        health_path: "/health".into(),
        port: None,
    }
}

fn rung(zone: &str, market: Market) -> Placement {
    Ec2Placement { instance_type: "g6.xlarge".into(), zone: Some(zone.into()), market }.into()
}

fn fixture(lag: Lag) -> Fixture {
    let ec2 = Arc::new(FakeEc2::start().unwrap());
    ec2.set_lag(lag);
    let compute = Ec2Compute::new(client(&ec2), settings("conformance"));
    let shut_down = {
        let ec2 = Arc::clone(&ec2);
        move |id: &InstanceId| ec2.shut_down(id)
    };
    Fixture::new(Arc::new(compute), engine(), shut_down, ec2)
        .on(rung("us-east-1a", Market::OnDemand))
}

/// EC2 on its best day.
mod prompt {
    use super::{Fixture, Lag};

    async fn prompt() -> Fixture {
        super::fixture(Lag::default())
    }

    diogenes_conformance::compute_suite!(prompt);
}

/// EC2 that tells of everything late.
mod late {
    use super::{Duration, Fixture, Lag};

    async fn late() -> Fixture {
        let step = Duration::from_millis(60);
        super::fixture(Lag { listing: step, ending: step, shutdown: step })
    }

    diogenes_conformance::compute_suite!(late);
}
