use std::io::{self, Read};
use std::time::Duration;

use crate::commands::output;
use crate::exit::{Failure, Kind};

/// After how long somebody is told that the command waits for standard input.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// This.
    Text(String),
    /// What somebody types.
    Conversation,
}

/// The prompt of the arguments, with what standard input adds to it.
pub(super) async fn of(words: Vec<String>, has_terminal: bool) -> Result<Prompt, Failure> {
    let has_words = !words.is_empty();
    let mut reading =
        tokio::task::spawn_blocking(move || of_reader(&words, has_terminal, || io::stdin().lock()));
    let read = tokio::select! {
        read = &mut reading => read,
        () = tokio::time::sleep(PATIENCE), if has_words => {
            output::note("reading standard input; redirect it from /dev/null if there is none");
            reading.await
        }
    };
    read.map_err(|error| Failure {
        kind: Kind::Other,
        error: anyhow::Error::new(error).context("standard input cannot be read"),
    })?
}

fn of_reader<R: Read>(
    words: &[String],
    has_terminal: bool,
    input: impl FnOnce() -> R,
) -> Result<Prompt, Failure> {
    let (said, reads) = match words {
        [] if has_terminal => return Ok(Prompt::Conversation),
        [] => (String::new(), true),
        [dash] if dash == "-" => (String::new(), true),
        words => (words.join(" "), !has_terminal),
    };
    let mut piped = String::new();
    if reads {
        input().read_to_string(&mut piped).map_err(|error| Failure {
            kind: Kind::Config,
            error: anyhow::Error::new(error).context("standard input cannot be read as text"),
        })?;
    }
    let piped = piped.trim_end_matches(['\r', '\n']);
    let text = match (said.trim().is_empty(), piped.trim().is_empty()) {
        (true, true) => return Err(Kind::Config.because("the prompt is empty; write what to ask")),
        (false, true) => said,
        (true, false) => piped.to_owned(),
        (false, false) => format!("{said}\n\n{piped}"),
    };
    Ok(Prompt::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(words: &[&str], has_terminal: bool, input: &str) -> Option<Prompt> {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        of_reader(&words, has_terminal, || input.as_bytes()).ok()
    }

    #[test]
    fn the_prompt_is_said_piped_or_typed() {
        let text = |text: &str| Some(Prompt::Text(text.into()));
        assert_eq!(prompt(&["why", "me?"], true, "ignored"), text("why me?"));
        assert_eq!(prompt(&["why"], false, ""), text("why"));
        assert_eq!(prompt(&["sum", "up"], false, "a\nb\n"), text("sum up\n\na\nb"));
        assert_eq!(prompt(&[], false, "a\nb\r\n"), text("a\nb"));
        assert_eq!(prompt(&["-"], true, "a\n"), text("a"));
        assert_eq!(prompt(&[], true, "ignored"), Some(Prompt::Conversation));
        assert_eq!(prompt(&[], false, "\n"), None);
        assert_eq!(prompt(&[""], false, "x"), text("x"));
        assert_eq!(prompt(&[""], true, "ignored"), None);
    }

    #[test]
    fn a_terminal_is_not_read_when_the_question_is_said() {
        let words = ["why".to_owned()];
        let read = of_reader(&words, true, || -> &[u8] { panic!("read") });
        assert_eq!(read.ok(), Some(Prompt::Text("why".into())));
    }
}
