use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::upstream::Upstream;
use super::super::xml;
use super::{ask, fault, subnet};

/// `ClientToken` as EC2 documents it ("Ensuring idempotency in Amazon EC2 API requests"): the same
/// token with the same parameters is answered as at first; with others it is
/// `IdempotentParameterMismatch`; and `IdempotentInstanceTerminated` once the instance has ended.
/// A token stands for one launch per zone where the launch names a zone or a subnet; here a subnet
/// is taken for a zone.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<(String, String), Slot>>);

/// The launch of one token, locked while it goes on.
type Slot = Arc<tokio::sync::Mutex<Option<Launch>>>;

/// A launch that has succeeded.
#[derive(Debug)]
struct Launch {
    parameters: BTreeMap<String, String>,
    instances: Vec<String>,
    answer: Answer,
}

impl Tokens {
    /// Launches at most once per token and zone. A launch that fails leaves the token free.
    pub(super) async fn once(
        &self,
        upstream: &Upstream,
        call: &Call,
        launch: impl AsyncFnOnce() -> Answer,
    ) -> Answer {
        let Some(token) = call.resource.parameters.get("ClientToken") else {
            return launch().await;
        };
        if token.len() > 64 {
            return fault("InvalidParameterValue", "a client token has at most 64 characters");
        }
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry((token.clone(), place(call))).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(first) = &*slot {
            return again(first, upstream, call).await;
        }
        let answer = launch().await;
        if answer.status.is_success() {
            *slot = Some(Launch {
                parameters: parameters(call),
                instances: xml::texts(answer.text(), "instanceId"),
                answer: answer.clone(),
            });
        }
        answer
    }
}

async fn again(first: &Launch, upstream: &Upstream, call: &Call) -> Answer {
    if first.parameters != parameters(call) {
        return fault(
            "IdempotentParameterMismatch",
            "Arguments on this idempotent request are inconsistent with arguments used in previous \
             request(s).",
        );
    }
    for instance in &first.instances {
        let known = ask(upstream, call, "DescribeInstances", &[("InstanceId.1", instance)]).await;
        let state =
            xml::inner(known.text(), "instanceState").and_then(|state| xml::text(state, "name"));
        // One that is known no more has ended long ago.
        if matches!(state.as_deref(), None | Some("terminated" | "shutting-down")) {
            return fault(
                "IdempotentInstanceTerminated",
                "The request to launch an instance uses the same client token as a previous request \
                 for which the instance has been terminated.",
            );
        }
    }
    first.answer.clone()
}

/// Where a launch is to happen, as far as it says.
fn place(call: &Call) -> String {
    let zone = call.resource.parameters.get("Placement.AvailabilityZone").map(String::as_str);
    zone.or(subnet(call)).unwrap_or_default().to_owned()
}

fn parameters(call: &Call) -> BTreeMap<String, String> {
    let mut parameters = call.resource.parameters.clone();
    for own in ["Action", "Version", "ClientToken"] {
        parameters.remove(own);
    }
    parameters
}
