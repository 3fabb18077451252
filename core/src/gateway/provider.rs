use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use url::Url;

use crate::duration;
use crate::fleet::ResponsesApi;
use crate::secret::SecretRef;

/// A service outside the fleet that hosts models, such as OpenAI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ProviderSpec {
    /// What it speaks.
    pub kind: ProviderKind,
    /// Where its API begins: `https://api.openai.com/v1`. Without a path, `/v1` is meant.
    pub base_url: String,
    /// Who serves `/v1/responses`; where it says nothing, the provider does if it is OpenAI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub responses: Option<ResponsesApi>,
    /// Where its API key is kept; none where it asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::secret::schema))]
    pub api_key: Option<SecretRef>,
    /// How long a connection may take to be made.
    #[serde(default = "ten_seconds", with = "crate::duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub connect_timeout: Duration,
    /// How long a stream may take to begin.
    #[serde(default = "a_minute", with = "crate::duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub first_byte_timeout: Duration,
    /// How long a stream may pause.
    #[serde(default = "a_minute", with = "crate::duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub stall_timeout: Duration,
    /// How long an answer may take in all, streamed or not.
    #[serde(default = "ten_minutes", with = "crate::duration")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub timeout: Duration,
    /// The most tokens of an answer where a request does not say. Anthropic's API wants to know.
    #[serde(default = "default_max_tokens")]
    pub default_max_tokens: u64,
}

fn default_max_tokens() -> u64 {
    ProviderSpec::DEFAULT_MAX_TOKENS
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

fn a_minute() -> Duration {
    Duration::from_mins(1)
}

/// As both official clients of OpenAI.
fn ten_minutes() -> Duration {
    Duration::from_mins(10)
}

/// What a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// OpenAI's API, as many others speak it too.
    #[serde(rename = "openai")]
    OpenAi,
    /// Anthropic's Messages API.
    Anthropic,
}

impl ProviderKind {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}

/// A provider that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct InvalidProvider {
    /// The field of the provider.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl ProviderSpec {
    /// Small enough for every model that is offered, large enough for most answers.
    pub const DEFAULT_MAX_TOKENS: u64 = 8192;

    /// Whether it has `/v1/responses`.
    pub fn has_responses(&self) -> bool {
        let is_openai = || self.base_url.starts_with("https://api.openai.com");
        match (self.kind, self.responses) {
            (ProviderKind::Anthropic, _) => false,
            (ProviderKind::OpenAi, Some(by)) => by == ResponsesApi::Native,
            (ProviderKind::OpenAi, None) => is_openai(),
        }
    }

    /// Where an endpoint is, such as `/v1/chat/completions`.
    pub fn url_of(&self, endpoint: &str) -> String {
        let base = self.base_url.trim_end_matches('/');
        let has_path = base.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        let path =
            if has_path { endpoint.strip_prefix("/v1").unwrap_or(endpoint) } else { endpoint };
        format!("{base}{path}")
    }

    /// Checks what serde cannot.
    pub fn validate(&self) -> Result<(), InvalidProvider> {
        let invalid = |field, problem| Err(InvalidProvider { field, problem });
        let rest =
            ["https://", "http://"].iter().find_map(|scheme| self.base_url.strip_prefix(scheme));
        let Some(rest) = rest else {
            return invalid("base_url", "must begin with `https://` or `http://`");
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return invalid("base_url", "must not contain credentials; set `api_key`");
        }
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if host.is_empty() || host.starts_with(':') || !host.bytes().all(is_of_host) {
            return invalid("base_url", "has no host; write `https://api.example.com/v1`");
        }
        // What is left are forms that only look right, such as a port above 65535.
        if Url::parse(&self.base_url).is_err() {
            return invalid("base_url", "is not a URL; write `https://api.example.com/v1`");
        }
        if path.contains(['?', '#']) || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return invalid(
                "base_url",
                "must end with its path, such as `/v1`, without a query or a fragment",
            );
        }
        if let Some(SecretRef::Env(name)) = &self.api_key
            && (name.starts_with(|first: char| first.is_ascii_digit())
                || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        {
            // It may be the key itself.
            return invalid("api_key", "must name a variable, such as `OPENAI_API_KEY`");
        }
        let timeouts = [
            ("connect_timeout", self.connect_timeout),
            ("first_byte_timeout", self.first_byte_timeout),
            ("stall_timeout", self.stall_timeout),
            ("timeout", self.timeout),
        ];
        for (field, timeout) in timeouts {
            if timeout.is_zero() {
                return invalid(field, "must be longer than 0");
            }
            if timeout > duration::LONGEST {
                return invalid(field, "must be at most a year");
            }
        }
        if self.default_max_tokens == 0 {
            return invalid("default_max_tokens", "must be greater than 0");
        }
        Ok(())
    }
}

