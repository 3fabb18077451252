//! A key is known to its holder only.

use std::path::Path;

use diogenes_e2e::{Config, Model, Serve};
use serde_json::json;

/// The files below `folder` that contain `text`.
fn containing(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(containing(&path, text));
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes()))
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn keys_are_in_no_file_and_no_log() {
    let config = Config::with([Model::mock("demo", &["--tokens", "3"])]);
    let mut serve = Serve::start_with(config, &[("DIOGENES_LOG", "trace")]).await;
    let admin = serve.client();
    let (id, key) = admin.create_key(&json!({"email": "ada@example.com"})).await;
    let client = serve.client_with(&key);
    client.chat("demo").await;
    client.chat("unknown").await;
    client.post_bytes("/v1/chat/completions", "{").await;
    let rotated = admin.post(&format!("/api/v1/keys/{id}/rotate"), &json!({})).await.json();
    client.chat("demo").await;
    let upstream = admin.upstream_key("demo").await;
    let admin_key = serve.admin_key();
    let keys = [key.as_str(), rotated["key"].as_str().unwrap()];
    let folder = serve.folder();
    for key in keys {
        assert_eq!(containing(folder.path(), key), Vec::<String>::new());
    }
    assert_eq!(containing(folder.path(), &admin_key).len(), 1, "`admin.key`");
    serve.terminate().await;
    let log = serve.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    for secret in keys.into_iter().chain([admin_key.as_str(), upstream.as_str()]) {
        assert!(!log.contains(secret), "{log}");
        assert!(!log.contains(&secret[..20]), "{log}");
    }
    for key in keys {
        assert_eq!(containing(folder.path(), key), Vec::<String>::new());
    }
}

#[tokio::test]
async fn prompts_and_answers_are_in_no_file_and_no_log() {
    let config = Config::with([Model::mock("demo", &["--tokens", "3"])]);
    let serve = Serve::start_with(config, &[("DIOGENES_LOG", "trace")]).await;
    let body = json!({"model": "demo", "messages": [{"role": "user", "content": "xyzzy-plugh"}]});
    assert_eq!(serve.client().post("/v1/chat/completions", &body).await.status, 200);
    assert_eq!(containing(serve.folder().path(), "xyzzy-plugh"), Vec::<String>::new());
    assert!(!serve.log().contains("xyzzy-plugh"));
}

#[tokio::test]
async fn files_with_secrets_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (serve, _client) = Serve::ready(Model::mock("demo", &[])).await;
    let data_dir = serve.data_dir();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data_dir), 0o700);
    for name in ["admin.key", "state.db"] {
        assert_eq!(mode(&data_dir.join(name)), 0o600, "{name}");
    }
    for entry in std::fs::read_dir(data_dir.join("run")).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}
