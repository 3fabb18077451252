use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use crate::socket::Prompt;

/// The root of every path, <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.
const ROOT: &str = "/2018-06-01/runtime/";

/// The runtime API of one process. It gives out events in their order, and tells what happens.
pub(crate) struct RuntimeApi {
    pub(crate) address: SocketAddr,
    events: mpsc::UnboundedSender<Bytes>,
    news: mpsc::UnboundedReceiver<News>,
    server: AbortHandle,
}

/// What a process does.
pub(crate) enum News {
    /// It has asked for an event.
    Asked(Instant),
    /// It has answered one, wholly.
    Answered(Instant, Bytes),
    /// It has told of an error.
    Failed(String),
}

struct Desk {
    events: Mutex<mpsc::UnboundedReceiver<Bytes>>,
    news: mpsc::UnboundedSender<News>,
}

impl RuntimeApi {
    /// One on a free port of 127.0.0.1.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (events, waiting) = mpsc::unbounded_channel();
        let (telling, news) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk { events: Mutex::new(waiting), news: telling });
        let server = tokio::spawn(serve(listener, desk)).abort_handle();
        Ok(Self { address, events, news, server })
    }

    /// Queues an event.
    pub(crate) fn give(&self, event: Bytes) {
        let _ = self.events.send(event);
    }

    /// What happens next; `None` never comes while it lives.
    pub(crate) async fn news(&mut self) -> Option<News> {
        self.news.recv().await
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, desk: Arc<Desk>) {
    // Connections end with this task.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(stream) = Prompt::new(stream) else { continue };
        let desk = desk.clone();
        connections.spawn(async move {
            let answer = service_fn(|request| {
                let desk = desk.clone();
                async move { Ok::<_, Infallible>(answer(request, &desk).await) }
            });
            // The process ends its connections as it likes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(request: Request<Incoming>, desk: &Desk) -> Response<Full<Bytes>> {
    let path = request.uri().path().strip_prefix(ROOT).unwrap_or_default().to_owned();
    let is_post = request.method() == Method::POST;
    if path == "invocation/next" {
        let _ = desk.news.send(News::Asked(Instant::now()));
        return match desk.events.lock().await.recv().await {
            Some(event) => next(event),
            None => with_status(StatusCode::INTERNAL_SERVER_ERROR),
        };
    }
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let news = match body {
        Ok(body) if is_post && path.ends_with("/response") => News::Answered(Instant::now(), body),
        Ok(body) => News::Failed(format!("{path}: {}", String::from_utf8_lossy(&body))),
        Err(error) => News::Failed(format!("{path}: {error}")),
    };
    let _ = desk.news.send(news);
    with_status(StatusCode::ACCEPTED)
}

/// An event with the headers that it must have.
fn next(event: Bytes) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
        // In the year 2100, in milliseconds: no deadline.
        .header("lambda-runtime-deadline-ms", "4102444800000")
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:bench",
        );
    let response = response.body(Full::new(event));
    response.unwrap_or_else(|_| with_status(StatusCode::INTERNAL_SERVER_ERROR))
}

fn with_status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
