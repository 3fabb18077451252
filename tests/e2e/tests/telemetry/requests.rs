//! What requests come to in traces and metrics.

use diogenes_e2e::{Collector, Config, Event, Model, Serve, Span, chat};
use reqwest::Method;
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn demo() -> Model {
    Model::mock("demo", &["--tokens", "5"])
}

/// A `serve` with one ready model that tells a collector.
async fn ready() -> (Collector, Serve) {
    let collector = Collector::start().await;
    let config = Config::with([demo()]).tables(&collector.table());
    let serve = Serve::start_with(config, &Collector::SOON).await;
    serve.client().scale("demo", "up").await;
    serve.client().until("demo", "ready").await;
    (collector, serve)
}

#[tokio::test]
async fn a_plain_request_is_a_span_and_a_span_below_it() {
    let (collector, serve) = ready().await;
    let answer = serve.client().chat("demo").await;
    let spans = collector.request(1).await;
    let [server, client] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((server.name.as_str(), server.kind, &server.parent), ("chat demo", 2, &None));
    assert_eq!((client.name.as_str(), client.kind), ("chat demo", 3));
    assert_eq!(client.trace_id, server.trace_id);
    assert!(server.start <= client.start && client.end <= server.end, "{spans:?}");
    let usage = &answer.json()["usage"];
    for (key, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("diogenes")),
        ("gen_ai.request.model", json!("demo")),
        ("gen_ai.response.model", json!("demo")),
        ("gen_ai.usage.input_tokens", usage["prompt_tokens"].clone()),
        ("gen_ai.usage.output_tokens", usage["completion_tokens"].clone()),
        ("http.response.status_code", json!(200)),
        ("diogenes.request.id", json!(answer.header("x-request-id"))),
        ("diogenes.target", json!(answer.header("x-diogenes-target"))),
        ("diogenes.project", json!("default")),
        ("diogenes.attempts", json!(1)),
    ] {
        assert_eq!(server.attributes.get(key), Some(&value), "{key}: {server:?}");
    }
    assert!(!server.attributes.contains_key("gen_ai.request.stream"), "{server:?}");
    assert_eq!(client.text("diogenes.outcome"), "answered");
    assert_eq!(client.text("server.address"), "127.0.0.1");
    assert_eq!(server.resource["service.name"], "diogenes");
    assert_eq!(server.resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert!(server.resource.contains_key("service.instance.id"));
    let labels = [("gen_ai.request.model", "demo"), ("gen_ai.operation.name", "chat")];
    let duration = collector.metric("gen_ai.server.request.duration", &labels, 1).await;
    assert_eq!((duration.unit.as_str(), duration.bounds.first()), ("s", Some(&0.01)));
    let tokens = "gen_ai.client.inference.usage.output_tokens";
    assert!((collector.metric(tokens, &labels, 1).await.sum - 5.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_stream_tells_when_its_first_content_came() {
    let (collector, serve) = ready().await;
    let mut body = chat("demo", true);
    body["stream_options"] = json!({"include_usage": true});
    body["max_tokens"] = json!(5);
    serve.client().stream("/v1/chat/completions", &body).await.all().await;
    let server = &collector.request(1).await[0];
    assert_eq!(server.attributes["gen_ai.request.stream"], true);
    assert_eq!(server.number("gen_ai.request.max_tokens"), Some(5.0));
    assert_eq!(server.number("gen_ai.usage.output_tokens"), Some(5.0));
    let first = server.number("gen_ai.response.time_to_first_chunk").unwrap();
    let took = (server.end - server.start) as f64 / 1e9;
    assert!(first > 0.0 && first <= took, "{first} of {took}");
    let labels = [("gen_ai.response.model", "demo")];
    let histogram = collector.metric("gen_ai.server.time_to_first_token", &labels, 1).await;
    assert!((histogram.sum - first).abs() < 1e-9, "{histogram:?} {first}");
    collector.metric("gen_ai.server.time_per_output_token", &labels, 1).await;
}

#[tokio::test]
async fn a_cold_start_is_a_span_of_its_own() {
    let collector = Collector::start().await;
    let model = Model::mock("demo", &["--tokens", "5", "--load-weights-delay", "300ms"]);
    let config = Config::with([model]).tables(&collector.table());
    let serve = Serve::start_with(config, &Collector::SOON).await;
    let answer = serve.client().chat("demo").await;
    let spans = collector.request(1).await;
    let waits: Vec<&Span> = spans.iter().filter(|span| span.kind == 1).collect();
    let [hold] = waits[..] else { panic!("{spans:?}") };
    let told: f64 = answer.header("x-diogenes-cold-start-ms").unwrap().parse().unwrap();
    let cold_start = spans[0].number("diogenes.cold_start_ms").unwrap();
    assert!((cold_start - told).abs() < 1000.0, "{cold_start} {told}");
    let took = (hold.end - hold.start) as f64 / 1e6;
    assert!((took - cold_start).abs() < 1.0, "{took} {cold_start}");
    let events = serve.client().chat_stream("demo").await.all().await;
    assert_eq!(events.last(), Some(&Event::Done));
    assert_eq!(collector.request(2).await[0].number("diogenes.cold_start_ms"), None);
}

#[tokio::test]
async fn a_fallback_along_a_route_is_seen() {
    let collector = Collector::start().await;
    let refusal = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
        content-length: 34\r\nconnection: close\r\n\r\n{\"error\":{\"message\":\"overloaded!\"}}";
    let big = Model::scripted("big", refusal, false);
    let route = "[routes.assistant]\ntargets = [\"big\", \"demo\"]\n";
    let config = Config::with([big, demo()]).tables(route).tables(&collector.table());
    let serve = Serve::start_with(config, &Collector::SOON).await;
    for model in ["big", "demo"] {
        serve.client().scale(model, "up").await;
        serve.client().until(model, "ready").await;
    }
    let answer = serve.client().chat("assistant").await;
    assert_eq!(answer.header("x-diogenes-model"), Some("demo"), "{}", answer.text());
    let spans = collector.request(1).await;
    let [server, first, second] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(server.name, "chat assistant");
    assert_eq!(
        (server.text("diogenes.route"), server.text("diogenes.model")),
        ("assistant", "demo")
    );
    assert_eq!((server.status, server.number("diogenes.attempts")), (0, Some(2.0)));
    assert_eq!((first.name.as_str(), first.text("diogenes.outcome")), ("chat big", "refused"));
    assert_eq!((first.text("error.type"), first.status), ("503", 2));
    assert_eq!((second.name.as_str(), second.text("diogenes.outcome")), ("chat demo", "answered"));
    assert!(first.end <= second.start, "{spans:?}");
}

#[tokio::test]
async fn failures_are_told_by_our_codes() {
    let collector = Collector::start().await;
    let half =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{\"id\":";
    let broken = Model::scripted("broken", half, false);
    let config = Config::with([broken]).tables(&collector.table());
    let serve = Serve::start_with(config, &Collector::SOON).await;
    let client = serve.client();
    client.scale("broken", "up").await;
    client.until("broken", "ready").await;
    assert_eq!(client.chat("broken").await.refusal(), (502, "upstream_cut".into()));
    let spans = collector.request(1).await;
    assert_eq!((spans[0].text("error.type"), spans[0].status), ("upstream_cut", 2));
    assert_eq!(spans[0].number("http.response.status_code"), Some(502.0));
    assert_eq!(
        (spans[1].text("error.type"), spans[1].text("diogenes.outcome")),
        ("upstream_cut", "failed")
    );
    // Refused before anybody is asked: the callers' mistakes.
    assert_eq!(client.chat("nobody").await.status, 404);
    let spans = collector.request(2).await;
    let [server] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((server.name.as_str(), server.status), ("chat", 0));
    assert_eq!(server.text("error.type"), "model_not_found");
    assert_eq!(serve.client_with("dg_wrong").chat("broken").await.status, 401);
    let server = &collector.request(3).await[0];
    assert_eq!(server.text("error.type"), "invalid_api_key");
    assert_eq!(server.text("diogenes.key.id"), "");
    let labels = [("error.type", "upstream_cut"), ("gen_ai.request.model", "broken")];
    collector.metric("gen_ai.server.request.duration", &labels, 1).await;
}

#[tokio::test]
async fn a_callers_trace_goes_on_and_its_flag_is_obeyed() {
    let (collector, serve) = ready().await;
    let client = serve.client();
    let ask = async |flags: &str| {
        let request = client.request(Method::POST, "/v1/chat/completions");
        let parent = format!("00-{TRACE}-{PARENT}-{flags}");
        let answer = client.send(request.json(&chat("demo", false)).header("traceparent", parent));
        assert_eq!(answer.await.status, 200);
    };
    ask("00").await;
    ask("01").await;
    let server = &collector.request(1).await[0];
    assert_eq!((server.trace_id.as_str(), server.parent.as_deref()), (TRACE, Some(PARENT)));
    // Both count, and only one is in a trace.
    let labels = [("gen_ai.request.model", "demo")];
    collector.metric("gen_ai.server.request.duration", &labels, 2).await;
    assert_eq!(collector.spans().iter().filter(|span| span.kind == 2).count(), 1);
}

#[tokio::test]
async fn of_a_share_of_none_only_metrics_are_told() {
    let collector = Collector::start().await;
    let table = format!("{}sample = 0\nservice_name = \"mine\"\n", collector.table());
    let serve = Serve::start_with(Config::with([demo()]).tables(&table), &Collector::SOON).await;
    assert_eq!(serve.client().chat("demo").await.status, 200);
    let labels = [("gen_ai.request.model", "demo")];
    collector.metric("gen_ai.server.request.duration", &labels, 1).await;
    assert!(collector.spans().is_empty(), "{:?}", collector.spans());
}

#[tokio::test]
async fn nothing_of_prompts_answers_and_keys_is_told() {
    let (collector, serve) = ready().await;
    let mut body = chat("demo", true);
    body["messages"][0]["content"] = json!("Xyzzy-prompt");
    serve.client().stream("/v1/chat/completions", &body).await.all().await;
    body["stream"] = json!(false);
    let answer = serve.client().post("/v1/chat/completions", &body).await.json();
    let said = answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    collector.request(2).await;
    let text = collector.text();
    assert!(said.len() > 5, "{said}");
    for secret in ["Xyzzy-prompt", &said, &serve.admin_key()] {
        assert!(!text.contains(secret), "{secret}");
    }
}
