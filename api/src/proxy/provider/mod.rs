//! Services outside the fleet that host models.

mod check;
mod key;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::Timestamp;
use diogenes_core::gateway::catalog::Catalog;
use diogenes_core::gateway::{Breaker, ProviderKind, ProviderName, ProviderSpec};
use diogenes_core::name::ModelName;
use diogenes_core::ports::SecretSource;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, redirect};
use tokio::time::Instant;

use self::key::ProviderKey;
use super::upstream::{ResponseBody, SendError, UpstreamResponse};
use crate::control::ProviderCheck;
use crate::metrics::{Metrics, ModelMetrics};

/// What a provider may know of a request, besides its body. Everything else may tell of the caller.
const PASSED_ON: [HeaderName; 2] = [ACCEPT, CONTENT_TYPE];
const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version of Anthropic's API where the caller names none: the newest for years.
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// The providers, and what is known of how they fare.
#[derive(Default)]
pub(super) struct Providers {
    by_name: BTreeMap<ProviderName, Arc<Provider>>,
    /// The targets of routes by name; other models of a provider share what is known of it.
    targets: BTreeMap<ModelName, Arc<Standing>>,
}

/// One provider.
struct Provider {
    name: ProviderName,
    spec: ProviderSpec,
    /// None where it asks for none.
    key: Option<ProviderKey>,
    client: reqwest::Client,
    standing: Arc<Standing>,
}

/// How requests to a target have fared.
struct Standing {
    metrics: Arc<ModelMetrics>,
    breaker: Mutex<Breaker>,
}

/// A provider that cannot be asked: the machine has no certificates, say.
#[derive(Debug, thiserror::Error)]
#[error("the client of the provider `{provider}` could not be made")]
pub struct ProviderError {
    provider: ProviderName,
    source: reqwest::Error,
}

/// A model of a provider.
#[derive(Clone)]
pub(crate) struct Hosted {
    /// As callers know it: `openai/gpt-5-mini`.
    pub(crate) name: ModelName,
    /// `x-diogenes-target`.
    pub(super) label: HeaderValue,
    provider: Arc<Provider>,
    standing: Arc<Standing>,
}

impl fmt::Debug for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hosted").field(&self.name).finish()
    }
}

impl Standing {
    fn new(metrics: &Metrics, name: &ModelName) -> Arc<Self> {
        let metrics = Arc::new(metrics.for_model(name));
        Arc::new(Self { metrics, breaker: Mutex::default() })
    }
}

impl Providers {
    /// The providers of a catalog. What is known of those that stand `before` is kept.
    pub(super) fn new(
        catalog: &Catalog,
        before: &Self,
        secrets: &Arc<dyn SecretSource>,
        metrics: &Metrics,
    ) -> Result<Self, ProviderError> {
        let mut all = Self::default();
        for (name, listed) in &catalog.providers {
            let known = before.by_name.get(name);
            let unchanged = known.filter(|known| known.spec == listed.spec);
            let provider = if let Some(unchanged) = unchanged {
                unchanged.clone()
            } else {
                // Callers choose the names of models, which must not grow into ever more series.
                let Ok(others) = ModelName::from_str(&format!("{name}/others")) else { continue };
                let standing = known.map(|known| known.standing.clone());
                let standing = standing.unwrap_or_else(|| Standing::new(metrics, &others));
                let provider = Provider::new(name, &listed.spec, secrets, standing);
                let error = |source| ProviderError { provider: name.clone(), source };
                Arc::new(provider.map_err(error)?)
            };
            all.by_name.insert(name.clone(), provider);
        }
        let names: BTreeSet<_> =
            catalog.routes.values().flat_map(|route| route.spec.models()).collect();
        for name in names {
            if all.hosted(name.as_str()).is_some() {
                let known = before.targets.get(name).cloned();
                let standing = known.unwrap_or_else(|| Standing::new(metrics, name));
                all.targets.insert(name.clone(), standing);
            }
        }
        Ok(all)
    }

    /// The model of a provider that this name stands for, where no model of the fleet has it.
    pub(super) fn hosted(&self, name: &str) -> Option<Hosted> {
        let (prefix, model) = name.split_once('/')?;
        let provider = self.by_name.iter().find(|(known, _)| known.as_str() == prefix)?.1;
        let name = ModelName::from_str(name).ok().filter(|_| !model.is_empty())?;
        let standing = self.targets.get(&name).unwrap_or(&provider.standing).clone();
        let label = HeaderValue::from_str(provider.name.as_str()).ok()?;
        Some(Hosted { name, label, provider: provider.clone(), standing })
    }

    /// A check of a provider, to be awaited; none if it does not exist.
    pub(super) fn check(
        &self,
        name: &ProviderName,
    ) -> Option<impl Future<Output = ProviderCheck> + Send + 'static> {
        let provider = self.by_name.get(name)?.clone();
        Some(async move { provider.check().await })
    }
}

