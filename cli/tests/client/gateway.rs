//! A deployment, whose base URL has a path.

use crate::fake::{Fake, Program};

/// Runs a command; returns its exit code and what it printed on standard error.
fn diogenes(arguments: &[&str]) -> (i32, String) {
    let done = Program::new(arguments).run();
    (done.code, done.error)
}

#[test]
fn every_command_keeps_the_path_of_the_base_url() {
    const REFUSED: &str = r#"{"error": {"message": "no", "code": "internal_error"}}"#;
    let gateway = Fake::answering(500, REFUSED);
    let dir = tempfile::tempdir().unwrap();
    let spec = dir.path().join("model.toml");
    std::fs::write(&spec, "command = [\"vllm\", \"serve\", \"x\"]\n").unwrap();
    let spec = spec.to_str().unwrap();
    let commands: [(&[&str], &str); 18] = [
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
        (&["embed", "a/b", "Hello!"], "POST /prod/v1/embeddings"),
        (&["health"], "GET /prod/healthz"),
        (&["prices", "list"], "GET /prod/api/v1/prices"),
    ];
    for (command, expected) in commands {
        for path in ["/prod", "/prod/", "/prod/v1/"] {
            let url = format!("{}{path}", gateway.url);
            gateway.forget();
            let (_, error) = diogenes(&[command, &["--url", &url]].concat());
            assert_eq!(
                gateway.asked().first().map(String::as_str),
                Some(expected),
                "{command:?}: {error}"
            );
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
        (403, r#"{"message":"no","detail":1}"#, 5, "does not look like Diogenes"),
        (502, "<html>", 1, "does not look like Diogenes"),
    ] {
        let gateway = Fake::answering(status, body);
        let (exit, error) = diogenes(&["ps", "--url", &gateway.url]);
        assert_eq!(exit, code, "{body}: {error}");
        assert!(error.contains(text), "{body}: {error}");
    }
}
