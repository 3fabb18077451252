use super::chunk::{Chunk, Event, Head, and_usage};
use super::ledger::{Ledger, Weighed};
use super::lost::Lost;
use super::request::{Kind, Request};

/// One stream, made of those of several replicas.
#[derive(Clone, Debug)]
pub struct Splice {
    request: Request,
    head: Option<Head>,
    ledger: Ledger,
    leg: Leg,
    /// Whether the reason has come why the answer ended.
    is_finished: bool,
    has_usage: bool,
    has_role: bool,
    /// What a replica has said instead of an end.
    last_words: Option<String>,
}

/// Whose events come.
#[derive(Clone, Debug)]
enum Leg {
    /// Those of the first replica.
    First,
    /// Those of another one, asked at this endpoint.
    Next {
        kind: Kind,
        /// Text that the first one has generated and not delivered.
        rest: String,
        /// Whether its prompt has proved to be the right one.
        is_checked: bool,
    },
}

/// How a stream goes on behind an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// More events follow.
    Going,
    /// It has come to its end.
    Ended,
    /// It has come to an end without a reason, or the engine has failed: a cut.
    Broken,
}

/// What can be done about a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing of the answer is missing: [`Splice::complete`] it.
    Complete,
    /// Nothing of it has come: ask [`Splice::anew`].
    Anew,
    /// Ask [`Splice::behind`] what has come.
    Behind,
    /// Nothing.
    Lost(Lost),
}

/// A continuation that is not one, of which nothing was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inexact {
    /// The tokens read otherwise than what was delivered.
    #[error("the tokens do not decode to the text that was delivered")]
    Text,
    /// The prompt is not what it must be.
    #[error("the prompt of the continuation is not the first prompt followed by the answer")]
    Prompt,
    /// What comes is not text.
    #[error("the continuation is not text")]
    Foreign,
    /// The engine's own limit of the answer is not known, or reached.
    #[error("it is not known how many more tokens the answer may have")]
    Limit,
}

/// What to ask another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// At which endpoint.
    pub kind: Kind,
    /// With which body.
    pub body: String,
}

impl Splice {
    /// A stream of which nothing has come.
    pub fn new(request: Request) -> Self {
        Self {
            request,
            head: None,
            ledger: Ledger::default(),
            leg: Leg::First,
            is_finished: false,
            has_usage: false,
            has_role: false,
            last_words: None,
        }
    }

    /// Takes the data of an event, and appends what the caller gets.
    ///
    /// # Errors
    /// When another replica turns out not to continue the answer. It is to be let go.
    pub fn push(&mut self, data: &str, out: &mut Vec<u8>) -> Result<Took, Inexact> {
        if data == "[DONE]" {
            return Ok(self.end(out));
        }
        let kind = match &self.leg {
            Leg::First => self.request.kind(),
            Leg::Next { kind, .. } => *kind,
        };
        match Event::read(kind, data) {
            // The answer has ended; nobody knows what this is.
            Event::Chunk(_) | Event::Failure | Event::Other if self.is_finished => {}
            Event::Chunk(mut chunk) if chunk.is_aborted() && self.ledger.lost().is_none() => {
                let reason = chunk.take_end();
                self.take(&chunk, out)?;
                let outer = self.request.kind();
                self.last_words = self.head.as_ref().map(|head| head.end(outer, &reason));
                return Ok(Took::Broken);
            }
            Event::Chunk(chunk) => self.take(&chunk, out)?,
            Event::Usage(told) => {
                self.ledger.told(&told);
                if self.request.asks_for_usage() && !std::mem::replace(&mut self.has_usage, true) {
                    match (&self.leg, &self.head, self.ledger.usage()) {
                        (Leg::Next { .. }, Some(head), Some(usage)) => {
                            write(&head.with_usage(&usage), out);
                        }
                        _ => write(data, out),
                    }
                }
            }
            Event::Failure if self.ledger.lost().is_none() => {
                self.last_words = Some(data.to_owned());
                return Ok(Took::Broken);
            }
            Event::Failure => write(data, out),
            Event::Other if matches!(self.leg, Leg::Next { .. }) => return Err(Inexact::Foreign),
            Event::Other => {
                self.ledger.lose(Lost::Unknown);
                write(data, out);
            }
        }
        Ok(Took::Going)
    }

