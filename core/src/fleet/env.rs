//! The values of an inference server's environment.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::fleet::SpecError;
use crate::secret::{Secret, SecretRef};

/// Variables of an inference server's environment, by name.
pub type Env = BTreeMap<String, EnvValue>;

/// The value of a variable: text, or where the text is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// The value itself. It may well be a secret, so nothing prints it.
    Plain(Secret),
    /// Where the value is read when the server starts.
    Reference(SecretRef),
}

impl EnvValue {
    /// What answers show in place of [`Plain`](Self::Plain) text. Whoever sends it back keeps the
    /// text that stands; see
    /// [`ModelSpec::unmasked`](crate::fleet::ModelSpec::unmasked).
    pub const MASK: &'static str = "***";

    /// The value, where it is not kept elsewhere.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text.expose()),
            Self::Reference(_) => None,
        }
    }

    /// Where the value is kept, if elsewhere.
    pub fn reference(&self) -> Option<&SecretRef> {
        match self {
            Self::Plain(_) => None,
            Self::Reference(reference) => Some(reference),
        }
    }

    /// Whether an answer has hidden the value.
    pub fn is_masked(&self) -> bool {
        self.plain() == Some(Self::MASK)
    }

    /// The value as an answer shows it.
    #[must_use]
    pub fn masked(&self) -> Self {
        match self {
            Self::Plain(_) => Self::MASK.into(),
            Self::Reference(reference) => reference.clone().into(),
        }
    }
}

/// `sent`, with every mask replaced by the plain text that stands under its name. A mask that
/// hides nothing is refused, rather than taken for the value.
pub(super) fn unmask(sent: &Env, standing: Option<&Env>) -> Result<Env, SpecError> {
    let unmasked = |(name, value): (&String, &EnvValue)| {
        if !value.is_masked() {
            return Ok((name.clone(), value.clone()));
        }
        let kept = standing.and_then(|env| env.get(name)).filter(|value| value.plain().is_some());
        let kept = kept.ok_or_else(|| SpecError {
            field: "env",
            problem: format!(
                "has `{mask}` as the value of `{name}`: that is how answers hide a value, and the \
                 model has no value to keep; send the value, or a reference such as {{\"env\": \
                 \"{name}\"}}",
                mask = EnvValue::MASK
            ),
        })?;
        Ok((name.clone(), kept.clone()))
    };
    sent.iter().map(unmasked).collect()
}

impl From<&str> for EnvValue {
    fn from(text: &str) -> Self {
        Self::Plain(Secret::new(text))
    }
}

impl From<String> for EnvValue {
    fn from(text: String) -> Self {
        Self::Plain(Secret::new(text))
    }
}

impl From<SecretRef> for EnvValue {
    fn from(reference: SecretRef) -> Self {
        Self::Reference(reference)
    }
}

impl<'de> Deserialize<'de> for EnvValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextOrReference)
    }
}

struct TextOrReference;

impl<'de> Visitor<'de> for TextOrReference {
    type Value = EnvValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or a reference with one of `env`, `file` and `ssm`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<EnvValue, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<EnvValue, E> {
        Ok(text.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EnvValue, A::Error> {
        SecretRef::deserialize(MapAccessDeserializer::new(map)).map(EnvValue::Reference)
    }
}

/// The schema of [`Env`].
#[cfg(feature = "openapi")]
pub(super) fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Type};
    use utoipa::openapi::{RefOr, Schema};

    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[^\\x00]*$"));
    let forms = OneOfBuilder::new().item(text);
    let value = crate::secret::forms(forms).description(Some(
        "Text, or where the text is kept. Answers show `***` for text; sent back, `***` keeps the \
         text that is set.",
    ));
    let value = RefOr::T(Schema::OneOf(value.build()));
    let object = ObjectBuilder::new().schema_type(Type::Object);
    object.additional_properties(Some(AdditionalProperties::RefOr(value))).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn env(json: serde_json::Value) -> Env {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_value_is_text_or_one_reference() {
        let json = json!({
            "A": "plain", "B": {"env": "HF_TOKEN"}, "C": {"file": "/run/token"},
            "D": {"ssm": "/diogenes/prod/token"},
        });
        let read = env(json.clone());
        assert_eq!(read["A"].plain(), Some("plain"));
        assert_eq!(read["B"].reference(), Some(&SecretRef::Env("HF_TOKEN".into())));
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
    }

    #[test]
    fn a_reference_that_refers_to_nothing_is_refused() {
        for (value, part) in [
            (json!(7), "expected a string, or a reference with one of"),
            (json!({}), "a reference has exactly one of"),
            (json!({"env": "A", "file": "/b"}), "a reference has exactly one of"),
            (json!({"vault": "a"}), "unknown reference `vault`, expected `env`, `file` or `ssm`"),
            (json!({"env": ""}), "`env` must be the name of a variable"),
            (json!({"env": "A=B"}), "`env` must be the name of a variable"),
            (json!({"file": "token"}), "`file` must be an absolute path"),
            (json!({"ssm": "token"}), "`ssm` must be the full name of a parameter"),
            (json!({"ssm": "/a//b"}), "`ssm` must be the full name of a parameter"),
            (json!({"ssm": "/a b"}), "`ssm` must be the full name of a parameter"),
            (json!({"ssm": 1}), "invalid type"),
        ] {
            let error = serde_json::from_value::<EnvValue>(value.clone()).unwrap_err();
            assert!(error.to_string().contains(part), "{value}: {error}");
        }
    }

    #[test]
    fn nothing_prints_plain_text() {
        let value = EnvValue::from("hf_secret");
        assert!(!format!("{value:?}").contains("hf_secret"));
        assert_eq!(value.masked().plain(), Some("***"));
        let reference = EnvValue::from(SecretRef::Env("HF_TOKEN".into()));
        assert_eq!(reference.masked(), reference, "a reference is not a secret");
    }

    #[test]
    fn a_mask_keeps_what_stands() {
        let standing = env(json!({"A": "1", "B": {"env": "X"}}));
        let sent = env(json!({"A": "***", "C": "3"}));
        assert_eq!(unmask(&sent, Some(&standing)), Ok(env(json!({"A": "1", "C": "3"}))));
        for (sent, standing) in [
            (json!({"A": "***"}), None),
            (json!({"Z": "***"}), Some(&standing)),
            // A reference is shown, so nobody has to send a mask for it.
            (json!({"B": "***"}), Some(&standing)),
        ] {
            let error = unmask(&env(sent), standing).unwrap_err().to_string();
            assert!(error.starts_with("`env` has `***` as the value of"), "{error}");
        }
    }
}
