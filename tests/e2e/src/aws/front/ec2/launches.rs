use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::super::answer::Answer;
use super::super::call::Call;
use super::super::xml;
use super::Form;

/// What ministack has been told of its instances and does not tell again.
#[derive(Debug, Default)]
pub(super) struct Launches(Mutex<BTreeMap<String, Launched>>);

#[derive(Debug, Clone)]
struct Launched {
    client_token: Option<String>,
    is_spot: bool,
    user_data: Option<String>,
    zone: Option<String>,
}

impl Launches {
    /// Notes what a launch has asked for, under the ids that the answer gives.
    pub(super) fn note(&self, answer: &Answer, form: &Form, zone: Option<String>) {
        let field = |name: &str| {
            form.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let launched = Launched {
            client_token: field("ClientToken"),
            is_spot: field("InstanceMarketOptions.MarketType").as_deref() == Some("spot"),
            user_data: field("UserData"),
            zone,
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for instance in xml::texts(answer.text(), "instanceId") {
            known.insert(instance, launched.clone());
        }
    }

    /// The answer to a question for an instance's user data.
    pub(super) fn user_data(&self, call: &Call) -> Option<Answer> {
        let parameters = &call.resource.parameters;
        if parameters.get("Attribute").map(String::as_str) != Some("userData") {
            return None;
        }
        let instance = parameters.get("InstanceId")?;
        let launches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let user_data = xml::escape(launches.get(instance)?.user_data.as_deref()?);
        let body = format!(
            "<DescribeInstanceAttributeResponse><requestId>mended</requestId>\
             <instanceId>{instance}</instanceId><userData><value>{user_data}</value></userData>\
             </DescribeInstanceAttributeResponse>"
        );
        Some(Answer::new(200, "text/xml;charset=UTF-8", body))
    }

    /// Puts market, zone and token beside the instances in an answer.
    pub(super) fn mend(&self, mut answer: Answer) -> Answer {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts = answer.text().split("<instanceId>");
        let mut mended = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            mended.push_str("<instanceId>");
            let instance = part.split_once("</instanceId>");
            match instance.and_then(|(id, rest)| Some((id, rest, known.get(id)?))) {
                Some((id, rest, launched)) => {
                    mended += &[id, "</instanceId>"].concat();
                    launched.write_into(&mut mended, rest);
                }
                None => mended.push_str(part),
            }
        }
        answer.body = mended.into();
        answer
    }
}

impl Launched {
    fn write_into(&self, mended: &mut String, rest: &str) {
        if self.is_spot {
            mended.push_str("<instanceLifecycle>spot</instanceLifecycle>");
        }
        if let Some(token) = &self.client_token {
            *mended += &["<clientToken>", &xml::escape(token), "</clientToken>"].concat();
        }
        let zone = xml::inner(rest, "availabilityZone").zip(self.zone.as_deref());
        match zone {
            Some((wrong, right)) => {
                let element = |zone| format!("<availabilityZone>{zone}</availabilityZone>");
                mended.push_str(&rest.replacen(&element(wrong), &element(right), 1));
            }
            None => mended.push_str(rest),
        }
    }
}
