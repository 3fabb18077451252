use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::http::HttpResponse;
use aws_sdk_lambda::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_lambda::operation::invoke::InvokeError;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use diogenes_core::ports::{Topic, Wake, WakeError};

use crate::aws::attempt::limited;
use crate::aws::event::{ScaleEvent, WorkEvent};

/// After how long one attempt counts as failed, unless the client says otherwise. Lambda queues
/// an event in well under a second.
const ATTEMPT: Duration = Duration::from_secs(3);

/// A [`Wake`] that invokes a Lambda function asynchronously: the answer says that the event is
/// queued, not that it is done.
///
/// The client repeats failed attempts as it is set up to; a doubled event does no harm.
pub struct InvokeWake {
    client: Client,
    function: String,
    receiver: Receiver,
}

/// Who is invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiver {
    /// Looks after models.
    Orchestrator,
    /// Look after queues.
    Workers,
}

impl Receiver {
    /// The variables that name its functions.
    fn variables(self) -> &'static str {
        match self {
            Self::Orchestrator => "`DIOGENES_ORCHESTRATOR`",
            Self::Workers => "`DIOGENES_WORKERS`, `DIOGENES_TRANSFERS` and `DIOGENES_OUTBOUND`",
        }
    }
}

impl InvokeWake {
    /// Invokes `function`, the orchestrator, by its name or ARN. An attempt has a time limit of three
    /// seconds where the client sets none.
    pub fn new(client: Client, function: impl Into<String>) -> Self {
        Self::of(client, function.into(), Receiver::Orchestrator)
    }

    /// The same with `function`, which works on jobs.
    pub fn of_workers(client: Client, function: impl Into<String>) -> Self {
        Self::of(client, function.into(), Receiver::Workers)
    }

    #[expect(clippy::needless_pass_by_value, reason = "the client is for this trigger alone")]
    fn of(client: Client, function: String, receiver: Receiver) -> Self {
        let config = client.config();
        let timeouts = limited(config.timeout_config(), ATTEMPT);
        let config = config.to_builder().timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), function, receiver }
    }

    /// Lets the workers go on as the event says.
    ///
    /// # Errors
    /// As [`Wake::wake`].
    pub async fn work(&self, event: &WorkEvent) -> Result<(), WakeError> {
        let WorkEvent::Work(look) = event;
        let topic = Topic::Queue(look.queue.clone());
        self.send(&topic, serde_json::to_vec(event)).await
    }

    async fn send(
        &self,
        topic: &Topic,
        event: Result<Vec<u8>, serde_json::Error>,
    ) -> Result<(), WakeError> {
        let event = event.map_err(|source| WakeError::Transient {
            topic: topic.clone(),
            source: source.into(),
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

    fn failed(&self, topic: &Topic, error: SdkError<InvokeError, HttpResponse>) -> WakeError {
        let function = &self.function;
        let answer = error.as_service_error();
        let reason = match answer.and_then(InvokeError::code) {
            Some("ResourceNotFoundException") => format!(
                "the function `{function}` does not exist in this account and region; deploy it \
                 with `make deploy`, or correct {}",
                self.receiver.variables()
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
        match (self.receiver, topic) {
            (Receiver::Orchestrator, Topic::Model(model)) => {
                self.send(topic, serde_json::to_vec(&ScaleEvent::model(model.clone()))).await
            }
            (Receiver::Workers, Topic::Queue(queue)) => {
                self.work(&WorkEvent::new(queue.clone())).await
            }
            (Receiver::Orchestrator, Topic::Queue(_)) | (Receiver::Workers, Topic::Model(_)) => {
                Err(WakeError::NoReceiver {
                    topic: topic.clone(),
                    reason: format!("`{}` does not look after it", self.function),
                })
            }
        }
    }
}
