use std::sync::Arc;
use std::time::Duration;

use diogenes_api::proxy::{Answer, AnswerBody, Dialect, Gateway, InferenceRequest};
use diogenes_core::tenancy::Allowed;
use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout};

use crate::clock::SimulatedClock;
use crate::journal::Journal;

/// The longest that any request may take: the hold, the answer, and some slack.
const LONGEST: Duration = Duration::from_mins(40);

/// A caller's request and how long it has patience.
pub(crate) struct Caller {
    pub(crate) model: String,
    pub(crate) is_stream: bool,
    /// When it goes away.
    pub(crate) leaves_after: Option<Duration>,
}

impl Caller {
    /// Makes the request and checks that its answer has an end that a client can tell.
    pub(crate) async fn call(
        self,
        gateway: Arc<Gateway>,
        journal: Arc<Journal>,
        clock: Arc<SimulatedClock>,
    ) {
        journal.begin();
        let patience = self.leaves_after.unwrap_or(LONGEST);
        let outcome = timeout(patience, self.answer(&gateway)).await;
        match outcome {
            Ok(Ok(())) => journal.answer(),
            Ok(Err(Flaw(flaw))) => journal.violation(clock.elapsed(), flaw),
            Err(_) if self.leaves_after.is_some() => {}
            Err(_) => journal.violation(clock.elapsed(), "a request never ended"),
        }
        journal.end();
    }

    async fn answer(&self, gateway: &Arc<Gateway>) -> Result<(), Flaw> {
        let body = serde_json::json!({
            "model": self.model, "messages": [], "stream": self.is_stream,
        });
        let request = InferenceRequest {
            id: HeaderValue::from_static("request"),
            arrived: Instant::now(),
            dialect: Dialect::ChatCompletions,
            query: None,
            is_background: false,
            allowance: None,
            headers: HeaderMap::new(),
            body: body.to_string().into(),
        };
        // An error is an end, too: that there is one is all that callers are promised.
        let Ok(Answer { status, body, .. }) = gateway.walk(Allowed::operator(), request).await
        else {
            return Ok(());
        };
        match body {
            AnswerBody::Whole(bytes) if status.is_success() => {
                let whole = serde_json::from_slice::<serde_json::Value>(&bytes);
                whole.map(drop).map_err(|error| Flaw(format!("a broken answer: {error}")))
            }
            AnswerBody::Whole(_) => Ok(()),
            AnswerBody::Stream(mut stream) => {
                let mut text = Vec::new();
                while let Some(bytes) = stream.next().await {
                    text.extend_from_slice(&bytes);
                }
                let text = String::from_utf8_lossy(&text);
                let last = text.trim_end().rsplit("\n\n").next().unwrap_or_default();
                if last == "data: [DONE]" || last.contains("{\"error\":") {
                    Ok(())
                } else {
                    Err(Flaw(format!("a stream ended with {last:?}")))
                }
            }
        }
    }
}

/// What is wrong with an answer.
struct Flaw(String);
