use std::fmt::Write;

use diogenes_e2e::Answer;
use serde_json::Value;

/// The headers that belong to errors.
const HEADERS: [&str; 11] = [
    "allow",
    "retry-after",
    "x-should-retry",
    "www-authenticate",
    "x-diogenes-phase",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-diogenes-model",
    "x-diogenes-target",
];

/// Errors one below the other, for a snapshot. What differs from run to run is replaced.
#[derive(Default)]
pub(crate) struct Sheet {
    text: String,
    replaced: Vec<(String, &'static str)>,
}

impl Sheet {
    /// Shows `name` wherever `value` stands.
    pub(crate) fn replace(&mut self, value: &str, name: &'static str) {
        self.replaced.push((value.into(), name));
    }

    /// Adds an answer, which must be an error.
    pub(crate) fn add(&mut self, what: &str, answer: &Answer) {
        assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
        assert!(answer.header("x-request-id").is_some(), "{what}");
        writeln!(self.text, "# {what}\n{}", answer.status).unwrap();
        for name in HEADERS {
            if let Some(value) = answer.header(name) {
                let value = if name == "retry-after" { seconds(value) } else { value };
                writeln!(self.text, "{name}: {value}").unwrap();
            }
        }
        self.body(&answer.json());
    }

    /// Adds the error event at the end of a stream.
    pub(crate) fn add_event(&mut self, what: &str, event: &Value) {
        writeln!(self.text, "# {what}\nevent").unwrap();
        self.body(event);
    }

    fn body(&mut self, body: &Value) {
        let error = &body["error"];
        let message = error["message"].as_str().expect("a message");
        // Rule 11 of the style: lower case, no full stop. Names and acronyms keep their capitals.
        let first = message.chars().next().expect("a text");
        let is_name = ["Diogenes ", "API "].iter().any(|name| message.starts_with(name));
        assert!(!first.is_uppercase() || is_name, "{message}");
        assert!(!message.ends_with(['.', '!']), "{message}");
        assert!(error["code"].is_string() && error["type"].is_string(), "{error}");
        assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
        assert_eq!(error.as_object().map(serde_json::Map::len), Some(4), "{error}");
        let param = error["param"].as_str().map(|param| format!(", at `{param}`"));
        let (code, kind) = (error["code"].as_str().unwrap(), error["type"].as_str().unwrap());
        let message = until(message, "possible in ");
        writeln!(self.text, "{code} ({kind}{})\n{message}\n", param.unwrap_or_default()).unwrap();
    }

    /// The whole sheet.
    pub(crate) fn text(self) -> String {
        self.replaced.iter().fold(self.text, |text, (value, name)| text.replace(value, name))
    }
}

/// Whether somebody must wait matters here, and how long does not.
fn seconds(value: &str) -> &'static str {
    let wait: u64 = value.parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{value}");
    "[1 to 60]"
}

/// The text with the duration behind `mark` replaced.
fn until(text: &str, mark: &str) -> String {
    match text.split_once(mark) {
        Some((before, _)) => format!("{before}{mark}[duration]"),
        None => text.to_owned(),
    }
}
