//! Jobs of the kind `http`: one request to somebody else's server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use diogenes_core::Timestamp;
use diogenes_core::fleet::eta::later;
use diogenes_core::jobs::{JobId, JobKind, JobOutcome};
use diogenes_core::ports::Clock;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::handler::{Ended, Handler, Stop, Work};
use super::kinds::{BadArguments, Draft, Kind, read};
use crate::outbound::{
    Destination, NOT_CALLERS, Outbound, OutboundError, OutboundRequest, OutboundResponse,
    is_callers,
};
use crate::proxy::retry_after;

/// How long a request may take that does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that one may take, unless an installation allows less.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(1);
/// How much of an answer's body is kept, in bytes. It is in the job's header.
const MOST_BODY: usize = 16 * 1024;
/// The longest value of a header that is kept, in bytes.
const MOST_VALUE: usize = 1024;
/// How much of an answer's body is in the message of a failure, in characters.
const MOST_TOLD: usize = 200;
/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_hours(6);
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The headers of an answer that are kept.
const KEPT: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::RETRY_AFTER,
    HeaderName::from_static("x-request-id"),
];

/// What is sent, and where to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpArguments {
    pub url: String,
    /// `GET`, or `POST` where there is something to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is sent, as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What is sent as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub json: Option<Value>,
    /// `Idempotency-Key` of every attempt; the job's id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// How long a request may take, up to the end of the answer.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "diogenes_core::duration::option"
    )]
    pub timeout: Option<Duration>,
}

/// `null` is a value like others.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// Checks and does jobs of this kind.
pub struct HttpJobs {
    outbound: Outbound,
    clock: Arc<dyn Clock>,
    longest_timeout: Duration,
}

impl HttpJobs {
    /// The kind; its jobs wait in the queue of the same name.
    pub const JOB: JobKind = JobKind::known("http");

    pub fn new(outbound: Outbound, clock: Arc<dyn Clock>) -> Self {
        Self { outbound, clock, longest_timeout: LONGEST_TIMEOUT }
    }

    /// Takes no job whose request may take longer than this.
    #[must_use]
    pub fn with_longest_timeout(self, longest_timeout: Duration) -> Self {
        Self { longest_timeout, ..self }
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sends this body as a `POST`, and returns what came back, at most `most_body` bytes of it.
    ///
    /// # Errors
    /// Why nothing came back.
    pub(crate) async fn exchange(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
        most_body: usize,
    ) -> Result<OutboundResponse, OutboundError> {
        let to = self.outbound.destination(url)?;
        let method = Method::POST;
        self.outbound.send(OutboundRequest { method, to, headers, body, timeout, most_body }).await
    }

    /// Sends this body as a `POST`, and tells what that means for the job.
    pub(super) async fn post(
        &self,
        work: &Work,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
        may_pass: fn(StatusCode) -> bool,
    ) -> Ended {
        match self.outbound.destination(url) {
            Ok(to) => {
                // Its status says all.
                let (method, most_body) = (Method::POST, 0);
                let request = OutboundRequest { method, to, headers, body, timeout, most_body };
                self.send(work, request, may_pass).await
            }
            Err(error) => Ended::with(self.outcome(Err(error), may_pass)),
        }
    }

    async fn send(
        &self,
        work: &Work,
        request: OutboundRequest,
        may_pass: fn(StatusCode) -> bool,
    ) -> Ended {
        let mut stop = work.stop();
        // A worker that stops lets it finish, as far as its grace goes: the server may have acted on
        // it already.
        tokio::select! {
            answer = self.outbound.send(request) => Ended::with(self.outcome(answer, may_pass)),
            stop = stop.wait_for(|stop| matches!(stop, Stop::Cancelled | Stop::TimedOut)) => {
                Ended::stopped(stop.map_or(Stop::Shutdown, |stop| *stop))
            }
        }
    }

    /// Whether requests may be sent to a URL, as far as can be told now.
    pub(crate) fn check_url(&self, url: &str) -> Result<(), BadArguments> {
        self.destination(url).map(|_| ())
    }

    fn destination(&self, url: &str) -> Result<Destination, BadArguments> {
        self.outbound.destination(url).map_err(|error| match error {
            OutboundError::Inward(inward) => {
                BadArguments::wrong("url", format!("must lead to a public address: {inward}"))
            }
            other => BadArguments::wrong("url", other.to_string()),
        })
    }

    fn request(
        &self,
        arguments: &HttpArguments,
        job: Option<&JobId>,
    ) -> Result<OutboundRequest, BadArguments> {
        let to = self.destination(&arguments.url)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &arguments.headers {
            let field = || format!("headers.{name}");
            let name = HeaderName::try_from(name)
                .map_err(|_| BadArguments::wrong(field(), "is not the name of a header"))?;
            if !is_callers(&name) {
                return Err(BadArguments::wrong(field(), NOT_CALLERS));
            }
            let value = HeaderValue::try_from(value)
                .map_err(|_| BadArguments::wrong(field(), "is not the value of a header"))?;
            headers.insert(name, value);
        }
        let body = match (&arguments.body, &arguments.json) {
            (Some(_), Some(_)) => {
                return Err(BadArguments::wrong("json", "cannot be given together with `body`"));
            }
            (Some(body), None) => Some(Bytes::from(body.clone())),
            (None, Some(json)) => {
                let json_type = HeaderValue::from_static("application/json");
                headers.entry(header::CONTENT_TYPE).or_insert(json_type);
                Some(Bytes::from(json.to_string()))
            }
            (None, None) => None,
        };
        let method = match (&arguments.method, &body) {
            (Some(method), _) => method_of(method)?,
            (None, Some(_)) => Method::POST,
            (None, None) => Method::GET,
        };
        let key = arguments.idempotency_key.clone().or_else(|| Some(job?.to_string()));
        if let Some(key) = key {
            let key = HeaderValue::try_from(key).ok().filter(|key| (1..=255).contains(&key.len()));
            let key = key.ok_or_else(|| {
                BadArguments::wrong("idempotency_key", "must be 1 to 255 characters of a header")
            })?;
            headers.entry(IDEMPOTENCY_KEY).or_insert(key);
        }
        let timeout = arguments.timeout.unwrap_or(TIMEOUT);
        if timeout.is_zero() || timeout > self.longest_timeout {
            let longest = diogenes_core::duration::format(self.longest_timeout);
            let problem = format!("must be more than 0 and at most {longest}");
            return Err(BadArguments::wrong("timeout", problem));
        }
        let body = body.unwrap_or_default();
        Ok(OutboundRequest { method, to, headers, body, timeout, most_body: MOST_BODY })
    }

    /// What an answer means for the job.
    fn outcome(
        &self,
        answer: Result<OutboundResponse, OutboundError>,
        may_pass: fn(StatusCode) -> bool,
    ) -> JobOutcome {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let (message, is_final) = (error.to_string(), error.is_final());
                return JobOutcome::Failed { message, is_final };
            }
        };
        if answer.status.is_success() {
            return JobOutcome::Completed { result: Some(result(&answer)) };
        }
        let message = told(&answer);
        let may_pass = may_pass(answer.status);
        let now = self.clock.now();
        match retry_after(&answer.headers, now) {
            Some(pause) if may_pass => {
                JobOutcome::Postponed { message, until: later(now, pause.min(LONGEST_PAUSE)) }
            }
            _ => JobOutcome::Failed { message, is_final: !may_pass },
        }
    }
}

