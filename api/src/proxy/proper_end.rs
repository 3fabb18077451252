//! Whether an answer is whole in what it says, and not only in its bytes: a model may end it with
//! an error, or without a word on why it ended.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dialect::Dialect;
use crate::sse::Reader;

/// Whether a successful answer, as a caller of this dialect gets it, came to an end that its model
/// would come to again: its last word, a tool call, or a limit of the request.
pub(super) fn came_to_proper_end(dialect: Dialect, is_stream: bool, text: &str) -> bool {
    let Some(events) = parsed(is_stream, text) else { return false };
    if events.iter().any(tells_error) {
        return false;
    }
    match dialect {
        Dialect::ChatCompletions | Dialect::Completions => choices_ended(&events),
        Dialect::Messages => message_ended(&events),
        Dialect::Responses => response_ended(&events),
        Dialect::Embeddings | Dialect::Score => has_rows(&events, "data"),
        Dialect::Rerank => has_rows(&events, "results"),
        // Nothing of these is kept.
        Dialect::CountTokens
        | Dialect::Tokenize
        | Dialect::Detokenize
        | Dialect::Transcriptions
        | Dialect::Translations
        | Dialect::ImageGenerations
        | Dialect::ImageEdits => false,
    }
}

/// The answer, or the data of each event of a stream; none if one is not JSON.
fn parsed(is_stream: bool, text: &str) -> Option<Vec<Value>> {
    if !is_stream {
        return Some(vec![serde_json::from_str(text).ok()?]);
    }
    let mut reader = Reader::default();
    reader.push(text.as_bytes());
    // The last blank line may be missing.
    reader.push(b"\n\n");
    let mut events = Vec::new();
    while let Some(frame) = reader.next_frame() {
        match frame.data() {
            Some(data) if data.trim() == "[DONE]" => break,
            Some(data) => events.push(serde_json::from_str(&data).ok()?),
            None => {}
        }
    }
    Some(events)
}

fn tells_error(event: &Value) -> bool {
    let is_error = |field| event.get(field).and_then(Value::as_str) == Some("error");
    event.get("error").is_some_and(|error| !error.is_null())
        || is_error("type")
        || is_error("object")
}

/// Whether there are choices, and each has said why it ended.
fn choices_ended(events: &[Value]) -> bool {
    let mut ended: BTreeMap<u64, bool> = BTreeMap::new();
    let choices = events.iter().filter_map(|event| event.get("choices")?.as_array()).flatten();
    for choice in choices {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or_default();
        match choice.get("finish_reason").and_then(Value::as_str) {
            Some("stop" | "length" | "tool_calls" | "function_call") => {
                ended.insert(index, true);
            }
            Some(_) => return false,
            None => {
                ended.entry(index).or_insert(false);
            }
        }
    }
    !ended.is_empty() && ended.into_values().all(|has_ended| has_ended)
}

fn message_ended(events: &[Value]) -> bool {
    let reason = events.iter().rev().find_map(|event| {
        event.pointer("/delta/stop_reason").or_else(|| event.get("stop_reason"))?.as_str()
    });
    matches!(
        reason,
        Some(
            "end_turn"
                | "stop_sequence"
                | "max_tokens"
                | "tool_use"
                | "model_context_window_exceeded"
        )
    )
}

fn response_ended(events: &[Value]) -> bool {
    let Some(last) = events.last() else { return false };
    let response = last.get("response").unwrap_or(last);
    if response.get("error").is_some_and(|error| !error.is_null()) {
        return false;
    }
    match response.get("status").and_then(Value::as_str) {
        Some("completed") => true,
        Some("incomplete") => {
            let reason = response.pointer("/incomplete_details/reason");
            reason.and_then(Value::as_str) == Some("max_output_tokens")
        }
        Some(_) => false,
        None => last.get("type").and_then(Value::as_str) == Some("response.completed"),
    }
}

