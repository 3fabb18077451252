use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entity::Entity;
use crate::fleet::ClaimId;
use crate::fleet::eta::later;
use crate::name::ModelName;
use crate::ports::{Key, Query, Table};

/// A router's note that a model is in use, for control planes that do not route themselves.
/// Many routers write the same record, each at most every [`UseStamp::EVERY`]; the last one stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseStamp {
    /// Which model.
    pub model: ModelName,
    /// Which replica; none when somebody asked and no replica was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimId>,
    /// When.
    pub at: Timestamp,
}

impl UseStamp {
    /// How often one router writes one stamp at most, also while a stream goes on.
    pub const EVERY: Duration = Duration::from_secs(15);
    /// After this the record goes away by itself; longer than any useful idle timeout.
    const LIFE: Duration = Duration::from_hours(24 * 8);

    /// Lists every stamp of `model`.
    pub fn all_of(model: &ModelName) -> Query {
        Query::new(Table::Main, format!("MODEL#{model}"), "STAMP#")
    }
}

impl Entity for UseStamp {
    const KIND: &'static str = "use stamp";

    fn key(&self) -> Key {
        let who = self.claim.as_ref().map_or("-", ClaimId::as_str);
        Key::new(format!("MODEL#{}", self.model), format!("STAMP#{who}"))
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.at, Self::LIFE))
    }
}
