//! Whether a provider answers, and takes its API key.

use std::time::Duration;

use diogenes_core::gateway::ProviderKind;
use http::StatusCode;
use reqwest::Response;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::{ANTHROPIC_VERSION, DEFAULT_VERSION, Provider};
use crate::control::ProviderCheck;

/// How long a check may take. A list of models is no work.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest list of models that is counted, in bytes.
const MAX_LIST: usize = 8 << 20;

/// A list of models, in OpenAI's shape or in Anthropic's.
#[derive(Deserialize)]
struct Models {
    data: Vec<IgnoredAny>,
}

impl Provider {
    /// Asks for the list of models.
    pub(super) async fn check(&self) -> ProviderCheck {
        let silent = |problem| ProviderCheck {
            ok: false,
            status: None,
            latency_ms: None,
            models: None,
            problem: Some(problem),
        };
        if let Some(key) = &self.key {
            // It may have been put in order a second ago.
            key.refused();
            if let Err(problem) = key.ready().await {
                return silent(format!("its API key cannot be used: {problem}"));
            }
        }
        let mut request = self.authorized(self.client.get(self.spec.url_of("/v1/models")));
        if self.spec.kind == ProviderKind::Anthropic {
            request = request.header(ANTHROPIC_VERSION, DEFAULT_VERSION);
        }
        let began = Instant::now();
        let answered = tokio::time::timeout(PATIENCE, async {
            let answer = request.send().await?;
            let (status, latency) = (answer.status(), began.elapsed());
            Ok::<_, reqwest::Error>((status, latency, models(answer).await))
        });
        let url = &self.spec.base_url;
        match answered.await {
            Err(_) => silent(format!("{url} did not answer within {} seconds", PATIENCE.as_secs())),
            Ok(Err(error)) => {
                let what = if error.is_connect() { "cannot be reached" } else { "did not answer" };
                silent(format!("{url} {what}: {}", chain(&error.without_url())))
            }
            Ok(Ok((status, latency, models))) => ProviderCheck {
                ok: verdict(status, url).is_none(),
                status: Some(status.as_u16()),
                latency_ms: u64::try_from(latency.as_millis()).ok(),
                models,
                problem: verdict(status, url),
            },
        }
    }
}

/// How many models an answer lists.
async fn models(mut answer: Response) -> Option<usize> {
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if text.len() + chunk.len() > MAX_LIST {
            return None;
        }
        text.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&text).ok().map(|models: Models| models.data.len())
}

/// What is wrong, if anything. Many that speak OpenAI's API have no list of models.
fn verdict(status: StatusCode, url: &str) -> Option<String> {
    let number = status.as_u16();
    match status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => None,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Some(format!("it refused the API key with status {number}; replace the key"))
        }
        _ if status.is_success() => None,
        _ if status.is_redirection() => Some(format!(
            "it answered with a redirection, status {number}, which is not followed; correct `base_url`, now {url}"
        )),
        _ => Some(format!(
            "it answered with status {number}; see whether the provider has an outage"
        )),
    }
}

/// An error with its causes, as `reqwest` says the part that helps last.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}
