use std::io::{self, Read};

use crate::exit::{Failure, Kind};

/// What to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// This.
    Text(String),
    /// What somebody types.
    Conversation,
}

/// The prompt of the arguments, or of standard input.
pub(super) fn of(words: &[String], has_terminal: bool) -> Result<Prompt, Failure> {
    of_reader(words, has_terminal, io::stdin().lock())
}

fn of_reader(
    words: &[String],
    has_terminal: bool,
    mut input: impl Read,
) -> Result<Prompt, Failure> {
    let text = match words {
        [] if has_terminal => return Ok(Prompt::Conversation),
        [] => None,
        [dash] if dash == "-" => None,
        words => Some(words.join(" ")),
    };
    let text = if let Some(text) = text {
        text
    } else {
        let mut text = String::new();
        input.read_to_string(&mut text).map_err(|error| Failure {
            kind: Kind::Config,
            error: anyhow::Error::new(error)
                .context("the prompt on standard input cannot be read as text"),
        })?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    };
    if text.trim().is_empty() {
        return Err(Kind::Config.because("the prompt is empty; write what to ask"));
    }
    Ok(Prompt::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(words: &[&str], has_terminal: bool, input: &str) -> Option<Prompt> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        of_reader(&words, has_terminal, input.as_bytes()).ok()
    }

    #[test]
    fn the_prompt_is_said_piped_or_typed() {
        let text = |text: &str| Some(Prompt::Text(text.into()));
        assert_eq!(prompt(&["why", "me?"], true, ""), text("why me?"));
        assert_eq!(prompt(&["why"], false, "ignored"), text("why"));
        assert_eq!(prompt(&[], false, "a\nb\r\n"), text("a\nb"));
        assert_eq!(prompt(&["-"], true, "a\n"), text("a"));
        assert_eq!(prompt(&[], true, "ignored"), Some(Prompt::Conversation));
        assert_eq!(prompt(&[], false, "\n"), None);
        assert_eq!(prompt(&[""], false, "x"), None);
    }
}
