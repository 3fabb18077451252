mod answer;
mod message;
mod prompt;
mod repl;

use std::io::{self, IsTerminal};

use super::completions::models;
use super::options::Options;
use super::output::{self, Format};
use crate::exit::Failure;

use answer::{Answer, ask};
use message::Conversation;
use prompt::Prompt;

/// Ask a model a question, or start a conversation.
///
/// The first question starts the model; a spinner shows its progress. Without a prompt, on a
/// terminal, it is a conversation: `/quit` or Ctrl-D ends it, Ctrl-C stops an answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes chat demo \"Why is the sky blue?\"
  diogenes chat demo                          # a conversation
  git diff | diogenes chat demo \"Write a commit message\"
  diogenes chat demo --system \"Be brief\" < question.txt
  diogenes chat demo \"Three names for a cat\" --max-tokens 50 -o json | jq .usage")]
pub(crate) struct ChatArgs {
    /// The model
    #[arg(add = models())]
    model: String,
    /// What to ask. Piped standard input is added below it, or is the question if there is none;
    /// in a loop or a script without input, redirect it from /dev/null
    prompt: Vec<String>,
    /// System prompt
    #[arg(short, long, value_name = "TEXT")]
    system: Option<String>,
    /// Maximum length of the answer, in tokens
    #[arg(long, value_name = "N", value_parser = crate::wording::number::<u32>)]
    max_tokens: Option<u32>,
    /// Sampling temperature, from 0
    #[arg(short, long, value_name = "T", value_parser = crate::wording::number::<f64>)]
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
    match prompt::of(args.prompt, io::stdin().is_terminal()).await? {
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
        output::note("(cut off at the token limit; raise it with --max-tokens)");
    }
    Ok(())
}
