use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::wait::eventually;

/// Somebody else's server: it gives one answer after the other, the last one again and again.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Target {
    /// Listens on a free port. An answer is as [`answer`] writes it, or `hang`.
    pub async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let mut answers: VecDeque<String> = answers.iter().map(|a| (*a).to_owned()).collect();
        tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 64 * 1024];
                let read = socket.read(&mut request).await.unwrap_or(0);
                seen.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
                let answer = if answers.len() > 1 {
                    answers.pop_front().unwrap()
                } else {
                    answers[0].clone()
                };
                if answer == "hang" {
                    open.push(socket);
                    continue;
                }
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, requests }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it was asked.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The same, once there are so many.
    pub async fn received(&self, count: usize) -> Vec<String> {
        eventually("the requests", async || {
            let requests = self.requests();
            if requests.len() == count { Ok(requests) } else { Err(format!("{requests:?}")) }
        })
        .await
    }
}

/// An answer with a body.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
    )
}

/// The values of a header in requests.
pub fn header(requests: &[String], name: &str) -> Vec<String> {
    let value = |request: &String| {
        let line = request.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim_start_matches(": ").to_owned()
    };
    requests.iter().map(value).collect()
}

/// The body of a request.
pub fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

/// Checks that requests are signed with this secret, as Standard Webhooks have it.
pub fn check_signatures(requests: &[String], secret: &str) {
    let key = STANDARD.decode(secret.trim().strip_prefix("whsec_").unwrap()).unwrap();
    let of = |name: &str| header(requests, name);
    let (ids, times) = (of("webhook-id"), of("webhook-timestamp"));
    let signatures = of("webhook-signature");
    for (place, request) in requests.iter().enumerate() {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{}", ids[place], times[place], body(request)).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(signatures[place], expected);
    }
}
