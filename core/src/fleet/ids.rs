use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fleet::Placement;
use crate::hex;
use crate::ports::Entropy;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id with this text.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// One taking of a slot, from the claim to the end of its instance; 32 hex characters.
    ClaimId
}
text_id! {
    /// The backend's name for an instance: `i-0abc…` on EC2, the claim's id for a process.
    InstanceId
}
text_id! {
    /// Makes a launch idempotent; 64 hex characters, EC2's limit for a `ClientToken`.
    LaunchToken
}
text_id! {
    /// Names this installation among others on the same account or machine.
    DeploymentId
}

impl ClaimId {
    /// A fresh id.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(hex(&bytes))
    }
}

impl LaunchToken {
    /// Hex SHA-256 of (deployment, claim, attempt, rung): the same for every repeat of one
    /// launch, another for every other.
    pub fn derive(
        deployment: &DeploymentId,
        claim: &ClaimId,
        attempt: u32,
        rung_index: usize,
        rung: &Placement,
    ) -> Self {
        let parts = (deployment, claim, attempt, rung_index, rung.fingerprint());
        // It cannot fail: every part is text or a number.
        let text = serde_json::to_string(&parts).unwrap_or_default();
        Self(hex(&Sha256::digest(text.as_bytes())))
    }
}
