//! An upstream whose models answer as their names say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

/// A running one; it ends with the test.
pub(crate) struct Upstream {
    address: std::net::SocketAddr,
    asked: Arc<AtomicU64>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let asked = Arc::new(AtomicU64::new(0));
        let router = Router::new()
            .route("/v1/chat/completions", post(chat))
            .route("/v1/embeddings", post(embeddings))
            .with_state(asked.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How many chats it was asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn chat(State(asked): State<Arc<AtomicU64>>, Json(body): Json<Value>) -> Response {
    asked.fetch_add(1, Ordering::SeqCst);
    let text = |message: &Value| message["content"].as_str().unwrap_or_default().to_owned();
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let last = messages.last().map(text).unwrap_or_default();
    let number = last.strip_prefix("question ").and_then(|it| it.parse::<u64>().ok());
    let right = format!("answer {}", number.unwrap_or_default());
    let said = match body["model"].as_str().unwrap_or_default() {
        "wrong" if number.is_some_and(|number| number % 2 == 1) => "I do not know".into(),
        "fails" if number.is_some_and(|number| number % 10 == 7) => {
            let body =
                json!({"error": {"message": "the model is out of order", "type": "server_error"}});
            return (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response();
        }
        "good" | "wrong" | "fails" => right,
        "slow" => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            right
        }
        "fifty" => {
            tokio::time::sleep(Duration::from_millis(50)).await;
            right
        }
        "judge" => {
            let (mark, answer) =
                asked_of_judge(&messages.first().map(text).unwrap_or_default(), &last);
            let grade = if answer.contains("do not know") { 1 } else { 5 };
            json!({"case": mark, "reasoning": "by the rubric", "score": grade}).to_string()
        }
        "nonsense" => "I would say it is rather good.".into(),
        // It repeats what it is to grade, as one that was talked round.
        "echo" => asked_of_judge("", &last).1,
        other => {
            let body = json!({"error": {"message": format!("no model {other}")}});
            return (StatusCode::NOT_FOUND, Json(body)).into_response();
        }
    };
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
    Json(json!({
        "id": "chat-1", "object": "chat.completion", "created": 1, "model": body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
        "usage": usage,
    }))
    .into_response()
}

/// The mark that a judge must name, and the answer that it is to grade.
fn asked_of_judge(system: &str, user: &str) -> (String, String) {
    let mark =
        system.split("<<").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let answer = user.split("ANSWER TO GRADE\n").nth(1).unwrap_or_default();
    (mark.to_owned(), answer.split('\n').next().unwrap_or_default().to_owned())
}

async fn embeddings(Json(body): Json<Value>) -> Json<Value> {
    let input = body["input"].as_array().cloned().unwrap_or_default();
    let embedding = |text: &Value| {
        let is_lost = text.as_str().is_some_and(|text| text.contains("do not know"));
        if is_lost { json!([0.0, 1.0]) } else { json!([1.0, 0.1]) }
    };
    let data = input.iter().enumerate().map(|(index, text)| {
        json!({"object": "embedding", "index": index, "embedding": embedding(text)})
    });
    let data: Vec<Value> = data.collect();
    Json(
        json!({"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": 2, "total_tokens": 2}}),
    )
}
