use diogenes_core::gateway::prices::TokenUsage;
use memchr::memmem;
use serde::Deserialize;

use super::dialect::Dialect;

/// The longest usage object that is waited for.
const MAX_USAGE: usize = 4096;
const MARK: &[u8] = b"\"usage\":";

/// Tokens that a request used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// All of the prompt.
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
    /// Of the prompt, what was read from a provider's cache, and what was written to it.
    pub(crate) cached: u64,
    pub(crate) cache_written: u64,
    /// Of the completion, what was not shown.
    pub(crate) reasoning: u64,
}

impl Usage {
    /// Without anything of a cache.
    pub(crate) const fn new(prompt: u64, completion: u64) -> Self {
        Self { prompt, completion, cached: 0, cache_written: 0, reasoning: 0 }
    }

    /// What a whole answer tells of itself.
    pub(crate) fn of_answer(body: &[u8]) -> Option<Self> {
        let mut scanner = UsageScanner::default();
        scanner.observe(body);
        scanner.found()
    }

    pub(crate) fn total(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }

    /// Whether it is what an answer told: where usage need not be in tokens, no tokens are none
    /// that were told.
    pub(super) fn is_told_by(self, dialect: Dialect) -> bool {
        self.total() > 0 || dialect.unbounded().is_none()
    }
}

/// The tokens that a request has used until it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Used {
    /// As the replica told.
    Told(Usage),
    /// At a guess: it did not tell.
    Estimated(Usage),
    /// None that anybody knows of: it is not about tokens, but about seconds or images.
    Unmetered,
}

impl Used {
    /// For a request that a replica refused.
    pub(super) const NOTHING: Self = Self::Estimated(Usage::new(0, 0));

    pub(super) fn usage(self) -> Usage {
        match self {
            Self::Told(usage) | Self::Estimated(usage) => usage,
            Self::Unmetered => Usage::new(0, 0),
        }
    }

    /// What has a price.
    pub(super) fn priced(self) -> Option<Usage> {
        match self {
            Self::Told(usage) | Self::Estimated(usage) => Some(usage),
            Self::Unmetered => None,
        }
    }

    pub(super) fn told(self) -> Option<Usage> {
        match self {
            Self::Told(usage) => Some(usage),
            Self::Estimated(_) | Self::Unmetered => None,
        }
    }
}

/// `usage` as answers tell it, by either of OpenAI's pairs of names, or Anthropic's. The latter
/// counts what it reads from a cache or writes to it apart.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct WireUsage {
    #[serde(default, rename = "prompt_tokens", alias = "input_tokens")]
    prompt: Option<u64>,
    #[serde(default, rename = "completion_tokens", alias = "output_tokens")]
    completion: Option<u64>,
    #[serde(default, rename = "cache_creation_input_tokens")]
    cache_written: Option<u64>,
    #[serde(default, rename = "cache_read_input_tokens")]
    cache_read: Option<u64>,
    #[serde(default, rename = "prompt_tokens_details", alias = "input_tokens_details")]
    details: Option<Details>,
    #[serde(default, rename = "completion_tokens_details", alias = "output_tokens_details")]
    completion_details: Option<CompletionDetails>,
}

/// OpenAI's details, which are parts of the prompt's tokens.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

/// Its details of the answer's tokens.
#[derive(Clone, Copy, Debug, Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl WireUsage {
    /// Takes what a newer one tells; what it does not tell stands.
    fn update(&mut self, newer: Self) {
        let Self { prompt, completion, cache_written, cache_read, details, completion_details } =
            newer;
        self.prompt = prompt.or(self.prompt);
        self.completion = completion.or(self.completion);
        self.cache_written = cache_written.or(self.cache_written);
        self.cache_read = cache_read.or(self.cache_read);
        self.details = details.or(self.details);
        self.completion_details = completion_details.or(self.completion_details);
    }
}

impl From<WireUsage> for Usage {
    fn from(wire: WireUsage) -> Self {
        let prompt = [wire.prompt, wire.cache_written, wire.cache_read];
        let prompt = prompt.into_iter().flatten().fold(0, u64::saturating_add);
        let detailed = wire.details.and_then(|details| details.cached_tokens);
        let reasoning = wire.completion_details.and_then(|details| details.reasoning_tokens);
        Self {
            prompt,
            completion: wire.completion.unwrap_or_default(),
            cached: wire.cache_read.or(detailed).unwrap_or_default(),
            cache_written: wire.cache_written.unwrap_or_default(),
            reasoning: reasoning.unwrap_or_default(),
        }
    }
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.prompt,
            cached_input: usage.cached,
            cache_write: usage.cache_written,
            output: usage.completion,
            ..Self::default()
        }
    }
}

/// Finds every `"usage": {…}` of a stream, of which each adds to those before it what they did not
/// tell. Inside a JSON string its quotes are escaped, so that generated text cannot be mistaken for
/// it.
#[derive(Debug, Default)]
pub(super) struct UsageScanner {
    found: Option<WireUsage>,
    /// What has come of an object that is not whole yet.
    pending: Option<Vec<u8>>,
    /// The end of what came before, where the mark may have begun.
    before: [u8; MARK.len() - 1],
}

