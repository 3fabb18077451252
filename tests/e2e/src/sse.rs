use diogenes_api::sse::{Frame, Reader};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// A streamed answer.
#[derive(Debug)]
pub struct EventStream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    response: reqwest::Response,
    reader: Reader,
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
    pub fn new(response: reqwest::Response) -> Self {
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            response,
            reader: Reader::default(),
        }
    }

    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(frame) = self.reader.next_frame() {
                match event(&frame) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let Some(bytes) = self.response.chunk().await.expect("the stream goes on") else {
                let rest = String::from_utf8_lossy(self.reader.rest()).into_owned();
                self.reader = Reader::default();
                if !self.status.is_success() && !rest.is_empty() {
                    // A refusal is not a stream; its body counts as the one event that there is.
                    let body = serde_json::from_str(&rest);
                    return Some(Event::Data(body.unwrap_or_else(|_| panic!("not JSON: {rest}"))));
                }
                assert_eq!(rest.trim(), "", "the stream ends in the middle of an event");
                return None;
            };
            self.reader.push(&bytes);
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

/// What a frame says, if anything: a comment, or data.
fn event(frame: &Frame) -> Option<Event> {
    if let Some(comment) = frame.comments().next() {
        return Some(Event::Comment(comment));
    }
    let Some(data) = frame.data() else {
        assert!(frame.raw().trim_ascii().is_empty(), "neither data nor a comment: {frame:?}");
        return None;
    };
    if data == "[DONE]" {
        return Some(Event::Done);
    }
    Some(Event::Data(serde_json::from_str(&data).unwrap_or_else(|_| panic!("not JSON: {data}"))))
}
