//! What there is.

use aws_sdk_ec2::types::{Filter, Instance as Ec2Instance, InstanceStateName, StateReason};
use diogenes_core::Timestamp;
use diogenes_core::fleet::{ClaimId, InstanceId};
use diogenes_core::ports::{ComputeError, Exit, Instance, InstanceState};

use super::fault::Fault;
use super::{Ec2Compute, TAG_CLAIM, TAG_DEPLOYMENT, TAG_MODEL};

/// The most that `DescribeInstances` gives at once.
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
const PAGE: i32 = 1000;

impl Ec2Compute {
    /// Every instance with the deployment's tag, whatever its state. All pages or an error:
    /// what is missing from a listing counts as gone.
    pub(super) async fn list_instances(&self) -> Result<Vec<Instance>, ComputeError> {
        let filter = format!("tag:{TAG_DEPLOYMENT}");
        let found = self.find(&filter, self.settings.deployment.as_str()).await;
        let found = found.map_err(Fault::into_compute_error)?;
        Ok(found.iter().filter_map(instance).collect())
    }

    /// All instances that one filter takes.
    pub(super) async fn find(&self, filter: &str, value: &str) -> Result<Vec<Ec2Instance>, Fault> {
        let filter = Filter::builder().name(filter).values(value).build();
        let call = self.client.describe_instances().filters(filter).max_results(PAGE);
        let mut pages = call.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| Fault::of("DescribeInstances", error))?;
            let reservations = page.reservations.unwrap_or_default();
            found
                .extend(reservations.into_iter().flat_map(|one| one.instances.unwrap_or_default()));
        }
        Ok(found)
    }
}

/// Whether `text` is `i-` and 8 or 17 hexadecimal digits.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html>
pub(super) fn is_instance_id(text: &str) -> bool {
    text.strip_prefix("i-").is_some_and(|digits| {
        matches!(digits.len(), 8 | 17) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

/// The id of an instance, if it has one.
pub(super) fn id_of(instance: &Ec2Instance) -> Option<InstanceId> {
    instance.instance_id().filter(|id| is_instance_id(id)).map(InstanceId::new)
}

fn instance(seen: &Ec2Instance) -> Option<Instance> {
    let Some(id) = id_of(seen) else {
        tracing::warn!(
            "EC2 lists an instance whose id cannot be read: {}",
            seen.instance_id().unwrap_or("none")
        );
        return None;
    };
    let tag = |key: &str| {
        let tag = seen.tags().iter().find(|tag| tag.key() == Some(key))?;
        tag.value().filter(|value| !value.is_empty())
    };
    Some(Instance {
        id,
        claim: tag(TAG_CLAIM).map(ClaimId::new),
        model: tag(TAG_MODEL).and_then(|name| name.parse().ok()),
        state: state_of(seen),
        launched_at: seen.launch_time().and_then(|at| {
            let nanos = i32::try_from(at.subsec_nanos()).ok()?;
            Timestamp::new(at.secs(), nanos).ok()
        }),
        addresses: [seen.private_ip_address(), seen.ipv6_address()]
            .into_iter()
            .flatten()
            .filter_map(|address| address.parse().ok())
            .collect(),
    })
}

/// A stopped instance is `Stopping`, not `Terminated`: nothing of ours stops one (they are
/// launched to end at a shutdown), so somebody did by hand; its volumes still cost, and only
/// what has not ended is ended by the fleet. An unknown state counts as running for the same
/// reason.
pub(super) fn state_of(seen: &Ec2Instance) -> InstanceState {
    match seen.state().and_then(|state| state.name()) {
        Some(
            InstanceStateName::ShuttingDown
            | InstanceStateName::Stopping
            | InstanceStateName::Stopped,
        ) => InstanceState::Stopping,
        Some(InstanceStateName::Terminated) => {
            InstanceState::Terminated { exit: seen.state_reason().and_then(exit_of) }
        }
        _ => InstanceState::Running,
    }
}

/// How an instance ended, where AWS ended it: a fault or an interruption (`Server.…`), or a
/// volume that could not be made (the rest). Of what ended by `shutdown` or by a call nothing
/// more is known. <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html>
fn exit_of(reason: &StateReason) -> Option<Exit> {
    let code = reason.code()?;
    let by_aws = code.starts_with("Server.")
        || matches!(
            code,
            "Client.InternalError"
                | "Client.InvalidSnapshot.NotFound"
                | "Client.VolumeLimitExceeded"
        );
    by_aws.then(|| {
        // EC2 repeats the code at the beginning of the message.
        let message = reason.message().unwrap_or_default();
        let text = message.strip_prefix(code).unwrap_or(message).trim_start_matches([':', ' ']);
        let text = if text.is_empty() { code.to_owned() } else { format!("{text} ({code})") };
        Exit::Reclaimed(text)
    })
}
