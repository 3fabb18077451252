//! Where telemetry goes: `[telemetry]` of the file, and the variables that OpenTelemetry has for it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use diogenes_api::metrics::Metrics;
use diogenes_api::proxy::Records;
use diogenes_api::telemetry::{self, Exporter, OtlpEndpoint, TelemetrySettings};
use diogenes_backends::engine::secrets;
use diogenes_core::gateway::record::Share;
use diogenes_core::ports::{Clock, Entropy};
use diogenes_core::secret::SecretRef;
use serde::Deserialize;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
const SPANS_EVERY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const MAX_WAITING: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const METRICS_EVERY: &str = "OTEL_METRIC_EXPORT_INTERVAL";
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// `[telemetry]` of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TelemetryTable {
    otlp_endpoint: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, SecretRef>,
    service_name: Option<String>,
    sample: Option<f64>,
}

/// What telemetry is configured; its secrets are yet to be read.
#[derive(Debug)]
pub(crate) struct TelemetryConfig {
    settings: TelemetrySettings,
    share: Share,
    /// Headers by their name.
    headers: BTreeMap<String, SecretRef>,
    /// Where the headers stand: `diogenes.toml:3: telemetry`.
    place: String,
}

/// What is wrong with a key of the file.
#[derive(Debug)]
pub(super) struct BadKey {
    pub(super) key: &'static str,
    pub(super) problem: String,
}

/// Why telemetry cannot be configured so.
#[derive(Debug)]
pub(super) enum Bad {
    Key(BadKey),
    Variable(anyhow::Error),
}

impl Bad {
    fn key(key: &'static str, problem: &dyn Display) -> Self {
        Self::Key(BadKey { key, problem: problem.to_string() })
    }
}

impl TelemetryTable {
    /// What it says, over what the variables say; nothing where nobody names a collector. `place`
    /// tells where a key of the file stands.
    pub(super) fn over(
        self,
        variable: impl Fn(&str) -> Option<String>,
        place: impl Fn(&str) -> String,
    ) -> Result<Option<TelemetryConfig>, Bad> {
        // Empty counts as unset, as for every other variable.
        let variable = |name| variable(name).filter(|text| !text.trim().is_empty());
        let share = Share::new(self.sample.unwrap_or(1.0));
        let share = share.map_err(|error| Bad::key("sample", &error))?;
        let endpoint = match (&self.otlp_endpoint, variable(ENDPOINT)) {
            (Some(text), _) => {
                OtlpEndpoint::parse(text).map_err(|error| Bad::key("otlp_endpoint", &error))?
            }
            (None, Some(text)) => {
                OtlpEndpoint::parse(&text).map_err(|error| bad_variable(ENDPOINT, &error))?
            }
            (None, None) => return Ok(None),
        };
        if variable(DISABLED).is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let mut settings = TelemetrySettings::new(endpoint);
        for (name, value) in pairs(HEADERS, variable(HEADERS))? {
            let set = settings.header(&name, &value);
            set.map_err(|error| bad_variable(HEADERS, &format_args!("`{name}` {error}")))?;
        }
        for name in self.headers.keys() {
            let checked = settings.header(name, "");
            checked.map_err(|error| {
                Bad::key("headers", &format_args!("names `{name}`, which {error}"))
            })?;
            settings.headers.remove(name);
        }
        let own = [
            ("service.name", TelemetrySettings::SERVICE_NAME),
            ("service.version", env!("CARGO_PKG_VERSION")),
        ];
        settings.resource = own.map(|(name, value)| (name.into(), value.into())).into();
        settings.resource.extend(pairs(RESOURCE, variable(RESOURCE))?);
        if let Some(name) = self.service_name.or_else(|| variable(SERVICE_NAME)) {
            if name.trim().is_empty() {
                return Err(Bad::key("service_name", &"is empty"));
            }
            settings.resource.insert("service.name".into(), name);
        }
        let millis = |name: &'static str, usual: Duration| match variable(name) {
            None => Ok(usual),
            Some(text) => number(name, &text).map(Duration::from_millis),
        };
        settings.timeout = millis(TIMEOUT, settings.timeout)?;
        settings.spans_every = millis(SPANS_EVERY, settings.spans_every)?;
        settings.metrics_every = millis(METRICS_EVERY, settings.metrics_every)?;
        if let Some(text) = variable(MAX_WAITING) {
            settings.max_waiting =
                usize::try_from(number(MAX_WAITING, &text)?).unwrap_or(usize::MAX);
        }
        let (headers, place) = (self.headers, place("headers"));
        Ok(Some(TelemetryConfig { settings, share, headers, place }))
    }
}

