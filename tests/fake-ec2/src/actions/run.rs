use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use diogenes_core::Timestamp;
use diogenes_core::fleet::Placement;
use diogenes_core::testing::{Order, Refusal};

use super::describe::{self, Seen};
use crate::answer::{ApiError, success};
use crate::form::Form;
use crate::world::{Launched, World, class_and_vcpus, detail, quota_name};

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html>
const MAX_USER_DATA: usize = 16 * 1024;

/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html>
const MAX_TOKEN: usize = 64;

pub(super) fn run_instances(
    world: &mut World,
    form: &Form,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let order = order(world, form)?;
    let place = order.place.clone();
    let instance = world.cloud.launch(order, now).map_err(|refusal| refused(&refusal, &place))?;
    let seen = if instance.is_alive() { Seen::Pending } else { Seen::of(instance, now) };
    Ok(success("RunInstances", |xml| {
        xml.text("reservationId", &describe::reservation(instance));
        xml.text("ownerId", "000000000000");
        xml.nest("instancesSet", |xml| {
            xml.nest("item", |xml| describe::instance(xml, instance, seen));
        });
    }))
}

fn refused(refusal: &Refusal, place: &Placement) -> ApiError {
    let kind = place.label();
    match refusal {
        Refusal::ParameterMismatch => ApiError::client(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
        ),
        Refusal::InstanceTerminated => ApiError::client(
            "IdempotentInstanceTerminated",
            "Instance associated with the token has been terminated.",
        ),
        // EC2 answers 500 here, as if it were a fault of its own.
        Refusal::NoCapacity => ApiError::client(
            "InsufficientInstanceCapacity",
            format!(
                "We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({}).",
                detail(place, "zone")
            ),
        )
        .with_status(StatusCode::INTERNAL_SERVER_ERROR),
        Refusal::QuotaExceeded { limit, .. } => match detail(place, "market") {
            "on_demand" => ApiError::client(
                "VcpuLimitExceeded",
                format!(
                    "You have requested more vCPU capacity than your current vCPU limit of {limit} allows for the instance bucket that the specified instance type belongs to."
                ),
            ),
            _ => {
                ApiError::client("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
            }
        },
    }
}

/// What the parameters ask for.
fn order(world: &World, form: &Form) -> Result<Order<Launched>, ApiError> {
    for (name, only) in [("MinCount", "1"), ("MaxCount", "1")] {
        if form.get(name).ok_or_else(|| ApiError::missing(name))? != only {
            return Err(ApiError::invalid_value(format!("{name} other than 1 is not known here")));
        }
    }
    let template = world.template_of(form)?;
    if template.and_then(|template| template.image.as_deref()).or(form.get("ImageId")).is_none() {
        return Err(ApiError::missing("ImageId"));
    }
    let instance_type =
        form.get("InstanceType").ok_or_else(|| ApiError::missing("InstanceType"))?;
    let (class, vcpus) = class_and_vcpus(instance_type).ok_or_else(|| {
        ApiError::invalid_value(format!("Invalid value '{instance_type}' for InstanceType."))
    })?;
    let subnet = form.get("SubnetId").ok_or_else(|| ApiError::missing("SubnetId"))?;
    let zone = World::zone_of(subnet).ok_or_else(|| {
        ApiError::client(
            "InvalidSubnetID.NotFound",
            format!("The subnet ID '{subnet}' does not exist"),
        )
    })?;
    let market = match form.get("InstanceMarketOptions.MarketType") {
        None => "on_demand",
        Some("spot") => "spot",
        Some(other) => {
            return Err(ApiError::invalid_value(format!("Invalid market type {other}")));
        }
    };
    let token = form.get("ClientToken");
    if token.is_some_and(|token| token.len() > MAX_TOKEN) {
        return Err(ApiError::invalid_value("ClientToken is longer than 64 characters"));
    }
    Ok(Order {
        token: token.map(str::to_owned),
        fingerprint: form.fingerprint(),
        place: Placement::new(instance_type).with("zone", zone).with("market", market),
        quota: (quota_name(class, market), vcpus),
        details: Launched {
            tags: tags(form),
            subnet: subnet.into(),
            client_token: token.map(str::to_owned),
            user_data: user_data(form)?,
        },
    })
}

fn tags(form: &Form) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    for specification in form.structures("TagSpecification", "ResourceType") {
        if form.get(&format!("{specification}ResourceType")) != Some("instance") {
            continue;
        }
        for tag in form.structures(&format!("{specification}Tag"), "Key") {
            let part = |name: &str| form.get(&format!("{tag}{name}")).unwrap_or_default().into();
            tags.insert(part("Key"), part("Value"));
        }
    }
    tags
}

fn user_data(form: &Form) -> Result<Option<String>, ApiError> {
    let Some(encoded) = form.get("UserData") else {
        return Ok(None);
    };
    let Ok(decoded) = BASE64_STANDARD.decode(encoded) else {
        let message = "Invalid BASE64 encoding of user data.";
        return Err(ApiError::client("InvalidUserData.Malformed", message));
    };
    if decoded.len() > MAX_USER_DATA {
        return Err(ApiError::invalid_value("User data is limited to 16384 bytes"));
    }
    Ok(Some(encoded.into()))
}
