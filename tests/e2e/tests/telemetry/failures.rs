//! Collectors that are slow, out of order, or not there: nobody waits for them.

use std::time::{Duration, Instant};

use diogenes_e2e::{Collector, Config, Model, Serve, eventually};

async fn ready(collector: &Collector, environment: &[(&str, &str)]) -> Serve {
    ready_with(&collector.table(), environment).await
}

async fn ready_with(table: &str, environment: &[(&str, &str)]) -> Serve {
    let config = Config::with([Model::mock("demo", &["--tokens", "5"])]).tables(table);
    let environment = [&Collector::SOON, environment].concat();
    let serve = Serve::start_with(config, &environment).await;
    serve.client().scale("demo", "up").await;
    serve.client().until("demo", "ready").await;
    serve
}

/// So many spans were dropped, as `/metrics` says.
async fn dropped(serve: &Serve) -> u64 {
    let text = serve.client().get("/metrics").await.text();
    let name = "diogenes_telemetry_dropped_spans_total ";
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[tokio::test]
async fn a_collector_that_hangs_keeps_nobody_waiting_and_what_is_too_much_is_dropped() {
    let collector = Collector::answering([0; 64]).await;
    let serve = ready(&collector, &[("OTEL_BSP_MAX_QUEUE_SIZE", "4")]).await;
    let began = Instant::now();
    for _ in 0..30 {
        assert_eq!(serve.client().chat("demo").await.status, 200);
    }
    // The collector has ten seconds for the first of them.
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    eventually("drops", async || match dropped(&serve).await {
        0 => Err(()),
        _ => Ok(()),
    })
    .await;
    eventually("a word about them", async || {
        let log = serve.log();
        if log.contains("spans were not exported and are lost") { Ok(()) } else { Err(log) }
    })
    .await;
    let mut serve = serve;
    let began = Instant::now();
    assert!(serve.terminate().await.success());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_a_collector_refuses_for_now_arrives_later() {
    let collector = Collector::answering([503, 429]).await;
    let serve = ready(&collector, &[]).await;
    assert_eq!(serve.client().chat("demo").await.status, 200);
    let spans = collector.request(1).await;
    assert_eq!(spans[0].name, "chat demo");
    assert_eq!(dropped(&serve).await, 0);
    let log = serve.log();
    assert_eq!(log.matches("traces could not be exported").count(), 1, "{log}");
    assert!(log.contains("status 503"), "{log}");
    eventually("the good news", async || {
        let log = serve.log();
        if log.contains("traces are exported again") { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_one_warning_for_each_signal() {
    // Nobody listens there any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let table = format!("[telemetry]\notlp_endpoint = \"http://127.0.0.1:{port}\"\n");
    let loud = ("DIOGENES_LOG", "info,diogenes_api::telemetry=debug");
    let serve = ready_with(&table, &[loud]).await;
    for _ in 0..10 {
        assert_eq!(serve.client().chat("demo").await.status, 200);
    }
    let told = |signal: &str, level: &str| {
        let what = format!("{signal} could not be exported to");
        serve.log().lines().filter(|line| line.contains(level) && line.contains(&what)).count()
    };
    eventually("more failures", async || {
        let again = told("traces", "DEBUG").min(told("metrics", "DEBUG"));
        if again >= 2 { Ok(()) } else { Err(serve.log()) }
    })
    .await;
    assert_eq!((told("traces", "WARN"), told("metrics", "WARN")), (1, 1), "{}", serve.log());
    let doctor = serve.cli(&[
        "doctor",
        "--config",
        serve.folder().path().join("diogenes.toml").to_str().unwrap(),
        "--data-dir",
        serve.data_dir().to_str().unwrap(),
    ]);
    let told = String::from_utf8_lossy(&doctor.stdout);
    assert!(told.contains("takes no traces: it cannot be reached"), "{told}");
}

#[tokio::test]
async fn what_is_left_is_sent_at_the_end() {
    let collector = Collector::start().await;
    let hour = "3600000";
    let late = [("OTEL_BSP_SCHEDULE_DELAY", hour), ("OTEL_METRIC_EXPORT_INTERVAL", hour)];
    let mut serve = ready(&collector, &late).await;
    assert_eq!(serve.client().chat("demo").await.status, 200);
    assert_eq!(collector.requests(), 0);
    assert!(serve.terminate().await.success());
    assert_eq!(collector.request(1).await[0].name, "chat demo");
    let labels = [("gen_ai.request.model", "demo")];
    collector.metric("gen_ai.server.request.duration", &labels, 1).await;
    assert!(serve.log().contains("bye"), "{}", serve.log());
}
