//! The way of telemetry to a collector.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::causes::root;
use diogenes_core::ports::Clock;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::{Client, Response, redirect};
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;

use super::settings::TelemetrySettings;
use crate::proxy::retry_after;
use crate::request_id::unique;

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// The pause before the second try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The shortest pause, where the collector asks for none.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, also where the collector asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often something is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Once,
    /// Until so long has passed.
    For(Duration),
}

/// The way of one signal.
pub(super) struct Delivery {
    client: Client,
    /// `traces` or `metrics`.
    signal: &'static str,
    url: String,
    headers: HeaderMap,
    clock: Arc<dyn Clock>,
    is_failing: AtomicBool,
    is_rejecting: AtomicBool,
}

/// Why something was not taken.
struct Refusal {
    problem: String,
    again: Again,
}

/// Whether another try may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Never,
    Soon,
    /// The collector says when.
    After(Duration),
}

/// What a collector says of what it has taken, spans or points of metrics.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PartialSuccess {
    #[serde(alias = "rejectedDataPoints", deserialize_with = "digits")]
    rejected_spans: u64,
    error_message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Taken {
    partial_success: Option<PartialSuccess>,
}

/// An integer of 64 bits, which OTLP writes as text.
fn digits<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    match Either::deserialize(from)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

/// A client for a collector.
///
/// # Errors
/// When the machine has no certificates, say.
pub(super) fn client(settings: &TelemetrySettings) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .timeout(settings.timeout)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("diogenes/", env!("CARGO_PKG_VERSION")));
    let is_near = settings.endpoint.is_loopback();
    if is_near { builder.no_proxy() } else { builder }.build()
}

/// Asks a collector whether it takes traces.
///
/// # Errors
/// What is wrong.
pub async fn check(settings: &TelemetrySettings, clock: Arc<dyn Clock>) -> Result<(), String> {
    let client = client(settings).map_err(|error| root(&error))?;
    let delivery = Delivery::new(client, "traces", settings, clock);
    let nothing = Bytes::from_static(br#"{"resourceSpans":[]}"#);
    delivery.once(nothing).await.map(|_| ()).map_err(|refusal| refusal.problem)
}

impl Delivery {
    pub(super) fn new(
        client: Client,
        signal: &'static str,
        settings: &TelemetrySettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut headers = settings.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let url = settings.endpoint.url_of(signal);
        let (is_failing, is_rejecting) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { client, signal, url, headers, clock, is_failing, is_rejecting }
    }

    /// Sends something; returns how much of it was rejected, or nothing where nothing was taken. The
    /// first of several failures is logged, and the first success behind them.
    pub(super) async fn send(&self, body: Bytes, patience: Patience) -> Option<u64> {
        let ends = match patience {
            Patience::Once => Instant::now(),
            Patience::For(duration) => Instant::now() + duration,
        };
        let mut pause = FIRST_PAUSE;
        loop {
            let Refusal { problem, again } = match self.once(body.clone()).await {
                Ok(taken) => return Some(self.taken(taken)),
                Err(refusal) => refusal,
            };
            self.note_failure(&problem);
            // By chance as little as half of it, so that many do not come back as one.
            let chance = u32::try_from(unique() % 1024).unwrap_or_default();
            let next = match again {
                Again::Never => return None,
                Again::Soon => pause / 2 + pause / 2 * chance / 1024,
                Again::After(wish) => wish.max(SHORTEST_PAUSE),
            };
            if next > LONGEST_PAUSE || Instant::now() + next > ends {
                return None;
            }
            tokio::time::sleep(next).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn once(&self, body: Bytes) -> Result<Taken, Refusal> {
        let request = self.client.post(&self.url).headers(self.headers.clone()).body(body);
        let unreachable = |error: reqwest::Error| {
            let problem = if error.is_timeout() {
                "it did not answer in time".to_owned()
            } else {
                let is_away = error.is_connect();
                let what = if is_away { "it cannot be reached" } else { "it did not answer" };
                format!("{what}: {}", root(&error.without_url()))
            };
            Refusal { problem, again: Again::Soon }
        };
        let answer = request.send().await.map_err(unreachable)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status.is_success() {
            let told = whole(answer).await.unwrap_or_default();
            // An answer that makes no sense is not a reason to send it again.
            return Ok(serde_json::from_slice(&told).unwrap_or_default());
        }
        let passes = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        let wish = retry_after(&headers, self.clock.now()).map_or(Again::Soon, Again::After);
        let problem = format!("it answered with status {}{}", status.as_u16(), hint(status));
        Err(Refusal { problem, again: if passes { wish } else { Again::Never } })
    }

    fn taken(&self, taken: Taken) -> u64 {
        let signal = self.signal;
        if self.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!(signal, "{signal} are exported again");
        }
        let PartialSuccess { rejected_spans: rejected, error_message: why } =
            taken.partial_success.unwrap_or_default();
        // A word alone is only a hint.
        let was_rejecting = self.is_rejecting.swap(rejected > 0, Ordering::Relaxed);
        if rejected > 0 && !was_rejecting {
            tracing::warn!(
                signal,
                rejected,
                "the collector rejects some {signal}: {why}; this is not told again until it takes all"
            );
        } else if !why.is_empty() {
            tracing::debug!(signal, rejected, "the collector says of {signal}: {why}");
        }
        rejected
    }

    fn note_failure(&self, problem: &str) {
        let Self { signal, url, .. } = self;
        if self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(signal, "{signal} could not be exported to {url}: {problem}");
        } else {
            tracing::warn!(
                signal,
                "{signal} could not be exported to {url}: {problem}; requests do not wait for it, and this is not told again until it works"
            );
        }
    }
}

/// What to do about a status.
fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; set its key in `headers`",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            "; is it a collector that takes this over HTTP?"
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "; it does not take JSON",
        _ => "",
    }
}

/// All of an answer, if it is short.
async fn whole(mut answer: Response) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if text.len() + chunk.len() > MAX_ANSWER {
            return None;
        }
        text.extend_from_slice(&chunk);
    }
    Some(text)
}
