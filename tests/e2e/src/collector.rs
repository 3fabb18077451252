use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;

use crate::wait::eventually;

/// An OpenTelemetry collector that takes OTLP over HTTP in JSON, and refuses what is not as the
/// protocol wants it.
#[derive(Clone)]
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    /// The statuses that the next requests are answered with, before all others succeed; 0 for no
    /// answer at all.
    next: Mutex<VecDeque<u16>>,
    problems: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Seen {
    requests: usize,
    headers: HeaderMap,
    spans: Vec<Span>,
    /// Those of the last request.
    metrics: Vec<Metric>,
    text: String,
}

/// A span as it has come.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    pub parent: Option<String>,
    pub name: String,
    /// 1: internal, 2: of a server, 3: of a client.
    pub kind: u64,
    pub start: u64,
    pub end: u64,
    pub attributes: BTreeMap<String, Value>,
    pub events: Vec<String>,
    /// 2 for an error.
    pub status: u64,
    pub resource: BTreeMap<String, Value>,
}

/// One series of a metric.
#[derive(Clone, Debug)]
pub struct Metric {
    pub name: String,
    pub unit: String,
    pub attributes: BTreeMap<String, Value>,
    /// How many values a histogram has.
    pub count: Option<u64>,
    /// Of a histogram, or of a counter.
    pub sum: f64,
    pub bounds: Vec<f64>,
}

impl Collector {
    /// A collector on a free port.
    pub async fn start() -> Self {
        Self::answering([]).await
    }

    /// One that answers its first requests with these statuses; 0 for no answer at all.
    pub async fn answering(statuses: impl IntoIterator<Item = u16>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            next: Mutex::new(statuses.into_iter().collect()),
            ..Shared::default()
        });
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `[telemetry]` that leads here.
    pub fn table(&self) -> String {
        format!("[telemetry]\notlp_endpoint = \"{}\"\n", self.url())
    }

    /// What makes `serve` send soon.
    pub const SOON: [(&str, &str); 2] =
        [("OTEL_BSP_SCHEDULE_DELAY", "20"), ("OTEL_METRIC_EXPORT_INTERVAL", "20")];

    /// How many requests have come, empty ones included.
    pub fn requests(&self) -> usize {
        self.shared.seen.lock().unwrap().requests
    }

    /// The headers of the last request with traces.
    pub fn headers(&self) -> HeaderMap {
        self.shared.seen.lock().unwrap().headers.clone()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        self.check();
        self.shared.seen.lock().unwrap().spans.clone()
    }

    /// The metrics that came last.
    pub fn metrics(&self) -> Vec<Metric> {
        self.check();
        self.shared.seen.lock().unwrap().metrics.clone()
    }

    /// Everything that has come, as text.
    pub fn text(&self) -> String {
        self.shared.seen.lock().unwrap().text.clone()
    }

    fn check(&self) {
        let problems = self.shared.problems.lock().unwrap();
        assert!(problems.is_empty(), "not OTLP: {problems:?}");
    }

    /// Waits until so many requests have been told of; returns the spans of the last of them, its own
    /// first.
    pub async fn request(&self, number: usize) -> Vec<Span> {
        eventually(&format!("the span of request {number}"), async || {
            let spans = self.spans();
            let of_server: Vec<&Span> = spans.iter().filter(|span| span.kind == 2).collect();
            let Some(server) = number.checked_sub(1).and_then(|place| of_server.get(place)) else {
                return Err(spans);
            };
            let below = spans.iter().filter(|span| span.parent.as_ref() == Some(&server.span_id));
            Ok(std::iter::once(*server).chain(below).cloned().collect())
        })
        .await
    }

    /// Waits for a series of a metric that has these attributes.
    pub async fn metric(&self, name: &str, attributes: &[(&str, &str)], count: u64) -> Metric {
        eventually(&format!("{name} {attributes:?}"), async || {
            let metrics = self.metrics();
            let found = metrics.iter().find(|metric| {
                let has = |(key, value): &(&str, &str)| {
                    metric.attributes.get(*key).is_some_and(|found| found == value)
                };
                metric.name == name
                    && attributes.iter().all(has)
                    && metric.count.is_none_or(|seen| seen == count)
            });
            found.cloned().ok_or(metrics)
        })
        .await
    }
}