impl TelemetryConfig {
    pub(crate) fn endpoint(&self) -> &OtlpEndpoint {
        &self.settings.endpoint
    }

    /// The settings, with the secrets in them.
    ///
    /// # Errors
    /// When one of them is not where it should be.
    pub(crate) fn open(&self) -> anyhow::Result<TelemetrySettings> {
        let mut settings = self.settings.clone();
        for (name, reference) in &self.headers {
            let place = &self.place;
            let secret = secrets::read_one(reference).map_err(|problem| {
                anyhow!("{place}: the header `{name}` comes from {reference}, which {problem}")
            })?;
            settings.header(name, secret.expose()).map_err(|error| {
                anyhow!("{place}: the header `{name}` comes from {reference}, and {error}")
            })?;
        }
        Ok(settings)
    }

    /// Begins to export, as one of many that may have the same name.
    pub(super) fn start(
        &self,
        mut settings: TelemetrySettings,
        metrics: &Metrics,
        clock: &Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> anyhow::Result<(Records, Exporter)> {
        let mut random = [0; 16];
        entropy.fill(&mut random);
        let id = format!("{:032x}", u128::from_be_bytes(random));
        settings.resource.entry("service.instance.id".into()).or_insert(id);
        let (sink, exporter) = telemetry::start(&settings, metrics, clock)
            .context("the client for telemetry could not be made")?;
        tracing::info!(endpoint = %settings.endpoint, "telemetry is exported to {}", settings.endpoint);
        Ok((Records { sink, share: self.share }, exporter))
    }
}

fn bad_variable(name: &str, problem: &dyn Display) -> Bad {
    Bad::Variable(anyhow!("the environment variable `{name}` {problem}"))
}

fn number(name: &'static str, text: &str) -> Result<u64, Bad> {
    let number = text.trim().parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| bad_variable(name, &"must be a whole number greater than 0"))
}

/// Pairs as W3C Baggage writes them: `key1=value1,key2=value2`, with percent signs in values.
fn pairs(name: &str, text: Option<String>) -> Result<Vec<(String, String)>, Bad> {
    let text = text.unwrap_or_default();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let pair = part.split_once('=').filter(|(key, _)| !key.trim().is_empty());
            let pair = pair.and_then(|(key, value)| {
                Some((key.trim().to_owned(), without_percents(value.trim())?))
            });
            // It may have a secret in it.
            pair.ok_or_else(|| bad_variable(name, &"must be written `key1=value1,key2=value2`"))
        })
        .collect()
}

