use std::time::Duration;

/// Bounds of requests and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// The largest request body in bytes.
    pub max_body_bytes: usize,
    /// The largest answer that is buffered, in bytes.
    pub max_response_bytes: usize,
    /// How long requests may take; none for as long as they like.
    pub deadlines: Option<Deadlines>,
}

/// How long a request may take from its arrival to the last byte of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// One whose answer is not streamed.
    pub plain: Duration,
    /// One whose answer is streamed.
    pub stream: Duration,
}

impl Deadlines {
    pub(crate) fn of(self, stream: bool) -> Duration {
        if stream { self.stream } else { self.plain }
    }
}

impl Default for AppSettings {
    fn default() -> Self {
        Self { max_body_bytes: 32 << 20, max_response_bytes: 256 << 20, deadlines: None }
    }
}
