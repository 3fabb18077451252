//! Where telemetry goes, and configurations that make no sense.

use diogenes_e2e::{Collector, Config, Model, Serve, refused_to_start};

/// Starts on a file with this text; returns the exit code and what was said.
fn start(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("diogenes.toml");
    std::fs::write(&file, text).unwrap();
    let data = folder.path().join("data");
    let (code, said) = refused_to_start(&[
        "--listen",
        "127.0.0.1:0",
        "--config",
        file.to_str().unwrap(),
        "--data-dir",
        data.to_str().unwrap(),
    ]);
    assert!(!data.exists(), "nothing is created before the configuration is read");
    (code, said.replace(folder.path().to_str().unwrap(), "."))
}

#[test]
fn a_header_whose_secret_is_missing_is_named_with_its_place() {
    let (code, said) = start(
        "[telemetry]\notlp_endpoint = \"http://127.0.0.1:4318\"\nheaders = { authorization = { env = \"NOBODY_SETS_THIS\" } }\n",
    );
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(
        said,
        "error: ./diogenes.toml:3: telemetry: the header `authorization` comes from the environment variable `NOBODY_SETS_THIS`, which is not set\n"
    );
}

#[tokio::test]
async fn the_standard_variables_count_and_headers_are_sent_along() {
    let collector = Collector::start().await;
    let url = collector.url();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=one%20two"),
        ("OTEL_SERVICE_NAME", "mine"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,service.name=other"),
        Collector::SOON[0],
        Collector::SOON[1],
        ("OTLP_TOKEN", "Bearer hunter2"),
    ];
    let table = "[telemetry]\nheaders = { authorization = { env = \"OTLP_TOKEN\" } }\n";
    let config = Config::with([Model::mock("demo", &["--tokens", "5"])]).tables(table);
    let serve = Serve::start_with(config, &environment).await;
    assert_eq!(serve.client().chat("demo").await.status, 200);
    let server = &collector.request(1).await[0];
    assert_eq!(server.resource["service.name"], "mine");
    assert_eq!(server.resource["deployment.environment.name"], "test");
    let headers = collector.headers();
    assert_eq!(headers["x-tenant"], "one two");
    assert_eq!(headers["authorization"], "Bearer hunter2");
    let log = serve.log();
    assert!(log.contains(&format!("telemetry is exported to {url}")), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}
