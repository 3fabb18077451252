use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::sse::EventStream;
use crate::wait::eventually;

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
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
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
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
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

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// A plain chat completion.
    pub async fn chat(&self, model: &str) -> Answer {
        self.post("/v1/chat/completions", &chat(model, false)).await
    }

    /// A streamed chat completion, as its events arrive.
    pub async fn chat_stream(&self, model: &str) -> EventStream {
        let request = self.request(Method::POST, "/v1/chat/completions").json(&chat(model, true));
        EventStream::new(request.send().await.expect("an answer"))
    }

    /// How the model stands in the cluster's state.
    pub async fn state(&self, model: &str) -> Value {
        let cluster = self.get("/api/v1/cluster").await.json();
        let models = cluster["data"].as_array().expect("models").clone();
        models.into_iter().find(|state| state["model"] == model).unwrap_or(Value::Null)
    }

    /// Waits until the model stands so.
    pub async fn until(&self, model: &str, standing: &str) -> Value {
        eventually(&format!("`{model}` {standing}"), async || {
            let state = self.state(model).await;
            if state["standing"] == standing { Ok(state) } else { Err(state) }
        })
        .await
    }

    /// Asks for a scale action.
    pub async fn scale(&self, model: &str, action: &str) -> Answer {
        self.post("/api/v1/cluster/scale", &json!({"model": model, "action": action})).await
    }

    /// What the model's mock-vllm has counted; it must be ready.
    pub async fn upstream_stats(&self, model: &str) -> Value {
        let state = self.state(model).await;
        let base_url = state["slots"][0]["base_url"].as_str().expect("a ready replica").to_owned();
        let response = self.http.get(format!("{base_url}/mock/stats")).send().await.expect("stats");
        response.json().await.expect("JSON")
    }

    /// Changes the failure modes of the model's mock-vllm; it must be ready.
    pub async fn set_faults(&self, model: &str, faults: &Value) {
        let state = self.state(model).await;
        let base_url = state["slots"][0]["base_url"].as_str().expect("a ready replica").to_owned();
        let request = self.http.put(format!("{base_url}/mock/faults")).json(faults);
        assert!(request.send().await.expect("an answer").status().is_success());
    }
}

/// The body of a chat completion.
pub(crate) fn chat(model: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hello!"}]})
}