/// The name of a provider: what stands before the first `/` of the names of its models.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ProviderName(String);

impl ProviderName {
    /// As it stands before the `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that names no provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a name for a provider; use 1 to 40 lower-case letters, digits and `-`, with no `-` at the beginning"
)]
pub struct InvalidProviderName(String);

impl TryFrom<String> for ProviderName {
    type Error = InvalidProviderName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for ProviderName {
    type Err = InvalidProviderName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let may_stand =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        // A name of a model begins with a letter or digit, and an argument must not look like a flag.
        let is_name =
            (1..=40).contains(&text.len()) && text.bytes().all(may_stand) && !text.starts_with('-');
        is_name.then(|| Self(text.into())).ok_or_else(|| InvalidProviderName(text.into()))
    }
}

/// The providers by name.
pub type ProviderSpecs = BTreeMap<ProviderName, ProviderSpec>;

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(base_url: &str) -> ProviderSpec {
        let spec = serde_json::json!({"kind": "openai", "base_url": base_url});
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn a_base_url_is_a_host_and_a_path() {
        for good in [
            "https://api.openai.com/v1",
            "https://api.openai.com/v1/",
            "http://127.0.0.1:8000",
            "http://[::1]:8000/v1",
            "https://example.com/openai/deployments/x",
        ] {
            assert_eq!(spec(good).validate(), Ok(()), "{good}");
        }
        for (bad, part) in [
            ("api.openai.com/v1", "must begin with"),
            ("ftp://api.openai.com", "must begin with"),
            ("https://", "has no host"),
            ("https:///v1", "has no host"),
            ("https://:443/v1", "has no host"),
            ("https://example.com:70000/v1", "not a URL"),
            ("https://[/v1", "not a URL"),
            ("https://a b/v1", "has no host"),
            ("https://key@example.com/v1", "credentials"),
            ("https://example.com/v1?key=1", "must end with its path"),
        ] {
            let error = spec(bad).validate().unwrap_err().to_string();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn an_endpoint_is_below_the_base_url_or_below_v1() {
        for (base, url) in [
            ("https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
            ("https://api.anthropic.com/", "https://api.anthropic.com/v1/messages"),
            ("https://api.anthropic.com/v1/", "https://api.anthropic.com/v1/messages"),
            ("https://example.com/openai/x", "https://example.com/openai/x/messages"),
        ] {
            assert_eq!(spec(base).url_of("/v1/messages"), url);
        }
    }

    #[test]
    fn only_openai_is_taken_to_have_responses_unless_told() {
        assert!(spec("https://api.openai.com/v1").has_responses());
        let mut spec = spec("https://example.com");
        assert!(!spec.has_responses());
        spec.responses = Some(ResponsesApi::Native);
        assert!(spec.has_responses());
        spec.kind = ProviderKind::Anthropic;
        assert!(!spec.has_responses());
    }

    #[test]
    fn timeouts_have_defaults_and_none_is_zero() {
        let mut spec = spec("https://example.com");
        assert_eq!((spec.stall_timeout, spec.timeout), (a_minute(), ten_minutes()));
        spec.stall_timeout = Duration::ZERO;
        assert_eq!(spec.validate().unwrap_err().field, "stall_timeout");
        spec.stall_timeout = Duration::from_hours(24 * 367);
        assert_eq!(spec.validate().unwrap_err().problem, "must be at most a year");
        spec.stall_timeout = a_minute();
        spec.default_max_tokens = 0;
        assert_eq!(spec.validate().unwrap_err().field, "default_max_tokens");
    }

    #[test]
    fn a_key_is_a_reference_and_never_the_key() {
        let with = |api_key| {
            serde_json::from_value::<ProviderSpec>(serde_json::json!({
                "kind": "openai", "base_url": "https://example.com", "api_key": api_key
            }))
        };
        assert!(with(serde_json::json!({"env": "OPENAI_API_KEY"})).unwrap().validate().is_ok());
        for key in ["sk-proj-abc", "4ever", "a.b"] {
            let error = with(serde_json::json!({ "env": key })).unwrap().validate().unwrap_err();
            assert!(error.field == "api_key" && !error.to_string().contains(key), "{error}");
        }
        let error = with(serde_json::json!("sk-secret")).unwrap_err().to_string();
        assert!(!error.contains("sk-secret"), "{error}");
    }

    #[test]
    fn names_are_short_and_plain() {
        for good in ["openai", "my-azure", "x1"] {
            assert!(good.parse::<ProviderName>().is_ok(), "{good}");
        }
        for bad in ["", "-", "-x", "OpenAI", "a/b", "a b", "ä", &"x".repeat(41)] {
            assert!(bad.parse::<ProviderName>().is_err(), "{bad}");
        }
    }
}
