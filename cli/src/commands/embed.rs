use std::io::{self, IsTerminal, Read};
use std::num::NonZeroU32;
use std::pin::pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::completions::models;
use super::options::Options;
use super::output::{self, Format};
use super::progress::{Progress, boot_of};
use super::ps;
use crate::client::{Boot, Client};
use crate::exit::{Failure, Kind};

const PATH: [&str; 2] = ["v1", "embeddings"];
/// How often the server is asked how far the model's start is.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many numbers of an embedding the table shows.
const SHOWN_NUMBERS: usize = 4;
/// How much of a text it shows, in characters.
const SHOWN_TEXT: usize = 40;

/// Turn texts into embeddings.
///
/// The request starts the model; a spinner shows its progress to keys that may see the cluster. The
/// table shows how each embedding begins; `-o json` prints the whole answer of the API.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes embed bge-m3 \"Why is the sky blue?\" \"What colour is it?\"
  diogenes embed bge-m3 < lines.txt -o json | jq -c '.data[].embedding'
  diogenes embed openai/text-embedding-3-small --dimensions 256 \"Hello\" -o json")]
pub(crate) struct EmbedArgs {
    /// The model
    #[arg(add = models())]
    model: String,
    /// The texts; without any, or as `-`, the lines of standard input, one text each
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
    /// Length of the embeddings, for models that let it be chosen
    #[arg(long, value_name = "N", value_parser = dimensions)]
    dimensions: Option<NonZeroU32>,
    #[command(flatten)]
    options: Options,
}

/// The body of the request.
#[derive(Debug, Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<NonZeroU32>,
}

/// What is read of the answer.
#[derive(Debug, Deserialize)]
struct Embeddings {
    data: Vec<Embedding>,
}

#[derive(Debug, Deserialize)]
struct Embedding {
    index: usize,
    embedding: Vec<f64>,
}

fn dimensions(text: &str) -> Result<NonZeroU32, String> {
    let number: u32 = crate::wording::number(text)?;
    NonZeroU32::new(number).ok_or_else(|| "must be at least 1".into())
}

pub(super) async fn run(args: EmbedArgs) -> Result<(), Failure> {
    let EmbedArgs { model, texts, dimensions, options } = args;
    let client = options.client()?;
    let texts = texts_of(texts, io::stdin().is_terminal(), || io::stdin().lock())?;
    let request = Request { model: &model, input: &texts, dimensions };
    let answer = ask(&client, &request).await?;
    let embeddings = read(&answer, texts.len())?;
    output::result(options.output, &answer, || Ok(table(&texts, &embeddings)))?;
    if options.output == Format::Table {
        output::note("(the first numbers of each; `-o json` prints all of them)");
    }
    Ok(())
}

/// The texts of the arguments, or those that standard input has. Each answers to a place, so that
/// none is left out.
fn texts_of<R: Read>(
    words: Vec<String>,
    has_terminal: bool,
    input: impl FnOnce() -> R,
) -> Result<Vec<String>, Failure> {
    let empty = |what: String| {
        Err(Kind::Config.because(format!("{what} is empty; an empty text has no embedding")))
    };
    let is_dash = matches!(words.as_slice(), [dash] if dash == "-");
    if !words.is_empty() && !is_dash {
        let place = words.iter().position(|text| text.trim().is_empty());
        return place.map_or(Ok(words), |place| empty(format!("text {}", place + 1)));
    }
    if has_terminal && !is_dash {
        return Err(Kind::Config.because(
            "no text was given; put texts after the model, or pipe them in, one per line",
        ));
    }
    let mut piped = String::new();
    input().read_to_string(&mut piped).map_err(|error| Failure {
        kind: Kind::Config,
        error: anyhow::Error::new(error).context("standard input cannot be read as text"),
    })?;
    let lines: Vec<String> = piped.lines().map(str::to_owned).collect();
    match lines.iter().position(|line| line.trim().is_empty()) {
        Some(place) => empty(format!("line {} of standard input", place + 1)),
        None if lines.is_empty() => empty("standard input".into()),
        None => Ok(lines),
    }
}

/// Asks, and tells meanwhile how far the start of the model is.
async fn ask(client: &Client, request: &Request<'_>) -> Result<Value, Failure> {
    let mut progress = Progress::begin(request.model);
    let mut answer = pin!(async {
        let response = client.open(&PATH, request).await?;
        let text = response.bytes().await.map_err(|error| client.broken(error))?;
        serde_json::from_slice(&text).map_err(|error| Failure {
            kind: Kind::Other,
            error: anyhow::Error::new(error).context("the model's answer is not valid JSON"),
        })
    });
    let mut may_look = true;
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            look = look(client, request.model), if may_look => match look {
                Ok(Some(boot)) => progress.tell(boot),
                Ok(None) => {}
                // A route or a provider's model, or a key that may not see the cluster.
                Err(_) => may_look = false,
            },
        }
    }
}