/// Text whose special bytes are written `%2C` (RFC 3986 §2.1).
fn without_percents(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, variables: &[(&str, &str)]) -> Result<Option<TelemetryConfig>, String> {
        let table: TelemetryTable = toml::from_str(file).expect("a table");
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        table.over(variable, |key| format!("file:{key}")).map_err(|bad| match bad {
            Bad::Key(BadKey { key, problem }) => format!("`{key}` {problem}"),
            Bad::Variable(error) => error.to_string(),
        })
    }

    fn on(file: &str, variables: &[(&str, &str)]) -> TelemetryConfig {
        read(file, variables).expect("valid").expect("on")
    }

    const HERE: &str = "otlp_endpoint = \"http://127.0.0.1:4318\"\n";

    #[test]
    fn it_is_off_until_somebody_names_a_collector() {
        assert!(read("", &[]).expect("valid").is_none());
        assert!(read("sample = 0.5", &[(ENDPOINT, " ")]).expect("valid").is_none());
        assert!(read(HERE, &[(DISABLED, "TRUE")]).expect("valid").is_none());
        assert_eq!(on(HERE, &[]).endpoint().to_string(), "http://127.0.0.1:4318");
        let elsewhere = [(ENDPOINT, "http://collector:4318")];
        assert_eq!(on("", &elsewhere).endpoint().to_string(), "http://collector:4318");
        assert_eq!(on(HERE, &elsewhere).endpoint().to_string(), "http://127.0.0.1:4318");
    }

    #[test]
    fn the_file_goes_before_the_variables() {
        let name = |config: TelemetryConfig| config.settings.resource["service.name"].clone();
        assert_eq!(name(on(HERE, &[])), "diogenes");
        let attributes = (RESOURCE, "service.name=a, deployment.environment.name=x%2Cy");
        assert_eq!(name(on(HERE, &[attributes])), "a");
        assert_eq!(name(on(HERE, &[attributes, (SERVICE_NAME, "b")])), "b");
        let file = format!("{HERE}service_name = \"c\"");
        let config = on(&file, &[attributes, (SERVICE_NAME, "b")]);
        assert_eq!(config.settings.resource["deployment.environment.name"], "x,y");
        assert_eq!(name(config), "c");
    }

    #[test]
    fn headers_of_both_are_sent_and_their_secrets_read_at_the_start() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("token");
        std::fs::write(&file, "Bearer secret\n").expect("written");
        let table = format!("{HERE}headers = {{ authorization = {{ file = {file:?} }} }}");
        let variables = [(HEADERS, "x-tenant=one,Authorization=Basic%20old")];
        let settings = on(&table, &variables).open().expect("read");
        assert_eq!(settings.headers["x-tenant"], "one");
        assert_eq!(settings.headers["authorization"], "Bearer secret");
        assert_eq!(
            on(HERE, &variables).open().expect("read").headers["authorization"],
            "Basic old"
        );
        std::fs::remove_file(&file).expect("removed");
        let error = on(&table, &[]).open().expect_err("it is gone").to_string();
        let expected = "file:headers: the header `authorization` comes from the file";
        assert!(error.starts_with(expected) && error.ends_with("does not exist"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_named_and_shows_no_secret() {
        for (file, variables, expected) in [
            (
                "sample = 2.0",
                &[][..],
                "`sample` must be between 0 and 1, such as `0.1` for a tenth",
            ),
            ("sample = nan", &[], "`sample` must be between 0 and 1, such as `0.1` for a tenth"),
            (
                "otlp_endpoint = \"127.0.0.1:4318\"",
                &[],
                "`otlp_endpoint` is not a URL; write `http://127.0.0.1:4318`",
            ),
            (
                "",
                &[(ENDPOINT, "x")],
                "the environment variable `OTEL_EXPORTER_OTLP_ENDPOINT` is not a URL; write `http://127.0.0.1:4318`",
            ),
            (
                HERE,
                &[(HEADERS, "hunter2")],
                "the environment variable `OTEL_EXPORTER_OTLP_HEADERS` must be written `key1=value1,key2=value2`",
            ),
            (
                HERE,
                &[(TIMEOUT, "10s")],
                "the environment variable `OTEL_EXPORTER_OTLP_TIMEOUT` must be a whole number greater than 0",
            ),
            (
                "otlp_endpoint = \"http://a\"\nheaders = { \"a b\" = { env = \"X\" } }",
                &[],
                "`headers` names `a b`, which is not the name of a header",
            ),
        ] {
            assert_eq!(read(file, variables).expect_err(file), expected);
        }
    }
}
