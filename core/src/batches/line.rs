//! One line of an input file.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{BatchEndpoint, MAX_EMBEDDING_INPUTS, MAX_LINES, MAX_PROBLEMS};

/// The longest `custom_id`, in bytes.
const MAX_CUSTOM_ID: usize = 512;

/// What is wrong with an input file, as OpenAI's `errors.data` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineProblem {
    /// What it is, for programs.
    pub code: String,
    pub message: String,
    /// The line, from 1; none for the file as a whole.
    pub line: Option<u32>,
    /// The field.
    pub param: Option<String>,
}

impl LineProblem {
    /// A problem of the file as a whole.
    pub fn of_file(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), line: None, param: None }
    }
}

/// A request of a batch.
#[derive(Debug)]
pub struct BatchLine<'a> {
    /// Its creator's name for it.
    pub custom_id: Cow<'a, str>,
    /// What is sent.
    pub body: &'a RawValue,
    /// The model that it names.
    pub model: String,
}

#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(borrow, default)]
    custom_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    model: Option<Value>,
    #[serde(default)]
    stream: Option<Value>,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    input: Option<Value>,
}

impl<'a> BatchLine<'a> {
    /// Reads a line that was validated.
    pub fn read(text: &'a str) -> Option<Self> {
        let shape: Shape<'a> = serde_json::from_str(text).ok()?;
        let body = shape.body?;
        let Body { model, .. } = serde_json::from_str(body.get()).ok()?;
        let Some(Value::String(model)) = model else { return None };
        Some(Self { custom_id: shape.custom_id?, body, model })
    }
}

/// Reads an input file line by line, and says what is wrong with it: all of it or nothing of it is
/// run.
#[derive(Debug)]
pub struct Validator {
    endpoint: BatchEndpoint,
    seen: HashSet<[u8; 16]>,
    model: Option<String>,
    lines: u32,
    inputs: u64,
    problems: Vec<LineProblem>,
}

impl Validator {
    /// A reader of requests for this endpoint.
    pub fn new(endpoint: BatchEndpoint) -> Self {
        Self {
            endpoint,
            seen: HashSet::new(),
            model: None,
            lines: 0,
            inputs: 0,
            problems: Vec::new(),
        }
    }

    /// Whether there is no sense in reading on.
    pub fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS || self.lines > MAX_LINES
    }

    /// Takes the next line that is not blank; `number` counts from 1.
    pub fn take(&mut self, number: u32, text: &[u8]) {
        self.lines = self.lines.saturating_add(1);
        if self.lines > MAX_LINES {
            return;
        }
        if let Err((code, param, message)) = self.check(text)
            && self.problems.len() < MAX_PROBLEMS
        {
            self.problems.push(LineProblem {
                code: code.into(),
                message,
                line: Some(number),
                param: param.map(str::to_owned),
            });
        }
    }

    /// Notes something that keeps a line, or the file as a whole, from being read.
    pub fn refuse(&mut self, line: Option<u32>, code: &str, message: String) {
        self.problems.push(LineProblem { code: code.into(), message, line, param: None });
    }

    /// How many requests there are and which model they name, or what is wrong.
    pub fn finish(mut self) -> Result<(u32, String), Vec<LineProblem>> {
        if self.lines > MAX_LINES {
            let message = format!("The file has more than {MAX_LINES} requests; split it.");
            self.problems.push(LineProblem::of_file("too_many_requests", message));
        } else if self.lines == 0 && self.problems.is_empty() {
            let message = "The file has no requests.";
            self.problems.push(LineProblem::of_file("empty_file", message));
        }
        if self.inputs > MAX_EMBEDDING_INPUTS {
            let message = format!(
                "The requests have {} inputs in all; at most {MAX_EMBEDDING_INPUTS} fit.",
                self.inputs
            );
            self.problems.push(LineProblem::of_file("too_many_inputs", message));
        }
        match self.model {
            Some(model) if self.problems.is_empty() => Ok((self.lines, model)),
            _ => Err(self.problems),
        }
    }

    fn check(&mut self, text: &[u8]) -> Result<(), Problem> {
        let not_json = |error: &dyn std::fmt::Display| {
            let message = format!("This line is not a JSON object of a request: {error}.");
            ("invalid_json_line", None, message)
        };
        let text = std::str::from_utf8(text).map_err(|error| not_json(&error))?;
        if !text.trim_start().starts_with('{') {
            return Err(not_json(&"it is not an object"));
        }
        let shape: Shape<'_> = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        let id = shape.custom_id.ok_or_else(|| missing("custom_id"))?;
        if id.is_empty() || id.len() > MAX_CUSTOM_ID {
            let message = format!("`custom_id` must have 1 to {MAX_CUSTOM_ID} bytes.");
            return Err(("invalid_custom_id", Some("custom_id"), message));
        }
        let method = shape.method.ok_or_else(|| missing("method"))?;
        if method != "POST" {
            let message = format!("`method` must be `POST`, not `{}`.", short(&method));
            return Err(("invalid_method", Some("method"), message));
        }
        let url = shape.url.ok_or_else(|| missing("url"))?;
        let wanted = self.endpoint.as_str();
        if url != wanted {
            let message = format!(
                "`url` must be the endpoint of the batch, `{wanted}`, not `{}`.",
                short(&url)
            );
            return Err(("mismatched_url", Some("url"), message));
        }
        let body = shape.body.ok_or_else(|| missing("body"))?;
        self.check_body(body)?;
        let hash = Sha256::digest(id.as_bytes());
        let mut short_hash = [0; 16];
        short_hash.copy_from_slice(hash.get(..16).unwrap_or(&[0; 16]));
        if !self.seen.insert(short_hash) {
            let message = format!("Another request has the `custom_id` `{}`.", short(&id));
            return Err(("duplicate_custom_id", Some("custom_id"), message));
        }
        Ok(())
    }

    fn check_body(&mut self, body: &RawValue) -> Result<(), Problem> {
        let not_object = || ("invalid_body", Some("body"), "`body` must be an object.".to_owned());
        if !body.get().starts_with('{') {
            return Err(not_object());
        }
        let Body { model, stream } = serde_json::from_str(body.get()).map_err(|_| not_object())?;
        let Some(Value::String(model)) = model else {
            return Err(missing("body.model"));
        };
        if stream.is_some_and(|stream| stream != Value::Bool(false) && !stream.is_null()) {
            let message = "A batch has no streams; leave `stream` out.".into();
            return Err(("stream_not_supported", Some("body.stream"), message));
        }
        if self.endpoint == BatchEndpoint::Embeddings {
            let Input { input } = serde_json::from_str(body.get()).map_err(|_| not_object())?;
            self.inputs += input.map_or(1, |input| match input {
                // A list of numbers is one text that was tokenized.
                Value::Array(inputs) if !inputs.first().is_some_and(Value::is_number) => {
                    inputs.len() as u64
                }
                _ => 1,
            });
        }
        match &self.model {
            None => self.model = Some(model),
            Some(first) if *first == model => {}
            Some(first) => {
                let message = format!(
                    "All requests of a batch name one model: this one names `{}`, the first `{}`.",
                    short(&model),
                    short(first)
                );
                return Err(("mismatched_model", Some("body.model"), message));
            }
        }
        Ok(())
    }
}

