//! Services that score answers, asked by signed requests as webhooks are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::evals::evaluators::{Scored, Webhook};
use diogenes_core::tenancy::ProjectId;

use crate::jobs::{HttpJobs, WebhookSigner};

/// How much of an answer is read, in bytes.
const MOST_BODY: usize = 64 * 1024;

/// Asks services, at addresses that `http` jobs may go to.
#[derive(Clone)]
pub struct Webhooks {
    pub http: Arc<HttpJobs>,
    pub signer: WebhookSigner,
}

impl Webhooks {
    /// What a service says, asked up to `attempts` times. `id` is that of the message: a service that has scored it
    /// may say the same again.
    pub(super) async fn score(
        &self,
        webhook: &Webhook,
        project: &ProjectId,
        id: &str,
        body: &str,
        (attempts, timeout, threshold): (u32, Duration, f64),
    ) -> Scored {
        let mut attempt = 1;
        loop {
            let timestamp = self.http.now().as_second();
            let headers = self.signer.headers(project, id.to_owned(), timestamp, body).await;
            let headers = match headers {
                Ok(headers) => headers,
                Err(error) => return Scored::unmeasured(error.to_string()),
            };
            let sent = Bytes::copy_from_slice(body.as_bytes());
            let answer = self.http.exchange(webhook.url(), headers, sent, timeout, MOST_BODY).await;
            let scored = match &answer {
                Ok(answer) => webhook.read(answer.status.as_u16(), &answer.body, threshold),
                Err(error) => Scored::unmeasured(format!("the webhook was not reached: {error}")),
            };
            let may_help = match &answer {
                Ok(answer) => answer.status.is_server_error() || answer.status.as_u16() == 429,
                Err(error) => !error.is_final(),
            };
            if !may_help || attempt >= attempts {
                return scored;
            }
            tokio::time::sleep(Duration::from_secs(1 << attempt.min(5))).await;
            attempt += 1;
        }
    }
}
