use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::request::Request;

/// A port that nobody listens on now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until a URL answers.
pub(crate) async fn wait_for(url: &str) -> anyhow::Result<()> {
    let http = client()?;
    let began = Instant::now();
    loop {
        match http.get(url).send().await {
            Ok(_) => return Ok(()),
            Err(error) if began.elapsed() > Duration::from_secs(20) => {
                return Err(error).context(format!("{url} does not answer"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// The headers of a successful answer to a request; an error says what came instead.
pub(crate) async fn ask(
    url: &str,
    request: &Request,
    streamed: bool,
) -> anyhow::Result<reqwest::header::HeaderMap> {
    let mut call = client()?.post(format!("{url}{}", request.path));
    for (name, value) in &request.headers {
        call = call.header(name, value);
    }
    let call = call.header("content-type", "application/json").body(request.body(4, streamed));
    let response = call.send().await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.text().await?;
    if !status.is_success() || !body.contains("Hello") {
        bail!("{status}: {}", body.chars().take(400).collect::<String>());
    }
    Ok(headers)
}

pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    let timeout = Duration::from_secs(20);
    Ok(reqwest::Client::builder().no_proxy().timeout(timeout).build()?)
}
