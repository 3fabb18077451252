use bytes::BytesMut;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::dialect::Dialect;
use super::upstream::{BodyError, ResponseBody};
use crate::sse::Reader;

/// How much of a stream is read ahead at most.
const MOST: usize = 64 << 10;

/// How a stream begins, up to the first event that a caller could make something of. Until then
/// another target may answer, and nobody notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// With content, or with an end.
    Content,
    /// With an error event; its status, if it tells one.
    Failed(Option<u16>),
    /// It broke off before.
    Broken(BodyError),
}

/// Watches a stream up to its first content.
#[derive(Debug)]
pub(super) struct Overture {
    reader: Reader,
    dialect: Dialect,
}

impl Overture {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { reader: Reader::default(), dialect }
    }

    /// Takes the next piece; tells how the stream begins once that shows.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Opening> {
        self.reader.push(bytes);
        let mut frames = std::iter::from_fn(|| self.reader.next_frame());
        frames.find_map(|frame| judge(self.dialect, &frame.data()?))
    }
}

/// Reads the beginning of a stream, and puts it back.
pub(super) async fn look(body: &mut ResponseBody, dialect: Dialect) -> Opening {
    let mut overture = Overture::new(dialect);
    let mut ahead = BytesMut::new();
    let mut broken = None;
    let opening = loop {
        let seen = match body.next().await {
            Ok(Some(bytes)) => {
                ahead.extend_from_slice(&bytes);
                overture.push(&bytes)
            }
            Ok(None) => {
                broken = Some(BodyError::Cut);
                None
            }
            Err(error) => {
                broken = Some(error);
                None
            }
        };
        match (seen, broken) {
            (Some(opening), _) => break opening,
            (None, Some(broken)) => break Opening::Broken(broken),
            (None, None) if ahead.len() > MOST => break Opening::Content,
            (None, None) => {}
        }
    };
    body.put_back(ahead.freeze(), broken);
    opening
}

/// The fields of events of all dialects that tell content from preludes.
#[derive(Deserialize)]
struct Event<'a> {
    r#type: Option<String>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    finish_reason: Option<String>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Block<'a> {
    text: Option<String>,
    thinking: Option<String>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// What the data of an event are; none for a prelude.
fn judge(dialect: Dialect, data: &str) -> Option<Opening> {
    // What is not understood is the caller's.
    let Ok(event) = serde_json::from_str::<Event<'_>>(data) else { return Some(Opening::Content) };
    let kind = event.r#type.as_deref().unwrap_or_default();
    if event.error.is_some_and(|error| error.get() != "null")
        || matches!(kind, "error" | "response.failed")
    {
        return Some(Opening::Failed(event.error.and_then(status_of)));
    }
    let is_prelude = match dialect {
        Dialect::ChatCompletions
        | Dialect::Completions
        | Dialect::Transcriptions
        | Dialect::Translations => {
            event.choices.is_some_and(|choices| choices.iter().all(Choice::says_nothing))
        }
        Dialect::Responses => matches!(
            kind,
            "response.created"
                | "response.queued"
                | "response.in_progress"
                | "response.output_item.added"
                | "response.content_part.added"
        ),
        Dialect::Messages => match kind {
            "message_start" | "ping" => true,
            "content_block_start" => event.content_block.is_some_and(|block| block.says_nothing()),
            _ => false,
        },
        _ => false,
    };
    (!is_prelude).then_some(Opening::Content)
}

impl Choice<'_> {
    fn says_nothing(&self) -> bool {
        let delta = self.delta.map_or(Ok(serde_json::Map::new()), |delta| {
            serde_json::from_str::<serde_json::Map<_, _>>(delta.get())
        });
        let is_empty = |value: &serde_json::Value| match value {
            serde_json::Value::Null => true,
            serde_json::Value::String(text) => text.is_empty(),
            serde_json::Value::Array(items) => items.is_empty(),
            _ => false,
        };
        self.finish_reason.is_none()
            && self.text.as_ref().is_none_or(String::is_empty)
            && delta.is_ok_and(|delta| {
                delta.iter().all(|(field, value)| field == "role" || is_empty(value))
            })
    }
}

impl Block<'_> {
    /// Text that begins empty. A call has a name already.
    fn says_nothing(&self) -> bool {
        self.id.is_none()
            && self.text.as_ref().is_none_or(String::is_empty)
            && self.thinking.as_ref().is_none_or(String::is_empty)
    }
}

/// The status in an error object, as vLLM writes it, if it has one.
fn status_of(error: &RawValue) -> Option<u16> {
    #[derive(Deserialize)]
    struct Object {
        code: u16,
    }
    let object: Object = serde_json::from_str(error.get()).ok()?;
    (400..600).contains(&object.code).then_some(object.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENT: Option<Opening> = Some(Opening::Content);
    const FAILED: Option<Opening> = Some(Opening::Failed(None));

    #[test]
    fn what_a_caller_could_make_something_of_is_told_apart_from_preludes() {
        for (data, expected) in [
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                None,
            ),
            (r#"{"choices":[{"delta":{"role":"assistant"}}]}"#, None),
            (r#"{"choices":[]}"#, None),
            (r#"{"choices":[{"delta":{"content":"a"}}]}"#, CONTENT),
            (r#"{"choices":[{"delta":{"reasoning_content":"a"}}]}"#, CONTENT),
            (r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}"#, CONTENT),
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, CONTENT),
            ("[DONE]", CONTENT),
            ("what?", CONTENT),
            (r#"{"unknown":1}"#, CONTENT),
            (r#"{"error":{"message":"it is down"}}"#, FAILED),
            (r#"{"error":{"message":"too long","code":400}}"#, Some(Opening::Failed(Some(400)))),
            (r#"{"error":{"code":"overloaded"}}"#, FAILED),
        ] {
            assert_eq!(judge(Dialect::ChatCompletions, data), expected, "{data}");
        }
        for (data, expected) in [
            (r#"{"choices":[{"text":"","finish_reason":null}]}"#, None),
            (r#"{"choices":[{"text":"a","finish_reason":null}]}"#, CONTENT),
        ] {
            assert_eq!(judge(Dialect::Completions, data), expected, "{data}");
        }
        for (data, expected) in [
            (r#"{"type":"message_start","message":{"usage":{"input_tokens":3}}}"#, None),
            (r#"{"type":"ping"}"#, None),
            (r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#, None),
            (
                r#"{"type":"content_block_start","content_block":{"type":"tool_use","id":"a","name":"f","input":{}}}"#,
                CONTENT,
            ),
            (r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#, CONTENT),
            (r#"{"type":"error","error":{"type":"overloaded_error"}}"#, FAILED),
        ] {
            assert_eq!(judge(Dialect::Messages, data), expected, "{data}");
        }
        for (data, expected) in [
            (r#"{"type":"response.created","response":{}}"#, None),
            (r#"{"type":"response.output_item.added"}"#, None),
            (r#"{"type":"response.output_text.delta","delta":"a"}"#, CONTENT),
            (r#"{"type":"response.failed","response":{}}"#, FAILED),
            (r#"{"type":"response.completed","response":{"error":null}}"#, CONTENT),
        ] {
            assert_eq!(judge(Dialect::Responses, data), expected, "{data}");
        }
    }
}
