use super::echo::ResponsesEcho;
use super::events::Events;
use super::item::Output;
use super::response::Response;
use super::status::Status;
use crate::gateway::translation::answer::Usage;
use crate::gateway::translation::error_object::ErrorObject;
use crate::gateway::translation::stream::{
    AnswerWriter, BadEvent, ChatStream, Closing, End, Head, Opening, Phase, Piece,
};

/// Translates the chunks of a chat completion into the events of a response.
///
/// The items come one after the other; of several calls at once those that are not first wait for
/// the ones before them. The input of a custom tool comes in one piece, since it is an argument
/// that has to be read whole. The last event holds the response that
/// [`completion_to_response`](super::completion_to_response) would make of the same answer, if the
/// target told reasoning, text, refusal and calls in this order; in another order they become more
/// items.
#[derive(Debug)]
pub struct ChatToResponses(ChatStream<ResponsesWriter>);

#[derive(Debug)]
struct ResponsesWriter {
    echo: ResponsesEcho,
    /// Of the response, without its prefix.
    id: String,
    created: i64,
    model: String,
    output: Output,
    events: Events,
}

impl ChatToResponses {
    /// `id` makes the ids of the response and its items unique, as the id of the request does;
    /// `created` is in seconds since the epoch.
    pub fn new(echo: ResponsesEcho, id: &str, created: i64) -> Self {
        let model = echo.model.clone();
        Self(ChatStream::new(ResponsesWriter {
            echo,
            id: id.to_owned(),
            created,
            model,
            output: Output::new(id),
            events: Events::default(),
        }))
    }

    /// Takes the name and the data of one event, and appends what is ready to `out`.
    ///
    /// # Errors
    /// See [`BadEvent`]. Nothing may be pushed after one; tell the client by
    /// [`fail`](Self::fail).
    pub fn push(
        &mut self,
        event: Option<&str>,
        data: &str,
        out: &mut Vec<u8>,
    ) -> Result<(), BadEvent> {
        self.0.push(event, data, out)
    }

    /// Tells whether the stream came to its end.
    ///
    /// # Errors
    /// [`BadEvent::Cut`] if it did not.
    pub fn finish(&self) -> Result<(), BadEvent> {
        self.0.finish()
    }

    /// Ends the stream with `response.failed`, which holds the output so far. Writes nothing if
    /// the stream has ended.
    ///
    /// # Errors
    /// [`BadEvent::Answer`] if the event cannot be written.
    pub fn fail(&mut self, error: &ErrorObject, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        let phase = self.0.phase();
        if phase == Phase::Ended {
            return Ok(());
        }
        self.0.abandon().fail(out, error, phase != Phase::Before)
    }
}

impl AnswerWriter for ResponsesWriter {
    fn begin(&mut self, out: &mut Vec<u8>, head: Head<'_>) -> Result<(), BadEvent> {
        if !head.model.is_empty() {
            head.model.clone_into(&mut self.model);
        }
        self.write_beginning(out)
    }

    fn open(&mut self, out: &mut Vec<u8>, block: Opening<'_>) -> Result<(), BadEvent> {
        let is_new = !self.output.continues(&block);
        if is_new {
            self.output.complete();
            self.write_item_done(out)?;
        }
        self.output.open(&self.echo, &block);
        let Some(item) = self.output.last() else { return Ok(()) };
        if is_new {
            self.events.item_added(out, item)?;
        }
        self.events.part_added(out, item)
    }

    fn piece(&mut self, out: &mut Vec<u8>, _of: Piece, text: &str) -> Result<(), BadEvent> {
        self.output.append(text);
        self.output.last().map_or(Ok(()), |item| self.events.delta(out, item, text))
    }

    fn close(&mut self, out: &mut Vec<u8>, block: Closing<'_>) -> Result<(), BadEvent> {
        self.output.close(&block);
        let Some(item) = self.output.last() else { return Ok(()) };
        self.events.late_delta(out, item, &block)?;
        self.events.part_done(out, item)
    }

    fn end(&mut self, out: &mut Vec<u8>, end: End<'_>) -> Result<(), BadEvent> {
        let status = Status::of(end.stop);
        self.output.end(&status);
        self.write_item_done(out)?;
        self.write_response(out, status.final_event(), status, end.usage)
    }
}

impl ResponsesWriter {
    fn write_beginning(&mut self, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        for name in ["response.created", "response.in_progress"] {
            self.write_response(out, name, Status::InProgress, Usage::default())?;
        }
        Ok(())
    }

    fn write_item_done(&mut self, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        self.output.last().map_or(Ok(()), |item| self.events.item_done(out, item))
    }

    fn fail(
        &mut self,
        out: &mut Vec<u8>,
        error: &ErrorObject,
        has_begun: bool,
    ) -> Result<(), BadEvent> {
        // Clients take any other first event for an error of their own.
        if !has_begun {
            self.write_beginning(out)?;
        }
        let status = Status::Failed(error);
        self.output.end(&status);
        self.write_response(out, status.final_event(), status, Usage::default())
    }

    fn write_response(
        &mut self,
        out: &mut Vec<u8>,
        name: &'static str,
        status: Status<'_>,
        usage: Usage,
    ) -> Result<(), BadEvent> {
        let Self { echo, id, created, model, output, events } = self;
        let response = Response { id, created: *created, model, status, output, usage, echo };
        events.response(out, name, &response)
    }
}
