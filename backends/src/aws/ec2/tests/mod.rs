//! Against mocked answers; `tests/conformance/tests/ec2.rs` runs it on a fake EC2.

mod errors;
mod listing;
mod parameters;
mod timeouts;

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_smithy_mocks::{Rule, RuleMode, mock_client};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use diogenes_core::fleet::{ClaimId, DeploymentId, Engine, LaunchToken, Placement};
use diogenes_core::ports::LaunchRequest;
use diogenes_core::secret::Secret;

use super::{Ec2Compute, Ec2Settings, Subnet};
use crate::aws::placement::{Ec2Placement, Market};

fn settings() -> Ec2Settings {
    Ec2Settings {
        deployment: DeploymentId::new("test"),
        launch_template: "lt-0123456789abcdef0".into(),
        launch_template_version: "7".into(),
        subnets: Subnet::parse_list("us-east-1a=subnet-1,us-east-1b=subnet-2").unwrap(),
        table: "test-table".into(),
        region: "us-east-1".into(),
        max_lifetime: Duration::from_hours(24),
        lease_timeout: Duration::from_mins(15),
    }
}

fn rung(zone: Option<&str>, market: Market) -> Placement {
    let zone = zone.map(str::to_owned);
    Ec2Placement { instance_type: "g6.xlarge".into(), zone, market }.into()
}

fn request() -> LaunchRequest {
    LaunchRequest {
        token: LaunchToken::new("0123456789abcdef".repeat(4)),
        claim: ClaimId::new("00112233445566778899aabbccddeeff"),
        model: "org/model".parse().unwrap(),
        engine: Engine {
            command: ["vllm", "serve"].map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            working_dir: None,
            health_path: "/health".into(),
            port: None,
        },
        rung: rung(Some("us-east-1b"), Market::Spot),
        upstream_key: Secret::new("up-test"),
        lifetime: None,
    }
}

/// A client that gets its answers from `rules` and tries `attempts` times, without waiting.
fn client(rules: &[&Rule], attempts: u32) -> Client {
    let retries = RetryConfig::standard()
        .with_max_attempts(attempts)
        .with_initial_backoff(Duration::from_millis(1))
        .with_max_backoff(Duration::from_millis(1));
    mock_client!(aws_sdk_ec2, RuleMode::MatchAny, rules, |conf| conf.retry_config(retries.clone()))
}

fn compute(rules: &[&Rule]) -> Ec2Compute {
    Ec2Compute::new(client(rules, 1), settings())
}

fn xml(status: u16, body: String) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))
}

/// A refusal as EC2 writes it.
fn refusal(status: u16, code: &str, message: &str) -> HttpResponse {
    xml(
        status,
        format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>\
             </Errors><RequestID>1</RequestID></Response>"
        ),
    )
}
