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
///
/// Routers may write nothing but the partition of the stamps: a model stands in another. Version
/// 0.1.0 put them beside the model, and they are read there too until routers of that version are
/// gone and their stamps have expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseStamp {
    /// Which model.
    pub model: ModelName,
    /// Which replica; none when somebody asked and no replica was there. Only the latter undoes
    /// an operator's `down`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimId>,
    pub at: Timestamp,
}

impl UseStamp {
    /// How often one router writes one stamp at most, also while a stream goes on.
    pub const EVERY: Duration = Duration::from_secs(15);
    /// After this the record goes away by itself; longer than any useful idle timeout.
    const LIFE: Duration = Duration::from_hours(24 * 8);

    const PREFIX: &'static str = "STAMP#";

    /// Lists every stamp of `model`.
    pub fn all_of(model: &ModelName) -> Query {
        Query::new(Table::Main, format!("USE#{model}"), Self::PREFIX)
    }

    /// Whether a record beside a model is a stamp of version 0.1.0.
    pub fn is_at(key: &Key) -> bool {
        key.sort.starts_with(Self::PREFIX)
    }
}

impl Entity for UseStamp {
    const KIND: &'static str = "use stamp";

    fn key(&self) -> Key {
        let who = self.claim.as_ref().map_or("-", ClaimId::as_str);
        Key::new(format!("USE#{}", self.model), format!("{}{who}", Self::PREFIX))
    }

    fn expires_at(&self) -> Option<Timestamp> {
        Some(later(self.at, Self::LIFE))
    }
}
