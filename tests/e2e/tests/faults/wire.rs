//! Bytes of answers, right ones and wrong ones.

pub(crate) use diogenes_e2e::wire::{answer, chunk, head, json, stream, stream_head};

/// A whole plain answer.
pub(crate) const JSON: &str = r#"{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#;
/// Some events of a stream, without its end.
pub(crate) const EVENTS: &str =
    "data: {\"id\":\"1\",\"choices\":[]}\n\ndata: {\"id\":\"2\",\"choices\":[]}\n\n";
/// The end of a stream.
pub(crate) const DONE: &str = "data: [DONE]\n\n";
/// [`EVENTS`] and [`DONE`].
pub(crate) const WHOLE: &str = "data: {\"id\":\"1\",\"choices\":[]}\n\ndata: {\"id\":\"2\",\"choices\":[]}\n\ndata: [DONE]\n\n";
/// An error in vLLM's words, with a status where others have a text.
pub(crate) const VLLM_ERROR: &str =
    r#"{"error":{"message":"no","type":"BadRequestError","param":null,"code":404}}"#;
pub(crate) const HTML: &str = "<html><body><h1>nginx</h1></body></html>";
