use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;

/// Where telemetry goes, and when.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// Where the collector is.
    pub endpoint: OtlpEndpoint,
    /// What it wants to be sent along, such as an API key.
    pub headers: HeaderMap,
    /// Who we are: `service.name` and so on.
    pub resource: BTreeMap<String, String>,
    /// How long spans wait for others to be sent with.
    pub spans_every: Duration,
    /// How many requests wait at most until their spans can be sent.
    pub max_waiting: usize,
    /// How often metrics are sent.
    pub metrics_every: Duration,
    /// How long the collector may take to answer.
    pub timeout: Duration,
}

impl TelemetrySettings {
    /// The name of the service unless told otherwise.
    pub const SERVICE_NAME: &str = "diogenes";

    /// The usual ones, which are those of OpenTelemetry's SDKs.
    pub fn new(endpoint: OtlpEndpoint) -> Self {
        Self {
            endpoint,
            headers: HeaderMap::new(),
            resource: BTreeMap::new(),
            spans_every: Duration::from_secs(5),
            max_waiting: 2048,
            metrics_every: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
        }
    }

    /// Adds a header. Its value shows in no log.
    ///
    /// # Errors
    /// When it is none that HTTP has.
    pub fn header(&mut self, name: &str, value: &str) -> Result<(), InvalidSetting> {
        let name: HeaderName =
            name.parse().map_err(|_| InvalidSetting("is not the name of a header"))?;
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| InvalidSetting("has a value with line breaks or control characters"))?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }
}

/// What is wrong with a setting, behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSetting(&'static str);

/// The base URL of a collector: `http://127.0.0.1:4318`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint(Url);

impl OtlpEndpoint {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let url = Url::parse(text).ok().filter(Url::has_host);
        let url = url.ok_or(InvalidSetting("is not a URL; write `http://127.0.0.1:4318`"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidSetting("must begin with `http://` or `https://`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidSetting("must not contain credentials; set `headers`"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidSetting("must not have anything behind its path"));
        }
        Ok(Self(url))
    }

    /// Where a signal goes: `traces` or `metrics`.
    pub(super) fn url_of(&self, signal: &str) -> String {
        format!("{}/v1/{signal}", self.0.as_str().trim_end_matches('/'))
    }

    /// Whether it is on this machine, where no proxy leads.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for OtlpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_url() {
        for (text, traces) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
            ("https://otlp.example.com/otlp", "https://otlp.example.com/otlp/v1/traces"),
        ] {
            assert_eq!(OtlpEndpoint::parse(text).unwrap().url_of("traces"), traces);
        }
        for (bad, part) in [
            ("127.0.0.1:4318", "is not a URL"),
            ("localhost:4318", "is not a URL"),
            ("", "is not a URL"),
            ("grpc://127.0.0.1:4317", "must begin with"),
            ("http://", "is not a URL"),
            ("http://a:b@127.0.0.1", "credentials"),
            ("http://127.0.0.1?x=1", "behind its path"),
        ] {
            let error = OtlpEndpoint::parse(bad).unwrap_err().to_string();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn no_proxy_leads_to_this_machine() {
        for (url, is_loopback) in [
            ("http://127.0.0.1:4318", true),
            ("http://[::1]:4318", true),
            ("http://localhost:4318", true),
            ("http://10.0.0.1:4318", false),
            ("https://example.com", false),
        ] {
            assert_eq!(OtlpEndpoint::parse(url).unwrap().is_loopback(), is_loopback, "{url}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_header() {
        let endpoint = OtlpEndpoint::parse("http://127.0.0.1:4318").unwrap();
        let mut settings = TelemetrySettings::new(endpoint);
        settings.header("authorization", "Bearer hunter2").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(settings.header("a b", "x").is_err());
        assert!(settings.header("a", "x\ny").is_err());
    }
}
