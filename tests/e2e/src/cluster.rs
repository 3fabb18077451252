//! What an operator asks of the control plane, and what a test asks of a replica behind its back.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::wait::eventually;

impl Client {
    /// How the model stands in the cluster's state.
    pub async fn state(&self, model: &str) -> Value {
        let cluster = self.get("/api/v1/cluster").await.json();
        let models = cluster["data"].as_array().expect("models").clone();
        models.into_iter().find(|state| state["model"] == model).unwrap_or(Value::Null)
    }

    /// Waits until the model stands so.
    pub async fn until(&self, model: &str, standing: &str) -> Value {
        self.until_state(model, standing, |state| state["standing"] == standing).await
    }

    /// Waits until the model's state is as wanted.
    pub async fn until_state(
        &self,
        model: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually(&format!("`{model}` {what}"), async || {
            let state = self.state(model).await;
            if wanted(&state) { Ok(state) } else { Err(state) }
        })
        .await
    }

    /// Waits until so many replicas are ready.
    pub async fn until_replicas(&self, model: &str, count: usize) -> Value {
        self.until_state(model, &format!("has {count} replicas"), |state| {
            ready(state).len() == count
        })
        .await
    }

    /// Asks for a scale action.
    pub async fn scale(&self, model: &str, action: &str) -> Answer {
        self.post("/api/v1/cluster/scale", &json!({"model": model, "action": action})).await
    }

    /// Issues a key; returns its id and the key.
    pub async fn create_key(&self, body: &Value) -> (String, String) {
        let answer = self.post("/api/v1/keys", body).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        let created = answer.json();
        let field = |name: &str| created[name].as_str().expect("a field").to_owned();
        (field("id"), field("key"))
    }

    /// Where the replica in this slot of the model answers; it must be ready.
    pub async fn replica(&self, model: &str, slot: u64) -> Client {
        let state = self.state(model).await;
        let slots = state["slots"].as_array().expect("slots");
        let slot = slots.iter().find(|entry| entry["index"] == slot).expect("a slot");
        Client::new(slot["base_url"].as_str().expect("a ready replica"), "none")
    }

    /// What the model's mock-vllm has counted; it must be ready.
    pub async fn upstream_stats(&self, model: &str) -> Value {
        self.replica(model, 0).await.get("/mock/stats").await.json()
    }

    /// Waits until the model's mock-vllm has counted as wanted.
    pub async fn until_stats(
        &self,
        model: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let replica = self.replica(model, 0).await;
        eventually(&format!("the replica {what}"), async || {
            let stats = replica.get("/mock/stats").await.json();
            if wanted(&stats) { Ok(stats) } else { Err(stats) }
        })
        .await
    }

    /// Changes the failure modes of the model's mock-vllm; it must be ready.
    pub async fn set_faults(&self, model: &str, faults: &Value) {
        let answer = self.replica(model, 0).await.put("/mock/faults", faults).await;
        assert!(answer.status.is_success(), "{faults}");
    }

    /// The key that the model's replica asks for, as its last request brought it.
    pub async fn upstream_key(&self, model: &str) -> String {
        let stats = self.upstream_stats(model).await;
        let header = stats["last_headers"]["authorization"].as_str().expect("an earlier request");
        header.strip_prefix("Bearer ").expect("a bearer token").to_owned()
    }

    /// POST with bytes as they are.
    pub async fn post_bytes(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        self.send(request.body(body)).await
    }
}

/// The slots of a state that serve.
pub fn ready(state: &Value) -> Vec<Value> {
    let slots = state["slots"].as_array().cloned().unwrap_or_default();
    slots.into_iter().filter(|slot| slot["state"] == "ready").collect()
}
