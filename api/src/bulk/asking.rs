//! One request, sent until there is an answer that counts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use diogenes_core::batches::Bill;
use diogenes_core::duration::format;
use diogenes_core::gateway::budget::Budget;
use diogenes_core::money::parse_dollars;
use diogenes_core::tenancy::{Allowed, Principal, may};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::error::{ApiError, ErrorKind};
use crate::proxy::{Answer, AnswerBody, COST, Dialect, Gateway, InferenceRequest, Usage};

/// Where a refusal names its budget.
const BUDGET: &str = "x-diogenes-budget";
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A request that is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) dialect: Dialect,
    pub(crate) body: Bytes,
}

/// What came of one.
#[derive(Debug)]
pub(crate) enum Reply {
    Said(Said),
    /// Its model does not run; it is to be asked again once that does.
    NotNow,
}

/// An answer that counts.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) bill: Bill,
    /// How long the attempt took that brought it.
    pub(crate) took: Duration,
    /// Why it was not sent anywhere, or came to nothing.
    pub(crate) refusal: Option<Refusal>,
}

/// Why a request brought nothing.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// The budget that refused it.
    pub(crate) budget: Option<String>,
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) principal: Arc<Principal>,
    /// How often a request is sent whose answers are failures of the other side.
    pub(crate) attempts: u32,
    /// How long an attempt may take; as long as the gateway lets it when absent.
    pub(crate) patience: Option<Duration>,
    /// A budget of theirs alone.
    pub(crate) allowance: Option<Box<Budget>>,
    /// Nothing is tried again from then on.
    pub(crate) until: Instant,
}

enum Verdict {
    Final(Said),
    /// After the pause, as an attempt or as none.
    Again {
        pause: Option<Duration>,
        counts: bool,
        said: Said,
    },
    NotNow,
}

impl Asker {
    /// Asks until there is an answer.
    pub(crate) async fn ask(&self, request: &Request) -> Reply {
        let mut attempt = 1;
        loop {
            match self.once(request).await {
                Verdict::Final(said) => return Reply::Said(said),
                Verdict::NotNow => return Reply::NotNow,
                Verdict::Again { pause, counts, said } => {
                    let usual = Duration::from_secs(1 << attempt.min(6));
                    let pause = pause.unwrap_or(usual).min(LONGEST_PAUSE);
                    if (counts && attempt >= self.attempts) || Instant::now() + pause > self.until {
                        return Reply::Said(said);
                    }
                    attempt += u32::from(counts);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn once(&self, request: &Request) -> Verdict {
        let arrived = Instant::now();
        let by = match Allowed::<may::InferenceUse>::check(self.principal.clone()) {
            Ok(by) => by,
            Err(denied) => {
                let error = ApiError::new(ErrorKind::InsufficientScope, denied.to_string());
                return judged(&error, arrived);
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let id = HeaderValue::from_str(&request.id);
        let inference = InferenceRequest {
            id: id.unwrap_or_else(|_| HeaderValue::from_static("background")),
            arrived,
            dialect: request.dialect,
            query: None,
            is_background: true,
            allowance: self.allowance.clone(),
            headers,
            body: request.body.clone(),
        };
        let answer = self.gateway.walk(by, inference);
        let answer = match self.patience {
            Some(patience) => {
                let in_time = tokio::time::timeout(patience, answer).await;
                in_time.unwrap_or_else(|_| {
                    let message = format!("there was no answer within {}", format(patience));
                    Err(ApiError::new(ErrorKind::Deadline, message))
                })
            }
            None => answer.await,
        };
        match answer {
            Ok(Answer { status, headers, body: AnswerBody::Whole(body) }) => {
                let took = arrived.elapsed();
                if status.is_success() || !may_help(status) {
                    let bill = bill(&headers, &body);
                    Verdict::Final(Said { status, body, bill, took, refusal: None })
                } else {
                    let bill = Bill::default();
                    let said = Said { status, body, bill, took, refusal: None };
                    Verdict::Again { pause: pause(&headers), counts: true, said }
                }
            }
            // Such requests do not ask for streams.
            Ok(Answer { status, body: AnswerBody::Stream(_), .. }) => {
                let body = Bytes::from_static(b"null");
                let (bill, took) = (Bill::default(), arrived.elapsed());
                let said = Said { status, body, bill, took, refusal: None };
                Verdict::Again { pause: None, counts: true, said }
            }
            Err(error) => judged(&error, arrived),
        }
    }
}

fn judged(error: &ApiError, arrived: Instant) -> Verdict {
    let status = error.status();
    let body = error.json().to_string().into();
    let budget = error.headers.iter().find(|(name, _)| name == BUDGET);
    let refusal = Refusal {
        kind: error.kind,
        message: error.message.clone(),
        budget: budget.map(|(_, id)| id.clone()),
    };
    let (bill, took) = (Bill::default(), arrived.elapsed());
    let said = Said { status, body, bill, took, refusal: Some(refusal) };
    let pause = error.retry_after;
    match error.kind {
        ErrorKind::ModelFailed(_) | ErrorKind::ModelDown | ErrorKind::ShuttingDown => {
            Verdict::NotNow
        }
        // The request is not at fault, and there is time.
        ErrorKind::ModelWarming
        | ErrorKind::ModelBusy
        | ErrorKind::TooManyHeld
        | ErrorKind::RateLimited
        | ErrorKind::BudgetReserved
        | ErrorKind::ProviderUnavailable
        | ErrorKind::StoreUnavailable => Verdict::Again { pause, counts: false, said },
        _ if may_help(status) => Verdict::Again { pause, counts: true, said },
        _ => Verdict::Final(said),
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

/// What an answer says that it has used.
fn bill(headers: &HeaderMap, body: &[u8]) -> Bill {
    let used = Usage::of_answer(body).unwrap_or_default();
    let cost = headers.get(COST).and_then(|cost| parse_dollars(cost.to_str().ok()?).ok());
    Bill {
        input: used.prompt,
        cached: used.cached,
        output: used.completion,
        reasoning: used.reasoning,
        cost,
    }
}
