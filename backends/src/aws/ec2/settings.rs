use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use diogenes_core::fleet::{DeploymentId, LaunchToken};
use diogenes_core::ports::LaunchError;

use crate::aws::placement::Ec2Placement;

/// Where and from what instances are launched.
#[derive(Clone, Debug)]
pub struct Ec2Settings {
    /// Which installation this is: the name of its stack. A tag of every instance.
    pub deployment: DeploymentId,
    /// The launch template by id (`lt-…`) or by name.
    pub launch_template: String,
    /// Its version: a number, `$Default` or `$Latest`. A number, where a deployment makes a new
    /// version: nobody moves `$Default` along.
    pub launch_template_version: String,
    /// The subnets to launch in; a zone may have several.
    pub subnets: Vec<Subnet>,
    /// The DynamoDB table that agents report to.
    pub table: String,
    /// The AWS region.
    pub region: String,
    /// After this an instance ends itself, whatever its model says.
    pub max_lifetime: Duration,
    /// An instance ends itself when its lease was not bumped for so long.
    pub lease_timeout: Duration,
}

/// A subnet and its availability zone; as text `us-east-1a=subnet-0123`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The availability zone: `us-east-1a`.
    pub zone: String,
    /// The subnet's id.
    pub id: String,
}

/// A list of subnets that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; write each as `us-east-1a=subnet-0123456789abcdef0`, separated by commas")]
pub struct InvalidSubnets {
    problem: String,
}

impl Subnet {
    /// Reads `us-east-1a=subnet-1,us-east-1b=subnet-2`: at least one, and none twice.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, InvalidSubnets> {
        let mut subnets: Vec<Self> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let subnet: Self = part.parse()?;
            if subnets.iter().any(|other| other.id == subnet.id) {
                return Err(invalid(format!("the subnet `{}` is named twice", subnet.id)));
            }
            subnets.push(subnet);
        }
        if subnets.is_empty() {
            return Err(invalid("no subnet is named".into()));
        }
        Ok(subnets)
    }
}

fn invalid(problem: String) -> InvalidSubnets {
    InvalidSubnets { problem }
}

impl FromStr for Subnet {
    type Err = InvalidSubnets;

    fn from_str(text: &str) -> Result<Self, InvalidSubnets> {
        let Some((zone, id)) = text.split_once('=') else {
            return Err(invalid(format!("`{text}` has no `=`")));
        };
        let (zone, id) = (zone.trim(), id.trim());
        let of_zone = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_zone = zone.contains('-')
            && zone.bytes().all(of_zone)
            && zone.bytes().last().is_some_and(|last| last.is_ascii_lowercase());
        if !is_zone {
            return Err(invalid(format!("`{zone}` is not an availability zone")));
        }
        let is_id = id.strip_prefix("subnet-").is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if !is_id {
            return Err(invalid(format!("`{id}` is not a subnet id")));
        }
        Ok(Self { zone: zone.into(), id: id.into() })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.zone, self.id)
    }
}

impl Ec2Settings {
    /// The subnet to launch in: one of the rung's zone, or any where the rung names none. Which
    /// of several follows from the token: a repeat must have the same parameters, and other
    /// claims shall go elsewhere. Only one zone is tried per launch, so a ladder that shall try
    /// several names them, one rung each.
    pub(super) fn subnet(
        &self,
        rung: &Ec2Placement,
        token: &LaunchToken,
    ) -> Result<&Subnet, LaunchError> {
        let fits = |subnet: &&Subnet| rung.zone.as_ref().is_none_or(|zone| subnet.zone == *zone);
        let fitting: Vec<&Subnet> = self.subnets.iter().filter(fits).collect();
        let count = u64::try_from(fitting.len()).unwrap_or(u64::MAX).max(1);
        let place = usize::try_from(spread(token) % count).unwrap_or(0);
        fitting.get(place).copied().ok_or_else(|| LaunchError::InvalidSpec {
            reason: match &rung.zone {
                Some(zone) => format!(
                    "the deployment has no subnet in zone `{zone}`; name one of {} in the \
                     model's `ladder`, or none",
                    self.zones()
                ),
                None => "the deployment has no subnets; deploy it with one at least".into(),
            },
        })
    }

    fn zones(&self) -> String {
        let mut zones: Vec<_> =
            self.subnets.iter().map(|subnet| format!("`{}`", subnet.zone)).collect();
        zones.sort();
        zones.dedup();
        zones.join(", ")
    }
}

/// A number that follows from the token; FNV-1a
/// (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>), folded because the low bits of
/// similar texts are alike.
fn spread(token: &LaunchToken) -> u64 {
    let hash = token.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_read_in_their_order() {
        let read = Subnet::parse_list(" us-east-1a=subnet-1, us-west-2-lax-1a=subnet-0abc ,");
        let read: Vec<_> = read.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(read, ["us-east-1a=subnet-1", "us-west-2-lax-1a=subnet-0abc"]);
    }

    #[test]
    fn unusable_subnets_are_named() {
        for (text, problem) in [
            ("", "no subnet is named"),
            (" , ", "no subnet is named"),
            ("us-east-1a", "`us-east-1a` has no `=`"),
            ("=subnet-1", "`` is not an availability zone"),
            ("us-east-1=subnet-1", "`us-east-1` is not an availability zone"),
            ("us-east-1a=vpc-1", "`vpc-1` is not a subnet id"),
            ("us-east-1a=subnet-", "`subnet-` is not a subnet id"),
            ("us-east-1a=subnet-1,us-east-1b=subnet-1", "the subnet `subnet-1` is named twice"),
        ] {
            let error = Subnet::parse_list(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{problem}; write each as")), "{error}");
        }
    }
}
