use diogenes_e2e::{Client, Config, Model, Serve};
use serde_json::{Value, json};

use super::{caller, content, create, line, lines, until, upload};

async fn serve() -> (Serve, Client) {
    let serve = Serve::start(Config::with([Model::mock("demo", &[])])).await;
    let client = caller(&serve.client()).await;
    (serve, client)
}

/// What is wrong with a file, as a batch tells it.
async fn problems(client: &Client, text: &str) -> Vec<(Value, String)> {
    let batch = create(client, &upload(client, text).await).await;
    let failed = until(client, &batch, "failed").await;
    assert_eq!(failed["output_file_id"], json!(null));
    let problems = failed["errors"]["data"].as_array().unwrap();
    problems.iter().map(|p| (p["line"].clone(), p["code"].as_str().unwrap().into())).collect()
}

/// All of a file is good, or nothing of it is run; the lines at fault are told.
#[tokio::test]
async fn bad_files_are_refused_with_the_lines_at_fault() {
    let (serve, client) = serve().await;
    let good = line("a", "demo");
    for (text, expected) in [
        (String::new(), vec![(json!(null), "empty_file")]),
        ("\n\r\n".into(), vec![(json!(null), "empty_file")]),
        (
            format!("{good}\nnot json\n\n{good}"),
            vec![(json!(2), "invalid_json_line"), (json!(4), "duplicate_custom_id")],
        ),
        (format!("{good}\n{}", line("b", "other")), vec![(json!(2), "mismatched_model")]),
        (
            good.replace("\"max_tokens\"", "\"stream\":true,\"max_tokens\""),
            vec![(json!(1), "stream_not_supported")],
        ),
        (
            good.replace("/v1/chat/completions", "/v1/embeddings"),
            vec![(json!(1), "mismatched_url")],
        ),
    ] {
        let found = problems(&client, &text).await;
        let expected: Vec<_> =
            expected.into_iter().map(|(line, code)| (line, code.to_owned())).collect();
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(serve.client().state("demo").await["standing"], "asleep", "nothing was asked");
}

/// Windows' line ends, a byte order mark and a last line without an end are taken.
#[tokio::test]
async fn odd_but_clear_files_are_run() {
    let (_serve, client) = serve().await;
    let text = format!("\u{feff}{}\r\n\r\n{}", line("a", "demo"), line("b", "demo"));
    let batch = create(&client, &upload(&client, &text).await).await;
    let done = until(&client, &batch, "completed").await;
    assert_eq!(done["request_counts"]["completed"], 2);
}

#[tokio::test]
async fn bad_batches_are_refused_with_the_field() {
    let (serve, client) = serve().await;
    let file = upload(&client, &lines(1, "demo")).await;
    let form = client.form("/v1/files", &[("purpose", "user_data")], ("file", b"x"));
    let other = client.send(form).await.json()["id"].clone();
    let good = json!({
        "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h",
    });
    let pairs: serde_json::Map<_, _> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
    for (field, value, param) in [
        ("input_file_id", json!("file-0"), "input_file_id"),
        ("input_file_id", other, "input_file_id"),
        ("endpoint", json!("/v1/images/edits"), "endpoint"),
        ("completion_window", json!("1h"), "completion_window"),
        ("metadata", Value::Object(pairs), "metadata"),
        ("metadata", json!({"k": "x".repeat(513)}), "metadata"),
        (
            "output_expires_after",
            json!({"anchor": "created_at", "seconds": 10}),
            "output_expires_after.seconds",
        ),
        (
            "output_expires_after",
            json!({"anchor": "never", "seconds": 3600}),
            "output_expires_after.anchor",
        ),
        ("not_before", json!(i64::MAX), "not_before"),
        ("not_before", json!(9_999_999_999_i64), "not_before"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let answer = client.post("/v1/batches", &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert_eq!(answer.json()["error"]["param"], param, "{}", answer.text());
    }
    // None of them has left a job behind.
    assert_eq!(serve.client().get("/api/v1/jobs").await.json()["data"], json!([]));
    // Another project's file is as good as none, and so is its batch.
    let batch = create(&client, &file).await;
    let admin = serve.client();
    assert_eq!(admin.post("/api/v1/projects", &json!({"id": "team-b"})).await.status, 201);
    let key = json!({"email": "b@example.com", "scopes": ["inference"], "project": "team-b"});
    let stranger = client_of(&admin, &key).await;
    assert_eq!(stranger.post("/v1/batches", &good).await.status, 400);
    for path in [format!("/v1/batches/{batch}"), format!("/v1/files/{file}")] {
        assert_eq!(stranger.get(&path).await.status, 404, "{path}");
    }
    assert_eq!(stranger.get("/v1/batches").await.json()["data"], json!([]));
    let cancel = format!("/v1/batches/{batch}/cancel");
    assert_eq!(stranger.post(&cancel, &json!({})).await.status, 404);
}

async fn client_of(admin: &Client, key: &Value) -> Client {
    let (_, key) = admin.create_key(key).await;
    Client::new(admin.base_url(), &key)
}

/// A model that nobody knows, and a key that was revoked meanwhile: every line says so.
#[tokio::test]
async fn lines_that_nobody_can_answer_are_told() {
    let (serve, client) = serve().await;
    let batch = create(&client, &upload(&client, &lines(3, "absent")).await).await;
    let done = until(&client, &batch, "completed").await;
    assert_eq!(done["request_counts"], json!({"total": 3, "completed": 0, "failed": 3}));
    let errors = content(&client, &done["error_file_id"]).await;
    assert_eq!(errors[0]["response"]["body"]["error"]["code"], "model_not_found");

    let admin = serve.client();
    let key = json!({"email": "gone@example.com", "scopes": ["inference"]});
    let (id, key) = admin.create_key(&key).await;
    let leaver = Client::new(admin.base_url(), &key);
    let slow = upload(&leaver, &lines(2_000, "demo")).await;
    let batch = create(&leaver, &slow).await;
    assert_eq!(admin.delete(&format!("/api/v1/keys/{id}")).await.status, 200);
    let done = until(&client, &batch, "completed").await;
    let counts = &done["request_counts"];
    let sum = counts["completed"].as_u64().unwrap() + counts["failed"].as_u64().unwrap();
    assert_eq!(sum, 2_000, "{counts}");
}
