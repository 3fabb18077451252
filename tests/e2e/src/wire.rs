//! Bytes of HTTP/1.1 answers, for a [`Script`](crate::Script).

/// A head with these header lines.
pub fn head(status: &str, headers: &[&str]) -> String {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head + "\r\n"
}

/// A whole answer with a length.
pub fn answer(status: &str, content_type: &str, body: &str) -> String {
    let length = format!("content-length: {}", body.len());
    head(status, &[&format!("content-type: {content_type}"), &length]) + body
}

/// A whole answer of JSON.
pub fn json(status: &str, body: &str) -> String {
    answer(status, "application/json", body)
}

/// The head of a chunked stream.
pub fn stream_head() -> String {
    head("200 OK", &["content-type: text/event-stream", "transfer-encoding: chunked"])
}

/// One chunk.
pub fn chunk(payload: &str) -> String {
    format!("{:x}\r\n{payload}\r\n", payload.len())
}

/// A chunked stream of this text, with its last chunk.
pub fn stream(text: &str) -> String {
    format!("{}{}0\r\n\r\n", stream_head(), chunk(text))
}
