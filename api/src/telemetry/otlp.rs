//! The JSON of OTLP: protobuf's, but with hexadecimal ids and with enums as numbers. Integers of 64
//! bits are texts.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

/// An attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct KeyValue<'a> {
    key: &'a str,
    value: AnyValue<'a>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::enum_variant_names, reason = "as OTLP calls them")]
enum AnyValue<'a> {
    StringValue(&'a str),
    BoolValue(bool),
    IntValue(Digits),
    DoubleValue(f64),
}

/// An integer of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digits(pub(super) u64);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// An id, as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hex<T>(pub(super) T);

impl<T: fmt::Display> Serialize for Hex<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// A list of attributes. What is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Attributes<'a>(Vec<KeyValue<'a>>);

impl<'a> Attributes<'a> {
    /// Room for so many.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    pub(super) fn text(self, key: &'a str, value: &'a str) -> Self {
        self.with(key, AnyValue::StringValue(value))
    }

    pub(super) fn text_if(self, key: &'static str, value: Option<&'a str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    pub(super) fn int_if(self, key: &'static str, value: Option<u64>) -> Self {
        match value {
            // It is signed there.
            Some(value) => {
                let value = value.min(i64::MAX.unsigned_abs());
                self.with(key, AnyValue::IntValue(Digits(value)))
            }
            None => self,
        }
    }

    pub(super) fn double_if(self, key: &'static str, value: Option<f64>) -> Self {
        match value {
            Some(value) => self.with(key, AnyValue::DoubleValue(value)),
            None => self,
        }
    }

    /// Only what holds.
    pub(super) fn flag(self, key: &'static str, value: bool) -> Self {
        if value { self.with(key, AnyValue::BoolValue(true)) } else { self }
    }

    fn with(mut self, key: &'a str, value: AnyValue<'a>) -> Self {
        self.0.push(KeyValue { key, value });
        self
    }
}

/// Who sends.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Resource<'a> {
    attributes: Attributes<'a>,
}

impl<'a> Resource<'a> {
    pub(super) fn new(attributes: &'a BTreeMap<String, String>) -> Self {
        let all = Attributes::with_capacity(attributes.len());
        let attributes = attributes.iter().fold(all, |all, (key, value)| all.text(key, value));
        Self { attributes }
    }
}

/// What of it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Scope {
    name: &'static str,
    version: &'static str,
}

pub(super) const SCOPE: Scope = Scope { name: "diogenes", version: env!("CARGO_PKG_VERSION") };

/// Adds an authority as `server.address` and `server.port`, if somebody knows it.
pub(super) fn server<'a>(attributes: Attributes<'a>, authority: &'a str) -> Attributes<'a> {
    if authority.is_empty() {
        return attributes;
    }
    let port = authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = port.map_or((authority, None), |(host, port)| (host, Some(port)));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    attributes.text("server.address", host).int_if("server.port", port)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_are_written_as_otlp_wants_them() {
        let attributes = Attributes::default()
            .text("a", "x")
            .text_if("b", None)
            .int_if("c", Some(u64::MAX))
            .double_if("d", Some(0.5))
            .flag("e", true)
            .flag("f", false);
        let expected = json!([
            {"key": "a", "value": {"stringValue": "x"}},
            {"key": "c", "value": {"intValue": "9223372036854775807"}},
            {"key": "d", "value": {"doubleValue": 0.5}},
            {"key": "e", "value": {"boolValue": true}},
        ]);
        assert_eq!(serde_json::to_value(attributes).unwrap(), expected);
    }

    #[test]
    fn an_authority_is_an_address_and_a_port() {
        for (authority, expected) in [
            ("127.0.0.1:8000", json!(["127.0.0.1", "8000"])),
            ("[::1]:8000", json!(["::1", "8000"])),
            ("api.openai.com", json!(["api.openai.com", null])),
        ] {
            let told = serde_json::to_value(server(Attributes::default(), authority)).unwrap();
            let told = json!([told[0]["value"]["stringValue"], told[1]["value"]["intValue"]]);
            assert_eq!(told, expected);
        }
        assert_eq!(server(Attributes::default(), ""), Attributes::default());
    }
}
