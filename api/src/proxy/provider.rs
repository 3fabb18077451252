//! Services outside the fleet that host models.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::Timestamp;
use diogenes_core::entity::StoreExt as _;
use diogenes_core::fleet::NameClaim;
use diogenes_core::gateway::{
    Breaker, ProviderKind, ProviderName, ProviderSpec, RouteSpec, Routes,
};
use diogenes_core::name::ModelName;
use diogenes_core::ports::{StateStore, StoreError};
use diogenes_core::secret::Secret;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect;
use tokio::time::Instant;

use super::upstream::{ResponseBody, SendError, UpstreamResponse};
use crate::metrics::{Metrics, ModelMetrics};

/// What a provider may know of a request, besides its body. Everything else may tell of the caller.
const PASSED_ON: [HeaderName; 2] = [ACCEPT, CONTENT_TYPE];
const OPENAI_BETA: HeaderName = HeaderName::from_static("openai-beta");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");
const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The version of Anthropic's API where the caller names none: the newest for years.
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// The providers, and what is known of how they fare.
#[derive(Default)]
pub struct Providers {
    by_name: BTreeMap<ProviderName, Arc<Provider>>,
    /// The targets of routes by name; other models of a provider share what is known of it.
    targets: BTreeMap<ModelName, Arc<Standing>>,
    store: Option<Arc<dyn StateStore>>,
}

/// One provider.
struct Provider {
    name: ProviderName,
    spec: ProviderSpec,
    key: Option<Secret>,
    /// How the key is shown.
    auth: Option<(HeaderName, HeaderValue)>,
    client: reqwest::Client,
    standing: Arc<Standing>,
}

/// How requests to a target have fared.
struct Standing {
    metrics: Arc<ModelMetrics>,
    breaker: Mutex<Breaker>,
}

/// A provider that cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The machine has no certificates, say.
    #[error("the client of the provider `{provider}` could not be made")]
    NoClient {
        /// The provider.
        provider: ProviderName,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// Its API key could not stand in a header.
    #[error("the API key of the provider `{0}` has characters that no key has; see `api_key`")]
    BadKey(ProviderName),
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
    /// Providers with their API keys, as far as they ask for one. `store` tells which names have
    /// belonged to models of the fleet.
    ///
    /// # Errors
    /// See [`ProviderError`].
    pub fn new(
        specs: impl IntoIterator<Item = (ProviderName, ProviderSpec, Option<Secret>)>,
        routes: &Routes,
        store: Arc<dyn StateStore>,
        metrics: &Metrics,
    ) -> Result<Self, ProviderError> {
        let mut by_name = BTreeMap::new();
        for (name, spec, key) in specs {
            let client = reqwest::Client::builder()
                .connect_timeout(spec.connect_timeout)
                .redirect(redirect::Policy::none())
                .user_agent(concat!("diogenes/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|source| ProviderError::NoClient { provider: name.clone(), source })?;
            let auth = key.as_ref().map(|key| authorization(spec.kind, key));
            let auth = auth.transpose().map_err(|_| ProviderError::BadKey(name.clone()))?;
            // Callers choose the names of models, which must not grow into ever more series.
            let Ok(all) = ModelName::from_str(&format!("{name}/others")) else { continue };
            let standing = Standing::new(metrics, &all);
            let provider = Provider { name: name.clone(), spec, key, auth, client, standing };
            by_name.insert(name, Arc::new(provider));
        }
        let mut all = Self { by_name, targets: BTreeMap::new(), store: Some(store) };
        let names: BTreeSet<_> = routes.values().flat_map(RouteSpec::models).collect();
        for name in names {
            if all.hosted(name.as_str()).is_some() {
                all.targets.insert(name.clone(), Standing::new(metrics, name));
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

    /// Whether this name has belonged to a model of the fleet. Its requests must not leave for a
    /// provider just because the model was deleted.
    pub(super) async fn was_a_model(&self, name: &ModelName) -> Result<bool, StoreError> {
        let Some(store) = &self.store else { return Ok(false) };
        Ok(store.load::<NameClaim>(&NameClaim::key_of(name)).await?.is_some())
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
        let key = self.provider.key.as_ref().map(Secret::expose).filter(|key| !key.is_empty());
        key.is_some_and(|key| memchr::memmem::find(text, key.as_bytes()).is_some())
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
    pub(super) async fn send(
        &self,
        path: &str,
        headers: &HeaderMap,
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
        if let Some((name, key)) = &self.provider.auth {
            request = request.header(name, key);
        }
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
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = ResponseBody::hosted(answer, spec.stall_timeout, ends);
        Ok(UpstreamResponse { status, headers, body })
    }
}

/// The header that shows a key.
fn authorization(
    kind: ProviderKind,
    key: &Secret,
) -> Result<(HeaderName, HeaderValue), InvalidHeaderValue> {
    let (name, value) = match kind {
        ProviderKind::OpenAi => {
            (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", key.expose())))
        }
        ProviderKind::Anthropic => (X_API_KEY, HeaderValue::from_str(key.expose())),
    };
    let mut value = value?;
    // What is sensitive shows in no log.
    value.set_sensitive(true);
    Ok((name, value))
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
