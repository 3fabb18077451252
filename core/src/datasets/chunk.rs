//! Chunks: examples in lines of JSON, with numbers relative to that of the chunk, so that the same
//! examples make the same chunk wherever they stand.

use std::collections::BTreeSet;
use std::io::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::DatasetProblem;
use super::example::{Example, ExampleContent, MAX_EXAMPLE_BYTES};
use super::manifest::{KeptChunk, MAX_CHUNK_BYTES, MOST_IN_CHUNK};
use super::names::{ExampleId, Sha256Digest};

/// A chunk that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub kept: KeptChunk,
    /// Its content.
    pub text: Vec<u8>,
}

impl Chunk {
    pub fn digest(&self) -> &Sha256Digest {
        &self.kept.digest
    }

    pub fn examples(&self) -> u32 {
        self.kept.examples
    }
}

/// Makes chunks of examples with ascending numbers.
#[derive(Debug, Default)]
pub struct ChunkBuilder {
    text: Vec<u8>,
    examples: u32,
    first: u64,
    /// The line at hand without its number; kept for its room.
    line: Vec<u8>,
}

/// A line without its number.
#[derive(Serialize)]
struct Body<'a> {
    input: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    tags: &'a BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

/// A line as it is read. Not `flatten`: that would read everything twice.
#[derive(Deserialize)]
struct Line {
    n: u64,
    input: Value,
    #[serde(default)]
    expected: Option<Value>,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    tags: BTreeSet<String>,
    #[serde(default)]
    split: Option<String>,
    #[serde(default)]
    source: Option<String>,
}

impl ChunkBuilder {
    /// Adds an example, and returns the chunk before it if that had no room for it.
    ///
    /// # Errors
    /// When the example is too large; then it is as if nothing had been added.
    pub fn push(
        &mut self,
        number: u64,
        content: &ExampleContent,
    ) -> Result<Option<Chunk>, DatasetProblem> {
        let body = Body {
            input: &content.input,
            expected: content.expected.as_ref(),
            metadata: &content.metadata,
            tags: &content.tags,
            split: content.split.as_deref(),
            source: content.source.as_deref(),
        };
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let written = serde_json::to_writer(&mut line, &body);
        let pushed = match written {
            Err(error) => Err(DatasetProblem::new("input", format!("cannot be kept: {error}"))),
            Ok(()) if line.len() > MAX_EXAMPLE_BYTES => {
                let problem = format!(
                    "has {} bytes with the rest of the example; an example may have {MAX_EXAMPLE_BYTES}",
                    line.len()
                );
                Err(DatasetProblem::new("input", problem))
            }
            Ok(()) => Ok(self.push_rest(number, line.get(1..).unwrap_or_default())),
        };
        self.line = line;
        pushed
    }

    /// Adds a line of which everything but the brace and the number is given.
    pub(super) fn push_rest(&mut self, number: u64, rest: &[u8]) -> Option<Chunk> {
        // A number has at most twenty digits, and there are seven more characters.
        let is_full = self.examples > 0
            && (self.examples >= MOST_IN_CHUNK
                || self.text.len() + rest.len() + 27 > MAX_CHUNK_BYTES);
        let full = if is_full { self.take() } else { None };
        if self.examples == 0 {
            self.first = number;
        }
        // Writing into memory does not fail.
        let _ = write!(self.text, "{{\"n\":{},", number.saturating_sub(self.first));
        self.text.extend_from_slice(rest);
        self.text.push(b'\n');
        self.examples += 1;
        full
    }

    /// What was added since the last chunk, if anything was.
    pub fn take(&mut self) -> Option<Chunk> {
        let text = std::mem::take(&mut self.text);
        let examples = std::mem::take(&mut self.examples);
        (examples > 0).then(|| {
            let kept = KeptChunk {
                digest: Sha256Digest::of(&text),
                examples,
                bytes: u32::try_from(text.len()).unwrap_or(u32::MAX),
                first: self.first,
            };
            Chunk { kept, text }
        })
    }
}

/// The lines of a chunk: the number of each, and everything behind that.
pub(super) fn lines(text: &[u8], first: u64) -> Result<Vec<(u64, &[u8])>, String> {
    let split = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let told = |(index, line)| {
        numbered(line, first).ok_or_else(|| format!("line {} of a chunk has no number", index + 1))
    };
    split.enumerate().map(told).collect()
}

