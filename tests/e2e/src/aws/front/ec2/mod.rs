//! What EC2 does and its emulators do not. Neither honours `ClientToken` ([`tokens`]), and LocalStack
//! answers 500 to a launch template that does not exist. ministack also passes over launch templates,
//! zones, unknown subnets, the spot market, dry runs, and forgets user data ([`launches`]).

mod launches;
mod template;
mod tokens;

use self::launches::Launches;
use self::tokens::Tokens;

use super::super::emulator::Kind;
use super::answer::Answer;
use super::call::{Call, Protocol};
use super::fault::Fault;
use super::upstream::Upstream;
use super::xml;

/// The version of EC2's API, which its forms name.
const API: &str = "2016-11-15";

/// A form, field by field.
type Form = Vec<(String, String)>;

/// The machines of the tests stand on loopback, whatever addresses the emulator has drawn.
fn on_loopback(mut answer: Answer) -> Answer {
    let mut parts = answer.text().split("<privateIpAddress>");
    let mut mended = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.split_once("</privateIpAddress>").map_or("", |(_, rest)| rest);
        mended.push_str("<privateIpAddress>127.0.0.1</privateIpAddress>");
        mended.push_str(rest);
    }
    answer.body = mended.into();
    answer
}

/// EC2 as its callers expect it.
#[derive(Debug)]
pub(super) struct Ec2 {
    kind: Kind,
    tokens: Tokens,
    launches: Launches,
}

impl Ec2 {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, tokens: Tokens::default(), launches: Launches::default() }
    }

    pub(super) async fn answer(&self, upstream: &Upstream, call: &Call) -> Answer {
        let answer = self.answer_of(upstream, call).await;
        if call.action == "DescribeInstances" { on_loopback(answer) } else { answer }
    }

    async fn answer_of(&self, upstream: &Upstream, call: &Call) -> Answer {
        match (call.action.as_str(), self.kind) {
            ("RunInstances", _) => {
                self.tokens.once(upstream, call, async || self.launch(upstream, call).await).await
            }
            ("DescribeInstances", Kind::Ministack) => self.launches.mend(upstream.send(call).await),
            ("DescribeInstanceAttribute", Kind::Ministack) => {
                let answer = upstream.send(call).await;
                self.launches
                    .user_data(call)
                    .filter(|_| answer.status.is_success())
                    .unwrap_or(answer)
            }
            _ => upstream.send(call).await,
        }
    }

    async fn launch(&self, upstream: &Upstream, call: &Call) -> Answer {
        let template = match template::named(upstream, call).await {
            Ok(template) => template,
            Err(refusal) => return refusal,
        };
        match self.kind {
            Kind::LocalStack => upstream.send(call).await,
            Kind::Ministack => self.launch_on_ministack(upstream, call, template).await,
        }
    }

    async fn launch_on_ministack(
        &self,
        upstream: &Upstream,
        call: &Call,
        template: Option<String>,
    ) -> Answer {
        let zone = match zone(upstream, call).await {
            Ok(zone) => zone,
            Err(refusal) => return refusal,
        };
        let parameters = &call.resource.parameters;
        if parameters.get("DryRun").is_some_and(|dry| dry == "true") {
            let text = "Request would have succeeded, but DryRun flag is set.";
            return fault("DryRunOperation", text);
        }
        let mut form: Form = parameters.clone().into_iter().collect();
        if let Some(template) = template {
            template::fill_in(&mut form, &template);
        }
        let answer = upstream.send_form(call, &form).await;
        self.launches.note(&answer, &form, zone);
        self.launches.mend(answer)
    }
}

/// The zone of the launch's subnet, if it names one.
async fn zone(upstream: &Upstream, call: &Call) -> Result<Option<String>, Answer> {
    let Some(subnet) = subnet(call) else {
        return Ok(call.resource.parameters.get("Placement.AvailabilityZone").cloned());
    };
    let answer = ask(upstream, call, "DescribeSubnets", &[("SubnetId.1", subnet)]).await;
    match xml::text(answer.text(), "availabilityZone") {
        Some(zone) if answer.status.is_success() => Ok(Some(zone.into_owned())),
        _ => {
            let text = format!("The subnet ID '{subnet}' does not exist");
            Err(fault("InvalidSubnetID.NotFound", &text))
        }
    }
}

/// The subnet that a launch names.
fn subnet(call: &Call) -> Option<&str> {
    let named = ["SubnetId", "NetworkInterface.1.SubnetId"];
    named.iter().find_map(|name| call.resource.parameters.get(*name)).map(String::as_str)
}

/// Asks the emulator something of our own, under the signature of this call.
async fn ask(upstream: &Upstream, call: &Call, action: &str, form: &[(&str, &str)]) -> Answer {
    let own = [("Action", action), ("Version", API)];
    let form: Form = own.iter().chain(form).map(|(n, v)| ((*n).into(), (*v).into())).collect();
    upstream.send_form(call, &form).await
}

fn fault(code: &str, message: &str) -> Answer {
    Fault::new(code, message).answer(Protocol::Ec2)
}