impl UsageScanner {
    pub(super) fn found(&self) -> Option<Usage> {
        self.found.map(Usage::from)
    }

    pub(super) fn observe(&mut self, bytes: &[u8]) {
        if let Some(pending) = &mut self.pending {
            pending.extend_from_slice(bytes.get(..MAX_USAGE).unwrap_or(bytes));
            self.read();
        } else if let Some(behind) = self.behind_a_cut_mark(bytes) {
            self.begin(bytes.get(behind..).unwrap_or_default());
        }
        if let Some(last) = memmem::rfind(bytes, MARK) {
            // Between the first and the last of a piece is nothing new.
            let first = memmem::find(bytes, MARK).filter(|first| *first < last);
            for at in first.into_iter().chain([last]) {
                self.begin(bytes.get(at + MARK.len()..).unwrap_or_default());
            }
        }
        self.remember(bytes);
    }

    fn begin(&mut self, object: &[u8]) {
        self.pending = Some(object.get(..MAX_USAGE).unwrap_or(object).to_vec());
        self.read();
    }

    /// Where in `bytes` the mark ends that began before them.
    fn behind_a_cut_mark(&self, bytes: &[u8]) -> Option<usize> {
        let last = *self.before.last()?;
        // Only what the mark consists of can be in the middle of it.
        if !MARK.contains(&last) {
            return None;
        }
        (1..MARK.len()).find(|length| {
            let (begun, rest) = MARK.split_at(MARK.len() - length);
            self.before.ends_with(begun) && bytes.starts_with(rest)
        })
    }

    fn remember(&mut self, bytes: &[u8]) {
        let kept = self.before.len();
        if let Some(end) = bytes.len().checked_sub(kept).and_then(|from| bytes.get(from..)) {
            self.before.copy_from_slice(end);
        } else {
            self.before.rotate_left(bytes.len());
            if let Some(end) = self.before.get_mut(kept - bytes.len()..) {
                end.copy_from_slice(bytes);
            }
        }
    }

    fn read(&mut self) {
        let Some(pending) = &self.pending else { return };
        let mut values =
            serde_json::Deserializer::from_slice(pending).into_iter::<Option<WireUsage>>();
        match values.next() {
            // Nothing but white space, or a part of the object: the rest may come.
            None if pending.len() < MAX_USAGE => {}
            Some(Err(error)) if error.is_eof() && pending.len() < MAX_USAGE => {}
            Some(Ok(Some(usage))) => {
                self.found.get_or_insert_default().update(usage);
                self.pending = None;
            }
            Some(Ok(None) | Err(_)) | None => self.pending = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(pieces: &[&[u8]]) -> Option<Usage> {
        let mut scanner = UsageScanner::default();
        for piece in pieces {
            scanner.observe(piece);
        }
        scanner.found()
    }

    #[test]
    fn usage_is_found_however_the_stream_is_cut() {
        let text =
            b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
        let expected = Some(Usage::new(3, 4));
        for at in 0..=text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(usage(&[a, b]), expected, "{}", a.escape_ascii());
        }
        for size in 1..12 {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(usage(&pieces), expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_null_changes_nothing() {
        let told: &[u8] = br#"{"usage":{"prompt_tokens":1}}"#;
        assert_eq!(usage(&[told, br#"{"usage":null} "#]), Some(Usage::new(1, 0)));
    }

    #[test]
    fn generated_text_is_not_taken_for_usage() {
        let text = br#"data: {"text":"\"usage\":{\"prompt_tokens\":99}","usage":null}"#;
        for at in 0..=text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(usage(&[a, b]), None, "{at}");
        }
    }

    #[test]
    fn what_a_message_tells_at_its_start_stands_unless_its_end_corrects_it() {
        let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"cache_read_input_tokens":20,"output_tokens":1}}}"#;
        let end = |usage: &str| format!(r#"{{"type":"message_delta","usage":{usage}}}"#);
        for (last, expected) in [
            (r#"{"output_tokens":9}"#, Usage { cached: 20, ..Usage::new(25, 9) }),
            (r#"{"input_tokens":7,"output_tokens":9}"#, Usage { cached: 20, ..Usage::new(27, 9) }),
        ] {
            let end = end(last);
            assert_eq!(usage(&[start.as_bytes(), end.as_bytes()]), Some(expected));
            let whole = format!("{start}{end}");
            for at in 0..whole.len() {
                let (a, b) = whole.as_bytes().split_at(at);
                assert_eq!(usage(&[a, b]), Some(expected), "{at}");
            }
        }
    }

    #[test]
    fn what_came_from_a_cache_is_a_part_of_the_prompt() {
        for text in [
            r#"{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4}}}"#,
            r#"{"usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4}}}"#,
            r#"{"usage":{"input_tokens":5,"cache_read_input_tokens":4}}"#,
        ] {
            let expected = Usage { cached: 4, ..Usage::new(9, 0) };
            assert_eq!(usage(&[text.as_bytes()]), Some(expected), "{text}");
        }
    }

    #[test]
    fn usage_of_the_responses_api_is_understood() {
        let text = br#"{"usage": {"input_tokens": 5, "output_tokens": 6}}"#;
        assert_eq!(usage(&[&text[..]]), Some(Usage::new(5, 6)));
    }
}
