//! The answers that API Gateway gives by itself. The stack's template rewrites those of its own
//! stage to OpenAI's error objects; what does not get that far keeps API Gateway's shape.

use reqwest::StatusCode;
use serde_json::Value;

use super::Address;
use crate::exit::{Failure, Kind};

/// The failure behind `{"message": …}`, which is all that API Gateway sends; none for other bodies.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>
pub(super) fn failure(status: StatusCode, body: &Value, address: &Address) -> Option<Failure> {
    let fields = body.as_object().filter(|fields| fields.len() == 1)?;
    let message = match fields.get("message").or_else(|| fields.get("Message"))? {
        Value::String(message) => message.as_str(),
        // What it sends for an authorizer that failed.
        Value::Null => "no message",
        _ => return None,
    };
    let said = format!("API Gateway answered {status} ({message}) at {address}");
    let (kind, next) = match status.as_u16() {
        401 => (Kind::Denied, "set a key with --api-key or DIOGENES_API_KEY"),
        // Without a stage, and for a path that no stage has, it does not say 404.
        403 | 404 => (
            Kind::Config,
            "--url lacks the stage, or names one that does not exist; use the stack's output `ControlUrl`, which ends with `/prod`",
        ),
        413 => (Kind::Other, "send less than about 6 MB"),
        429 => (
            Kind::Other,
            "too many requests at once; try again in a moment, or raise the stack's \
             parameter `ThrottleRate`",
        ),
        504 => (
            Kind::Unavailable,
            "the function took too long; try again, and see its log group `/diogenes/STACK/…` in \
             CloudWatch",
        ),
        500..=599 => (
            Kind::Unavailable,
            "the function behind it failed; see its log group `/diogenes/STACK/…` in CloudWatch, and \
             `diogenes doctor --aws`",
        ),
        _ => (Kind::Other, "check --url"),
    };
    Some(kind.because(format!("{said}: {next}")))
}
