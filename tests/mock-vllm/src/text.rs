//! What the mock says: the same words for the same question.

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

/// How many words of the question are repeated in the answer.
const QUOTED_WORDS: usize = 8;

/// Text in tokens. Here a token is a word with the space before it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Text {
    text: String,
    ends: Vec<usize>,
}

impl Text {
    /// The answer to `question`: `count` tokens, of which the last ends in a full stop. Another `seed` gives other words
    /// after the greeting.
    pub(crate) fn answer(question: &str, seed: u64, count: usize) -> Self {
        let mut greeting = String::from("Hello from the mock model: you said");
        let mut opening = " \"";
        for word in question.split_whitespace().take(QUOTED_WORDS) {
            greeting.push_str(opening);
            greeting.push_str(word);
            opening = " ";
        }
        greeting.push_str(if opening == " " { "\"." } else { " nothing." });

        let mut random = hash(question.as_bytes()) ^ seed;
        let filler = std::iter::repeat_with(move || {
            random = mix(random);
            let pick = usize::try_from(random % SENTENCES.len() as u64).unwrap_or_default();
            SENTENCES.get(pick).copied().unwrap_or_default()
        });
        let mut answer =
            Self { text: String::with_capacity(count * 7), ends: Vec::with_capacity(count) };
        for word in
            greeting.split(' ').chain(filler.flat_map(|sentence| sentence.split(' '))).take(count)
        {
            if !answer.text.is_empty() {
                answer.text.push(' ');
            }
            answer.text.push_str(word);
            answer.ends.push(answer.text.len());
        }
        if let Some(end) = answer.ends.last_mut().filter(|_| !answer.text.ends_with('.')) {
            answer.text.truncate(answer.text.trim_end_matches([',', ':']).len());
            answer.text.push('.');
            *end = answer.text.len();
        }
        answer
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The tokens in order.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let token = self.text.get(start..end).unwrap_or_default();
            start = end;
            token
        })
    }

    /// Keeps the first `count` tokens.
    pub(crate) fn keep(&mut self, count: usize) {
        self.ends.truncate(count);
        self.text.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// Cuts before the earliest of the stop strings and returns it.
    pub(crate) fn stop_at<'a>(&mut self, stops: &'a [String]) -> Option<&'a str> {
        let found = stops.iter().filter(|stop| !stop.is_empty());
        let (at, stop) =
            found.filter_map(|stop| Some((self.text.find(stop.as_str())?, stop))).min()?;
        self.text.truncate(at);
        let whole = self.ends.partition_point(|&end| end <= at);
        let last = self.ends.get(..whole).and_then(<[usize]>::last).copied().unwrap_or(0);
        self.ends.truncate(whole);
        if last < at {
            self.ends.push(at);
        }
        Some(stop)
    }
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
}
