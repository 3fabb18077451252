mod answer;
mod message;
mod prompt;
mod repl;

use std::io::{self, IsTerminal};

use super::options::Options;
use super::output::{self, Format};
use crate::exit::Failure;

use answer::{Answer, ask};
use message::Conversation;
use prompt::Prompt;

/// Ask a model, or talk with it.
///
/// The first question starts the model; a spinner tells how far that is. Without a prompt, and
/// with somebody at the terminal, it is a conversation: `/quit` or Ctrl-D ends it, Ctrl-C stops
/// an answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes chat demo \"Why is the sky blue?\"
  diogenes chat demo                          # a conversation
  git diff | diogenes chat demo --system \"Write a commit message\"
  diogenes chat demo \"Three names for a cat\" --max-tokens 50 -o json | jq .usage")]
pub(crate) struct ChatArgs {
    /// The model
    model: String,
    /// What to ask; `-` reads it from standard input, as a pipe does
    prompt: Vec<String>,
    /// How the model shall behave
    #[arg(short, long, value_name = "TEXT")]
    system: Option<String>,
    /// The longest answer, in tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<u32>,
    /// How freely it speaks, from 0
    #[arg(short, long, value_name = "T")]
    temperature: Option<f64>,
    /// Wait for the whole answer and print it at once
    #[arg(long)]
    no_stream: bool,
    #[command(flatten)]
    options: Options,
}

pub(super) async fn run(args: ChatArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    let mut talk = Conversation {
        model: args.model,
        messages: Vec::new(),
        max_tokens: args.max_tokens,
        temperature: args.temperature,
        stream: !args.no_stream,
    };
    talk.messages.extend(args.system.as_deref().map(message::system));
    match prompt::of(&args.prompt, io::stdin().is_terminal())? {
        Prompt::Text(text) => {
            talk.messages.push(message::user(&text));
            let answer = ask(&client, &talk, format == Format::Table).await?;
            finish(&answer, format)
        }
        Prompt::Conversation => repl::run(&client, talk, format).await,
    }
}

/// Prints what the stream has not printed yet.
fn finish(answer: &Answer, format: Format) -> Result<(), Failure> {
    if format != Format::Table {
        return output::result(format, &answer.whole, || Ok(String::new()));
    }
    if !answer.is_at_line_end() {
        output::piece("\n")?;
    }
    if answer.finish_reason.as_deref() == Some("length") {
        output::note("(cut at the most tokens; a larger --max-tokens lets it go on)");
    }
    Ok(())
}