impl Kind for HttpJobs {
    fn draft(&self, arguments: Value) -> Result<Draft, BadArguments> {
        let read: HttpArguments = read(arguments.clone())?;
        self.request(&read, None)?;
        Ok(Draft { arguments, ..Draft::default() })
    }
}

#[async_trait]
impl Handler for HttpJobs {
    async fn run(&self, work: &Work) -> Ended {
        let (job, arguments) = (work.job().await, work.arguments().await);
        let request = read::<HttpArguments>(arguments)
            .and_then(|arguments| self.request(&arguments, Some(&job.id)));
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                let message = format!("its arguments make no sense: {error}");
                return Ended::with(JobOutcome::Failed { message, is_final: true });
            }
        };
        self.send(work, request, may_pass).await
    }
}

/// Whether the same request may get another answer.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

fn method_of(text: &str) -> Result<Method, BadArguments> {
    const METHODS: [Method; 6] =
        [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    METHODS.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
        BadArguments::wrong("method", "must be GET, HEAD, POST, PUT, PATCH or DELETE")
    })
}

fn result(answer: &OutboundResponse) -> Value {
    let kept = KEPT.into_iter().filter_map(|name| {
        let value = answer.headers.get(&name).filter(|value| value.len() <= MOST_VALUE)?;
        Some((name.to_string(), Value::from(value.to_str().ok()?)))
    });
    json!({
        "status": answer.status.as_u16(),
        "headers": kept.collect::<serde_json::Map<_, _>>(),
        "body": String::from_utf8_lossy(&answer.body),
        "body_is_truncated": answer.is_truncated,
    })
}

/// What an answer that is not a success says.
fn told(answer: &OutboundResponse) -> String {
    let body: String =
        String::from_utf8_lossy(&answer.body).trim().chars().take(MOST_TOLD).collect();
    let mut message = format!("the server answered {}", answer.status);
    if answer.status.is_redirection() {
        message.push_str(", which is not followed; use the URL that it leads to");
    }
    if !body.is_empty() {
        message.push_str(": ");
        message.push_str(&body);
    }
    message
}

#[cfg(test)]
mod tests {
    use diogenes_core::testing::ManualClock;

    use super::*;
    use crate::outbound::OutboundRules;

