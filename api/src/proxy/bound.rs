use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::dialect::Dialect;
use super::peek::Peek;
use super::usage::Usage;

/// The tokens of an answer that are set aside where neither the request nor its target says how
/// long it may be.
pub(super) const DEFAULT_OUTPUT_TOKENS: u64 = 4096;
/// The tokens of an answer that are expected where targets are compared.
const EXPECTED_OUTPUT_TOKENS: u64 = 512;
/// What an image in the body can come to. Its bytes do not bound it: a tiny one is scaled up.
const IMAGE_TOKENS: u64 = 16_384;

/// The most tokens that a request can use.
///
/// A byte-level tokenizer makes at most one token of a byte. Which of several limits of the answer
/// holds is the replica's to say, so the largest counts. Replicas differ in what they take for a
/// number, and in which one of two fields of a name they read: what could be read in two ways has
/// no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Most {
    /// Of the prompt.
    pub(super) input: u64,
    /// Of each answer; none where the request does not say.
    pub(super) output: Option<u64>,
    /// How many answers it asks for.
    pub(super) answers: u64,
    /// The provider's service tier that it asks for.
    pub(super) service: Option<String>,
    /// A part of it whose tokens nobody can tell.
    pub(super) unbounded: Option<String>,
}

impl Most {
    /// Of a form, what is text counts, and no file.
    pub(super) fn of_request(peek: &Peek, dialect: Dialect, body: &[u8]) -> Self {
        if peek.is_form() {
            return Self { input: peek.text_bytes(body), answers: 1, ..Self::default() };
        }
        let mut most = Self::of(body);
        if matches!(dialect, Dialect::Rerank | Dialect::Score) {
            most.input = most.input.saturating_mul(pairs(body));
        }
        most
    }

    fn of(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Bounds {
            max_tokens: Option<Value>,
            max_completion_tokens: Option<Value>,
            max_output_tokens: Option<Value>,
            n: Option<Value>,
            best_of: Option<Value>,
            prompt: Option<Prompts>,
            service_tier: Option<Value>,
        }
        let Ok(bounds) = serde_json::from_slice::<Bounds>(body) else {
            return Self { input: u64::MAX, ..Self::default() };
        };
        let largest = |values: &[Option<Value>]| values.iter().flatten().map(at_most).max();
        let limits = [bounds.max_completion_tokens, bounds.max_tokens, bounds.max_output_tokens];
        let answers = largest(&[bounds.n, bounds.best_of]).unwrap_or(1).max(1);
        let prompts = bounds.prompt.map_or(1, |prompts| prompts.0.max(1));
        Self {
            input: body.len() as u64,
            output: largest(&limits),
            answers: answers.saturating_mul(prompts),
            service: bounds.service_tier.and_then(|tier| Some(tier.as_str()?.to_owned())),
            unbounded: None,
        }
    }

    /// What it is likely to use: four bytes of English are about a token, and most answers are
    /// shorter than they might be.
    pub(super) fn expected(&self) -> Usage {
        let output = self.output.unwrap_or(EXPECTED_OUTPUT_TOKENS).min(EXPECTED_OUTPUT_TOKENS);
        Usage::new(self.input / 4, output.saturating_mul(self.answers))
    }

    /// All of them together, with this bound of each answer.
    pub(super) fn tokens(&self, output: u64) -> u64 {
        self.input.saturating_add(output.saturating_mul(self.answers))
    }
}

/// The first field of a body that limits the length or the number of answers without being a whole
/// number of at least 0, as vLLM, OpenAI and Anthropic want it.
pub(super) fn not_a_count(body: &[u8]) -> Option<&'static str> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return None };
    ["max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of"]
        .into_iter()
        .find(|name| fields.get(*name).is_some_and(|value| !value.is_null() && !value.is_u64()))
}

