//! Whether a provider answers, and takes its API key.

use std::time::Duration;

use diogenes_core::causes::root;
use diogenes_core::gateway::ProviderKind;
use http::StatusCode;
use reqwest::Response;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::{ANTHROPIC_VERSION, DEFAULT_VERSION, Provider};
use crate::control::ProviderCheck;

/// How long a check may take; listing models is quick.
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
            if let Err(problem) = key.read_anew().await {
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
                silent(format!("{url} {what}: {}", root(&error.without_url())))
            }
            Ok(Ok((status, latency, models))) => {
                let (ok, problem) = verdict(status, url, self.key.is_some());
                ProviderCheck {
                    ok,
                    status: Some(status.as_u16()),
                    latency_ms: u64::try_from(latency.as_millis()).ok(),
                    models,
                    problem,
                }
            }
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

/// Whether that is well, and what is to be said of it. Many that speak OpenAI's API have no list of
/// models.
fn verdict(status: StatusCode, url: &str, has_key: bool) -> (bool, Option<String>) {
    let number = status.as_u16();
    let problem = match status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            let doubt = format!("it has no list of models below {url}; is that its `base_url`?");
            return (true, Some(doubt));
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if has_key => {
            format!("it refused the API key with status {number}; replace the key")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("it answered with status {number}; set where its API key is kept (`api_key`)")
        }
        _ if status.is_success() => return (true, None),
        _ if status.is_redirection() => format!(
            "it answered with a redirect (status {number}), which is not followed; correct `base_url`, now {url}"
        ),
        _ => format!("it answered with status {number}; see whether the provider has an outage"),
    };
    (false, Some(problem))
}
