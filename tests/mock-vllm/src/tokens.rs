//! The mock's tokenizer: the words of its own answers are tokens, anything else is in bytes. The same in every process,
//! so that one mock can read what another has written.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::text::own_words;

/// Ids below are bytes.
const WORDS: u32 = 256;
/// What stands behind a message, and before one of each role.
const END: u32 = 200_000;
const ROLES: [(u32, &str); 3] = [(200_001, "user"), (200_002, "assistant"), (200_003, "system")];

struct Vocabulary {
    words: Vec<String>,
    ids: HashMap<String, u32>,
}

fn vocabulary() -> &'static Vocabulary {
    static VOCABULARY: OnceLock<Vocabulary> = OnceLock::new();
    VOCABULARY.get_or_init(|| {
        let words = own_words();
        let ids = words.iter().cloned().zip(WORDS..).collect();
        Vocabulary { words, ids }
    })
}

/// The ids of a text: of each word with the space before it one, or one for each of its bytes.
pub(crate) fn encode(text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.char_indices().skip(1).find(|(_, char)| *char == ' ').map(|(at, _)| at);
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        ids.extend(encode_word(word));
        rest = behind;
    }
    ids
}

/// The ids of one word with the space before it.
pub(crate) fn encode_word(word: &str) -> Vec<u32> {
    match vocabulary().ids.get(word) {
        Some(id) => vec![*id],
        None => word.bytes().map(u32::from).collect(),
    }
}

/// The text of ids. Bytes that make no character are replacement characters, as in vLLM.
pub(crate) fn decode(ids: &[u32]) -> String {
    let mut bytes = Vec::new();
    for &id in ids {
        if let Ok(byte) = u8::try_from(id) {
            bytes.push(byte);
        } else if let Some((_, role)) = ROLES.iter().find(|(mark, _)| *mark == id) {
            bytes.extend_from_slice(format!("<|{role}|>").as_bytes());
        } else {
            let place = usize::try_from(id - WORDS).unwrap_or(usize::MAX);
            let word = vocabulary().words.get(place).map_or("<|end|>", String::as_str);
            bytes.extend_from_slice(word.as_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A conversation as the template writes it. The last message may be left open; white space at its end is stripped
/// then, as many templates do.
pub(crate) fn conversation<'a>(
    messages: impl Iterator<Item = (&'a str, &'a str)>,
    is_open: bool,
    asks: bool,
) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut messages = messages.peekable();
    while let Some((role, text)) = messages.next() {
        ids.push(mark_of(role));
        if is_open && messages.peek().is_none() {
            ids.extend(encode(text.trim_end()));
        } else {
            ids.extend(encode(text));
            ids.push(END);
        }
    }
    if asks {
        ids.push(mark_of("assistant"));
    }
    ids
}

/// The question in a conversation, and what its answer begins with.
pub(crate) fn read_conversation(ids: &[u32]) -> Option<(String, &[u32])> {
    let answer = ids.iter().rposition(|id| *id == mark_of("assistant"))?;
    let (before, said) = (ids.get(..answer)?, ids.get(answer + 1..)?);
    let asked = before.iter().rposition(|id| *id == mark_of("user"))?;
    let question = before.get(asked + 1..)?;
    let end = question.iter().position(|id| *id == END).unwrap_or(question.len());
    Some((decode(question.get(..end)?), said))
}

fn mark_of(role: &str) -> u32 {
    let known = ROLES.iter().find(|(_, name)| *name == role);
    known.map_or(200_004, |(mark, _)| *mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_from_their_ids() {
        for text in
            ["", " ", "Hello from the mock", "  two  spaces\n", "🦀 and é", "you said \"hi\"."]
        {
            assert_eq!(decode(&encode(text)), text);
        }
        assert_eq!(encode("Hello from the mock").len(), 4);
        assert_eq!(decode(&encode("🦀")[..3]), "\u{fffd}");
    }

    #[test]
    fn a_conversation_tells_its_question_and_what_was_said() {
        let messages = [("system", "Be brief."), ("user", "hi"), ("assistant", "Hello from ")];
        let ids = conversation(messages.into_iter(), true, false);
        assert_eq!(read_conversation(&ids), Some(("hi".into(), &encode("Hello from")[..])));
        let ids = conversation(messages.into_iter().take(2), false, true);
        assert_eq!(read_conversation(&ids), Some(("hi".into(), &[][..])));
        assert_eq!(read_conversation(&[1, 2]), None);
    }
}