    fn jobs() -> HttpJobs {
        let rules = OutboundRules::parse(&["127.0.0.1"]).unwrap();
        let clock = ManualClock::new("2026-11-30T12:00:00Z".parse().unwrap());
        HttpJobs::new(Outbound::new(rules).unwrap(), Arc::new(clock))
    }

    fn answer(status: u16, headers: &[(&'static str, &'static str)]) -> OutboundResponse {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        OutboundResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: Bytes::from_static(b"no"),
            is_truncated: false,
        }
    }

    #[test]
    fn arguments_that_make_no_sense_name_the_field() {
        for (arguments, field) in [
            (json!({"url": "ftp://example.com"}), "url"),
            (json!({"url": "http://169.254.169.254/latest/meta-data"}), "url"),
            (json!({"url": "http://[::ffff:10.0.0.1]/"}), "url"),
            (json!({"url": "http://user:secret@example.com/"}), "url"),
            (json!({"url": "https://example.com", "method": "CONNECT"}), "method"),
            (json!({"url": "https://example.com", "headers": {"a b": "c"}}), "headers.a b"),
            (json!({"url": "https://example.com", "headers": {"a": "b\r\nc: d"}}), "headers.a"),
            (json!({"url": "https://example.com", "headers": {"Host": "inner"}}), "headers.Host"),
            (json!({"url": "https://example.com", "body": "a", "json": null}), "json"),
            (json!({"url": "https://example.com", "idempotency_key": ""}), "idempotency_key"),
            (json!({"url": "https://example.com", "timeout": "2h"}), "timeout"),
        ] {
            match jobs().draft(arguments.clone()) {
                Err(BadArguments::Wrong { field: found, .. }) => assert_eq!(found, field),
                other => panic!("{arguments}: {other:?}"),
            }
        }
        for arguments in [json!({}), json!({"url": 5}), json!({"url": "http://a", "retry": true})] {
            let found = jobs().draft(arguments.clone());
            assert!(
                matches!(found, Err(BadArguments::Unreadable { .. })),
                "{arguments}: {found:?}"
            );
        }
    }

    #[test]
    fn every_attempt_has_the_same_idempotency_key() {
        let id = JobId::from_caller(&"a".repeat(32)).unwrap();
        let arguments: HttpArguments =
            read(json!({"url": "https://example.com", "json": {"a": 1}})).unwrap();
        let request = jobs().request(&arguments, Some(&id)).unwrap();
        assert_eq!(request.headers[&IDEMPOTENCY_KEY], "a".repeat(32).as_str());
        assert_eq!((request.method, &request.body[..]), (Method::POST, &br#"{"a":1}"#[..]));
        let own = HttpArguments { idempotency_key: Some("mine".into()), ..arguments };
        let request = jobs().request(&own, Some(&id)).unwrap();
        assert_eq!(request.headers[&IDEMPOTENCY_KEY], "mine");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, is_final) in [
            (302, true),
            (400, true),
            (401, true),
            (404, true),
            (408, false),
            (409, true),
            (425, false),
            (429, false),
            (500, false),
            (503, false),
        ] {
            let JobOutcome::Failed { is_final: found, message } =
                jobs().outcome(Ok(answer(status, &[])), may_pass)
            else {
                panic!("{status}");
            };
            assert_eq!(found, is_final, "{status}: {message}");
        }
        let timeout = jobs().outcome(Err(OutboundError::Timeout(TIMEOUT)), may_pass);
        assert!(matches!(timeout, JobOutcome::Failed { is_final: false, .. }), "{timeout:?}");
    }

    #[test]
    fn a_pause_that_the_server_asks_for_is_kept_within_a_bound() {
        for (after, wanted) in [
            ("30", "2026-11-30T12:00:30Z"),
            ("Mon, 30 Nov 2026 12:01:00 GMT", "2026-11-30T12:01:00Z"),
            ("999999", "2026-11-30T18:00:00Z"),
        ] {
            let outcome = jobs().outcome(Ok(answer(429, &[("retry-after", after)])), may_pass);
            let JobOutcome::Postponed { until, message } = outcome else { panic!("{outcome:?}") };
            assert_eq!(until, wanted.parse().unwrap(), "{after}");
            assert_eq!(message, "the server answered 429 Too Many Requests: no");
        }
        let outcome = jobs().outcome(Ok(answer(404, &[("retry-after", "30")])), may_pass);
        assert!(matches!(outcome, JobOutcome::Failed { is_final: true, .. }), "{outcome:?}");
    }

    #[test]
    fn an_answer_is_kept_without_what_may_be_secret() {
        let answer = answer(201, &[("set-cookie", "session=1"), ("etag", "x")]);
        let JobOutcome::Completed { result: Some(result) } = jobs().outcome(Ok(answer), may_pass)
        else {
            panic!("not completed");
        };
        let wanted = json!({
            "status": 201, "headers": {"etag": "x"}, "body": "no", "body_is_truncated": false,
        });
        assert_eq!(result, wanted);
    }
}