    fn take(&mut self, chunk: &Chunk<'_>, out: &mut Vec<u8>) -> Result<(), Inexact> {
        let outer = self.request.kind();
        let Leg::Next { rest, is_checked, .. } = &mut self.leg else {
            if self.head.is_none() {
                self.head = Some(chunk.head());
                self.ledger.enter_prompt(chunk.prompt.clone());
            }
            self.ledger.enter(chunk);
            self.ledger.deliver(&chunk.text);
            self.is_finished = chunk.is_last();
            let keeps_role = !self.has_role;
            self.has_role |= chunk.has_role;
            write(&chunk.cleaned(self.request.asks_for_continuous_usage(), keeps_role), out);
            return Ok(());
        };
        if !*is_checked {
            let prompt = chunk.prompt.as_deref().ok_or(Inexact::Prompt)?;
            if !self.ledger.is_continued_by(prompt) {
                return Err(Inexact::Prompt);
            }
            *is_checked = true;
        }
        if chunk.foreign.is_some() {
            return Err(Inexact::Foreign);
        }
        let text = std::mem::take(rest) + &chunk.text;
        self.ledger.enter(chunk);
        self.ledger.deliver(&text);
        self.is_finished = chunk.is_last();
        // Of a role there was one, and a chunk may say nothing.
        if let Some(head) = self.head.as_ref().filter(|_| !text.is_empty() || self.is_finished) {
            let chunk = head.with_text(outer, &text, chunk);
            match self.ledger.usage().filter(|_| self.request.asks_for_continuous_usage()) {
                Some(usage) => write(&and_usage(&chunk, &usage), out),
                None => write(&chunk, out),
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Took {
        if !self.is_finished && self.ledger.lost().is_none() {
            self.last_words = Some("[DONE]".into());
            return Took::Broken;
        }
        if matches!(self.leg, Leg::Next { .. }) {
            self.write_usage(out);
        }
        write("[DONE]", out);
        Took::Ended
    }

    /// Usage, if it was asked for and has not come.
    fn write_usage(&mut self, out: &mut Vec<u8>) {
        let is_due = self.request.asks_for_usage() && !self.has_usage;
        if let (true, Some(head), Some(usage)) = (is_due, &self.head, self.ledger.usage()) {
            self.has_usage = true;
            write(&head.with_usage(&usage), out);
        }
    }

    /// What can be done now that the stream has been cut.
    pub fn cut(&self) -> Cut {
        if self.is_finished {
            return Cut::Complete;
        }
        if let Some(lost) = self.ledger.lost() {
            return Cut::Lost(lost);
        }
        match (&self.head, self.request.left(self.ledger.ids().len() as u64)) {
            (Some(_), Some(0)) => Cut::Complete,
            _ if self.ledger.is_empty() => Cut::Anew,
            _ => Cut::Behind,
        }
    }

    /// Ends a stream of which only the end is missing: its limit may be reached without a chunk
    /// that says so.
    pub fn complete(&mut self, out: &mut Vec<u8>) {
        if let Some(head) = self.head.as_ref().filter(|_| !self.is_finished) {
            write(&head.end(self.request.kind(), &"length".into()), out);
            self.is_finished = true;
        }
        self.write_usage(out);
        write("[DONE]", out);
    }

    /// The request once more, where nothing of its answer has come.
    pub fn anew(&mut self) -> Asked {
        self.last_words = None;
        let kind = self.request.kind();
        if self.head.is_some() {
            self.ledger.go_on(0);
            self.leg = Leg::Next { kind, rest: String::new(), is_checked: false };
        }
        Asked { kind, body: self.request.body() }
    }

    /// The tokens that were generated.
    pub fn tokens(&self) -> &[u32] {
        self.ledger.ids()
    }

    /// What to ask another replica, behind the first `kept` tokens, which read as `text`; none
    /// where that ends in the middle of a character, and the last of them must go. A conversation
    /// can be continued by its text, or by its tokens. `window` is how many tokens a prompt and its
    /// answer may have; it is needed where
    /// [`needs_window`](Self::needs_window) says so. Where the last token has to go and was the only
    /// one, [`anew`](Self::anew) is to be asked.
    ///
    /// # Errors
    /// When the tokens do not read as what was delivered, tokens do not say all of the prompt, or
    /// nobody knows how many more there may be.
    pub fn behind(
        &mut self,
        text: &str,
        kept: usize,
        by: Kind,
        window: Option<u64>,
    ) -> Result<Option<Asked>, Inexact> {
        let rest = match self.ledger.weigh(text, kept) {
            Weighed::Exact { rest } => rest,
            Weighed::Shorter => return Ok(None),
            Weighed::Inexact => return Err(Inexact::Text),
        };
        let kind = if self.request.kind() == Kind::Text { Kind::Text } else { by };
        let prompt = self.ledger.prompt().unwrap_or_default();
        let generated = self.ledger.ids().get(..kept).unwrap_or_default();
        let body = match kind {
            Kind::Chat => self.request.behind_text(text, kept as u64),
            Kind::Text if self.request.is_text() => {
                let in_all = (prompt.len() + kept) as u64;
                let of_window = || window.map(|window| window.saturating_sub(in_all));
                let limit = self.request.left(kept as u64).or_else(of_window);
                let limit = limit.filter(|limit| *limit > 0).ok_or(Inexact::Limit)?;
                self.request.behind_tokens(prompt, generated, limit)
            }
            Kind::Text => return Err(Inexact::Prompt),
        };
        self.last_words = None;
        self.ledger.go_on(kept);
        self.leg = Leg::Next { kind, rest, is_checked: false };
        Ok(Some(Asked { kind, body }))
    }

    /// Whether it is only the engine that limits the answer, and it has to be asked how, before the
    /// answer is continued by its tokens: `/v1/completions` has another limit of its own.
    pub fn needs_window(&self) -> bool {
        self.request.left(0).is_none()
    }

    /// Whether another replica has proved to continue the answer.
    pub fn goes_on(&self) -> bool {
        matches!(self.leg, Leg::Next { is_checked: true, .. })
    }

    /// What a replica has said instead of an end, for a stream that is given up.
    pub fn last_words(&mut self) -> Option<Vec<u8>> {
        let words = self.last_words.take()?;
        let mut out = Vec::new();
        write(&words, &mut out);
        if words != "[DONE]" {
            write("[DONE]", &mut out);
        }
        Some(out)
    }

    /// The tokens of the prompt, of the answer, and of the prompt those from a cache, as far as
    /// they are known.
    pub fn used(&self) -> Option<(u64, u64, u64)> {
        let (prompt, completion) = self.ledger.used()?;
        Some((prompt, completion, self.ledger.cached()))
    }
}

fn write(data: &str, out: &mut Vec<u8>) {
    for line in data.split('\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
}
