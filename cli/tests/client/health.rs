use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::fake::{Fake, Program};

const DOCUMENT: &str = r#"{"info": {"title": "Diogenes control plane", "version": "0.2.0"}}"#;
const REFUSED: &str = r#"{"error": {"message": "the key was revoked", "code": "revoked_api_key"}}"#;
const NO_SCOPE: &str =
    r#"{"error": {"message": "not with this key", "code": "insufficient_scope"}}"#;

fn fleet() -> String {
    let models = ["ready", "asleep"].map(|standing| {
        json!({"model": "m", "standing": standing, "pinned": false, "held": 0, "in_flight": 0,
            "last_request_at": null, "progress": null, "failure": null, "slots": []})
    });
    json!({"data": models}).to_string()
}

/// A server that answers so to a look at the cluster, and to the list of models.
fn server(cluster: (u16, &str), models: (u16, &str)) -> Fake {
    let answer =
        |(status, body): (u16, &str)| (StatusCode::from_u16(status).unwrap(), body.to_owned());
    let answers = [
        ("/healthz", answer((200, "ok"))),
        ("/api/v1/openapi.json", answer((200, DOCUMENT))),
        ("/api/v1/cluster", answer(cluster)),
        ("/v1/models", answer(models)),
    ];
    Fake::listening("127.0.0.1:0", answers, 404, "{}")
}

#[test]
fn a_server_that_answers_tells_its_version_and_its_models() {
    let server = server((200, &fleet()), (200, "{}"));
    let done = Program::new(&["health", "--url", &server.url]).run();
    let expected = format!(
        "server:   {} answers\nversion:  0.2.0\nmodels:   2: 1 ready, 1 asleep\n",
        server.url
    );
    assert_eq!((done.code, done.output), (0, expected));
    let done = Program::new(&["health", "--url", &server.url, "-o", "json"]).run();
    let health: Value = serde_json::from_str(&done.output).unwrap();
    assert_eq!(
        health,
        json!({"status": "ok", "url": server.url, "version": "0.2.0", "usable_models": null,
            "models": {"total": 2, "ready": 1, "starting": 0, "asleep": 1, "stopping": 0, "failed": 0}})
    );
}

#[test]
fn a_key_tells_as_much_as_it_may_and_none_that_the_server_answers() {
    let list = r#"{"object": "list", "data": [{"id": "a"}, {"id": "b"}]}"#;
    for (models, text) in [
        ((200, list), "models:   2 that the key may use; it may not see their state\n"),
        ((403, NO_SCOPE), "models:   not counted, because the key may not see them\n"),
    ] {
        let server = server((403, NO_SCOPE), models);
        let done = Program::new(&["health", "--url", &server.url]).run();
        assert!(done.code == 0 && done.output.ends_with(text), "{done:?}");
    }
    let server = server((401, REFUSED), (401, REFUSED));
    let done = Program::new(&["health", "--url", &server.url]).env("DIOGENES_API_KEY", "").run();
    assert!(done.code == 0 && done.output.contains("because no API key is set"), "{done:?}");
    assert_eq!(server.asked(), ["GET /healthz", "GET /api/v1/openapi.json"]);
}

#[test]
fn a_server_that_does_not_answer_or_refuses_the_key_is_told_by_the_exit_code() {
    let health = |url: &str| Program::new(&["health", "--url", url]).run();
    assert_eq!(health("http://127.0.0.1:1").code, 4);
    let done = health(&server((401, REFUSED), (401, REFUSED)).url);
    assert_eq!((done.code, done.error.as_str()), (5, "error: the key was revoked\n"));
    let unavailable = r#"{"error": {"message": "no state", "code": "store_unavailable"}}"#;
    assert_eq!(health(&server((503, unavailable), (200, "{}")).url).code, 4);
    let other = Fake::answering(200, "{}");
    let done = health(&other.url);
    assert!(done.code == 1 && done.error.contains("does not look like Diogenes"), "{done:?}");
}
