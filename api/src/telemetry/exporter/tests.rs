use std::net::SocketAddr;
use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use diogenes_core::Timestamp;
use diogenes_core::gateway::record::TracePlace;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};

use super::*;
use crate::proxy::testing::eventually;
use crate::telemetry::OtlpEndpoint;
use crate::telemetry::testing::record;

struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

fn wall() -> Arc<dyn Clock> {
    Arc::new(Wall)
}

/// How a collector answers.
#[derive(Clone, Debug)]
enum Reply {
    Takes,
    Says(Value),
    /// With this status, and a wish to be left alone for so many seconds.
    Refuses(u16, Option<&'static str>),
    Hangs,
}

/// A collector that answers in turn, and then as the last time again.
#[derive(Default)]
struct Collector {
    replies: Mutex<VecDeque<Reply>>,
    traces: Mutex<Vec<Value>>,
    metrics: Mutex<Vec<Value>>,
    headers: Mutex<HeaderMap>,
}

impl Collector {
    async fn start(replies: impl IntoIterator<Item = Reply>) -> (Arc<Self>, SocketAddr) {
        let replies = Mutex::new(replies.into_iter().collect());
        let collector = Arc::new(Self { replies, ..Self::default() });
        // Not by routes: those of this crate are all in one table.
        let router = Router::new().fallback(Self::take).with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, address)
    }

    async fn take(
        State(at): State<Arc<Self>>,
        uri: Uri,
        headers: HeaderMap,
        body: String,
    ) -> Response {
        let body = serde_json::from_str(&body).unwrap();
        if uri.path() == "/v1/metrics" {
            at.metrics.lock().unwrap().push(body);
            return "{}".into_response();
        }
        assert_eq!(uri.path(), "/v1/traces");
        *at.headers.lock().unwrap() = headers;
        at.traces.lock().unwrap().push(body);
        at.reply().await
    }

    async fn reply(&self) -> Response {
        let reply = {
            let mut replies = self.replies.lock().unwrap();
            let last = replies.front().cloned();
            if replies.len() > 1 { replies.pop_front() } else { last }
        };
        match reply.unwrap_or(Reply::Takes) {
            Reply::Takes => "{}".into_response(),
            Reply::Says(body) => body.to_string().into_response(),
            Reply::Refuses(status, wish) => {
                let status = StatusCode::from_u16(status).unwrap();
                match wish {
                    Some(wish) => (status, [("retry-after", wish)], "{}").into_response(),
                    None => (status, "{}").into_response(),
                }
            }
            Reply::Hangs => std::future::pending().await,
        }
    }

    /// How many spans each of the requests had that have come.
    fn batches(&self) -> Vec<usize> {
        let traces = self.traces.lock().unwrap();
        let spans = |traces: &Value| {
            let spans = &traces["resourceSpans"][0]["scopeSpans"][0]["spans"];
            spans.as_array().unwrap().len()
        };
        traces.iter().map(spans).collect()
    }
}

struct Under {
    collector: Arc<Collector>,
    sink: Arc<dyn RequestSink>,
    exporter: Exporter,
    metrics: Metrics,
}

async fn under(
    replies: impl IntoIterator<Item = Reply>,
    change: impl FnOnce(&mut TelemetrySettings),
) -> Under {
    let (collector, address) = Collector::start(replies).await;
    let endpoint = OtlpEndpoint::parse(&format!("http://{address}")).unwrap();
    let mut settings = TelemetrySettings::new(endpoint);
    settings.spans_every = Duration::from_millis(20);
    settings.metrics_every = Duration::from_hours(1);
    change(&mut settings);
    let metrics = Metrics::default();
    let (sink, exporter) = start(&settings, &metrics, &wall()).unwrap();
    Under { collector, sink, exporter, metrics }
}

impl Under {
    fn take(&self, count: usize) {
        for _ in 0..count {
            self.sink.take(Box::new(record()));
        }
    }

    fn dropped(&self) -> u64 {
        self.metrics.dropped_spans().get()
    }

