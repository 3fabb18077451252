//! How a request begins, so that a replica which has seen the beginning may get it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Deserialize;
use serde_json::value::RawValue;

/// How much of a prompt that is one text counts, in bytes: about 250 tokens.
const OF_A_TEXT: usize = 1024;

/// The same number for requests that begin alike: for all turns of a conversation, which share its
/// instructions and its first message, and for prompts that share their first 1024 bytes.
///
/// It is the same in every process of a release.
pub(super) fn beginning(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow, default)]
        instructions: Option<&'a RawValue>,
        #[serde(borrow, default)]
        system: Option<&'a RawValue>,
        #[serde(borrow, default)]
        messages: Option<&'a RawValue>,
        #[serde(borrow, default)]
        input: Option<&'a RawValue>,
        #[serde(borrow, default)]
        prompt: Option<&'a RawValue>,
    }
    let request: Request<'_> = serde_json::from_slice(body).ok()?;
    let said = request.messages.or(request.input).or(request.prompt)?;
    let mut hasher = DefaultHasher::new();
    for instructions in [request.system, request.instructions].into_iter().flatten() {
        instructions.get().hash(&mut hasher);
    }
    match serde_json::from_str::<Vec<&RawValue>>(said.get()) {
        Ok(messages) => {
            for message in messages {
                message.get().hash(&mut hasher);
                if !is_instruction(message) {
                    break;
                }
            }
        }
        Err(_) => said
            .get()
            .as_bytes()
            .get(..OF_A_TEXT)
            .unwrap_or(said.get().as_bytes())
            .hash(&mut hasher),
    }
    Some(hasher.finish())
}

fn is_instruction(message: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Message {
        role: String,
    }
    serde_json::from_str::<Message>(message.get())
        .is_ok_and(|message| matches!(message.role.as_str(), "system" | "developer"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(body: &Value) -> Option<u64> {
        beginning(body.to_string().as_bytes())
    }

    #[test]
    fn the_turns_of_a_conversation_begin_alike_and_other_conversations_do_not() {
        let system = json!({"role": "system", "content": "Be brief."});
        let user = json!({"role": "user", "content": "Hi"});
        let answer = json!({"role": "assistant", "content": "Hello"});
        let more = json!({"role": "user", "content": "And?"});
        let first = of(&json!({"messages": [system, user]}));
        assert!(first.is_some());
        let second = json!({"temperature": 1, "messages": [system, user, answer, more]});
        assert_eq!(of(&second), first);
        assert_ne!(of(&json!({"messages": [system, more]})), first);
        assert_ne!(of(&json!({"messages": [user]})), first);
        // Anthropic's instructions stand beside the messages, those of Responses too.
        let beside =
            |field: &str, text: &str| of(&json!({field: text, "messages": [user, answer, more]}));
        assert_eq!(beside("system", "a"), of(&json!({"system": "a", "messages": [user]})));
        assert_ne!(beside("system", "a"), beside("system", "b"));
        assert_ne!(beside("instructions", "a"), beside("instructions", "b"));
        assert_eq!(of(&json!({"input": [user, answer]})), of(&json!({"input": [user]})));
    }

    #[test]
    fn prompts_begin_alike_that_share_their_first_part() {
        let long = "a long document. ".repeat(100);
        let one = of(&json!({"prompt": format!("{long} What is it?")}));
        assert_eq!(of(&json!({"prompt": format!("{long} Who wrote it?")})), one);
        assert_ne!(of(&json!({"prompt": format!("Another: {long}")})), one);
        assert!(of(&json!({"prompt": "é".repeat(2000)})).is_some());
        for none in ["{}", "nonsense", r#"{"prompt":null}"#] {
            assert_eq!(beginning(none.as_bytes()), None, "{none}");
        }
    }
}
