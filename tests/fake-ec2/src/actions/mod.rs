//! The calls.

mod describe;
mod run;
mod templates;
mod terminate;

use axum::response::Response;
use diogenes_core::Timestamp;

use crate::answer::ApiError;
use crate::form::Form;
use crate::world::World;

/// Does what a call asks.
pub(crate) fn perform(
    world: &mut World,
    form: &Form,
    now: Timestamp,
) -> Result<Response, ApiError> {
    match form.get("Action") {
        Some("RunInstances") => run::run_instances(world, form, now),
        Some("DescribeInstances") => describe::describe_instances(world, form, now),
        Some("DescribeInstanceAttribute") => describe::describe_attribute(world, form, now),
        Some("TerminateInstances") => terminate::terminate_instances(world, form, now),
        Some("CreateLaunchTemplate") => templates::create(world, form, now),
        Some("DescribeLaunchTemplates") => templates::describe(world, form, now),
        other => Err(ApiError::client(
            "InvalidAction",
            format!("The action {} is not known here", other.unwrap_or_default()),
        )),
    }
}
