use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::sse::EventStream;
use crate::wait::DEADLINE;

/// An HTTP client with a key.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    key: String,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status and code of a refusal.
    pub fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.code())
    }

    /// The code of the error object.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Client {
    /// A client of this server.
    pub fn new(base_url: &str, key: &str) -> Self {
        // A test fails at its deadline, and says what it saw.
        let http = reqwest::Client::builder().no_proxy().timeout(2 * DEADLINE);
        let http = http.redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { http, base_url: base_url.into(), key: key.into() }
    }

    /// A request, to be changed further.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base_url)).bearer_auth(&self.key)
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("a whole body").to_vec();
        Answer { status, headers, body }
    }

    /// GET of a whole URL, without the key, as clients follow a redirect to another host.
    pub async fn elsewhere(&self, url: &str) -> Answer {
        self.send(self.http.get(url)).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// A POST with a form: these fields, and a file behind them in the field that is named last.
    pub fn form(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        (field, file): (&str, &[u8]),
    ) -> reqwest::RequestBuilder {
        const LIMIT: &str = "a-limit-of-the-tests";
        let mut body = Vec::new();
        let part = |more: String| {
            format!("--{LIMIT}\r\nContent-Disposition: form-data; name={more}\r\n\r\n")
        };
        for (name, value) in fields {
            body.extend(part(format!("\"{name}\"")).into_bytes());
            body.extend(format!("{value}\r\n").into_bytes());
        }
        let named = format!("\"{field}\"; filename=\"secret.wav\"\r\nContent-Type: audio/wav");
        body.extend(part(named).into_bytes());
        body.extend(file);
        body.extend(format!("\r\n--{LIMIT}--\r\n").into_bytes());
        let kind = format!("multipart/form-data; boundary={LIMIT}");
        self.request(Method::POST, path).header("content-type", kind).body(body)
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// The server that it asks.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// A streamed POST, as its events arrive.
    pub async fn stream(&self, path: &str, body: &Value) -> EventStream {
        let request = self.request(Method::POST, path).json(body);
        EventStream::new(request.send().await.expect("an answer"))
    }

    /// A streamed answer to a request, as its events arrive.
    pub async fn stream_of(&self, request: reqwest::RequestBuilder) -> EventStream {
        EventStream::new(request.send().await.expect("an answer"))
    }

    /// The same key at another address.
    #[must_use]
    pub fn at(&self, base_url: &str) -> Self {
        Self { base_url: base_url.into(), ..self.clone() }
    }

    /// Whether it listens at all.
    pub async fn is_up(&self) -> bool {
        self.request(Method::GET, "/healthz").send().await.is_ok()
    }

    /// A plain chat completion.
    pub async fn chat(&self, model: &str) -> Answer {
        self.post("/v1/chat/completions", &chat(model, false)).await
    }

    /// A streamed chat completion, as its events arrive.
    pub async fn chat_stream(&self, model: &str) -> EventStream {
        self.stream("/v1/chat/completions", &chat(model, true)).await
    }
}

/// The body of a chat completion.
pub fn chat(model: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hello!"}]})
}