/// How many pairs of texts are compared: a text that stands in the body once is read for each.
fn pairs(body: &[u8]) -> u64 {
    #[derive(Deserialize)]
    struct Texts {
        documents: Option<Prompts>,
        text_1: Option<Prompts>,
        text_2: Option<Prompts>,
        queries: Option<Prompts>,
        items: Option<Prompts>,
        data_1: Option<Prompts>,
        data_2: Option<Prompts>,
    }
    let Ok(texts) = serde_json::from_slice::<Texts>(body) else { return u64::MAX };
    let Texts { documents, text_1, text_2, queries, items, data_1, data_2 } = texts;
    let lists = [documents, text_1, text_2, queries, items, data_1, data_2];
    lists.into_iter().flatten().map(|texts| texts.0).fold(1, u64::max)
}

/// The largest number that a replica may read from a value.
fn at_most(value: &Value) -> u64 {
    match value {
        Value::Number(number) => number.as_u64().unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}

/// How many prompts a completion has: a list of texts or of lists of tokens has several.
struct Prompts(u64);

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let prompts = match Value::deserialize(from)? {
            Value::Array(list) if !list.iter().all(Value::is_number) => list.len() as u64,
            _ => 1,
        };
        Ok(Self(prompts))
    }
}

/// The tokens of the images in a body, beyond its bytes.
///
/// # Errors
/// The place of something whose tokens cannot be told from the body: what has yet to be fetched,
/// sound, and tools that read more on the provider's side.
pub(super) fn of_images(body: &[u8]) -> Result<u64, String> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Ok(0) };
    if fields.get("web_search_options").is_some_and(|options| !options.is_null()) {
        return Err("web_search_options".into());
    }
    let tools = fields.get("tools").and_then(Value::as_array).into_iter().flatten();
    for (place, tool) in tools.enumerate() {
        let kind = tool.get("type").and_then(Value::as_str).unwrap_or("function");
        if !matches!(kind, "function" | "custom" | "namespace") {
            return Err(format!("tools[{place}]"));
        }
    }
    let mut images = 0_u64;
    for field in ["messages", "input", "prompt"] {
        if let Some(value) = fields.get(field) {
            walk(value, field.to_owned(), &mut images)?;
        }
    }
    Ok(images.saturating_mul(IMAGE_TOKENS))
}

