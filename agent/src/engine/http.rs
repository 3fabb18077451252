//! Asking the inference server over loopback.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use diogenes_backends::engine::loopback::{connect, reachable};
use diogenes_core::secret::Secret;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

/// The most of an answer that is read: vLLM's `/metrics` has some tens of kilobytes.
const MOST: usize = 4 * 1024 * 1024;

/// The inference server, for its metrics.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    key: Secret,
    patience: Duration,
}

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Nobody listens.
    #[error("it could not be reached: {0}")]
    Unreachable(#[from] io::Error),
    /// The connection broke, or what came back is not HTTP.
    #[error("it sent an incomplete or invalid HTTP response: {0}")]
    Broken(#[from] hyper::Error),
    /// The path cannot be asked for, or the answer is too long.
    #[error("{0}")]
    Unfit(String),
    /// It answered something else than 200.
    #[error("it answered with status {0}")]
    Status(u16),
    /// No answer came.
    #[error("it gave no answer within {}", diogenes_core::duration::format(*.0))]
    TimedOut(Duration),
}

impl Client {
    /// Asks the server that listens on `listen` and wants `key`, within `patience` each time.
    pub(crate) fn new(listen: SocketAddr, key: Secret, patience: Duration) -> Self {
        Self { address: reachable(listen), key, patience }
    }

    /// The body of a 200.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, Unanswered> {
        match timeout(self.patience, self.ask(path)).await {
            Ok(answer) => answer,
            Err(_) => Err(Unanswered::TimedOut(self.patience)),
        }
    }

    async fn ask(&self, path: &str) -> Result<Bytes, Unanswered> {
        let stream = connect(self.address).await?;
        let request = Request::get(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.key.expose()))
            .header(ACCEPT, "*/*")
            .header(USER_AGENT, "diogenes")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Unanswered::Unfit(error.to_string()))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let response = sender.send_request(request).await?;
            if response.status() != 200 {
                return Err(Unanswered::Status(response.status().as_u16()));
            }
            let body = Limited::new(response.into_body(), MOST).collect().await;
            body.map(http_body_util::Collected::to_bytes)
                .map_err(|error| Unanswered::Unfit(format!("its answer cannot be read: {error}")))
        };
        tokio::pin!(answer, connection);
        tokio::select! {
            answer = &mut answer => return answer,
            // What has arrived is still to be read.
            ended = &mut connection => ended?,
        }
        answer.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(listen: &str, patience: Duration) -> Client {
        Client::new(listen.parse().unwrap(), Secret::new("k"), patience)
    }

    #[tokio::test]
    async fn every_kind_of_silence_has_its_reason() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(&server.local_addr().unwrap().to_string(), Duration::from_millis(300));
        let (asked, answered) = tokio::join!(client.get("/health"), server.accept());
        assert_eq!(asked.unwrap_err().to_string(), "it gave no answer within 300ms");
        drop(answered);

        let (asked, ()) = tokio::join!(client.get("/health"), async {
            let (mut stream, _) = server.accept().await.unwrap();
            stream.read_buf(&mut Vec::with_capacity(1024)).await.unwrap();
            stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        });
        assert_eq!(asked.unwrap_err().to_string(), "it answered with status 503");

        let (asked, ()) = tokio::join!(client.get("/metrics"), async {
            let (mut stream, _) = server.accept().await.unwrap();
            stream.read_buf(&mut Vec::with_capacity(1024)).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nto the end").await.unwrap();
        });
        assert_eq!(asked.unwrap(), "to the end");

        drop(server);
        assert!(matches!(client.get("/health").await, Err(Unanswered::Unreachable(_))));
        assert!(matches!(
            client.get("no path").await,
            Err(Unanswered::Unfit(_) | Unanswered::Unreachable(_))
        ));
    }
}
