use serde_json::Value;

/// What is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub input: &'a Value,
    pub expected: Option<&'a Value>,
    /// The text that the model answered.
    pub answer: &'a str,
}
