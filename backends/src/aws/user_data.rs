//! What an instance is told at its launch.

use std::time::Duration;

use diogenes_core::fleet::{ClaimId, DeploymentId, Engine};
use diogenes_core::name::ModelName;
use diogenes_core::secret::Secret;
use serde::{Deserialize, Serialize};

/// The largest user data that EC2 takes, in bytes before base64.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html>
pub const MAX_USER_DATA_BYTES: usize = 16 * 1024;

/// What the control plane tells the agent of a new instance, as the instance's user data: one
/// JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserData {
    /// Which installation launched it.
    pub deployment: DeploymentId,
    /// The claim that it serves: it writes `BEAT#<claim>` and reads `LEASE#<claim>`.
    pub claim: ClaimId,
    /// The model that it serves.
    pub model: ModelName,
    /// What to start.
    pub engine: Engine,
    /// The key that the inference server asks of its callers.
    pub upstream_key: Secret,
    /// The DynamoDB table of the deployment.
    pub table: String,
    /// The AWS region of the table.
    pub region: String,
    /// Seconds after which the instance ends itself, whatever happens.
    #[serde(with = "seconds")]
    pub max_lifetime: Duration,
    /// Seconds without a bump of its lease after which the instance ends itself.
    #[serde(with = "seconds")]
    pub lease_timeout: Duration,
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(duration.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}
