//! The commands against a deployment, whose base URL has a path.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};

/// Answers everything alike and keeps what was asked.
struct Gateway {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    body: &'static str,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    fn answering(status: u16, body: &'static str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer =
            Answer { status: StatusCode::from_u16(status).unwrap(), body, asked: asked.clone() };
        let app = Router::new().fallback(keep).with_state(answer);
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { url, asked, _runtime: runtime }
    }
}

async fn keep(
    State(answer): State<Answer>,
    method: Method,
    uri: Uri,
) -> (StatusCode, &'static str) {
    answer.asked.lock().unwrap().push(format!("{method} {}", uri.path()));
    (answer.status, answer.body)
}

/// Runs a command; returns its exit code and what it printed on standard error.
fn diogenes(arguments: &[&str]) -> (i32, String) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_diogenes"));
    command.args(arguments).env_clear().env("HOME", home.path()).env("DIOGENES_API_KEY", "dg_x");
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn every_command_keeps_the_path_of_the_base_url() {
    const REFUSED: &str = r#"{"error": {"message": "no", "code": "internal_error"}}"#;
    let gateway = Gateway::answering(500, REFUSED);
    let dir = tempfile::tempdir().unwrap();
    let spec = dir.path().join("model.toml");
    std::fs::write(&spec, "command = [\"vllm\", \"serve\", \"x\"]\n").unwrap();
    let spec = spec.to_str().unwrap();
    let commands: [(&[&str], &str); 15] = [
        (&["ps"], "GET /prod/api/v1/cluster"),
        (&["up", "a/b", "--no-wait"], "POST /prod/api/v1/cluster/scale"),
        (&["down", "a/b"], "POST /prod/api/v1/cluster/scale"),
        (&["pin", "a/b"], "POST /prod/api/v1/cluster/scale"),
        (&["unpin", "a/b"], "POST /prod/api/v1/cluster/scale"),
        (&["logs", "a/b"], "GET /prod/api/v1/cluster/logs"),
        (&["model", "list"], "GET /prod/api/v1/models"),
        (&["model", "show", "a/b"], "GET /prod/api/v1/models/a/b"),
        (&["model", "delete", "a/b", "--yes"], "DELETE /prod/api/v1/models/a/b"),
        (&["model", "apply", "a/b", "-f", spec], "PUT /prod/api/v1/models/a/b"),
        (&["key", "list"], "GET /prod/api/v1/keys"),
        (&["key", "create", "--email", "a@b"], "POST /prod/api/v1/keys"),
        (&["key", "revoke", "k"], "DELETE /prod/api/v1/keys/k"),
        (&["key", "rotate", "k"], "POST /prod/api/v1/keys/k/rotate"),
        (&["chat", "a/b", "Hello!"], "POST /prod/v1/chat/completions"),
    ];
    for (command, expected) in commands {
        for path in ["/prod", "/prod/", "/prod/v1/"] {
            let url = format!("{}{path}", gateway.url);
            gateway.asked.lock().unwrap().clear();
            let (_, error) = diogenes(&[command, &["--url", &url]].concat());
            let asked = gateway.asked.lock().unwrap();
            assert_eq!(asked.first().map(String::as_str), Some(expected), "{command:?}: {error}");
        }
    }
}

#[test]
fn what_api_gateway_says_by_itself_is_explained() {
    for (status, body, code, text) in [
        (403, r#"{"message":"Forbidden"}"#, 2, "output `ControlUrl`"),
        (403, r#"{"message":"Missing Authentication Token"}"#, 2, "ends with `/prod`"),
        (401, r#"{"message":"Unauthorized"}"#, 5, "--api-key"),
        (413, r#"{"message":"Request Too Long"}"#, 1, "6 MB"),
        (429, r#"{"message":"Too Many Requests"}"#, 1, "ThrottleRate"),
        (500, r#"{"message":null}"#, 4, "(no message)"),
        (502, r#"{"message":"Internal server error"}"#, 4, "the function behind it failed"),
        (504, r#"{"message":"Endpoint request timed out"}"#, 4, "took too long"),
        // Somebody else's answers are not taken for API Gateway's.
        (403, r#"{"message":"no","detail":1}"#, 5, "not as Diogenes does"),
        (502, "<html>", 1, "not as Diogenes does"),
    ] {
        let gateway = Gateway::answering(status, body);
        let (exit, error) = diogenes(&["ps", "--url", &gateway.url]);
        assert_eq!(exit, code, "{body}: {error}");
        assert!(error.contains(text), "{body}: {error}");
    }
}
