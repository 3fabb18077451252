use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// A streamed answer.
#[derive(Debug)]
pub struct EventStream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    response: reqwest::Response,
    buffer: Vec<u8>,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A comment line, without the colon.
    Comment(String),
    /// `data:` with JSON.
    Data(Value),
    /// `data: [DONE]`.
    Done,
}

impl Event {
    /// The code of an error event.
    pub fn error_code(&self) -> Option<&str> {
        match self {
            Self::Data(value) => value["error"]["code"].as_str(),
            Self::Comment(_) | Self::Done => None,
        }
    }
}

impl EventStream {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            response,
            buffer: Vec::new(),
        }
    }

    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|bytes| bytes == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let text = String::from_utf8(event).expect("UTF-8");
                match parse(text.trim_end()) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let Some(bytes) = self.response.chunk().await.expect("the stream goes on") else {
                let rest = String::from_utf8_lossy(&self.buffer);
                assert_eq!(rest.trim(), "", "the stream ends in the middle of an event");
                return None;
            };
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// Every event until the end.
    pub async fn all(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn parse(text: &str) -> Option<Event> {
    if text.is_empty() {
        return None;
    }
    if let Some(comment) = text.strip_prefix(':') {
        return Some(Event::Comment(comment.trim().to_owned()));
    }
    let data =
        text.lines().find_map(|line| line.strip_prefix("data:")).expect("a data line").trim();
    if data == "[DONE]" {
        return Some(Event::Done);
    }
    Some(Event::Data(serde_json::from_str(data).unwrap_or_else(|_| panic!("no JSON: {data}"))))
}
