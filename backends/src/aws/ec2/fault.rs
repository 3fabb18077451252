//! What EC2 says when it refuses, and what that means.
//!
//! The codes are those of
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.

use crate::aws::placement::{Ec2Placement, Market};
use aws_sdk_ec2::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use diogenes_core::ports::{ComputeError, LaunchError};

use super::settings::Subnet;
use crate::aws::quota;

/// The longest text of EC2's that is passed on, in characters.
const MAX_MESSAGE: usize = 500;

/// A call that failed.
#[derive(Debug)]
pub(super) struct Fault {
    action: &'static str,
    /// EC2's code; empty when there was no answer that has one.
    pub(super) code: String,
    message: String,
    status: Option<u16>,
    source: BoxError,
}

/// What a code means for any call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Denied,
    Transient,
    /// The call as such is refused.
    Refused,
}

/// Whether this says that there is no instance of the kind, in the zone, on the market.
pub(super) fn is_no_capacity(code: &str) -> bool {
    matches!(
        code,
        "InsufficientCapacity"
            | "InsufficientCapacityOnHost"
            | "InsufficientFreeAddressesInSubnet"
            | "InsufficientHostCapacity"
            | "InsufficientInstanceCapacity"
            | "InsufficientReservedInstanceCapacity"
            | "InsufficientVolumeCapacity"
            | "SpotMaxPriceTooLow"
            | "UnfulfillableCapacity"
            // The zone does not have the type, among others.
            | "Unsupported"
    )
}

/// Whether this says that a quota of vCPUs or instances is used up. For spot instances it is
/// called `MaxSpotInstanceCountExceeded`, and a new account's quota is zero:
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/using-spot-limits.html>
fn is_instance_quota(code: &str) -> bool {
    matches!(code, "InstanceLimitExceeded" | "MaxSpotInstanceCountExceeded" | "VcpuLimitExceeded")
}

fn meaning(code: &str, status: Option<u16>) -> Meaning {
    match code {
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "Blocked"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "OperationNotPermitted"
        | "OptInRequired"
        | "PendingVerification"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation"
        | "UnrecognizedClientException" => Meaning::Denied,
        "EC2ThrottledException"
        | "ExpiredToken"
        | "InternalError"
        | "InternalFailure"
        | "RequestExpired"
        | "RequestLimitExceeded"
        | "RequestTimeout"
        | "ServiceUnavailable"
        | "Throttling"
        | "ThrottlingException"
        | "Unavailable" => Meaning::Transient,
        _ => match status {
            // Whatever stands between us and EC2 may refuse in words of its own, or in none; a
            // state of EC2's is never told with these.
            Some(401 | 403) => Meaning::Denied,
            Some(400..=499) if !code.is_empty() => Meaning::Refused,
            _ => Meaning::Transient,
        },
    }
}

impl Fault {
    /// Of a call of `action`.
    pub(super) fn of<E>(action: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let what = match &error {
            SdkError::ConstructionFailure(_) => "the request could not be made",
            SdkError::TimeoutError(_) => "no answer in time",
            SdkError::DispatchFailure(_) => "the request was not sent or its answer got lost",
            SdkError::ResponseError(_) => "the answer cannot be read",
            _ => "refused without a reason",
        };
        Self {
            action,
            code: error.code().unwrap_or_default().to_owned(),
            message: plain(error.message().unwrap_or(what)),
            status: error.raw_response().map(|response| response.status().as_u16()),
            source: error.into(),
        }
    }

    fn text(&self) -> String {
        let separator = if self.code.is_empty() { "" } else { ": " };
        format!("{}{separator}{}", self.code, self.message)
    }

    fn transient_text(&self) -> String {
        format!("`{}` failed: {}", self.action, self.text())
    }

