//! What the subject of a run is asked, and what it has answered.

use bytes::Bytes;
use diogenes_core::evals::{EvalConfig, EvalExample, Subject};
use serde_json::{Map, Value, json};

/// An answer, as far as it matters to evaluators.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Completion {
    pub(super) text: String,
    pub(super) finish_reason: Option<String>,
}

impl Completion {
    /// Whether the model was stopped before its end.
    pub(super) fn is_cut(&self) -> bool {
        self.finish_reason.as_deref() == Some("length")
    }

    /// Reads the answer to a request for Chat Completions.
    ///
    /// # Errors
    /// Why there is no text in it.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let body: Value =
            serde_json::from_slice(body).map_err(|_| "the answer is not JSON".to_owned())?;
        let choice = body.pointer("/choices/0").ok_or("the answer has no choices")?;
        let finish_reason = choice.get("finish_reason").and_then(Value::as_str).map(str::to_owned);
        let message = choice.get("message").ok_or("the answer has no message")?;
        let text = match message.get("content") {
            Some(Value::String(text)) => text.clone(),
            // Content in parts.
            Some(Value::Array(parts)) => {
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
            }
            _ => match (message.get("tool_calls"), message.get("refusal")) {
                (Some(calls @ Value::Array(all)), _) if !all.is_empty() => calls.to_string(),
                (_, Some(Value::String(refusal))) => refusal.clone(),
                _ => return Err("the answer has no content".into()),
            },
        };
        Ok(Self { text, finish_reason })
    }
}

/// Why a request brought no answer, out of the error that came instead.
pub(super) fn error_of(status: u16, body: &[u8]) -> String {
    let error: Option<Value> = serde_json::from_slice(body).ok();
    let message = error.as_ref().and_then(|error| error.pointer("/error/message")?.as_str());
    match message {
        Some(message) => format!("{status}: {}", message.chars().take(500).collect::<String>()),
        None => format!("the request failed with status {status}"),
    }
}

/// The body of the request for an example; none where its answer is recorded.
///
/// # Errors
/// Why the example cannot be asked.
pub(super) fn request(config: &EvalConfig, example: &EvalExample) -> Result<Option<Bytes>, String> {
    let mut body = config.parameters.clone();
    match &config.subject {
        Subject::Column { .. } => return Ok(None),
        Subject::Model { model } => {
            body.insert("model".into(), model.as_str().into());
            body.insert("messages".into(), messages(&example.input));
        }
        Subject::Prompt { slug, version, model, variables, variable } => {
            let values = values(&example.input, variables, variable.as_deref())?;
            body.insert("model".into(), model.as_str().into());
            body.insert(
                "prompt".into(),
                json!({"id": slug, "version": format!("v{version}"), "variables": values}),
            );
        }
    }
    Ok(Some(Value::Object(body).to_string().into()))
}

/// The messages of an input: its own, or one of the user.
fn messages(input: &Value) -> Value {
    let user = |text: &str| json!([{"role": "user", "content": text}]);
    match input {
        Value::String(text) => user(text),
        Value::Object(fields) => match fields.get("messages") {
            Some(messages @ Value::Array(_)) => messages.clone(),
            _ => user(&input.to_string()),
        },
        Value::Array(items) if items.iter().all(|item| item.get("role").is_some()) => input.clone(),
        input => user(&input.to_string()),
    }
}

/// The values of a prompt's variables. Fields of the input that it does not know are left out.
fn values(
    input: &Value,
    variables: &[String],
    variable: Option<&str>,
) -> Result<Map<String, Value>, String> {
    if let Value::Object(fields) = input {
        let knows = |(name, _): &(&String, &Value)| variables.contains(name);
        let filled: Map<String, Value> = fields
            .iter()
            .filter(knows)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // An object that has none of them is the value of one.
        if !filled.is_empty() || variable.is_none() || variables.is_empty() {
            return Ok(filled);
        }
    }
    if variables.is_empty() {
        return Ok(Map::new());
    }
    let Some(variable) = variable else {
        return Err(format!(
            "the input is one value, and the prompt has several variables ({}); make it an object with a field for each",
            variables.join(", ")
        ));
    };
    Ok(Map::from_iter([(variable.to_owned(), input.clone())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn fields_fill_the_variables_of_their_names_and_a_text_the_only_one() {
        let both = names(&["text", "tone"]);
        let input = json!({"text": "a", "tone": "b", "note": "c"});
        assert_eq!(json!(values(&input, &both, None).unwrap()), json!({"text": "a", "tone": "b"}));
        let one = names(&["text"]);
        assert_eq!(json!(values(&json!("a"), &one, Some("text")).unwrap()), json!({"text": "a"}));
        let object = json!({"a": 1});
        assert_eq!(json!(values(&object, &one, Some("text")).unwrap()), json!({"text": {"a": 1}}));
        assert!(values(&json!("a"), &both, None).unwrap_err().contains("text, tone"));
        assert_eq!(values(&json!("a"), &[], None).unwrap(), Map::new());
    }

    #[test]
    fn an_input_is_a_message_or_brings_its_own() {
        assert_eq!(messages(&json!("a")), json!([{"role": "user", "content": "a"}]));
        let own = json!([{"role": "system", "content": "a"}]);
        assert_eq!(messages(&json!({"messages": own})), own);
        assert_eq!(messages(&own), own);
        assert_eq!(messages(&json!({"q": 1})), json!([{"role": "user", "content": "{\"q\":1}"}]));
    }

    #[test]
    fn the_text_of_an_answer_is_found_or_its_absence_told() {
        let read = |message: Value| {
            let body = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
            Completion::read(body.to_string().as_bytes()).map(|completion| completion.text)
        };
        assert_eq!(read(json!({"content": "a"})).unwrap(), "a");
        assert_eq!(read(json!({"content": [{"type": "text", "text": "a"}]})).unwrap(), "a");
        assert_eq!(read(json!({"content": null, "refusal": "no"})).unwrap(), "no");
        assert!(
            read(json!({"content": null, "tool_calls": [{"id": "x"}]})).unwrap().contains("\"x\"")
        );
        assert!(read(json!({"content": null})).is_err());
        assert!(Completion::read(b"{}").is_err() && Completion::read(b"x").is_err());
        assert_eq!(error_of(502, b"{\"error\":{\"message\":\"cut\"}}"), "502: cut");
        assert_eq!(error_of(500, b"<html>"), "the request failed with status 500");
    }
}
