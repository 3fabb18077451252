use diogenes_core::fleet::{ClaimId, InstanceId};
use diogenes_core::ports::{Instance, InstanceState};

use super::identity::Tagged;

/// The processes of one claim without a record.
#[derive(Debug)]
pub(super) struct Orphan {
    pub(super) processes: Vec<Tagged>,
    pub(super) stopping: bool,
}

impl Orphan {
    /// As the fleet sees it.
    pub(super) fn seen(&self, id: &InstanceId) -> Instance {
        Instance {
            id: id.clone(),
            claim: Some(ClaimId::new(id.as_str())),
            model: self.processes.iter().find_map(|process| process.model.as_ref()?.parse().ok()),
            state: if self.stopping { InstanceState::Stopping } else { InstanceState::Running },
            launched_at: None,
            addresses: Vec::new(),
        }
    }
}