/// How far the start of a model is in a moment; none if it does not start.
async fn look(client: &Client, model: &str) -> Result<Option<Boot>, Failure> {
    tokio::time::sleep(LOOK_EVERY).await;
    Ok(boot_of(&ps::state_of(client, model).await?))
}

/// The embeddings of an answer, in the order of their texts.
fn read(answer: &Value, texts: usize) -> Result<Vec<Vec<f64>>, Failure> {
    let unexpected = "the model's answer is not a list of embeddings";
    let mut read: Embeddings = serde_path_to_error::deserialize(answer).map_err(|error| {
        Failure { kind: Kind::Other, error: anyhow::Error::new(error).context(unexpected) }
    })?;
    read.data.sort_by_key(|one| one.index);
    if !read.data.iter().map(|one| one.index).eq(0..texts) {
        let found = read.data.len();
        return Err(Kind::Other
            .because(format!("{unexpected}: {found} of them for {texts} texts, or out of order")));
    }
    Ok(read.data.into_iter().map(|one| one.embedding).collect())
}

fn table(texts: &[String], embeddings: &[Vec<f64>]) -> String {
    let rows = texts.iter().zip(embeddings).map(|(text, embedding)| {
        let mut numbers: Vec<String> =
            embedding.iter().take(SHOWN_NUMBERS).map(|number| format!("{number:.4}")).collect();
        if embedding.len() > SHOWN_NUMBERS {
            numbers.push("…".into());
        }
        vec![shortened(text), embedding.len().to_string(), numbers.join(" ")]
    });
    output::table(&["TEXT", "DIMENSIONS", "EMBEDDING"], rows)
}

/// The beginning of a text, in one line.
fn shortened(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= SHOWN_TEXT {
        return line;
    }
    line.chars().take(SHOWN_TEXT - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(words: &[&str], has_terminal: bool, input: &str) -> Result<Vec<String>, String> {
        let words = words.iter().map(ToString::to_string).collect();
        texts_of(words, has_terminal, || input.as_bytes()).map_err(|failure| {
            assert_eq!(failure.kind, Kind::Config);
            failure.error.to_string()
        })
    }

    #[test]
    fn texts_are_said_or_piped_one_a_line() {
        let both = Ok(vec!["a b".to_owned(), "c".to_owned()]);
        assert_eq!(texts(&["a b", "c"], false, "ignored"), both);
        assert_eq!(texts(&[], false, "a b\r\nc\n"), both);
        assert_eq!(texts(&["-"], true, "a b\nc"), both);
    }

    #[test]
    fn a_text_that_is_missing_or_empty_is_named() {
        for (words, has_terminal, input, text) in [
            (&["a", " "][..], false, "", "text 2 is empty"),
            (&[], false, "a\n\nb\n", "line 2 of standard input is empty"),
            (&["-"], false, "", "standard input is empty"),
            (&[], true, "ignored", "no text was given"),
        ] {
            let error = texts(words, has_terminal, input).expect_err(text);
            assert!(error.starts_with(text), "{error}");
        }
    }

    #[test]
    fn embeddings_are_shown_beside_their_texts() {
        let answer = json!({"object": "list", "data": [
            {"index": 1, "embedding": [0.5, -0.25]},
            {"index": 0, "embedding": [0.123_456, 1, 0, 0, 0.5]},
        ]});
        let embeddings = read(&answer, 2).expect("embeddings");
        let long = "a text that is longer than the table is wide";
        assert_eq!(
            table(&[long.into(), "two\nlines".into()], &embeddings),
            "TEXT                                      DIMENSIONS  EMBEDDING\n\
             a text that is longer than the table is…  5           0.1235 1.0000 0.0000 0.0000 …\n\
             two lines                                 2           0.5000 -0.2500"
        );
    }

    #[test]
    fn an_answer_with_too_few_embeddings_or_other_fields_is_refused() {
        let one = json!({"data": [{"index": 0, "embedding": [1.0]}]});
        assert!(read(&one, 1).is_ok());
        assert!(read(&one, 2).expect_err("too few").error.to_string().contains("1 of them for 2"));
        let base64 = json!({"data": [{"index": 0, "embedding": "AACAPw=="}]});
        let error = format!("{:#}", read(&base64, 1).expect_err("a text").error);
        assert!(error.contains("data[0].embedding"), "{error}");
    }
}
