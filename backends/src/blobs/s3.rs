use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use diogenes_core::ports::BlobError;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ClientOptions, RetryConfig};

use super::ObjectBlobs;

/// How long one request may take. A part has eight MiB.
const REQUEST: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request is repeated that S3 refuses for a while.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bucket and who opens it.
#[derive(Clone)]
pub struct S3Settings {
    pub bucket: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    /// Of a session of a role.
    pub session_token: Option<String>,
    /// Of an emulator.
    pub endpoint: Option<String>,
}

impl fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Settings")
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl ObjectBlobs {
    /// Blobs in a bucket of S3, which has to exist. No request is sent.
    ///
    /// # Errors
    /// When the settings make no client.
    pub fn in_bucket(settings: &S3Settings) -> Result<Self, BlobError> {
        let bucket = Arc::new(client(settings).map_err(|error| BlobError::Unavailable {
            reason: format!("bucket `{}` cannot be used", settings.bucket),
            source: Some(error.into()),
        })?);
        Ok(Self { store: bucket.clone(), signer: Some(bucket), reserve: None })
    }
}

fn client(settings: &S3Settings) -> Result<AmazonS3, object_store::Error> {
    let options = ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST)
        .with_allow_http(settings.endpoint.is_some());
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_region(&settings.region)
        .with_access_key_id(&settings.access_key_id)
        .with_secret_access_key(&settings.secret_access_key)
        // One request for each, as roles permit it.
        .with_disable_bulk_delete(true)
        .with_retry(RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() })
        .with_client_options(options);
    if let Some(token) = &settings.session_token {
        builder = builder.with_token(token);
    }
    builder = match &settings.endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint),
        // The bucket in the name of the host: AWS has the other form for old buckets only.
        None => builder.with_virtual_hosted_style_request(true),
    };
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use diogenes_core::ports::{BlobKey, Blobs};

    fn settings() -> S3Settings {
        S3Settings {
            bucket: "files".into(),
            region: "eu-west-1".into(),
            access_key_id: "key".into(),
            secret_access_key: "hidden".into(),
            session_token: Some("also-hidden".into()),
            endpoint: None,
        }
    }

    #[tokio::test]
    async fn a_signed_url_names_the_bucket_the_life_and_the_name_of_the_file() {
        let blobs = ObjectBlobs::in_bucket(&settings()).unwrap();
        let key = BlobKey::new("files/default/file-1").unwrap();
        let url = blobs.signed_url(&key, Duration::from_mins(5), "my file.jsonl").await;
        let url = url.unwrap().unwrap();
        assert!(
            url.starts_with("https://files.s3.eu-west-1.amazonaws.com/files/default/file-1?"),
            "{url}"
        );
        for part in [
            "response-content-disposition=attachment%3B%20filename%3D%22my%20file.jsonl%22",
            "X-Amz-Expires=300",
            "X-Amz-Signature=",
            "X-Amz-Security-Token=also-hidden",
        ] {
            assert!(url.contains(part), "{part} in {url}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", settings());
        assert!(!text.contains("hidden"), "{text}");
    }
}
