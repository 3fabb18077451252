use diogenes_e2e::{Answer, Client, Config, Model, SCRIPT_HEADER, Script, Serve, Step};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::wire;

async fn ask(client: &Client, script: &Script, text: &str) -> Answer {
    let request = client.request(Method::POST, "/v1/chat/completions");
    let request = request.header(SCRIPT_HEADER, script.encode()).header("x-case", "crash");
    let messages = json!([{"role": "user", "content": text}]);
    client.send(request.json(&json!({"model": "demo", "messages": messages}))).await
}

#[tokio::test]
async fn a_request_that_ended_two_replicas_gets_no_third() {
    let folder = TempDir::with_prefix("diogenes-faults-").expect("a folder");
    std::fs::write(folder.path().join("demo"), "").expect("a folder");
    let model = Model::scripted_by_requests("demo", folder.path());
    let serve = Serve::start(Config::with([model])).await;
    let client = serve.client();
    let seen = || {
        let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap_or_default();
        seen.lines().count()
    };
    let deadly = Script::new().then(Step::Die);
    for times in 1..=2 {
        let answer = ask(&client, &deadly, "crash").await;
        assert_eq!(answer.refusal(), (502, "upstream_unreachable".into()), "{}", answer.text());
        assert_eq!(seen(), times);
    }
    let third = ask(&client, &deadly, "crash").await;
    assert_eq!(third.refusal(), (422, "request_crashes_model".into()), "{}", third.text());
    assert_eq!(seen(), 2);
    let other = ask(&client, &Script::new().send(wire::json("200 OK", wire::JSON)), "hello").await;
    assert_eq!((other.status.as_u16(), other.text()), (200, wire::JSON.to_owned()));
}
