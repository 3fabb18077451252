//! What the roles of the template allow, as IAM would judge it: emulators let everything pass.
//! Rules: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>.

mod condition;
mod request;
mod role;
mod statement;

pub use request::{Account, Request};
pub use role::{Grant, Roles};
pub use statement::{Effect, Statement};

/// Whether a text fits a pattern of IAM: `*` is any text, `?` any character.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    // Where to go on when the rest does not fit: the last `*`, and how much it has taken.
    let (mut at, mut seen, mut back) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                back = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match &mut back {
                Some((star, taken)) => {
                    *taken += 1;
                    (at, seen) = (*star + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_and_question_marks_stand_for_texts_and_characters() {
        for (pattern, text, expected) in [
            ("MODELS", "MODELS", true),
            ("MODELS", "MODELS#a", false),
            ("MODEL#*", "MODEL#a/b", true),
            ("MODEL#*", "MODELS", false),
            ("MODEL#*", "MODEL#", true),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("?b", "ab", true),
            ("?b", "b", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
