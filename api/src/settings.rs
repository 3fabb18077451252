/// Bounds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// The largest request body in bytes.
    pub max_body_bytes: usize,
}

impl Default for AppSettings {
    fn default() -> Self {
        Self { max_body_bytes: 32 << 20 }
    }
}
