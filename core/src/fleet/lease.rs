use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::ClaimId;
use crate::fleet::eta::later;
use crate::ports::Key;

/// The control plane's word that a claim is still wanted. Whoever reconciles puts it anew; the
/// agent beside the inference server times on its own clock how long ago it saw a new version,
/// and ends its instance when that is too long. No two clocks are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub claim: ClaimId,
    /// When it was put, on the clock of who put it; only that one compares it.
    pub bumped_at: Timestamp,
}

impl Lease {
    /// How often a lease is put anew at most.
    pub const EVERY: Duration = Duration::from_secs(45);
    /// After this the record goes away by itself.
    const LIFE: Duration = Duration::from_hours(24);

    /// Where the lease of `claim` stands.
    pub fn key_of(claim: &ClaimId) -> Key {
        Key::new(format!("LEASE#{claim}"), "LEASE")
    }
}

impl Entity for Lease {
    const KIND: &'static str = "lease";

    fn key(&self) -> Key {
        Self::key_of(&self.claim)
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.bumped_at, Self::LIFE))
    }
}
