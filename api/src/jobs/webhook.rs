//! Jobs of the kind `webhook`: a signed request that tells of the end of another job, as
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md> has it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use diogenes_core::jobs::{JobOutcome, Webhook};
use diogenes_core::ports::SecretSource;
use diogenes_core::secret::{Secret, SecretRef};
use diogenes_core::tenancy::ProjectId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::Sha256;
use tokio::sync::OnceCell;

use super::handler::{Ended, Handler, Work};
use super::http::HttpJobs;
use super::kinds::read;

/// How long a receiver may take; the specification recommends 15 to 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(20);

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Signs webhooks, with a secret for each project that is derived from one of the installation.
#[derive(Clone)]
pub struct WebhookSigner {
    master: Arc<OnceCell<Secret>>,
    /// Where the secret is read when it is first needed.
    kept: Option<(Arc<dyn SecretSource>, SecretRef)>,
}

/// That the secret of the installation could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the key of webhooks could not be read: {0}")]
pub struct NoWebhookKey(String);

impl WebhookSigner {
    /// A signer with this secret of the installation.
    pub fn new(master: Secret) -> Self {
        Self { master: Arc::new(OnceCell::new_with(Some(master))), kept: None }
    }

    /// A signer whose secret is kept there. It is read once, when it is first needed.
    pub fn kept(source: Arc<dyn SecretSource>, reference: SecretRef) -> Self {
        Self { master: Arc::default(), kept: Some((source, reference)) }
    }

    /// What a project's receivers check signatures with: `whsec_` and 32 bytes in Base64.
    ///
    /// # Errors
    /// When the secret of the installation cannot be read.
    pub async fn secret_of(&self, project: &ProjectId) -> Result<String, NoWebhookKey> {
        Ok(format!("whsec_{}", STANDARD.encode(self.key_of(project).await?)))
    }

    async fn key_of(&self, project: &ProjectId) -> Result<Vec<u8>, NoWebhookKey> {
        let master = self.master.get_or_try_init(|| self.read()).await?;
        let text = format!("webhook/{project}");
        Ok(hmac(master.expose().as_bytes(), text.as_bytes()))
    }

    async fn read(&self) -> Result<Secret, NoWebhookKey> {
        let (source, reference) =
            self.kept.as_ref().ok_or_else(|| NoWebhookKey("it is kept nowhere".into()))?;
        let read = source.read(reference).await;
        read.map_err(|problem| NoWebhookKey(format!("{reference} {problem}")))
    }

    /// The headers of a message with this id, which its receiver checks.
    ///
    /// # Errors
    /// When the secret of the installation cannot be read.
    pub(crate) async fn headers(
        &self,
        project: &ProjectId,
        id: String,
        timestamp: i64,
        body: &str,
    ) -> Result<HeaderMap, NoWebhookKey> {
        let signature = self.signature(project, &id, timestamp, body).await?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let told = [(ID, id), (TIMESTAMP, timestamp.to_string()), (SIGNATURE, signature)];
        let told = told.into_iter().filter_map(|(name, text)| Some((name, text.try_into().ok()?)));
        headers.extend(told);
        Ok(headers)
    }

    async fn signature(
        &self,
        project: &ProjectId,
        id: &str,
        timestamp: i64,
        body: &str,
    ) -> Result<String, NoWebhookKey> {
        let (key, signed) = (self.key_of(project).await?, format!("{id}.{timestamp}.{body}"));
        Ok(format!("v1,{}", STANDARD.encode(hmac(&key, signed.as_bytes()))))
    }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Does jobs of this kind.
pub struct WebhookJobs {
    http: Arc<HttpJobs>,
    signer: WebhookSigner,
}

impl WebhookJobs {
    /// Sends as `http` jobs do: to public addresses, and to those that are open to them.
    pub fn new(http: Arc<HttpJobs>, signer: WebhookSigner) -> Self {
        Self { http, signer }
    }
}

#[async_trait]
impl Handler for WebhookJobs {
    async fn run(&self, work: &Work) -> Ended {
        let (job, arguments) = (work.job().await, work.arguments().await);
        let webhook = match read::<Webhook>(arguments) {
            Ok(webhook) => webhook,
            Err(error) => {
                let message = format!("its arguments make no sense: {error}");
                return Ended::with(JobOutcome::Failed { message, is_final: true });
            }
        };
        // One id for all attempts, by which receivers know what they have had.
        let id = format!("msg_{}", job.id);
        let timestamp = self.http.now().as_second();
        let body = webhook.payload.to_string();
        let headers = match self.signer.headers(&job.project, id, timestamp, &body).await {
            Ok(headers) => headers,
            Err(error) => return Ended::failed(error.to_string()),
        };
        let body = Bytes::from(body);
        // A receiver may be gone for an hour, or answer wrongly for one; only this says that it is gone
        // for good.
        let may_pass = |status| status != StatusCode::GONE;
        self.http.post(work, &webhook.url, headers, body, TIMEOUT, may_pass).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signed = format!("msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{body}");
        let signature = STANDARD.encode(hmac(&key, signed.as_bytes()));
        assert_eq!(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[tokio::test]
    async fn every_project_has_a_secret_of_its_own() {
        let of = async |signer: &WebhookSigner, project: &str| {
            signer.secret_of(&project.parse().unwrap()).await.unwrap()
        };
        let signer = WebhookSigner::new(Secret::new("master"));
        let secret = of(&signer, "team-a").await;
        assert_eq!(secret, of(&signer, "team-a").await);
        assert_ne!(secret, of(&signer, "team-b").await);
        assert_eq!(secret.len(), "whsec_".len() + 44);
        let other = WebhookSigner::new(Secret::new("another"));
        assert_ne!(secret, of(&other, "team-a").await);
    }

    /// Has the secret from the second time on.
    struct Late(AtomicUsize);

    #[async_trait]
    impl SecretSource for Late {
        async fn read(&self, _: &SecretRef) -> Result<Secret, String> {
            match self.0.fetch_add(1, Ordering::SeqCst) {
                0 => Err("cannot be read".into()),
                _ => Ok(Secret::new("master")),
            }
        }
    }

    #[tokio::test]
    async fn a_secret_that_is_kept_elsewhere_is_read_once_and_again_where_that_failed() {
        let source = Arc::new(Late(AtomicUsize::new(0)));
        let signer = WebhookSigner::kept(source.clone(), SecretRef::Ssm("/key".into()));
        let project = ProjectId::default();
        let error = signer.secret_of(&project).await.unwrap_err().to_string();
        assert!(error.ends_with("the SSM parameter `/key` cannot be read"), "{error}");
        let secret = signer.secret_of(&project).await.unwrap();
        let known = WebhookSigner::new(Secret::new("master"));
        assert_eq!(secret, known.secret_of(&project).await.unwrap());
        signer.secret_of(&project).await.unwrap();
        assert_eq!(source.0.load(Ordering::SeqCst), 2);
    }
}
