//! One line of a batch: its request, sent until there is an answer that counts.

use std::sync::Arc;
use std::time::Duration;

use diogenes_core::batches::{BatchEndpoint, answered};
use diogenes_core::tenancy::{Allowed, Principal, may};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::error::{ApiError, ErrorKind};
use crate::proxy::{Answer, AnswerBody, Dialect, Gateway, InferenceRequest};

/// How often a request is sent whose answers are failures of the other side.
const ATTEMPTS: u32 = 5;
/// The longest pause between two.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A line that is to be asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) line: u32,
    /// The id of its request.
    pub(super) id: String,
    pub(super) custom_id: String,
    pub(super) body: String,
}

/// What came of one.
#[derive(Debug)]
pub(super) enum Asked {
    /// A line of an output file.
    Answered { line: u32, is_success: bool, text: String },
    /// Its model does not run; it is asked again once that does.
    NotNow(Question),
}

/// Who asks, and where.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) principal: Arc<Principal>,
    pub(super) endpoint: BatchEndpoint,
    /// Nothing is tried again from then on.
    pub(super) until: Instant,
}

enum Verdict {
    Final {
        status: StatusCode,
        body: String,
    },
    /// After the pause, as an attempt or as none.
    Again {
        pause: Option<Duration>,
        counts: bool,
        status: StatusCode,
        body: String,
    },
    NotNow,
}

impl Asker {
    /// Asks until there is an answer.
    pub(super) async fn ask(self, question: Question) -> Asked {
        let mut attempt = 1;
        loop {
            let (status, body) = match self.once(&question).await {
                Verdict::Final { status, body } => (status, body),
                Verdict::NotNow => return Asked::NotNow(question),
                Verdict::Again { pause, counts, status, body } => {
                    let usual = Duration::from_secs(1 << attempt.min(6));
                    let pause = pause.unwrap_or(usual).min(LONGEST_PAUSE);
                    if (counts && attempt >= ATTEMPTS) || Instant::now() + pause > self.until {
                        (status, body)
                    } else {
                        attempt += u32::from(counts);
                        tokio::time::sleep(pause).await;
                        continue;
                    }
                }
            };
            let is_success = status.is_success();
            let Question { line, id, custom_id, .. } = &question;
            let text = answered(id, custom_id, status.as_u16(), id, &body);
            return Asked::Answered { line: *line, is_success, text };
        }
    }

    async fn once(&self, question: &Question) -> Verdict {
        let by = match Allowed::<may::InferenceUse>::check(self.principal.clone()) {
            Ok(by) => by,
            Err(denied) => {
                let error = ApiError::new(ErrorKind::InsufficientScope, denied.to_string());
                return judged(&error);
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let id = HeaderValue::from_str(&question.id);
        let request = InferenceRequest {
            id: id.unwrap_or_else(|_| HeaderValue::from_static("batch")),
            arrived: Instant::now(),
            dialect: dialect(self.endpoint),
            query: None,
            is_background: true,
            headers,
            body: question.body.clone().into(),
        };
        match self.gateway.walk(by, request).await {
            Ok(Answer { status, headers, body: AnswerBody::Whole(bytes) }) => {
                let body = String::from_utf8_lossy(&bytes).into_owned();
                if status.is_success() || !may_help(status) {
                    Verdict::Final { status, body }
                } else {
                    Verdict::Again { pause: pause(&headers), counts: true, status, body }
                }
            }
            // Lines do not ask for streams.
            Ok(Answer { status, body: AnswerBody::Stream(_), .. }) => {
                let body = "null".into();
                Verdict::Again { pause: None, counts: true, status, body }
            }
            Err(error) => judged(&error),
        }
    }
}

fn judged(error: &ApiError) -> Verdict {
    let (status, body) = (error.status(), error.json().to_string());
    let pause = error.retry_after;
    match error.kind {
        ErrorKind::ModelFailed(_) | ErrorKind::ModelDown | ErrorKind::ShuttingDown => {
            Verdict::NotNow
        }
        // There is no hurry: it is not the request's fault.
        ErrorKind::ModelWarming
        | ErrorKind::ModelBusy
        | ErrorKind::TooManyHeld
        | ErrorKind::RateLimited
        | ErrorKind::BudgetReserved
        | ErrorKind::ProviderUnavailable
        | ErrorKind::StoreUnavailable => Verdict::Again { pause, counts: false, status, body },
        _ if may_help(status) => Verdict::Again { pause, counts: true, status, body },
        _ => Verdict::Final { status, body },
    }
}

/// Whether the same request may get another answer.
fn may_help(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

fn pause(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn dialect(endpoint: BatchEndpoint) -> Dialect {
    match endpoint {
        BatchEndpoint::ChatCompletions => Dialect::ChatCompletions,
        BatchEndpoint::Completions => Dialect::Completions,
        BatchEndpoint::Embeddings => Dialect::Embeddings,
        BatchEndpoint::Responses => Dialect::Responses,
    }
}
