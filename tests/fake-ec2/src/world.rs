//! What the fake knows.

use std::collections::BTreeMap;

use diogenes_core::fleet::Placement;
use diogenes_core::testing::{FakeCloud, Lag};

use crate::{LAUNCH_TEMPLATE, SUBNETS};

/// The most instances of a page. <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
pub(crate) const MAX_PAGE: usize = 1000;

/// What was asked for with an instance.
#[derive(Clone, Debug)]
pub struct Launched {
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The subnet it is in.
    pub subnet: String,
    /// Its `ClientToken`.
    pub client_token: Option<String>,
    /// Its user data, in base64.
    pub user_data: Option<String>,
}

/// A launch template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: Option<String>,
}

/// All state of one fake.
pub(crate) struct World {
    pub(crate) cloud: FakeCloud<Launched>,
    pub(crate) templates: Vec<Template>,
    /// Calls to refuse.
    pub(crate) throttled: usize,
    /// Answers to lose.
    pub(crate) lost: usize,
    pub(crate) page_size: usize,
    pub(crate) requests: Vec<BTreeMap<String, String>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let template = Template {
            id: LAUNCH_TEMPLATE.into(),
            name: "fake".into(),
            image: Some("ami-0123456789abcdef0".into()),
        };
        Self {
            cloud: FakeCloud::new(Lag::default()),
            templates: vec![template],
            throttled: 0,
            lost: 0,
            page_size: MAX_PAGE,
            requests: Vec::new(),
        }
    }

    /// The zone of a subnet.
    pub(crate) fn zone_of(subnet: &str) -> Option<&'static str> {
        SUBNETS.iter().find(|(id, _)| *id == subnet).map(|(_, zone)| *zone)
    }
}

/// The class of an instance type, `g` of `g6e.2xlarge`, and its vCPUs as most families have them;
/// none of text that is not an instance type.
pub(crate) fn class_and_vcpus(instance_type: &str) -> Option<(&str, u32)> {
    let (family, size) = instance_type.split_once('.')?;
    let generation = family.find(|letter: char| letter.is_ascii_digit())?;
    let class = family.get(..generation).filter(|class| !class.is_empty())?;
    let vcpus = match size {
        "nano" | "micro" | "small" | "medium" | "large" => 2,
        "xlarge" => 4,
        _ if size.starts_with("metal") => 96,
        _ => size.strip_suffix("xlarge")?.parse::<u32>().ok()?.checked_mul(4)?,
    };
    Some((class, vcpus))
}

/// What the quota of a class on a market is called here.
pub(crate) fn quota_name(class: &str, market: &str) -> String {
    format!("{class} on {market}")
}

/// A detail of a place: its `zone`, or its `market`.
pub(crate) fn detail<'a>(place: &'a Placement, name: &str) -> &'a str {
    place.details().get(name).and_then(serde_json::Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_sizes_of_instance_types_are_read() {
        assert_eq!(class_and_vcpus("g6.xlarge"), Some(("g", 4)));
        assert_eq!(class_and_vcpus("g6e.12xlarge"), Some(("g", 48)));
        assert_eq!(class_and_vcpus("t3.micro"), Some(("t", 2)));
        assert_eq!(class_and_vcpus("inf2.xlarge"), Some(("inf", 4)));
        assert_eq!(class_and_vcpus("p5.metal-48xl"), Some(("p", 96)));
        assert_eq!(class_and_vcpus("local"), None);
        assert_eq!(class_and_vcpus("6.xlarge"), None);
        assert_eq!(class_and_vcpus("g6.huge"), None);
    }
}
