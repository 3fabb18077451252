//! Instances on EC2.
//!
//! An instance is launched with everything that it needs to know as its user data
//! ([`UserData`](super::user_data::UserData)), from a launch template that brings the image, the
//! security groups, the instance profile and the volumes. The template must name no network
//! interfaces: the subnet is chosen here.
//!
//! Every instance carries the tags [`TAG_DEPLOYMENT`], [`TAG_CLAIM`] and [`TAG_MODEL`] from its
//! launch on, its volumes too. Nothing is remembered between calls: each asks the API.

mod describe;
mod fault;
mod launch;
mod retry;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use diogenes_core::fleet::InstanceId;
use diogenes_core::ports::{ComputeBackend, ComputeError, Instance, LaunchError, LaunchRequest};

pub use self::settings::{Ec2Settings, InvalidSubnets, Subnet};

use self::fault::Fault;

/// The tag with the id of the installation that launched an instance.
pub const TAG_DEPLOYMENT: &str = "diogenes:deployment";

/// The tag with the claim that an instance serves.
pub const TAG_CLAIM: &str = "diogenes:claim";

/// The tag with the model that an instance serves.
pub const TAG_MODEL: &str = "diogenes:model";

/// How long a new instance may be missing from `DescribeInstances`. AWS names no bound ("a few
/// minutes"): <https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>
const SETTLE_TIME: Duration = Duration::from_mins(5);

/// How long a connection to EC2 may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long one attempt of a call may take. RunInstances answers within a few seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call may take with its retries: half of what one model gets in a reconcile.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);

/// Launches EC2 instances; see the [module](self).
#[derive(Clone, Debug)]
pub struct Ec2Compute {
    client: Client,
    settings: Ec2Settings,
}

impl Ec2Compute {
    /// A backend that launches with `client`. Its retries are the client's; no call takes longer
    /// than 15 s, whatever EC2 does.
    #[expect(clippy::needless_pass_by_value, reason = "the client with timeouts takes its place")]
    pub fn new(client: Client, settings: Ec2Settings) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let config = client.config().to_builder().timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), settings }
    }
}

#[async_trait]
impl ComputeBackend for Ec2Compute {
    async fn launch(&self, request: &LaunchRequest) -> Result<InstanceId, LaunchError> {
        self.run_instance(request).await
    }

    async fn describe(&self) -> Result<Vec<Instance>, ComputeError> {
        self.list_instances().await
    }

    /// EC2 may call an instance unknown right after its launch, so the end of an unknown one is
    /// a success that must not be believed at once: until [`settle_time`](Self::settle_time) has
    /// passed without a sight of it, call again. The fleet does; one of its slots is free only
    /// after that time, and an orphan is ended because it was seen.
    async fn terminate(&self, id: &InstanceId) -> Result<(), ComputeError> {
        if !describe::is_instance_id(id.as_str()) {
            tracing::warn!(instance.id = %id, "{id} is not the id of an EC2 instance; nothing to terminate");
            return Ok(());
        }
        let call = self.client.terminate_instances().instance_ids(id.as_str());
        let Err(error) = call.send().await else {
            return Ok(());
        };
        let fault = Fault::of("TerminateInstances", error);
        if fault.code == "InvalidInstanceID.NotFound" {
            tracing::debug!(instance.id = %id, "EC2 does not list {id}");
            return Ok(());
        }
        Err(fault.into_compute_error())
    }

    /// Five minutes.
    fn settle_time(&self) -> Duration {
        SETTLE_TIME
    }
}