fn numbered(line: &[u8], first: u64) -> Option<(u64, &[u8])> {
    let digits = line.strip_prefix(b"{\"n\":")?;
    let end = digits.iter().position(|byte| *byte == b',')?;
    let number: u64 = std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()?;
    Some((first.saturating_add(number), digits.get(end + 1..)?))
}

/// The examples of a chunk, or which line of it cannot be read.
pub(super) fn parse(text: &[u8], first: u64) -> Result<Vec<Example>, String> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let example = |(index, line): (usize, &[u8])| parse_line(line, first, index);
    lines.enumerate().map(example).collect()
}

fn parse_line(line: &[u8], first: u64, index: usize) -> Result<Example, String> {
    let wrong = |error: serde_json::Error| format!("line {} of a chunk: {error}", index + 1);
    let Line { n, input, expected, metadata, tags, split, source } =
        serde_json::from_slice(line).map_err(wrong)?;
    let content = ExampleContent { input, expected, metadata, tags, split, source };
    Ok(Example { id: ExampleId(first.saturating_add(n)), content })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn content(text: &str) -> ExampleContent {
        ExampleContent { input: json!(text), ..ExampleContent::default() }
    }

    #[test]
    fn the_same_examples_make_the_same_chunk_wherever_they_stand() {
        let chunk = |numbers: [u64; 2]| {
            let mut builder = ChunkBuilder::default();
            for number in numbers {
                assert_eq!(builder.push(number, &content("ä\n\"b\"")).unwrap(), None);
            }
            builder.take().unwrap()
        };
        let (here, there, gap) = (chunk([1, 2]), chunk([7, 8]), chunk([7, 9]));
        assert_eq!(here.digest(), there.digest());
        assert_ne!(here.digest(), gap.digest());
        let ids = parse(&gap.text, 7).unwrap().into_iter().map(|example| example.id.number());
        assert_eq!(ids.collect::<Vec<_>>(), [7, 9]);
    }

    #[test]
    fn lines_are_taken_over_as_they_are() {
        let mut builder = ChunkBuilder::default();
        for number in [5, 6, 9] {
            builder.push(number, &content("\"n\":3,")).unwrap();
        }
        let chunk = builder.take().unwrap();
        for (number, rest) in lines(&chunk.text, 5).unwrap() {
            assert_eq!(builder.push_rest(number, rest), None);
        }
        assert_eq!(builder.take(), Some(chunk));
        assert!(lines(b"{\"input\":1}\n", 1).is_err());
    }

    #[test]
    fn chunks_are_bounded_in_examples_and_in_bytes() {
        let mut builder = ChunkBuilder::default();
        let mut full = Vec::new();
        for number in 1..=2_500 {
            full.extend(builder.push(number, &content("x")).unwrap());
        }
        assert_eq!(full.iter().map(Chunk::examples).collect::<Vec<_>>(), [1_000, 1_000]);
        let mut builder = ChunkBuilder::default();
        let long = content(&"x".repeat(100_000));
        let mut full: Vec<Chunk> =
            (1..=5).filter_map(|number| builder.push(number, &long).unwrap()).collect();
        full.extend(builder.take());
        assert!(full.iter().all(|chunk| chunk.text.len() <= MAX_CHUNK_BYTES));
        assert_eq!(full.iter().map(Chunk::examples).collect::<Vec<_>>(), [2, 2, 1]);
    }

    #[test]
    fn a_large_example_has_a_chunk_of_its_own_and_one_that_is_too_large_none() {
        let mut builder = ChunkBuilder::default();
        builder.push(1, &content("x")).unwrap();
        let large = content(&"x".repeat(MAX_CHUNK_BYTES));
        assert_eq!(builder.push(2, &large).unwrap().unwrap().examples(), 1);
        let error = builder.push(3, &content(&"x".repeat(MAX_EXAMPLE_BYTES))).unwrap_err();
        assert!(error.problem.contains("an example may have 1048576"), "{error}");
        assert_eq!(builder.take().unwrap().examples(), 1);
        assert_eq!(builder.take(), None);
    }
}
