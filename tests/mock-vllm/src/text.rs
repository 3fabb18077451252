//! What the mock says: the same words for the same question.

use crate::tokens::encode_word;

/// Filler after the greeting, picked by the hash of the question.
const SENTENCES: [&str; 12] = [
    "I am only a stand-in for a real engine.",
    "Every word here was chosen by a small hash.",
    "Ask me the same thing again and I will say the same thing again.",
    "The weather in this data center is dry and a little noisy.",
    "No GPU was warmed up for this answer.",
    "A lamp in daylight finds an honest man only with patience.",
    "Tokens arrive one by one, just as they would from a larger model.",
    "If you can read this, the whole path from your client to the engine works.",
    "Please do not take any of this as advice.",
    "I would look it up for you, but there is nothing here to look it up in.",
    "Good questions deserve better answers than mine.",
    "It was nice to hear from you.",
];

/// How every answer begins, and how it goes on where the question has no words.
const GREETING: &str = "Hello from the mock model: you said";
const NOTHING: &str = " nothing.";

/// How many words of the question are repeated in the answer.
const QUOTED_WORDS: usize = 8;

/// Text in tokens. Here a token is a word with the space before it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Text {
    whole: String,
    ends: Vec<usize>,
    /// One for each token, once they were asked for.
    ids: Vec<u32>,
}

impl Text {
    /// The answer to `question`: `count` tokens, of which the last ends in a full stop. Another `seed` gives other words
    /// after the greeting.
    pub(crate) fn answer(question: &str, seed: u64, count: usize) -> Self {
        let mut greeting = String::from(GREETING);
        let mut opening = " \"";
        for word in question.split_whitespace().take(QUOTED_WORDS) {
            greeting.push_str(opening);
            greeting.push_str(word);
            opening = " ";
        }
        greeting.push_str(if opening == " " { "\"." } else { NOTHING });

        let mut random = hash(question.as_bytes()) ^ seed;
        let filler = std::iter::repeat_with(move || {
            random = mix(random);
            let pick = usize::try_from(random % SENTENCES.len() as u64).unwrap_or_default();
            SENTENCES.get(pick).copied().unwrap_or_default()
        });
        let mut answer = Self {
            whole: String::with_capacity(count * 7),
            ends: Vec::with_capacity(count),
            ids: Vec::new(),
        };
        for word in
            greeting.split(' ').chain(filler.flat_map(|sentence| sentence.split(' '))).take(count)
        {
            if !answer.whole.is_empty() {
                answer.whole.push(' ');
            }
            answer.whole.push_str(word);
            answer.ends.push(answer.whole.len());
        }
        if let Some(end) = answer.ends.last_mut().filter(|_| !answer.whole.ends_with('.')) {
            answer.whole.truncate(answer.whole.trim_end_matches([',', ':']).len());
            answer.whole.push('.');
            *end = answer.whole.len();
        }
        answer
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.whole
    }

    /// The tokens in order.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            // The text of half a character comes with its end.
            let end = self.whole.floor_char_boundary(end);
            let token = self.whole.get(start..end).unwrap_or_default();
            start = end;
            token
        })
    }

    /// Makes its tokens those of the tokenizer: of a word that is not in its vocabulary every byte is one.
    pub(crate) fn refine(&mut self) {
        let mut fine = Self { whole: self.whole.clone(), ..Self::default() };
        let mut end = 0;
        for word in self.tokens() {
            let ids = encode_word(word);
            for _ in &ids {
                end += word.len() / ids.len();
                fine.ends.push(end);
            }
            fine.ids.extend(ids);
        }
        *self = fine;
    }

    /// The ids of the tokens, if they were asked for.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Keeps the first `count` tokens.
    pub(crate) fn keep(&mut self, count: usize) {
        self.ends.truncate(count);
        self.ids.truncate(count);
        let end = self.ends.last().copied().unwrap_or(0);
        self.whole.truncate(self.whole.floor_char_boundary(end));
    }

    /// How many tokens make up `said`, if the text begins with it.
    pub(crate) fn tokens_of(&self, said: &str) -> Option<usize> {
        self.whole.starts_with(said).then(|| self.ends.partition_point(|end| *end <= said.len()))
    }

    /// Leaves out the first `count` tokens, and with half of a character's all of its text.
    pub(crate) fn skip(&mut self, count: usize) {
        let Some(end) = count.checked_sub(1).and_then(|last| self.ends.get(last)).copied() else {
            return;
        };
        let end = self.whole.floor_char_boundary(end);
        self.whole.drain(..end);
        self.ends.drain(..count);
        self.ids.drain(..count.min(self.ids.len()));
        for later in &mut self.ends {
            *later -= end;
        }
    }

    /// Cuts before the earliest of the stop strings and returns it.
    pub(crate) fn stop_at<'a>(&mut self, stops: &'a [String]) -> Option<&'a str> {
        let found = stops.iter().filter(|stop| !stop.is_empty());
        let (at, stop) =
            found.filter_map(|stop| Some((self.whole.find(stop.as_str())?, stop))).min()?;
        self.whole.truncate(at);
        let whole = self.ends.partition_point(|&end| end <= at);
        let last = self.ends.get(..whole).and_then(<[usize]>::last).copied().unwrap_or(0);
        self.ends.truncate(whole);
        self.ids.truncate(whole);
        if last < at {
            self.ends.push(at);
        }
        Some(stop)
    }
}