impl Span {
    /// An attribute as text; empty where it is missing.
    pub fn text(&self, key: &str) -> &str {
        self.attributes.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// An attribute as a number.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.attributes.get(key).and_then(Value::as_f64)
    }
}

async fn traces(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let spans = read(&shared, &headers, &body, spans_of);
    if let Some(status) = shared.refusal() {
        return answer(status).await;
    }
    let mut seen = shared.seen.lock().unwrap();
    seen.headers = headers;
    seen.spans.extend(spans.unwrap_or_default());
    "{}".into_response()
}

async fn metrics(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    if let Some(metrics) = read(&shared, &headers, &body, metrics_of) {
        shared.seen.lock().unwrap().metrics = metrics;
    }
    "{}".into_response()
}

impl Shared {
    /// What the next request with traces is answered with, if not with success.
    fn refusal(&self) -> Option<u16> {
        self.next.lock().unwrap().pop_front()
    }
}

async fn answer(status: u16) -> Response {
    match StatusCode::from_u16(status) {
        Ok(status) => (status, [("retry-after", "0")], "{}").into_response(),
        Err(_) => std::future::pending().await,
    }
}

fn read<T>(
    shared: &Shared,
    headers: &HeaderMap,
    body: &[u8],
    read: impl FnOnce(&Value) -> Result<T, String>,
) -> Option<T> {
    {
        let mut seen = shared.seen.lock().unwrap();
        seen.requests += 1;
        seen.text.push_str(&String::from_utf8_lossy(body));
    }
    let is_json = headers.get("content-type").is_some_and(|kind| kind == "application/json");
    let body = serde_json::from_slice(body).map_err(|error| error.to_string());
    let told = body.and_then(|body| read(&body)).and_then(|told| {
        if is_json { Ok(told) } else { Err("the content type is not JSON".into()) }
    });
    told.map_err(|problem| shared.problems.lock().unwrap().push(problem)).ok()
}

fn spans_of(body: &Value) -> Result<Vec<Span>, String> {
    let mut spans = Vec::new();
    for of in list(body, "resourceSpans")? {
        let resource = attributes(&of["resource"])?;
        for scope in list(of, "scopeSpans")? {
            text(&scope["scope"], "name")?;
            for span in list(scope, "spans")? {
                spans.push(span_of(span, &resource)?);
            }
        }
    }
    Ok(spans)
}

fn span_of(span: &Value, resource: &BTreeMap<String, Value>) -> Result<Span, String> {
    let parent = match span.get("parentSpanId") {
        None => None,
        Some(_) => Some(hex(span, "parentSpanId", 16)?),
    };
    let events = match span.get("events") {
        None => Vec::new(),
        Some(_) => list(span, "events")?
            .iter()
            .map(|event| {
                long(event, "timeUnixNano")?;
                attributes(event)?;
                text(event, "name")
            })
            .collect::<Result<_, _>>()?,
    };
    let told = Span {
        trace_id: hex(span, "traceId", 32)?,
        span_id: hex(span, "spanId", 16)?,
        parent,
        name: text(span, "name")?,
        kind: span["kind"].as_u64().ok_or("`kind` is not a number")?,
        start: long(span, "startTimeUnixNano")?,
        end: long(span, "endTimeUnixNano")?,
        attributes: attributes(span)?,
        events,
        status: span["status"].get("code").map_or(Ok(0), |code| code.as_u64().ok_or("`code`"))?,
        resource: resource.clone(),
    };
    if told.end < told.start {
        return Err(format!("it ends before it starts: {told:?}"));
    }
    Ok(told)
}

