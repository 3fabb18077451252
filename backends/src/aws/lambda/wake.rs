use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use diogenes_core::ports::{Topic, Wake, WakeError};

use crate::aws::event::ScaleEvent;

/// After how long one attempt counts as failed, unless the client says otherwise. Lambda queues
/// an event in well under a second.
const ATTEMPT: Duration = Duration::from_secs(3);

/// A [`Wake`] that invokes the orchestrator, a Lambda function, asynchronously: the
/// answer says that the event is queued, not that it is done.
///
/// The client repeats failed attempts as it is set up to; a doubled event does no harm.
pub struct InvokeWake {
    client: Client,
    function: String,
}

impl InvokeWake {
    /// Invokes `function`, by its name or ARN. An attempt has a time limit of three seconds where
    /// the client sets none.
    #[expect(clippy::needless_pass_by_value, reason = "the client is for this trigger alone")]
    pub fn new(client: Client, function: impl Into<String>) -> Self {
        let config = client.config();
        let limit = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build();
        let timeouts = config.timeout_config().map_or_else(
            || limit.clone(),
            |set| {
                let mut merged = set.clone();
                merged.take_defaults_from(&limit);
                merged
            },
        );
        let config = config.to_builder().timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), function: function.into() }
    }

    fn failed(&self, topic: &Topic, error: SdkError<InvokeError, HttpResponse>) -> WakeError {
        let function = &self.function;
        let answer = error.as_service_error();
        let reason = match answer.and_then(InvokeError::code) {
            Some("ResourceNotFoundException") => format!(
                "the function `{function}` does not exist in this account and region; deploy it \
                 with `make deploy`, or correct `DIOGENES_ORCHESTRATOR`"
            ),
            Some(
                "AccessDeniedException"
                | "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "ExpiredTokenException",
            ) => format!(
                "AWS does not allow `lambda:InvokeFunction` on the function `{function}` ({}); add \
                 it to the policy of this role",
                answer.and_then(InvokeError::message).unwrap_or("it does not say why")
            ),
            _ => {
                return WakeError::Transient {
                    topic: topic.clone(),
                    // Without the raw answer.
                    source: error.into_source().unwrap_or_else(Into::into),
                };
            }
        };
        WakeError::NoReceiver { topic: topic.clone(), reason }
    }
}

impl fmt::Debug for InvokeWake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvokeWake").field("function", &self.function).finish_non_exhaustive()
    }
}

#[async_trait]
impl Wake for InvokeWake {
    async fn wake(&self, topic: &Topic) -> Result<(), WakeError> {
        let model = match topic {
            Topic::Model(model) => model,
            Topic::Queue(_) => {
                return Err(WakeError::NoReceiver {
                    topic: topic.clone(),
                    reason: "no function of this deployment works on jobs".into(),
                });
            }
        };
        let event = serde_json::to_vec(&ScaleEvent::model(model.clone())).map_err(|source| {
            WakeError::Transient { topic: topic.clone(), source: source.into() }
        })?;
        self.client
            .invoke()
            .function_name(&self.function)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(event))
            .send()
            .await
            .map_err(|error| self.failed(topic, error))?;
        Ok(())
    }
}
