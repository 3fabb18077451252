//! Where to launch: the steps of a model's ladder.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::money::parse_nano_dollars;

/// One step of the ladder: where to try a launch. Its backend alone knows what the details mean;
/// the fleet goes by their order, and by the label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Written as `instance_type`, which it is on EC2, since version 0.1.0.
    #[serde(rename = "instance_type")]
    label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price_per_hour: Option<Price>,
    #[serde(flatten)]
    details: BTreeMap<String, Value>,
}

impl Placement {
    /// A place of this kind.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), price_per_hour: None, details: BTreeMap::new() }
    }

    /// The only place of a backend that has no choice.
    pub fn local() -> Self {
        Self::new("local")
    }

    /// The same, with a detail for its backend.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The same at this price.
    #[must_use]
    pub fn at(self, price_per_hour: Option<Price>) -> Self {
        Self { price_per_hour, ..self }
    }

    /// What operators call it. Boots in places of one label take about the same time, so that
    /// estimates go by it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What an instance there costs, where the model says so.
    pub fn price_per_hour(&self) -> Option<Price> {
        self.price_per_hour
    }

    /// What its backend makes of it.
    pub fn details(&self) -> &BTreeMap<String, Value> {
        &self.details
    }

    /// What tells this place from others in a launch token. The token of a launch that an upgrade
    /// interrupts must be the same after it, and those of version 0.1.0 came from an instance
    /// type, a zone and a market; so these stand first, and other details only where there are
    /// some.
    pub(crate) fn fingerprint(&self) -> Value {
        let Since010 { instance_type, zone, market, others } = self.since_010();
        let known = json!([instance_type, zone, market]);
        if others.is_empty() { known } else { json!([known, others]) }
    }

    /// The fields as version 0.1.0 hashed them, in its order.
    pub(crate) fn since_010(&self) -> Since010<'_> {
        let others = self.details.iter();
        let others = others.filter(|(name, _)| !["zone", "market"].contains(&name.as_str()));
        Since010 {
            instance_type: &self.label,
            zone: self.details.get("zone"),
            market: self.details.get("market").cloned().unwrap_or_else(|| "on_demand".into()),
            others: others.map(|(name, value)| (name.as_str(), value)).collect(),
        }
    }
}

/// See [`Placement::since_010`].
#[derive(Serialize)]
pub(crate) struct Since010<'a> {
    instance_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a Value>,
    market: Value,
    #[serde(flatten)]
    others: BTreeMap<&'a str, &'a Value>,
}

/// An amount of US dollars, in whole nano-dollars; as text `0.8048`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Price(u64);

const NANO: u64 = 1_000_000_000;

impl Price {
    /// So many nano-dollars.
    pub const fn from_nano_dollars(amount: u64) -> Self {
        Self(amount)
    }

    /// In nano-dollars.
    pub const fn nano_dollars(self) -> u64 {
        self.0
    }
}

/// A text that is not a price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a price; write dollars with up to nine decimals, such as \"0.8048\"")]
pub struct InvalidPrice(String);

impl FromStr for Price {
    type Err = InvalidPrice;

    fn from_str(text: &str) -> Result<Self, InvalidPrice> {
        parse_nano_dollars(text).map(Self).map_err(|_| InvalidPrice(text.to_owned()))
    }
}

impl TryFrom<String> for Price {
    type Error = InvalidPrice;

    fn try_from(text: String) -> Result<Self, InvalidPrice> {
        text.parse()
    }
}

impl From<Price> for String {
    fn from(price: Price) -> Self {
        price.to_string()
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.0 / NANO, self.0 % NANO);
        if decimals == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{decimals:09}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
    }
}

/// The schema of a ladder.
#[cfg(feature = "openapi")]
pub(super) fn ladder_schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};

    let text = || ObjectBuilder::new().schema_type(Type::String);
    let price = text()
        .pattern(Some(r"^[0-9]{1,9}(\.[0-9]{1,9})?$"))
        .description(Some("What an instance costs, in US dollars: `0.8048`."));
    let placement = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("instance_type", text().description(Some("What is launched: `g6.xlarge`.")))
        .required("instance_type")
        .property("price_per_hour", price)
        .description(Some("Where to launch. On EC2 also `zone` and `market`."));
    ArrayBuilder::new().items(placement).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{ClaimId, DeploymentId, LaunchToken, ModelSpec};

    fn read(json: Value) -> Placement {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_placement_of_version_0_1_0_keeps_its_token_and_its_hash() {
        let token = |placement| {
            let (deployment, claim) = (DeploymentId::new("d"), ClaimId::new("c"));
            LaunchToken::derive(&deployment, &claim, 1, 2, &placement).as_str().to_owned()
        };
        let hash = |placement| {
            let mut spec = ModelSpec::new(["vllm"]);
            spec.ladder = vec![placement];
            spec.launch_hash().as_str().to_owned()
        };
        // What version 0.1.0 computed for these.
        for (json, of_token, of_hash) in [
            (
                json!({"instance_type": "g6.xlarge", "zone": "us-east-1a", "market": "spot"}),
                "da6c5372fd3967761f83b0c4464feabe9d3dabe8d3ed3e56d1ad2513bec1e292",
                "7926ccfde64842f4",
            ),
            (
                json!({"instance_type": "g6.xlarge", "market": "on_demand"}),
                "4d7ddc3fa9bf45c4a42043d4ac6645ee96dd16cb039bdec262ed2a9ac03597e6",
                "6a367615b199977c",
            ),
            (
                json!({"instance_type": "local"}),
                "bd2dacf61cf577d481e9384419348549dba78ac6050b606bbaffc54c4abd3c98",
                "14d090d6a3ccaffa",
            ),
        ] {
            let placement = read(json.clone());
            assert_eq!(token(placement.clone()), of_token, "{json}");
            assert_eq!(hash(placement), of_hash, "{json}");
        }
    }

    #[test]
    fn places_that_differ_in_any_detail_have_other_tokens() {
        let place = || Placement::new("a100");
        let places = [
            place(),
            place().with("zone", "a"),
            place().with("pool", "a"),
            place().with("pool", "b"),
            place().with("zone", "a").with("pool", "a"),
            Placement::new("h100"),
        ];
        let fingerprints: Vec<_> = places.iter().map(Placement::fingerprint).collect();
        for (at, one) in fingerprints.iter().enumerate() {
            assert!(!fingerprints.iter().skip(at + 1).any(|other| other == one), "{one}");
        }
    }

    #[test]
    fn a_placement_is_written_as_it_was_read() {
        let json = json!({"instance_type": "x", "price_per_hour": "0.8048", "gpus": [1, 2]});
        let placement = read(json.clone());
        assert_eq!((placement.label(), placement.details().len()), ("x", 1));
        let price = placement.price_per_hour().map(Price::nano_dollars);
        assert_eq!(price, Some(804_800_000));
        assert_eq!(serde_json::to_value(placement).unwrap(), json);
    }

    #[test]
    fn a_price_is_exact() {
        for (text, nano, shown) in [
            ("0", 0, "0"),
            ("1.50", 1_500_000_000, "1.5"),
            ("0.000000001", 1, "0.000000001"),
            ("18446744073.709551615", u64::MAX, "18446744073.709551615"),
        ] {
            let price: Price = text.parse().unwrap();
            assert_eq!((price.nano_dollars(), price.to_string().as_str()), (nano, shown));
        }
        for text in ["", ".5", "1.", "-1", "1e3", "0.0000000001", "18446744073.709551616", "$1"] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
    }
}
