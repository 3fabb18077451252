use rustyline::error::ReadlineError;
use rustyline::{Config, Editor};

use super::answer::{Answer, Asking};
use super::message::{Conversation, assistant, system, user};
use crate::client::Client;
use crate::commands::output::{self, Format};
use crate::exit::{Failure, Kind};

type Lines = Editor<(), rustyline::history::MemHistory>;

/// A conversation, until `/quit` or Ctrl-D.
pub(super) async fn run(
    client: &Client,
    mut talk: Conversation,
    format: Format,
) -> Result<(), Failure> {
    // A model that does not exist, or a key that may not use it, is told before somebody types.
    let path: Vec<&str> = ["v1", "models"].into_iter().chain(talk.model.split('/')).collect();
    client.get(&path, &[]).await?;
    output::note(&format!(
        "Talking with {}. /help lists the commands, /quit or Ctrl-D ends, Ctrl-C stops an answer.",
        talk.model
    ));
    let mut lines = Editor::with_history(Config::default(), rustyline::history::MemHistory::new())
        .map_err(unreadable)?;
    loop {
        let (back, typed) = read(lines).await?;
        lines = back;
        match Typed::of(typed.map_err(unreadable)?.as_deref()) {
            Typed::Nothing => {}
            Typed::End => return Ok(()),
            Typed::Help => output::note(HELP),
            Typed::Unknown(command) => {
                output::note(&format!("unknown command `{command}`; /help lists the commands"));
            }
            Typed::Clear => {
                talk.messages
                    .retain(|message| message.get("role").is_some_and(|role| role == "system"));
                output::note("(forgotten)");
            }
            Typed::System(text) => {
                talk.messages
                    .retain(|message| message.get("role").is_none_or(|role| role != "system"));
                talk.messages.insert(0, system(text));
            }
            Typed::Text(text) => turn(client, &mut talk, text, format).await?,
        }
    }
}

/// One question and its answer. A failure is told and does not end the conversation, unless
/// nothing can be printed any more.
async fn turn(
    client: &Client,
    talk: &mut Conversation,
    text: &str,
    format: Format,
) -> Result<(), Failure> {
    talk.messages.push(user(text));
    let mut asking = Asking::new(&talk.model, format == Format::Table);
    let done: Option<Result<Answer, Failure>> = tokio::select! {
        done = asking.run(client, talk) => Some(done),
        _ = tokio::signal::ctrl_c() => None,
    };
    let content = asking.content().to_owned();
    drop(asking);
    match done {
        Some(Ok(answer)) => super::finish(&answer, format)?,
        Some(Err(failure)) if output::is_closed(&failure) => return Err(failure),
        Some(Err(failure)) => output::note(&format!("error: {:#}", failure.error)),
        None => output::note("\n(stopped)"),
    }
    // What was answered in part is part of the conversation; a question without any is not.
    if content.is_empty() {
        talk.messages.pop();
    } else {
        talk.messages.push(assistant(&content));
    }
    Ok(())
}

const HELP: &str = "  /clear        forget what was said
  /system TEXT  tell the model how to behave
  /quit         end";

/// What somebody typed.
#[derive(Debug, PartialEq, Eq)]
enum Typed<'a> {
    Nothing,
    End,
    Help,
    Clear,
    System(&'a str),
    Unknown(&'a str),
    Text(&'a str),
}

impl<'a> Typed<'a> {
    /// `None` is Ctrl-D.
    fn of(line: Option<&'a str>) -> Self {
        let Some(line) = line else { return Self::End };
        let line = line.trim();
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (command, rest.trim()) {
            ("", _) => Self::Nothing,
            ("/quit" | "/exit" | "/bye", "") => Self::End,
            ("/help" | "/?", "") => Self::Help,
            ("/clear", "") => Self::Clear,
            ("/system", text) if !text.is_empty() => Self::System(text),
            (command, _)
                if command.starts_with('/') && !command.get(1..).unwrap_or("").contains('/') =>
            {
                Self::Unknown(command)
            }
            _ => Self::Text(line),
        }
    }
}

/// Reads a line beside the runtime, so that its connections go on living meanwhile.
async fn read(mut lines: Lines) -> Result<(Lines, Result<Option<String>, ReadlineError>), Failure> {
    let task = tokio::task::spawn_blocking(move || {
        let typed = match lines.readline("> ") {
            Ok(line) => {
                // Without history the line is still a line.
                let _ = lines.add_history_entry(line.as_str());
                Ok(Some(line))
            }
            Err(ReadlineError::Eof) => Ok(None),
            Err(ReadlineError::Interrupted) => Ok(Some(String::new())),
            Err(error) => Err(error),
        };
        (lines, typed)
    });
    task.await.map_err(|error| Failure {
        kind: Kind::Other,
        error: anyhow::Error::new(error).context("the terminal cannot be read"),
    })
}

fn unreadable(error: ReadlineError) -> Failure {
    Failure {
        kind: Kind::Other,
        error: anyhow::Error::new(error).context("the terminal cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_questions() {
        for (line, expected) in [
            (None, Typed::End),
            (Some("/quit"), Typed::End),
            (Some("  "), Typed::Nothing),
            (Some("/help"), Typed::Help),
            (Some("/clear "), Typed::Clear),
            (Some("/system be brief"), Typed::System("be brief")),
            (Some("/system"), Typed::Unknown("/system")),
            (Some("/quti"), Typed::Unknown("/quti")),
            (Some("/usr/bin is what?"), Typed::Text("/usr/bin is what?")),
            (Some(" why / how? "), Typed::Text("why / how?")),
        ] {
            assert_eq!(Typed::of(line), expected, "{line:?}");
        }
    }
}
