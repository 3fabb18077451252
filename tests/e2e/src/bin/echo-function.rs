//! A function that streams. What it does stands in the query:
//!
//! - nothing: answers with what it was asked, as JSON;
//! - `gate=FILE`: sends a first chunk at once and the last one when the file exists;
//! - `chunks=N`: sends N chunks of one line each;
//! - `header=NAME:VALUE`: with this header, and a cookie;
//! - `crash`: ends in the middle of its answer;
//! - `error`: the handler fails;
//! - `hang`: sends a first chunk and nothing more;
//! - `after=FILE`: answers, and goes on counting in that file when it has answered.
#![expect(clippy::expect_used, reason = "a program of tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::StreamBody;
use hyper::body::Frame;
use lambda_http::{Error, Request, RequestExt, Response, run_with_streaming_response, service_fn};
use serde_json::{Value, json};

type Chunk = Result<Frame<Bytes>, Error>;
type Chunks = BoxStream<'static, Chunk>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    run_with_streaming_response(service_fn(answer)).await
}

async fn answer(request: Request) -> Result<Response<StreamBody<Chunks>>, Error> {
    let query = request.query_string_parameters();
    let mut response = Response::builder().header("content-type", "text/plain");
    if let Some((name, value)) = query.first("header").and_then(|header| header.split_once(':')) {
        response =
            response.header(name, value).header("set-cookie", "a=1").header("set-cookie", "b=2");
    }
    let chunks: Chunks = if query.first("error").is_some() {
        return Err("it was told to fail".into());
    } else if let Some(gate) = query.first("gate") {
        let gate = PathBuf::from(gate);
        let last = stream::once(async move {
            appears(&gate).await;
            line("last")
        });
        stream::iter([line("first")]).chain(last).boxed()
    } else if let Some(count) = query.first("chunks") {
        let count: usize = count.parse().expect("a number");
        stream::iter(0..count).map(|number| line(&number.to_string())).boxed()
    } else if query.first("crash").is_some() {
        let end = stream::once(async {
            // The first chunk must have left.
            tokio::time::sleep(Duration::from_millis(50)).await;
            std::process::exit(3)
        });
        stream::iter([line("first")]).chain(end).boxed()
    } else if query.first("hang").is_some() {
        stream::iter([line("first")]).chain(stream::pending()).boxed()
    } else {
        if let Some(file) = query.first("after") {
            tokio::spawn(count_up(PathBuf::from(file)));
        }
        let echo = echo(&request).to_string();
        stream::iter([Ok(Frame::data(Bytes::from(echo)))]).boxed()
    };
    Ok(response.body(StreamBody::new(chunks))?)
}

#[expect(clippy::unnecessary_wraps, reason = "a stream's item")]
fn line(text: &str) -> Chunk {
    Ok(Frame::data(Bytes::from(format!("{text}\n"))))
}

fn echo(request: &Request) -> Value {
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let mut body = String::from_utf8_lossy(request.body()).into_owned();
    let length = body.len();
    if length > 1000 {
        body.clear();
    }
    json!({
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "query": request.uri().query(),
        "headers": headers,
        "body": body,
        "length": length,
        "context": request.request_context_ref(),
        "deadline": request.lambda_context_ref().map(|context| context.deadline),
        "arn": request.lambda_context_ref().map(|context| &context.invoked_function_arn),
        "environment": std::env::vars().collect::<std::collections::BTreeMap<_, _>>(),
    })
}

async fn appears(file: &Path) {
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Writes how often it has run into a file, every few milliseconds.
async fn count_up(file: PathBuf) {
    for number in 0_u64.. {
        std::fs::write(&file, number.to_string()).expect("a folder to write in");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
