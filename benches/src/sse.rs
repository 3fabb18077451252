use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::chunked::Chunked;
use crate::request::Request;
use crate::subject::Subject;

/// How streams fare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    pub(crate) first_chunk_us: f64,
    pub(crate) burst_chunks_per_second: f64,
}

/// The time to the first chunk (median of many short streams), and the rate of one long burst.
///
/// Slow gateways get fewer streams and a shorter burst, so that neither takes much over a second.
pub(crate) async fn measure(subject: &Subject) -> anyhow::Result<Streams> {
    const SHORT: usize = 300;
    const ENOUGH: Duration = Duration::from_secs(1);
    const BURSTS: [usize; 3] = [2_000, 20_000, 200_000];
    let mut connection = Connection::open(subject).await?;
    let began = Instant::now();
    let mut firsts = Vec::with_capacity(SHORT);
    while firsts.len() < SHORT && began.elapsed() < ENOUGH {
        firsts.push(connection.stream(2).await?.first);
    }
    firsts.sort_unstable();
    let first = firsts.get(firsts.len() / 2).copied().unwrap_or_default();
    let mut burst_chunks_per_second = 0.0;
    for tokens in BURSTS {
        let burst = connection.stream(tokens).await?;
        if burst.events < tokens {
            bail!("a burst of {tokens} tokens had {} events only", burst.events);
        }
        burst_chunks_per_second = burst.events as f64 / burst.took.as_secs_f64();
        // The next one has ten times as much.
        if burst.took > ENOUGH / 10 {
            break;
        }
    }
    Ok(Streams { first_chunk_us: first.as_secs_f64() * 1e6, burst_chunks_per_second })
}

struct Connection {
    stream: TcpStream,
    authority: String,
    request: Request,
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
        Ok(Self { stream, authority, request: subject.request.clone() })
    }

    async fn stream(&mut self, tokens: usize) -> anyhow::Result<Streamed> {
        let request = self.head_and_body(tokens);
        let began = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        let mut buffer = vec![0; 256 << 10];
        let (mut first, mut events, mut said_end) = (None, 0, false);
        let (mut answer, mut body) = (Chunked::default(), Vec::new());
        while !answer.ended {
            let read = tokio::time::timeout(Duration::from_secs(30), self.stream.read(&mut buffer));
            let read = read.await.context("the stream stalled")??;
            if read == 0 {
                bail!("the stream was cut: {}", String::from_utf8_lossy(&body));
            }
            answer.take(buffer.get(..read).unwrap_or_default(), &mut body)?;
            if first.is_none() && memmem::find(&body, b"data: ").is_some() {
                first = Some(began.elapsed());
            }
            // Whole events are counted and dropped.
            let cut = memmem::rfind(&body, b"\n\n").map_or(0, |at| at + 2);
            let whole = body.get(..cut).unwrap_or_default();
            events += memmem::find_iter(whole, self.request.text_event()).count();
            said_end |= memmem::find(whole, self.request.last_event()).is_some();
            body.drain(..cut);
        }
        if !said_end {
            bail!("the stream ended without its last event");
        }
        let first = first.context("no chunk")?;
        Ok(Streamed { first, took: began.elapsed(), events })
    }

    fn head_and_body(&self, tokens: usize) -> String {
        let body = self.request.body(tokens, true);
        let headers = self.request.header_lines(|name, value| format!("{name}: {value}\r\n"));
        format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.request.path,
            self.authority,
            body.len()
        )
    }
}