/// Every word that answers consist of beside those of questions, with the space before it.
pub(crate) fn own_words() -> Vec<String> {
    let greeting = format!("{GREETING}{NOTHING}");
    let all = SENTENCES.iter().copied().chain([greeting.as_str()]).flat_map(|text| text.split(' '));
    let mut words: Vec<String> = vec!["Hello".into()];
    for word in all {
        let bare = word.trim_end_matches([',', ':', '.']);
        // The last word of an answer gets a full stop.
        words.extend(
            [word.to_owned(), bare.to_owned(), format!("{bare}.")].map(|word| format!(" {word}")),
        );
    }
    words.sort_unstable();
    words.dedup();
    words
}

/// The number of tokens in a text that did not come from here.
pub(crate) fn count_tokens(text: &str) -> u32 {
    u32::try_from(text.split_whitespace().count()).unwrap_or(u32::MAX)
}

/// FNV-1a.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// One step of SplitMix64.
pub(crate) fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_question_has_the_same_answer() {
        assert_eq!(
            Text::answer("hi there", 0, 64).as_str(),
            Text::answer("hi there", 0, 64).as_str()
        );
        assert_ne!(
            Text::answer("hi there", 0, 64).as_str(),
            Text::answer("hi there", 1, 64).as_str()
        );
    }

    #[test]
    fn answer_greets_quotes_and_has_the_length_asked_for() {
        let answer = Text::answer("hi  there", 0, 40);
        assert!(answer.as_str().starts_with("Hello from the mock model: you said \"hi there\". "));
        assert_eq!(answer.len(), 40);
        assert_eq!(answer.tokens().collect::<String>(), answer.as_str());
        assert!(answer.as_str().ends_with('.'));
    }

    #[test]
    fn answer_of_no_tokens_is_empty() {
        assert_eq!(Text::answer("hi", 0, 0).as_str(), "");
    }

    #[test]
    fn earliest_stop_string_ends_the_text() {
        let mut text = Text::answer("hi", 0, 10);
        let stops = ["said".to_owned(), "mod".to_owned()];
        assert_eq!(text.stop_at(&stops), Some("mod"));
        assert_eq!(text.as_str(), "Hello from the mock ");
        assert_eq!(text.tokens().collect::<Vec<_>>(), ["Hello", " from", " the", " mock", " "]);
    }

    #[test]
    fn tokens_of_the_tokenizer_are_words_or_bytes_and_text_waits_for_whole_characters() {
        let mut text = Text::answer("🦀", 0, 9);
        let whole = text.as_str().to_owned();
        text.refine();
        let tokens: Vec<&str> = text.tokens().collect();
        assert_eq!(tokens.concat(), whole);
        assert_eq!(tokens[..7], ["Hello", " from", " the", " mock", " model:", " you", " said"]);
        assert_eq!(tokens[7..13], [" ", "\"", "", "", "", "🦀"]);
        assert_eq!(
            (text.ids().len(), &text.ids()[9..13]),
            (text.len(), &[0xf0, 0x9f, 0xa6, 0x80][..])
        );
        // In the middle of a character, too.
        assert_eq!(text.tokens_of("Hello from"), Some(2));
        for count in 0..text.len() {
            let mut rest = text.clone();
            rest.skip(count);
            let said: String = text.tokens().take(count).collect();
            assert_eq!(said + rest.as_str(), whole);
            assert_eq!(rest.len(), text.len() - count);
        }
    }
}