type Problem = (&'static str, Option<&'static str>, String);

fn missing(field: &'static str) -> Problem {
    ("missing_required_parameter", Some(field), format!("`{field}` is missing."))
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, model: &str) -> String {
        format!(
            r#"{{"custom_id":"{id}","method":"POST","url":"/v1/completions","body":{{"model":"{model}","prompt":"x"}}}}"#
        )
    }

    fn problems(lines: &[&str]) -> Vec<(Option<u32>, String)> {
        let mut validator = Validator::new(BatchEndpoint::Completions);
        for (number, text) in (1..).zip(lines) {
            validator.take(number, text.as_bytes());
        }
        let problems = validator.finish().unwrap_err();
        problems.into_iter().map(|problem| (problem.line, problem.code)).collect()
    }

    #[test]
    fn good_lines_give_their_number_and_model() {
        let mut validator = Validator::new(BatchEndpoint::Completions);
        for (number, id) in [(1, "a"), (2, "b"), (4, "c")] {
            validator.take(number, line(id, "m").as_bytes());
        }
        assert_eq!(validator.finish(), Ok((3, "m".into())));
    }

    #[test]
    fn every_bad_line_is_told_with_its_number() {
        let good = line("a", "m");
        let cases = [
            ("", "invalid_json_line"),
            ("[]", "invalid_json_line"),
            ("{\"custom_id\": 1}", "invalid_json_line"),
            ("\u{feff}{}", "invalid_json_line"),
            ("{}", "missing_required_parameter"),
            (&line("", "m"), "invalid_custom_id"),
            (&line(&"x".repeat(513), "m"), "invalid_custom_id"),
            (&line("b", "m").replace("POST", "GET"), "invalid_method"),
            (&line("b", "m").replace("/v1/completions", "/v1/embeddings"), "mismatched_url"),
            (&line("b", "other"), "mismatched_model"),
            (&line("b", "m").replace("\"m\"", "1"), "missing_required_parameter"),
            (
                &line("b", "m").replace("\"prompt\"", "\"stream\":true,\"x\""),
                "stream_not_supported",
            ),
            (&good, "duplicate_custom_id"),
            (
                r#"{"custom_id":"b","method":"POST","url":"/v1/completions","body":[]}"#,
                "invalid_body",
            ),
        ];
        for (bad, code) in cases {
            assert_eq!(problems(&[&good, bad]), [(Some(2), code.to_owned())], "{bad}");
        }
    }

    #[test]
    fn files_without_requests_and_with_too_many_are_refused() {
        assert_eq!(problems(&[]), [(None, "empty_file".into())]);
        let mut validator = Validator::new(BatchEndpoint::Completions);
        for number in 1..=MAX_LINES + 1 {
            validator.take(number, line(&number.to_string(), "m").as_bytes());
        }
        assert!(validator.is_full());
        assert_eq!(validator.finish().unwrap_err()[0].code, "too_many_requests");
    }

    #[test]
    fn inputs_of_embeddings_are_counted() {
        let mut validator = Validator::new(BatchEndpoint::Embeddings);
        let inputs = serde_json::to_string(&vec!["x"; 30_000]).unwrap();
        for id in 1..=2 {
            let line = format!(
                r#"{{"custom_id":"{id}","method":"POST","url":"/v1/embeddings","body":{{"model":"m","input":{inputs}}}}}"#
            );
            validator.take(id, line.as_bytes());
        }
        assert_eq!(validator.finish().unwrap_err()[0].code, "too_many_inputs");
    }

    #[test]
    fn no_more_problems_are_told_than_fit() {
        let lines = vec!["x"; 200];
        assert_eq!(problems(&lines).len(), MAX_PROBLEMS);
    }
}
