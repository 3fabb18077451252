use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

const TOKEN: &str = "the-token";
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

type Entries = Arc<Mutex<BTreeMap<String, String>>>;

/// The metadata service of one instance, IMDSv2 only.
#[derive(Debug)]
pub(super) struct Imds {
    entries: Entries,
    endpoint: String,
    server: AbortHandle,
}

impl Imds {
    /// Serves these entries, by their paths below `latest`, on a free port of 127.0.0.1.
    pub(super) async fn start(entries: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let entries = entries.into_iter().map(|(path, text)| (path.to_owned(), text)).collect();
        let entries: Entries = Arc::new(Mutex::new(entries));
        let app = Router::new()
            .route("/latest/api/token", put(token))
            .route("/latest/{*path}", get(entry))
            .with_state(entries.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        Self { entries, endpoint, server: server.abort_handle() }
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sets an entry.
    pub(super) fn set(&self, path: &str, text: &str) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(path.to_owned(), text.to_owned());
    }
}

impl Drop for Imds {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn token(headers: HeaderMap) -> Response {
    match headers.get(TTL) {
        Some(ttl) => ([(TTL, ttl.clone())], TOKEN).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn entry(
    State(entries): State<Entries>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    if headers.get("x-aws-ec2-metadata-token").is_none_or(|token| token != TOKEN) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
    match entries.get(&path) {
        Some(text) => text.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