fn metrics_of(body: &Value) -> Result<Vec<Metric>, String> {
    let mut metrics = Vec::new();
    for of in list(body, "resourceMetrics")? {
        attributes(&of["resource"])?;
        for scope in list(of, "scopeMetrics")? {
            for metric in list(scope, "metrics")? {
                let (name, unit) = (text(metric, "name")?, text(metric, "unit")?);
                let kind = if metric.get("sum").is_some() { "sum" } else { "histogram" };
                let data = &metric[kind];
                if data["aggregationTemporality"] != 2 {
                    return Err(format!("{name} is not cumulative"));
                }
                for point in list(data, "dataPoints")? {
                    metrics.push(point_of(point, kind, name.clone(), unit.clone())?);
                }
            }
        }
    }
    Ok(metrics)
}

fn point_of(point: &Value, kind: &str, name: String, unit: String) -> Result<Metric, String> {
    if long(point, "startTimeUnixNano")? > long(point, "timeUnixNano")? {
        return Err(format!("{name} ends before it starts"));
    }
    let attributes = attributes(point)?;
    if kind == "sum" {
        let sum = long(point, "asInt")? as f64;
        return Ok(Metric { name, unit, attributes, count: None, sum, bounds: Vec::new() });
    }
    let bounds: Vec<f64> =
        list(point, "explicitBounds")?.iter().filter_map(Value::as_f64).collect();
    let counts = list(point, "bucketCounts")?.iter().map(|count| {
        count.as_str().and_then(|count| count.parse().ok()).ok_or("a count is not text")
    });
    let counts: Vec<u64> = counts.collect::<Result<_, _>>()?;
    let count = long(point, "count")?;
    if counts.len() != bounds.len() + 1 || counts.iter().sum::<u64>() != count {
        return Err(format!("the buckets of {name} do not add up: {point}"));
    }
    let sum = point["sum"].as_f64().ok_or("`sum` is not a number")?;
    Ok(Metric { name, unit, attributes, count: Some(count), sum, bounds })
}

fn list<'a>(of: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    of[key].as_array().ok_or_else(|| format!("`{key}` is not a list: {of}"))
}

fn text(of: &Value, key: &str) -> Result<String, String> {
    of[key].as_str().map(str::to_owned).ok_or_else(|| format!("`{key}` is not text: {of}"))
}

/// An integer of 64 bits, which is text in JSON.
fn long(of: &Value, key: &str) -> Result<u64, String> {
    text(of, key)?.parse().map_err(|_| format!("`{key}` is not a number in text: {of}"))
}

fn hex(of: &Value, key: &str, length: usize) -> Result<String, String> {
    let id = text(of, key)?;
    let is_id = id.len() == length
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        && id.bytes().any(|byte| byte != b'0');
    if is_id { Ok(id) } else { Err(format!("`{key}` is not an id: {id}")) }
}

fn attributes(of: &Value) -> Result<BTreeMap<String, Value>, String> {
    let mut all = BTreeMap::new();
    for attribute in list(of, "attributes")? {
        let key = text(attribute, "key")?;
        let value = &attribute["value"];
        let value = match value.as_object().and_then(|of| of.iter().next()) {
            Some((kind, value)) if kind == "stringValue" && value.is_string() => value.clone(),
            Some((kind, value)) if kind == "boolValue" && value.is_boolean() => value.clone(),
            Some((kind, value)) if kind == "doubleValue" && value.is_number() => value.clone(),
            Some((kind, _)) if kind == "intValue" => long(value, "intValue")?.into(),
            _ => return Err(format!("`{key}` has no value: {attribute}")),
        };
        if all.insert(key.clone(), value).is_some() {
            return Err(format!("`{key}` stands twice"));
        }
    }
    Ok(all)
}