impl Provider {
    fn new(
        name: &ProviderName,
        spec: &ProviderSpec,
        secrets: &Arc<dyn SecretSource>,
        standing: Arc<Standing>,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(spec.connect_timeout)
            .redirect(redirect::Policy::none())
            // What the tests of answers that break off are about. Others who use the library in the same
            // program may have HTTP/2 compiled in.
            .http1_only()
            .user_agent(concat!("diogenes/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let reference = spec.api_key.clone();
        let key = reference.map(|key| ProviderKey::new(key, spec.kind, secrets.clone()));
        Ok(Self { name: name.clone(), spec: spec.clone(), key, client, standing })
    }

    /// The request with the API key, if there is one.
    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match self.key.as_ref().and_then(ProviderKey::header) {
            Some((name, key)) => request.header(name, key),
            None => request,
        }
    }
}

impl Hosted {
    pub(super) fn metrics(&self) -> &Arc<ModelMetrics> {
        &self.standing.metrics
    }

    pub(super) fn provider(&self) -> &ProviderName {
        &self.provider.name
    }

    pub(super) fn spec(&self) -> &ProviderSpec {
        &self.provider.spec
    }

    /// The name that the provider knows it by.
    pub(super) fn model(&self) -> &str {
        self.name.as_str().split_once('/').map_or("", |(_, model)| model)
    }

    /// Whether two names lead to the same model.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.name == other.name
    }

    /// Whether a text of the provider gives away the key that it was shown.
    pub(super) fn gives_away(&self, text: &[u8]) -> bool {
        self.provider.key.as_ref().is_some_and(|key| key.is_in(text))
    }

    /// Makes sure that its key is known, if it asks for one.
    ///
    /// # Errors
    /// Where the key should be, and what is wrong with it there.
    pub(super) async fn ready(&self) -> Result<(), String> {
        match &self.provider.key {
            Some(key) => key.ready().await,
            None => Ok(()),
        }
    }

    /// It has refused the key.
    pub(super) fn key_refused(&self) {
        if let Some(key) = &self.provider.key {
            key.refused();
        }
    }

    /// From when on requests may be sent.
    pub(super) fn opens_at(&self) -> Option<Timestamp> {
        self.breaker(|breaker| breaker.opens_at())
    }

    pub(super) fn begin(&self, now: Timestamp) {
        self.breaker(|breaker| breaker.begin(now));
    }

    pub(super) fn succeeded(&self) {
        self.breaker(Breaker::succeeded);
    }

    pub(super) fn failed(&self, now: Timestamp, wish: Option<Duration>) {
        self.breaker(|breaker| breaker.failed(now, wish));
    }

    fn breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        act(&mut self.standing.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends a request, and waits for the head of its answer. `path` is that of the endpoint here.
    /// Of `headers` a provider gets few, and no `traceparent` but ours.
    pub(super) async fn send(
        &self,
        path: &str,
        headers: &HeaderMap,
        traceparent: Option<&HeaderValue>,
        body: Bytes,
        stream: bool,
    ) -> Result<UpstreamResponse, SendError> {
        let spec = &self.provider.spec;
        let ends = Instant::now() + spec.timeout;
        let mut request = self.provider.client.post(spec.url_of(path)).body(body);
        for name in PASSED_ON {
            if let Some(value) = headers.get(&name) {
                request = request.header(name, value.clone());
            }
        }
        if let Some(field) = traceparent {
            request = request.header("traceparent", field.clone());
        }
        request = self.provider.authorized(request);
        match spec.kind {
            ProviderKind::OpenAi => {
                if let Some(beta) = headers.get(&OPENAI_BETA) {
                    request = request.header(OPENAI_BETA, beta.clone());
                }
            }
            ProviderKind::Anthropic => {
                for beta in headers.get_all(&ANTHROPIC_BETA) {
                    request = request.header(ANTHROPIC_BETA, beta.clone());
                }
                let version = headers.get(&ANTHROPIC_VERSION).cloned();
                request = request.header(ANTHROPIC_VERSION, version.unwrap_or(DEFAULT_VERSION));
            }
        }
        let begins = if stream { Instant::now() + spec.first_byte_timeout } else { ends };
        let answer = tokio::time::timeout_at(begins.min(ends), request.send()).await;
        let answer = answer.map_err(|_| SendError::TimedOut)?.map_err(send_error)?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        let tells = |(name, value): (&HeaderName, &HeaderValue)| {
            self.gives_away(value.as_bytes()).then(|| name.clone())
        };
        for name in headers.iter().filter_map(tells).collect::<Vec<_>>() {
            headers.remove(name);
        }
        let body = ResponseBody::hosted(answer, spec.stall_timeout, ends);
        Ok(UpstreamResponse { status, headers, body })
    }
}

fn send_error(error: reqwest::Error) -> SendError {
    // The URL may be the operator's secret, as some providers' keys stand in it.
    let error = error.without_url();
    if error.is_connect() {
        SendError::Connect(std::io::Error::other(error))
    } else if error.is_timeout() {
        SendError::TimedOut
    } else {
        SendError::Closed(Some(std::io::Error::other(error)))
    }
}