fn has_rows(events: &[Value], field: &str) -> bool {
    let rows = events.first().and_then(|answer| answer.get(field)?.as_array());
    rows.is_some_and(|rows| !rows.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(dialect: Dialect, text: &str) -> bool {
        came_to_proper_end(dialect, false, text)
    }

    fn streamed(dialect: Dialect, events: &[&str]) -> bool {
        let text = events.join("\n\ndata: ");
        let text = format!("data: {text}\n\n");
        came_to_proper_end(dialect, true, &text)
    }

    #[test]
    fn a_chat_ends_with_a_reason() {
        for (reason, is_proper) in [
            (r#""stop""#, true),
            (r#""length""#, true),
            (r#""tool_calls""#, true),
            (r#""abort""#, false),
            (r#""error""#, false),
            (r#""content_filter""#, false),
            ("null", false),
        ] {
            let choice = format!(r#"{{"choices":[{{"index":0,"finish_reason":{reason}}}]}}"#);
            assert_eq!(plain(Dialect::ChatCompletions, &choice), is_proper, "{reason}");
            let usage = r#"{"choices":[],"usage":{"prompt_tokens":1}}"#;
            let first = r#"{"choices":[{"index":0,"delta":{"content":"hi"}}]}"#;
            let events = [first, &choice, usage, "[DONE]"];
            assert_eq!(streamed(Dialect::ChatCompletions, &events), is_proper, "{reason}");
        }
        for text in ["{}", r#"{"choices":[]}"#, r#"{"error":{"message":"no"}}"#, "[]", "x"] {
            assert!(!plain(Dialect::ChatCompletions, text), "{text}");
            assert!(!plain(Dialect::Completions, text), "{text}");
        }
    }

    #[test]
    fn a_chat_with_an_error_event_has_failed() {
        let whole = r#"{"choices":[{"index":0,"finish_reason":"stop"}],"error":null}"#;
        assert!(streamed(Dialect::ChatCompletions, &[whole, "[DONE]"]));
        for error in [r#"{"error":{"message":"oom"}}"#, r#"{"object":"error","message":"oom"}"#] {
            assert!(!streamed(Dialect::ChatCompletions, &[whole, error, "[DONE]"]), "{error}");
        }
        assert!(!streamed(Dialect::ChatCompletions, &["[DONE]"]));
    }

    #[test]
    fn every_completion_of_a_list_has_to_end() {
        let both = r#"{"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"finish_reason":"stop"}]}"#;
        assert!(plain(Dialect::Completions, both));
        let one = r#"{"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"text":"a"}]}"#;
        assert!(!streamed(Dialect::Completions, &[one, "[DONE]"]));
    }

    #[test]
    fn a_response_ends_completed_or_at_its_limit() {
        let failed = r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error"}}}"#;
        for (response, is_proper) in [
            (r#"{"status":"completed","error":null}"#, true),
            (
                r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}"#,
                true,
            ),
            (r#"{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}"#, false),
            (r#"{"status":"failed"}"#, false),
            (r#"{"status":"in_progress"}"#, false),
            ("{}", false),
        ] {
            assert_eq!(plain(Dialect::Responses, response), is_proper, "{response}");
            let created = r#"{"type":"response.created","response":{"status":"in_progress"}}"#;
            let last = format!(r#"{{"type":"response.done","response":{response}}}"#);
            assert_eq!(streamed(Dialect::Responses, &[created, &last]), is_proper, "{response}");
        }
        assert!(!streamed(Dialect::Responses, &[failed]));
        assert!(streamed(Dialect::Responses, &[r#"{"type":"response.completed","response":{}}"#]));
    }

    #[test]
    fn a_message_ends_with_a_reason() {
        let start = r#"{"type":"message_start","message":{"stop_reason":null}}"#;
        let stop = r#"{"type":"message_stop"}"#;
        for (reason, is_proper) in [
            (r#""end_turn""#, true),
            (r#""max_tokens""#, true),
            (r#""tool_use""#, true),
            (r#""refusal""#, false),
            (r#""pause_turn""#, false),
            ("null", false),
        ] {
            let message = format!(r#"{{"type":"message","stop_reason":{reason}}}"#);
            assert_eq!(plain(Dialect::Messages, &message), is_proper, "{reason}");
            let delta = format!(r#"{{"type":"message_delta","delta":{{"stop_reason":{reason}}}}}"#);
            assert_eq!(streamed(Dialect::Messages, &[start, &delta, stop]), is_proper, "{reason}");
        }
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
        assert!(!streamed(Dialect::Messages, &[start, error, stop]));
    }

    #[test]
    fn what_generates_nothing_has_rows() {
        assert!(plain(Dialect::Embeddings, r#"{"data":[{"embedding":[1]}]}"#));
        assert!(plain(Dialect::Rerank, r#"{"results":[{"index":0}]}"#));
        for text in ["{}", r#"{"data":[]}"#, r#"{"data":[{}],"error":{"message":"no"}}"#] {
            assert!(!plain(Dialect::Embeddings, text), "{text}");
        }
    }
}