fn walk(value: &Value, place: String, images: &mut u64) -> Result<(), String> {
    match value {
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.try_for_each(|(at, item)| walk(item, format!("{place}[{at}]"), images))
        }
        Value::Object(fields) => {
            match fields.get("type").and_then(Value::as_str) {
                Some("image_url" | "input_image") => {
                    let url = fields.get("image_url");
                    let url = url.and_then(|url| url.get("url").unwrap_or(url).as_str());
                    if !url.is_some_and(|url| url.starts_with("data:")) {
                        return Err(place);
                    }
                    *images += 1;
                }
                Some("image") => {
                    let kind = fields.get("source").and_then(|source| source.get("type"));
                    if kind.and_then(Value::as_str) != Some("base64") {
                        return Err(place);
                    }
                    *images += 1;
                }
                Some(
                    // A few bytes of compressed sound can be hours of silence.
                    "input_audio" | "input_file" | "file" | "document" | "video_url"
                    | "input_video" | "audio_url" | "container_upload" | "item_reference",
                ) => return Err(place),
                _ => {
                    for field in ["content", "output"] {
                        if let Some(value) = fields.get(field) {
                            walk(value, format!("{place}.{field}"), images)?;
                        }
                    }
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_count_is_a_whole_number() {
        for good in [r#"{"max_tokens":5,"n":null}"#, "{}", r#"{"n":1}"#, "nonsense"] {
            assert_eq!(not_a_count(good.as_bytes()), None, "{good}");
        }
        for (bad, field) in [
            (r#"{"max_tokens":-1}"#, "max_tokens"),
            (r#"{"max_completion_tokens":"7"}"#, "max_completion_tokens"),
            (r#"{"max_output_tokens":7.5}"#, "max_output_tokens"),
            (r#"{"n":1e300}"#, "n"),
        ] {
            assert_eq!(not_a_count(bad.as_bytes()), Some(field), "{bad}");
        }
    }

    #[test]
    fn the_most_tokens_are_those_of_the_prompt_and_of_every_answer() {
        for (fields, output) in [
            ("", 100),
            (r#","max_tokens":7"#, 7),
            (r#","max_tokens":7,"max_completion_tokens":9,"n":2"#, 18),
            (r#","max_tokens":9,"max_completion_tokens":7,"n":2"#, 18),
            (r#","max_output_tokens":5,"n":0"#, 5),
            (r#","max_tokens":null,"n":3"#, 300),
            (r#","max_tokens":7,"prompt":"a""#, 7),
            (r#","max_tokens":7,"prompt":["a","b"],"n":2"#, 28),
            (r#","max_tokens":7,"prompt":[1,2,3]"#, 7),
            (r#","max_tokens":7,"prompt":[[1,2],[3]]"#, 14),
            (r#","max_tokens":"7""#, u64::MAX),
            (r#","max_tokens":7.0"#, u64::MAX),
            (r#","max_tokens":7,"n":-1"#, u64::MAX),
            (r#","max_tokens":7,"max_tokens":9"#, u64::MAX),
            (r#","max_tokens":18446744073709551615,"n":3"#, u64::MAX),
        ] {
            let body = format!(r#"{{"model":"m"{fields}}}"#);
            let most = Most::of(body.as_bytes());
            let tokens = most.tokens(most.output.unwrap_or(100));
            assert_eq!(tokens, (body.len() as u64).saturating_add(output), "{body}");
        }
        let most = Most::of(br#"{"service_tier":"flex"}"#);
        assert_eq!(most.service.as_deref(), Some("flex"));
    }

    #[test]
    fn a_query_is_read_for_every_document() {
        let body = br#"{"model":"m","query":"long","documents":["a","b","c"]}"#;
        let peek = Peek::read(body).unwrap();
        let input = |dialect| Most::of_request(&peek, dialect, body).input;
        assert_eq!(input(Dialect::Rerank), 3 * body.len() as u64);
        assert_eq!(input(Dialect::ChatCompletions), body.len() as u64);
        let body = br#"{"model":"m","text_1":"long","text_2":["a","b"]}"#;
        let score = Most::of_request(&Peek::read(body).unwrap(), Dialect::Score, body);
        assert_eq!(score.input, 2 * body.len() as u64);
    }

    #[test]
    fn images_are_counted_and_what_has_no_bound_is_named() {
        let part = |part: Value| json!({"messages": [{"role": "user", "content": ["x", part]}]});
        let data = "data:image/png;base64,AAAA";
        for (body, expected) in [
            (part(json!({"type": "text", "text": "https://x"})), Ok(0)),
            (part(json!({"type": "image_url", "image_url": {"url": data}})), Ok(IMAGE_TOKENS)),
            (part(json!({"type": "image", "source": {"type": "base64"}})), Ok(IMAGE_TOKENS)),
            (
                json!({"input": [{"content": [{"type": "input_image", "image_url": data}]}]}),
                Ok(IMAGE_TOKENS),
            ),
            (
                part(json!({"type": "image_url", "image_url": {"url": "https://x"}})),
                Err("messages[0].content[1]"),
            ),
            (part(json!({"type": "document"})), Err("messages[0].content[1]")),
            (
                part(json!({"type": "input_audio", "input_audio": {"data": "AAAA"}})),
                Err("messages[0].content[1]"),
            ),
            (
                part(json!({"type": "tool_result", "content": [{"type": "image"}]})),
                Err("messages[0].content[1].content[0]"),
            ),
            (
                json!({"input": [{"type": "function_call_output", "output": [{"type": "input_file"}]}]}),
                Err("input[0].output[0]"),
            ),
            (json!({"tools": [{"type": "function"}, {"name": "anthropic"}]}), Ok(0)),
            (json!({"tools": [{"type": "web_search"}]}), Err("tools[0]")),
            (json!({"web_search_options": {}}), Err("web_search_options")),
            (json!({"input": "x"}), Ok(0)),
            (json!([]), Ok(0)),
        ] {
            let found = of_images(body.to_string().as_bytes());
            assert_eq!(found, expected.map_err(str::to_owned), "{body}");
        }
    }
}
