//! Token ids, and answers that are continued.

use crate::client::{CHAT, post};
use mock_vllm::MockVllm;
use serde_json::{Value, json};

/// What a stream says, the ids of its tokens, and those of its prompt.
async fn stream(mock: &MockVllm, path: &str, mut body: Value) -> (String, Vec<u32>, Vec<u32>) {
    body["stream"] = true.into();
    body["return_token_ids"] = true.into();
    body["stream_options"] = json!({"include_usage": true, "continuous_usage_stats": true});
    let reply = post(mock, path, &body.to_string()).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let (mut text, mut ids, mut prompt) = (String::new(), Vec::new(), Vec::new());
    for event in reply.events().iter().filter(|event| **event != "[DONE]") {
        let chunk: Value = serde_json::from_str(event).unwrap();
        let choice = &chunk["choices"][0];
        let piece = choice["delta"].get("content").or(choice.get("text"));
        text.push_str(piece.and_then(Value::as_str).unwrap_or_default());
        let read = |ids: &Value| -> Vec<u32> { serde_json::from_value(ids.clone()).unwrap() };
        ids.extend(choice.get("token_ids").map(read).unwrap_or_default());
        let first = chunk.get("prompt_token_ids").or(choice.get("prompt_token_ids"));
        prompt.extend(first.map(read).unwrap_or_default());
        assert_eq!(chunk["usage"]["completion_tokens"], ids.len(), "{chunk}");
        assert_eq!(chunk["usage"]["prompt_tokens"], prompt.len(), "{chunk}");
    }
    (text, ids, prompt)
}

async fn detokenize(mock: &MockVllm, ids: &[u32]) -> String {
    let answer = post(mock, "/detokenize", &json!({ "tokens": ids }).to_string()).await.json();
    answer["prompt"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn another_mock_continues_behind_any_token() {
    let (first, second) = (
        MockVllm::builder().tokens(32).start().await.unwrap(),
        MockVllm::builder().tokens(32).start().await.unwrap(),
    );
    let user = json!({"role": "user", "content": "is it 🦀?"});
    let (text, ids, prompt) = stream(&first, CHAT, json!({"messages": [user]})).await;
    assert_eq!((ids.len(), detokenize(&second, &ids).await), (32, text.clone()));
    let mut by_text = 0;
    for behind in 1..ids.len() {
        let tokens: Vec<u32> = prompt.iter().chain(&ids[..behind]).copied().collect();
        let body = json!({"prompt": tokens, "max_tokens": null});
        let (rest, others, _) = stream(&second, "/v1/completions", body).await;
        let said = detokenize(&second, &ids[..behind]).await;
        let whole = said.trim_end_matches(char::REPLACEMENT_CHARACTER);
        assert_eq!(format!("{whole}{rest}"), text, "behind {behind}");
        assert_eq!(others, ids[behind..]);
        // By its text, unless a template strips it or half a character is missing.
        let messages = json!([user, {"role": "assistant", "content": said}]);
        let flags = json!({
            "messages": messages, "continue_final_message": true, "add_generation_prompt": false,
        });
        let tokenized = post(&second, "/tokenize", &flags.to_string()).await.json();
        if tokenized["tokens"] != json!(tokens) {
            assert!(said.ends_with(' ') || said != whole, "{said:?}");
            continue;
        }
        by_text += 1;
        let (rest, others, prompt) = stream(&second, CHAT, flags).await;
        assert_eq!((said + &rest, others), (text.clone(), ids[behind..].to_vec()));
        assert_eq!(prompt, tokens);
    }
    assert!(by_text > 16, "{by_text}");
    let both = json!({"messages": [user], "continue_final_message": true});
    assert_eq!(post(&first, CHAT, &both.to_string()).await.status, 400);
}

#[tokio::test]
async fn a_completion_is_continued_by_its_tokens_within_its_limit() {
    let mock = MockVllm::builder().tokens(32).start().await.unwrap();
    let body = json!({"prompt": "tell me", "max_tokens": 20});
    let (text, ids, prompt) = stream(&mock, "/v1/completions", body).await;
    for behind in 1..ids.len() {
        let tokens: Vec<u32> = prompt.iter().chain(&ids[..behind]).copied().collect();
        let body = json!({"prompt": tokens, "max_tokens": 20 - behind});
        let (rest, others, _) = stream(&mock, "/v1/completions", body).await;
        assert_eq!(detokenize(&mock, &ids[..behind]).await + &rest, text, "behind {behind}");
        assert_eq!(others, ids[behind..]);
    }
}