    /// What the account must allow; EC2's own text names roles and accounts, so it goes to the
    /// log only.
    fn denied(&self, needs: &str) -> String {
        tracing::warn!(
            action = self.action, code = %self.code,
            "EC2 refused `{}`: {}", self.action, self.text()
        );
        let code = match (self.code.as_str(), self.status) {
            ("", Some(status)) => &format!("status {status}"),
            (code, _) => code,
        };
        match code {
            "OperationNotPermitted" => format!(
                "EC2 refused `{}` ({code}); turn off the termination protection of the instance",
                self.action
            ),
            "Blocked" | "OptInRequired" | "PendingVerification" => format!(
                "EC2 refused `{}` ({code}); the AWS account is not ready for it, see its \
                 messages in the AWS console",
                self.action
            ),
            _ => format!(
                "EC2 refused `{}` ({code}); allow the deployment's role {needs}",
                self.action
            ),
        }
    }

    /// For every call but a launch.
    pub(super) fn into_compute_error(self) -> ComputeError {
        match meaning(&self.code, self.status) {
            Meaning::Denied => {
                ComputeError::Denied { reason: self.denied(&format!("`ec2:{}`", self.action)) }
            }
            // Here a refusal is rather a state that passes than a call that can never succeed.
            Meaning::Transient | Meaning::Refused => {
                ComputeError::Transient { reason: self.transient_text(), source: Some(self.source) }
            }
        }
    }

    /// For the launch of an instance of `rung` in `subnet`.
    pub(super) fn into_launch_error(
        self,
        rung: &Ec2Placement,
        subnet: &Subnet,
        region: &str,
    ) -> LaunchError {
        let code = self.code.as_str();
        let market = match rung.market {
            Market::OnDemand => "on demand",
            Market::Spot => "on spot",
        };
        let (kind, zone) = (&rung.instance_type, &subnet.zone);
        if is_no_capacity(code) {
            let reason = format!("`{kind}` in {zone} {market}: {}", self.text());
            return LaunchError::Capacity { reason };
        }
        if is_instance_quota(code) {
            let reason = format!(
                "one more `{kind}` {market} exceeds the account's quota {} in {region} ({code}); \
                 raise it in the AWS console under Service Quotas, Amazon EC2",
                quota::text(rung)
            );
            return LaunchError::Quota { reason };
        }
        if code == "IdempotentInstanceTerminated" {
            return LaunchError::TokenSpent;
        }
        match meaning(code, self.status) {
            Meaning::Denied => LaunchError::Denied {
                reason: self.denied(
                    "`ec2:RunInstances`, `ec2:CreateTags` and, for the instance profile, \
                     `iam:PassRole`",
                ),
            },
            Meaning::Transient => {
                LaunchError::Transient { reason: self.transient_text(), source: Some(self.source) }
            }
            Meaning::Refused if code.ends_with("LimitExceeded") => LaunchError::Quota {
                reason: format!(
                    "{}; raise it in the AWS console under Service Quotas ({region})",
                    self.text()
                ),
            },
            Meaning::Refused => {
                let reason = format!("EC2 refused the launch: {}; {}", self.text(), mend(code));
                LaunchError::InvalidSpec { reason }
            }
        }
    }
}

/// Where to mend what EC2 calls invalid.
fn mend(code: &str) -> &'static str {
    let about = |what: &str| code.starts_with(what);
    if about("InvalidAMIID") || about("InvalidSnapshot") {
        "deploy with an image that exists in this region"
    } else if about("InvalidLaunchTemplate") {
        "deploy with a launch template that exists"
    } else if about("InvalidSubnet") || about("InvalidGroup") || about("InvalidSecurityGroup") {
        "deploy with subnets and security groups that exist, all of one VPC"
    } else {
        "check the instance types of the model's `ladder` and the deployment's launch template"
    }
}

/// EC2's text in one line, without the encoded policy decision that follows a denial.
fn plain(message: &str) -> String {
    let message = message.split("Encoded authorization failure message").next().unwrap_or(message);
    let line: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    line.trim_end_matches('.').chars().take(MAX_MESSAGE).collect()
}
