//! Instance metadata, IMDSv2.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>

use std::time::Duration;

use aws_config::imds;
use aws_config::imds::client::error::ImdsError;
use serde::Deserialize;
use tokio::time::timeout;

/// How long one question may take, repeats inside included.
const PATIENCE: Duration = Duration::from_secs(5);

/// The instance's metadata service.
#[derive(Clone, Debug)]
pub struct Metadata(imds::Client);

/// Why it did not answer.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// It refused, or could not be reached.
    #[error("the instance metadata service did not give `{path}`")]
    Failed {
        /// What was asked for.
        path: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer came.
    #[error("the instance metadata service gave no answer within {} s", PATIENCE.as_secs())]
    TimedOut,
}

impl Metadata {
    /// The service that `AWS_EC2_METADATA_SERVICE_ENDPOINT` names, else the instance's own.
    pub fn from_env() -> Self {
        Self(imds::Client::builder().build())
    }

    /// The service at `endpoint`.
    pub fn at(endpoint: &str) -> Result<Self, MetadataError> {
        let builder = imds::Client::builder()
            .endpoint(endpoint)
            .map_err(|source| MetadataError::Failed { path: endpoint.into(), source })?;
        Ok(Self(builder.build()))
    }

    /// What stands at `path` below `latest`; none where there is nothing.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<String>, MetadataError> {
        let Ok(answer) = timeout(PATIENCE, self.0.get(format!("/latest/{path}"))).await else {
            return Err(MetadataError::TimedOut);
        };
        match answer {
            Ok(text) => Ok(Some(text.into())),
            Err(ImdsError::ErrorResponse(answer)) if answer.response().status().as_u16() == 404 => {
                Ok(None)
            }
            // The answer itself is in an error of this kind, and user data holds a key.
            Err(ImdsError::ErrorResponse(answer)) => {
                let source = format!("it answered with status {}", answer.response().status());
                Err(MetadataError::Failed { path: path.into(), source: source.into() })
            }
            Err(error) => Err(MetadataError::Failed { path: path.into(), source: Box::new(error) }),
        }
    }
}

/// A spot notice.
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html>
#[derive(Deserialize)]
struct InstanceAction {
    action: String,
    time: String,
}

/// What the document at `spot/instance-action` says. It being there is the notice, so one that
/// cannot be read counts as well.
pub(crate) fn interruption(document: &str) -> String {
    match serde_json::from_str::<InstanceAction>(document) {
        Ok(InstanceAction { action, time }) => {
            format!("spot interruption: the instance will {action} at {time}")
        }
        Err(_) => "spot interruption: the instance will end within two minutes".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notice_is_understood() {
        assert_eq!(
            interruption(r#"{"action": "terminate", "time": "2017-09-18T08:22:00Z"}"#),
            "spot interruption: the instance will terminate at 2017-09-18T08:22:00Z"
        );
        assert_eq!(
            interruption("<html>"),
            "spot interruption: the instance will end within two minutes"
        );
    }
}
