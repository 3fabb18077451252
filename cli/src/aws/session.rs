use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput;

use super::Problem;
use crate::exit::Kind;

/// How long AWS may take to accept a connection, and to answer.
const CONNECT: Duration = Duration::from_secs(5);
const ATTEMPT: Duration = Duration::from_secs(15);

/// A region and the credentials of whoever runs the command, found as AWS's own CLI finds them.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) config: SdkConfig,
    pub(crate) region: String,
}

impl Session {
    /// Reads environment, profiles and, on an instance, its role. Only the credentials may need a
    /// call; they are fetched here, so that what is missing is told before anything else.
    pub(crate) async fn open(region: Option<&str>) -> Result<Self, Problem> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .operation_attempt_timeout(ATTEMPT)
                .build(),
        );
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        let config = loader.load().await;
        let Some(region) = config.region().map(ToString::to_string) else {
            return Err(Problem::new(
                Kind::Config,
                "no AWS region is set",
                "set one with --region, AWS_REGION or `aws configure`",
            ));
        };
        let missing = || {
            Problem::new(
                Kind::Denied,
                "no AWS credentials were found, or they could not be fetched",
                "run `aws configure` or `aws sso login`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID \
                 and AWS_SECRET_ACCESS_KEY",
            )
        };
        let provider = config.credentials_provider().ok_or_else(missing)?;
        provider.provide_credentials().await.map_err(|error| missing().caused_by(error))?;
        Ok(Self { config, region })
    }

    /// Whose credentials they are.
    pub(crate) async fn identity(&self) -> Result<GetCallerIdentityOutput, Problem> {
        let client = aws_sdk_sts::Client::new(&self.config);
        let answer = client.get_caller_identity().send().await;
        answer.map_err(|error| Problem::of_call("sts:GetCallerIdentity", &self.region, error))
    }
}
