//! Bytes of answers, right ones and wrong ones.

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

/// A head with these header lines.
pub(crate) fn head(status: &str, headers: &[&str]) -> String {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head + "\r\n"
}

/// A whole answer with a length.
pub(crate) fn answer(status: &str, content_type: &str, body: &str) -> String {
    let length = format!("content-length: {}", body.len());
    head(status, &[&format!("content-type: {content_type}"), &length]) + body
}

/// A whole answer of JSON.
pub(crate) fn json(status: &str, body: &str) -> String {
    answer(status, "application/json", body)
}

/// The head of a chunked stream.
pub(crate) fn stream_head() -> String {
    head("200 OK", &["content-type: text/event-stream", "transfer-encoding: chunked"])
}

/// One chunk.
pub(crate) fn chunk(payload: &str) -> String {
    format!("{:x}\r\n{payload}\r\n", payload.len())
}

/// A chunked stream of this text, with its last chunk.
pub(crate) fn stream(text: &str) -> String {
    format!("{}{}0\r\n\r\n", stream_head(), chunk(text))
}
