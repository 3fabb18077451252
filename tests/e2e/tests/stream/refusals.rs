//! What never reaches a replica.

use diogenes_e2e::{Model, Serve};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn paths_that_are_not_openais_are_not_passed_on() {
    let (_serve, client) = Serve::ready(Model::mock("demo", &[])).await;
    for path in ["/v1/load_lora_adapter", "/v1/chat/completions/x", "/mock/stats", "/metrics/x"] {
        let answer = client.post(path, &json!({"model": "demo"})).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "not_found"), "{path}");
    }
    assert_eq!(client.upstream_stats("demo").await["requests"], 0);
}

#[tokio::test]
async fn a_field_that_stands_twice_is_refused() {
    let (_serve, client) = Serve::ready(Model::mock("demo", &[])).await;
    let body = "{\"model\":\"demo\",\"model\":\"other\",\"messages\":[]}";
    assert_eq!(client.post_bytes("/v1/chat/completions", body).await.code(), "invalid_request");
    assert_eq!(client.upstream_stats("demo").await["requests"], 0);
}

#[tokio::test]
async fn health_and_metrics_need_no_key_and_name_no_caller() {
    let (serve, client) = Serve::ready(Model::mock("demo", &["--tokens", "5"])).await;
    client.chat("demo").await;
    let anonymous = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| {
        let url = format!("{}{path}", serve.base_url());
        let response = anonymous.request(Method::GET, url).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    };
    assert_eq!(get("/healthz").await, "ok\n");
    let metrics = get("/metrics").await;
    assert!(
        metrics.contains("diogenes_requests_total{model=\"demo\",status=\"200\"} 1"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n") && !metrics.contains("localhost"), "{metrics}");
    assert!(get("/api/v1/openapi.json").await.contains("\"openapi\":\"3."));
}