    async fn has(&self, batches: &[usize]) {
        eventually(&format!("{batches:?}"), async || {
            (self.collector.batches() == batches).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn spans_and_metrics_are_sent_with_the_headers() {
    let under = under([], |settings| {
        settings.metrics_every = Duration::from_millis(20);
        settings.header("x-tenant", "one").unwrap();
    })
    .await;
    under.take(3);
    under.has(&[6]).await;
    {
        let headers = under.collector.headers.lock().unwrap();
        assert_eq!(
            (&headers["x-tenant"], &headers["content-type"]),
            (&"one".parse().unwrap(), &"application/json".parse().unwrap())
        );
    }
    eventually("the metrics", async || {
        let metrics = under.collector.metrics.lock().unwrap();
        let duration = &metrics.last()?["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
        (duration["histogram"]["dataPoints"][0]["count"] == "3").then_some(())
    })
    .await;
    assert_eq!(under.dropped(), 0);
}

#[tokio::test]
async fn a_request_that_is_not_sampled_counts_in_the_metrics_alone() {
    let under = under([], |_| {}).await;
    let mut unsampled = record();
    unsampled.trace = TracePlace { is_sampled: false, ..unsampled.trace };
    under.sink.take(Box::new(unsampled));
    let collector = under.collector.clone();
    under.exporter.close().await;
    assert_eq!(collector.batches(), [0; 0]);
    assert_eq!(collector.metrics.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_collector_refuses_for_now_is_sent_again() {
    for status in [429, 502, 503, 504] {
        let under = under([Reply::Refuses(status, Some("0")), Reply::Takes], |_| {}).await;
        under.take(1);
        under.has(&[2, 2]).await;
        assert_eq!(under.dropped(), 0, "{status}");
    }
}

#[tokio::test]
async fn what_it_will_never_take_or_not_for_long_is_dropped_and_counted() {
    for reply in [
        Reply::Refuses(400, None),
        Reply::Refuses(401, Some("0")),
        Reply::Refuses(500, Some("0")),
        Reply::Refuses(503, Some("3600")),
    ] {
        let under = under([reply.clone(), Reply::Takes], |_| {}).await;
        under.take(1);
        eventually("the drop", async || (under.dropped() == 2).then_some(())).await;
        under.take(2);
        under.has(&[2, 4]).await;
        assert_eq!(under.dropped(), 2, "{reply:?}");
    }
}

#[tokio::test]
async fn spans_that_it_rejects_are_counted_and_not_sent_again() {
    let partly = json!({"partialSuccess": {"rejectedSpans": "1", "errorMessage": "too old"}});
    let under = under([Reply::Says(partly), Reply::Takes], |_| {}).await;
    under.take(1);
    eventually("the count", async || (under.dropped() == 1).then_some(())).await;
    under.take(1);
    under.has(&[2, 2]).await;
    assert_eq!(under.dropped(), 1);
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_nobody_and_what_is_too_much_is_dropped() {
    let under = under([Reply::Hangs], |settings| settings.max_waiting = 3).await;
    under.take(1);
    under.has(&[2]).await;
    // One is on its way, three wait.
    under.take(10);
    eventually("the drops", async || (under.dropped() == 14).then_some(())).await;
    let began = Instant::now();
    under.exporter.close().await;
    assert!(began.elapsed() < CLOSING + Duration::from_secs(5));
}

#[tokio::test]
async fn many_spans_are_sent_in_batches_and_the_rest_at_the_end() {
    let under = under([], |settings| settings.spans_every = Duration::from_hours(1)).await;
    under.take(300);
    under.has(&[512]).await;
    let Under { collector, exporter, metrics, .. } = under;
    exporter.close().await;
    assert_eq!(collector.batches(), [512, 88]);
    assert_eq!(collector.metrics.lock().unwrap().len(), 1);
    assert_eq!(metrics.dropped_spans().get(), 0);
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_no_reason_to_wait_at_the_end() {
    // Nobody listens there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let settings = TelemetrySettings::new(OtlpEndpoint::parse(&endpoint).unwrap());
    let metrics = Metrics::default();
    let (sink, exporter) = start(&settings, &metrics, &wall()).unwrap();
    sink.take(Box::new(record()));
    let began = Instant::now();
    exporter.close().await;
    assert!(began.elapsed() < CLOSING, "{:?}", began.elapsed());
    assert_eq!(metrics.dropped_spans().get(), 2);
    let error = delivery::check(&settings, wall()).await.unwrap_err();
    assert!(error.starts_with("it cannot be reached: "), "{error}");
}
