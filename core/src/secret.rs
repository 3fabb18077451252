//! Text that must not be printed, and where such text is kept.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A secret: `Debug` shows none of it. It is written to the store as it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret is kept: `{"env": "HF_TOKEN"}`, `{"file": "/run/secrets/token"}` or
/// `{"ssm": "/diogenes/prod/token"}`. Records and answers carry the reference, never what it
/// refers to; it is resolved where the secret is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// A variable in the environment of the program that uses the secret.
    Env(String),
    /// A file on the machine that uses it. One line feed at its end does not count.
    File(String),
    /// A parameter of AWS Systems Manager, by its full name.
    Ssm(String),
}

impl SecretRef {
    /// The reference that is written `{kind: name}`.
    pub fn new(kind: &str, name: String) -> Result<Self, InvalidReference> {
        let (reference, rule) = match kind {
            "env" => (Self::Env(name), "must be the name of a variable"),
            "file" => (Self::File(name), "must be an absolute path"),
            "ssm" => (
                Self::Ssm(name),
                "must be the full name of a parameter, such as `/diogenes/prod/token`",
            ),
            _ => return Err(InvalidReference::Kind(kind.to_owned())),
        };
        if reference.is_sound() {
            Ok(reference)
        } else {
            Err(InvalidReference::Name { kind: kind.to_owned(), rule })
        }
    }

    fn is_sound(&self) -> bool {
        match self {
            Self::Env(name) => !name.is_empty() && !name.contains(['=', '\0']),
            Self::File(path) => path.starts_with('/') && !path.contains('\0'),
            // https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
            Self::Ssm(name) => {
                let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte);
                name.len() <= 1011
                    && name.bytes().all(may_stand)
                    && name.strip_prefix('/').is_some_and(|rest| {
                        !rest.is_empty() && rest.split('/').all(|part| !part.is_empty())
                    })
            }
        }
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reference)
    }
}

struct Reference;

impl<'de> Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference with one of `env`, `file` and `ssm`")
    }

    // The usual error would print the text, which may be the secret itself.
    fn visit_str<E: Error>(self, _: &str) -> Result<SecretRef, E> {
        Err(E::custom(
            "is text; name where the secret is kept instead: { env = \"NAME\" } or { file = \"/path\" }",
        ))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let one = || A::Error::custom("a reference has exactly one of `env`, `file` and `ssm`");
        let (kind, name) = map.next_entry::<String, String>()?.ok_or_else(one)?;
        let reference = SecretRef::new(&kind, name).map_err(A::Error::custom)?;
        match map.next_key::<String>()? {
            None => Ok(reference),
            Some(_) => Err(one()),
        }
    }
}

/// "the file `/run/secrets/token`", as the subject or the object of a sentence.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => write!(f, "the file `{path}`"),
            Self::Ssm(name) => write!(f, "the SSM parameter `{name}`"),
        }
    }
}

/// A reference that refers to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    /// Nobody keeps secrets there.
    #[error("unknown reference `{0}`, expected `env`, `file` or `ssm`")]
    Kind(String),
    /// What it names cannot exist.
    #[error("`{kind}` {rule}")]
    Name {
        /// `env`, `file` or `ssm`.
        kind: String,
        /// What it must be.
        rule: &'static str,
    },
}

/// The schema of [`SecretRef`].
#[cfg(feature = "openapi")]
pub(crate) fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    let forms = forms(utoipa::openapi::schema::OneOfBuilder::new());
    forms.description(Some("Where the API key is kept; the key itself is refused.")).into()
}

/// Adds the forms of a reference to those of a value.
#[cfg(feature = "openapi")]
pub(crate) fn forms(
    of: utoipa::openapi::schema::OneOfBuilder,
) -> utoipa::openapi::schema::OneOfBuilder {
    use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Type};

    let reference = |kind, pattern, description| {
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .property(kind, text)
            .required(kind)
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .description(Some(description))
    };
    of.item(reference("env", "^[^=\\x00]+$", "A variable of the program that uses it."))
        .item(reference("file", "^/[^\\x00]*$", "A file on the machine that uses it."))
        .item(reference("ssm", "^(/[A-Za-z0-9_.-]+)+$", "An SSM parameter; on AWS only."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_a_secret() {
        let secret = Secret::new("hunter2");
        for shown in [format!("{secret:?}"), format!("{secret:#?}"), format!("{:?}", Some(&secret))]
        {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(secret.expose(), "hunter2");
    }
}
