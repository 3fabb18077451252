//! A fake instance metadata service, IMDSv2 only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};

type Entries = Arc<Mutex<BTreeMap<String, String>>>;

const TOKEN: &str = "a-token";

/// Answers what it was told.
pub(crate) struct Imds {
    entries: Entries,
    pub(crate) endpoint: String,
    task: tokio::task::JoinHandle<()>,
}

impl Imds {
    /// An instance `i-0test` on loopback, without user data.
    pub(crate) async fn start() -> Self {
        let entries = Entries::default();
        let app = Router::new()
            .route("/latest/api/token", put(token))
            .route("/latest/{*path}", get(entry))
            .with_state(Arc::clone(&entries));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let imds = Self { entries, endpoint, task };
        imds.set("meta-data/instance-id", "i-0test");
        imds.set("meta-data/local-ipv4", "127.0.0.1");
        imds
    }

    pub(crate) fn set(&self, path: &str, text: &str) {
        self.entries.lock().unwrap().insert(path.to_owned(), text.to_owned());
    }

    pub(crate) fn remove(&self, path: &str) {
        self.entries.lock().unwrap().remove(path);
    }
}

impl Drop for Imds {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn token(headers: HeaderMap) -> Response {
    let Some(ttl) = headers.get("x-aws-ec2-metadata-token-ttl-seconds") else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    ([("x-aws-ec2-metadata-token-ttl-seconds", ttl.clone())], TOKEN).into_response()
}

async fn entry(
    State(entries): State<Entries>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    if headers.get("x-aws-ec2-metadata-token").is_none_or(|token| token != TOKEN) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match entries.lock().unwrap().get(&path) {
        Some(text) => text.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
