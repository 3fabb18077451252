use axum::response::Response;
use diogenes_core::Timestamp;
use diogenes_core::fleet::InstanceId;

use super::describe::{Seen, find};
use crate::answer::{ApiError, success};
use crate::form::Form;
use crate::world::World;

/// Ends all of them, or none if one is not known.
pub(super) fn terminate_instances(
    world: &mut World,
    form: &Form,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let ids = form.list("InstanceId");
    if ids.is_empty() {
        return Err(ApiError::missing("InstanceId"));
    }
    let mut changes = Vec::new();
    for id in ids {
        let before = Seen::of(find(world, id, now)?, now);
        let after = if before == Seen::Terminated { before } else { Seen::ShuttingDown };
        changes.push((id, before, after));
    }
    for (id, _, _) in &changes {
        world.cloud.end(&InstanceId::new(*id), None, now);
    }
    Ok(success("TerminateInstances", |xml| {
        xml.nest("instancesSet", |xml| {
            for (id, before, after) in &changes {
                xml.nest("item", |xml| {
                    xml.text("instanceId", id);
                    after.write(xml, "currentState");
                    before.write(xml, "previousState");
                });
            }
        });
    }))
}
