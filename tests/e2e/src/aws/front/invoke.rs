use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::answer::Answer;
use super::call::{Call, Protocol};
use super::fault::Fault;

/// A call of a Lambda function.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The access key id that it was signed with.
    pub caller: String,
    /// The function's name, without its ARN and its qualifier.
    pub function: String,
    /// Whether it is an event, which is queued and not waited for.
    pub is_event: bool,
    /// The JSON that the function gets.
    pub payload: Bytes,
}

/// What a function that was waited for has returned. An event's is not looked at.
#[derive(Debug, Clone, Default)]
pub struct Returned {
    /// The JSON of its result or of its error.
    pub payload: Bytes,
    /// `Unhandled` if it failed.
    pub error: Option<String>,
}

type Answering = Pin<Box<dyn Future<Output = Result<Returned, Fault>> + Send>>;
type Handler = Arc<dyn Fn(Invocation) -> Answering + Send + Sync>;

/// What answers invocations.
#[derive(Default)]
pub(super) struct Invocations(Mutex<Option<Handler>>);

impl fmt::Debug for Invocations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Invocations")
    }
}

impl Invocations {
    /// Takes this handler, which runs on the runtime of whoever sets it.
    pub(super) fn set<F>(&self, handler: impl Fn(Invocation) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Returned, Fault>> + Send + 'static,
    {
        let home = Handle::current();
        let handler: Handler = Arc::new(move |invocation| {
            let ran = home.spawn(handler(invocation));
            Box::pin(async move {
                ran.await.unwrap_or_else(|_| {
                    Err(Fault::new("ServiceException", "the test's handler has ended").status(500))
                })
            })
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(handler);
    }

    /// Answers a call of the service Lambda.
    pub(super) async fn answer(&self, call: &Call) -> Answer {
        let handler = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fault = |code: &str, message: &str| Fault::new(code, message).answer(Protocol::Rest);
        let (Some(function), "Invoke") = (call.resource.function.clone(), call.action.as_str())
        else {
            return fault("ServiceException", "this Lambda only invokes");
        };
        let Some(handler) = handler else {
            return fault(
                "ResourceNotFoundException",
                "the test has set no handler of invocations",
            );
        };
        let is_event = match call.header("x-amz-invocation-type") {
            Some("Event") => true,
            None | Some("RequestResponse") => false,
            Some(_) => {
                return fault("InvalidParameterValueException", "not a type of invocation here");
            }
        };
        let invocation = Invocation {
            caller: call.caller.clone(),
            function,
            is_event,
            payload: call.body.clone(),
        };
        match handler(invocation).await {
            Ok(_) if is_event => Answer::new(202, "application/json", Bytes::new()),
            Ok(Returned { payload, error }) => {
                let answer = Answer::new(200, "application/json", payload);
                match error {
                    Some(error) => answer.header("x-amz-function-error", &error),
                    None => answer,
                }
            }
            Err(fault) => fault.answer(Protocol::Rest),
        }
    }
}
