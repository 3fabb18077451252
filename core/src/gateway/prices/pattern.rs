use serde::{Deserialize, Serialize};

/// Text in which `*` stands for any text and `#` for one digit, in whatever case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Pattern(String);

impl TryFrom<String> for Pattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.chars().count() > 200 {
            return Err("a pattern has 1 to 200 characters");
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl Pattern {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for the whole of `text`, which is in lower case.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Where the last star stands, and what it covers so far.
        let mut star: Option<(usize, usize)> = None;
        while let Some(byte) = text.get(seen) {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, seen));
                    at += 1;
                }
                Some(b'#') if byte.is_ascii_digit() => (at, seen) = (at + 1, seen + 1),
                Some(one) if one == byte => (at, seen) = (at + 1, seen + 1),
                Some(_) | None => match star {
                    Some((place, covered)) => {
                        star = Some((place, covered + 1));
                        (at, seen) = (place + 1, covered + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern.iter().skip(at).all(|byte| *byte == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_any_text_and_hashes_digits() {
        for (pattern, matching, other) in [
            ("gpt-5", &["gpt-5"][..], &["gpt-5-mini", "xgpt-5", ""][..]),
            ("GPT-5*", &["gpt-5", "gpt-5-mini"], &["gpt-4"]),
            ("*-tts", &["a-tts", "-tts"], &["a-tts-b"]),
            ("*-tts-*", &["a-tts-b", "-tts-"], &["a-tts"]),
            ("a*b*c", &["abc", "axbxbxc"], &["ab", "acb"]),
            ("opus-5-####", &["opus-5-2026"], &["opus-5-202", "opus-5-202x", "opus-5-20267"]),
            ("argon-#*", &["argon-1", "argon-1x"], &["argon-", "argon-x"]),
            ("*", &["", "x"], &[]),
        ] {
            let pattern = Pattern::try_from(pattern.to_owned()).unwrap();
            assert!(matching.iter().all(|text| pattern.matches(text)), "{pattern:?}");
            assert!(!other.iter().any(|text| pattern.matches(text)), "{pattern:?}");
        }
        assert!(Pattern::try_from(String::new()).is_err());
    }
}
