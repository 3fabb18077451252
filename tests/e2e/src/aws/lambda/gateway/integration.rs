//! The way to the function and back.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::time::{Instant, timeout_at};

use super::super::answer::{InvokeError, Streamed};
use super::super::template::Invoked;
use super::State;
use super::refusal::Refusal;
use super::response::{Answer, BodyError, buffered, streamed};

/// What parts the metadata of a streamed answer from its body
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/response-transfer-mode-lambda.html>).
const DELIMITER: [u8; 8] = [0; 8];

/// The content type of a streamed answer with metadata.
const INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";

/// One request to a function.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) function: &'a Invoked,
    pub(super) event: Bytes,
    pub(super) accept: Option<&'a str>,
    pub(super) request_id: &'a str,
}

/// Invokes the function of a route. The invocation goes on when the client or the time is gone.
pub(super) async fn call(state: &Arc<State>, call: Call<'_>) -> Result<Answer, Refusal> {
    let limit = *state.timeout.lock().unwrap();
    let end = Instant::now() + limit.unwrap_or(call.function.timeout);
    let begun = timeout_at(end, async {
        if call.function.streamed {
            stream(state, &call, end).await
        } else {
            buffer(state, &call).await
        }
    });
    begun.await.map_err(|_| {
        state.problem("the function takes longer than the integration may");
        Refusal::timeout()
    })?
}

/// Waits for the whole answer.
async fn buffer(state: &State, call: &Call<'_>) -> Result<Answer, Refusal> {
    let answer = state.host.invoke(&call.function.name, call.event.clone()).await;
    let answer = answer.map_err(|error| refuse(state, &error))?;
    let binary = &state.api.binary_media_types;
    buffered(&answer, call.accept, binary, call.request_id)
        .map_err(|problem| malformed(state, &problem))
}

/// Waits for the metadata, then passes on what comes.
async fn stream(state: &Arc<State>, call: &Call<'_>, end: Instant) -> Result<Answer, Refusal> {
    let invoked = state.host.invoke_streaming(&call.function.name, call.event.clone()).await;
    let mut answer = invoked.map_err(|error| refuse(state, &error))?;
    let mut head = BytesMut::new();
    let at = loop {
        let delimiter = head.windows(DELIMITER.len()).position(|bytes| bytes == DELIMITER);
        if let Some(at) = delimiter {
            break at;
        }
        match answer.chunk().await {
            Some(Ok(chunk)) => head.extend_from_slice(&chunk),
            Some(Err(error)) => return Err(refuse(state, &error)),
            None => return Err(malformed(state, "there is no metadata before the body")),
        }
    };
    if answer.content_type != INTEGRATION {
        let problem = format!("the content type of the stream is `{}`", answer.content_type);
        return Err(malformed(state, &problem));
    }
    let metadata = head.split_to(at);
    let rest = head.split_off(DELIMITER.len()).freeze();
    let body = Body { state: state.clone(), answer, rest, end }.boxed();
    streamed(&metadata, body, call.request_id).map_err(|problem| malformed(state, &problem))
}

/// The rest of a streamed answer.
struct Body {
    state: Arc<State>,
    answer: Streamed,
    /// What has come together with the metadata.
    rest: Bytes,
    end: Instant,
}

impl Body {
    fn boxed(self) -> UnsyncBoxBody<Bytes, BodyError> {
        let frames = futures_util::stream::unfold(self, async |mut body| {
            let next = body.next().await?;
            Some((next.map(Frame::data), body))
        });
        StreamBody::new(frames).boxed_unsync()
    }

    /// The next bytes. An error cuts the connection, so that the client sees an incomplete body.
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        if !self.rest.is_empty() {
            return Some(Ok(std::mem::take(&mut self.rest)));
        }
        let idle_end = Instant::now() + self.state.idle_timeout;
        let problem = match timeout_at(self.end.min(idle_end), self.answer.chunk()).await {
            Ok(None) => return None,
            Ok(Some(Ok(chunk))) => return Some(Ok(chunk)),
            Ok(Some(Err(error))) => error.to_string(),
            Err(_) if idle_end < self.end => "the stream is silent for too long".to_owned(),
            Err(_) => "the stream takes longer than the integration may".to_owned(),
        };
        self.state.problem(problem.clone());
        Some(Err(problem.into()))
    }
}

/// The answer to a client whose invocation has failed
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway-errors.html>).
fn refuse(state: &State, error: &InvokeError) -> Refusal {
    state.problem(error.to_string());
    match error {
        InvokeError::TooLarge(_) => Refusal::too_large(),
        InvokeError::NotFound(_) | InvokeError::Throttled => Refusal::integration_failure(),
        InvokeError::Function { .. } => Refusal::function_failure(),
    }
}

fn malformed(state: &State, problem: &str) -> Refusal {
    state.problem(format!("malformed Lambda proxy response: {problem}"));
    Refusal::function_failure()
}
