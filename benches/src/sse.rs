use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::subject::Subject;

/// How streams fare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    pub(crate) first_chunk_us: f64,
    pub(crate) burst_chunks_per_second: f64,
}

/// The time to the first chunk (median of many short streams), and the rate of one long burst.
pub(crate) async fn measure(subject: &Subject) -> anyhow::Result<Streams> {
    const SHORT: usize = 300;
    const BURST_TOKENS: usize = 200_000;
    let mut connection = Connection::open(subject).await?;
    let mut firsts = Vec::with_capacity(SHORT);
    for _ in 0..SHORT {
        firsts.push(connection.stream(2).await?.first);
    }
    firsts.sort_unstable();
    let first = firsts.get(SHORT / 2).copied().unwrap_or_default();
    let burst = connection.stream(BURST_TOKENS).await?;
    if burst.events < BURST_TOKENS {
        bail!("the burst had {} events only", burst.events);
    }
    Ok(Streams {
        first_chunk_us: first.as_secs_f64() * 1e6,
        burst_chunks_per_second: burst.events as f64 / burst.took.as_secs_f64(),
    })
}

struct Connection {
    stream: TcpStream,
    authority: String,
    key: String,
}

struct Streamed {
    first: Duration,
    took: Duration,
    events: usize,
}

impl Connection {
    async fn open(subject: &Subject) -> anyhow::Result<Self> {
        let authority = subject.url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&authority).await?;
        stream.set_nodelay(true)?;
        let key = subject.key.clone().unwrap_or_else(|| "none".into());
        Ok(Self { stream, authority, key })
    }

    async fn stream(&mut self, tokens: usize) -> anyhow::Result<Streamed> {
        let body = format!(
            r#"{{"model":"bench","stream":true,"max_tokens":{tokens},"ignore_eos":true,"messages":[{{"role":"user","content":"Hello!"}}]}}"#
        );
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.authority,
            self.key,
            body.len()
        );
        let began = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        let mut buffer = vec![0; 256 << 10];
        let (mut first, mut events) = (None, 0);
        let mut tail: Vec<u8> = Vec::new();
        loop {
            let read = self.stream.read(&mut buffer).await?;
            if read == 0 {
                bail!("the stream was cut: {}", String::from_utf8_lossy(&tail));
            }
            tail.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if first.is_none() && memchr::memmem::find(&tail, b"data: ").is_some() {
                first = Some(began.elapsed());
            }
            events += memchr::memmem::find_iter(&tail, b"data: {").count();
            let ended = memchr::memmem::find(&tail, b"0\r\n\r\n").is_some()
                && memchr::memmem::find(&tail, b"data: [DONE]").is_some();
            if ended {
                break;
            }
            // Enough to find what straddles two reads, too little to find it twice.
            let cut = memchr::memmem::rfind(&tail, b"\n\n").map_or(0, |at| at + 2);
            tail.drain(..cut.min(tail.len().saturating_sub(32)));
        }
        let first = first.context("no chunk")?;
        Ok(Streamed { first, took: began.elapsed(), events })
    }
}
