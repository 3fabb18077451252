use std::io::{self, IsTerminal};

use diogenes_api::sse::Reader;
use reqwest::Response;
use serde_json::Value;

use super::message::{Assembly, Conversation};
use crate::client::{Boot, Client, of_event};
use crate::commands::controls::stripped;
use crate::commands::output::{self, Paint, paint};
use crate::commands::progress::Progress;
use crate::exit::{Failure, Kind};

const PATH: [&str; 3] = ["v1", "chat", "completions"];

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) content: String,
    /// Why it ended.
    pub(super) finish_reason: Option<String>,
    /// All of it, as OpenAI's `chat.completion`.
    pub(super) whole: Value,
}

impl Answer {
    /// Whether the printed text ended with its line.
    pub(super) fn is_at_line_end(&self) -> bool {
        self.content.ends_with('\n')
    }
}

/// Asks, and with `print` prints the answer as it comes.
pub(super) async fn ask(
    client: &Client,
    talk: &Conversation,
    print: bool,
) -> Result<Answer, Failure> {
    let mut asking = Asking::new(&talk.model, print);
    asking.run(client, talk).await
}

/// A question on its way. Dropping it in the middle stops the answer: the server cancels what
/// nobody waits for.
pub(super) struct Asking {
    /// Until the answer begins.
    progress: Option<Progress>,
    assembly: Assembly,
    print: bool,
    thinks: bool,
    verbose: bool,
}

impl Asking {
    pub(super) fn new(model: &str, print: bool) -> Self {
        Self {
            progress: Some(Progress::begin(model)),
            assembly: Assembly::default(),
            print,
            thinks: false,
            verbose: false,
        }
    }

    /// What has come so far.
    pub(super) fn content(&self) -> &str {
        &self.assembly.content
    }

    pub(super) async fn run(
        &mut self,
        client: &Client,
        talk: &Conversation,
    ) -> Result<Answer, Failure> {
        self.verbose = client.is_verbose();
        let answered = self.answered(client, talk).await;
        self.progress = None;
        // The message must not stand behind half a line.
        if answered.is_err() && self.print && !self.content().is_empty() {
            output::piece("\n")?;
        }
        answered
    }

    async fn answered(&mut self, client: &Client, talk: &Conversation) -> Result<Answer, Failure> {
        let response = client.open(&PATH, &talk.request()).await?;
        let is_stream = response
            .headers()
            .get(reqwest::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if is_stream {
            self.read_stream(client, response).await?;
            return Ok(self.answer(self.assembly.whole()));
        }
        let text = response.bytes().await.map_err(|error| client.broken(error))?;
        let whole: Value = serde_json::from_slice(&text).map_err(|error| Failure {
            kind: Kind::Other,
            error: anyhow::Error::new(error).context("the model's answer is not valid JSON"),
        })?;
        self.take(&whole)?;
        Ok(self.answer(whole))
    }

    fn answer(&self, whole: Value) -> Answer {
        Answer {
            content: self.assembly.content.clone(),
            finish_reason: self.assembly.finish_reason.clone(),
            whole,
        }
    }

    async fn read_stream(
        &mut self,
        client: &Client,
        mut response: Response,
    ) -> Result<(), Failure> {
        let mut reader = Reader::default();
        loop {
            let Some(bytes) = response.chunk().await.map_err(|error| client.broken(error))? else {
                return Err(
                    Kind::Other.because("the answer ended before it was complete; ask again")
                );
            };
            reader.push(&bytes);
            while let Some(frame) = reader.next_frame() {
                for comment in frame.comments() {
                    if let (Some(boot), Some(progress)) =
                        (Boot::of_comment(&comment), &mut self.progress)
                    {
                        progress.tell(boot);
                    }
                }
                match frame.data() {
                    Some(data) if data.trim() == "[DONE]" => return Ok(()),
                    Some(data) => self.take_event(&data)?,
                    None => {}
                }
            }
        }
    }

    fn take_event(&mut self, data: &str) -> Result<(), Failure> {
        let chunk: Value = serde_json::from_str(data).map_err(|error| Failure {
            kind: Kind::Other,
            error: anyhow::Error::new(error)
                .context("the model's answer contains an event that is not valid JSON"),
        })?;
        match chunk.get("error") {
            None | Some(Value::Null) => self.take(&chunk),
            Some(error) => Err(of_event(error, self.verbose)),
        }
    }

    fn take(&mut self, chunk: &Value) -> Result<(), Failure> {
        let added = self.assembly.add(chunk);
        if added.content.is_empty() && added.reasoning.is_empty() {
            return Ok(());
        }
        self.progress = None;
        if !self.print {
            return Ok(());
        }
        // Thoughts are for who watches; a pipe gets the answer alone.
        let watched = io::stdout().is_terminal();
        if watched && !added.reasoning.is_empty() {
            self.thinks = true;
            let thoughts = stripped(&added.reasoning);
            output::drawn(&paint(&thoughts, Paint::Dim, &io::stdout()))?;
        }
        if added.content.is_empty() {
            return Ok(());
        }
        if std::mem::take(&mut self.thinks) {
            output::piece("\n\n")?;
        }
        if watched {
            output::drawn(&stripped(&added.content))
        } else {
            output::drawn(&added.content)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_event_is_a_failure_with_its_exit_code() {
        let mut asking = Asking::new("demo", false);
        asking.take_event(r#"{"choices":[{"delta":{"content":"Hel"}}]}"#).expect("a chunk");
        let failure = asking
            .take_event(r#"{"error":{"message":"it exited","code":"model_failed_exited"}}"#)
            .expect_err("an error");
        assert_eq!(failure.kind, Kind::ModelFailed);
        assert_eq!(asking.content(), "Hel");
        assert_eq!(asking.take_event("{").expect_err("no JSON").kind, Kind::Other);
    }
}
