use bytes::Bytes;
use diogenes_core::Timestamp;
use diogenes_core::gateway::translation::{
    BadAnswer, BadEvent, ChatTarget, ChatToMessages, ErrorObject, MessagesToChat, Untranslatable,
    chat_status, chat_to_messages, completion_to_message, message_to_completion, messages_to_chat,
};
use http::{HeaderValue, StatusCode};

use super::call::Call;
use super::dialect::Dialect;

/// Between the dialect of a caller and the one that a target is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    caller: Dialect,
    target: Dialect,
}

/// What a target understands, beside its dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Understands {
    pub(super) chat: ChatTarget,
    /// The most tokens of an answer where the request does not say and the dialect has to.
    pub(super) max_tokens: u64,
}

/// Translates the events of a stream, one by one.
pub(super) enum Translator {
    ToMessages(ChatToMessages),
    ToChat(MessagesToChat),
}

impl Interpreter {
    pub(super) fn new(caller: Dialect, target: Dialect) -> Self {
        Self { caller, target }
    }

    /// What the target is asked in.
    pub(super) fn target(self) -> Dialect {
        self.target
    }

    /// Whether bytes pass as they are.
    pub(super) fn is_idle(self) -> bool {
        self.caller == self.target
    }

    /// Whether it is of use: nobody translates completions or embeddings.
    pub(super) fn can(self) -> bool {
        matches!(
            (self.caller, self.target),
            (Dialect::Messages, Dialect::ChatCompletions)
                | (Dialect::ChatCompletions, Dialect::Messages)
        ) || self.is_idle()
    }

    /// The body of a request.
    pub(super) fn request(self, body: Bytes, by: Understands) -> Result<Bytes, Untranslatable> {
        match (self.caller, self.target) {
            (Dialect::Messages, Dialect::ChatCompletions) => {
                messages_to_chat(&body, by.chat).map(Bytes::from)
            }
            (Dialect::ChatCompletions, Dialect::Messages) => {
                chat_to_messages(&body, by.max_tokens).map(Bytes::from)
            }
            _ => Ok(body),
        }
    }

    /// A whole answer.
    pub(super) fn answer(self, body: Bytes, now: Timestamp) -> Result<Bytes, BadAnswer> {
        match (self.caller, self.target) {
            (Dialect::Messages, Dialect::ChatCompletions) => {
                completion_to_message(&body).map(Bytes::from)
            }
            (Dialect::ChatCompletions, Dialect::Messages) => {
                message_to_completion(&body, now.as_second()).map(Bytes::from)
            }
            _ => Ok(body),
        }
    }

    /// The status of an answer.
    pub(super) fn status(self, status: StatusCode) -> StatusCode {
        if self.target != Dialect::Messages || self.is_idle() {
            return status;
        }
        StatusCode::from_u16(chat_status(status.as_u16())).unwrap_or(status)
    }

    /// What a target says of an error; none where nothing can be made of it.
    pub(super) fn error(self, body: &Bytes, status: StatusCode, id: &HeaderValue) -> Option<Bytes> {
        if self.is_idle() {
            return Some(body.clone());
        }
        let error = ErrorObject::read(body, Some(status.as_u16()))?;
        Some(self.render(&error, id).into())
    }

    /// The same as an event of a stream that has begun.
    pub(super) fn error_event(self, error: &ErrorObject, id: &HeaderValue) -> String {
        self.caller.event("error", &self.render(error, id))
    }

    fn render(self, error: &ErrorObject, id: &HeaderValue) -> String {
        match self.caller {
            Dialect::Messages => error.to_messages(id.to_str().ok()),
            _ => error.to_chat(),
        }
    }

    /// What translates the events of a stream; none where bytes pass as they are.
    pub(super) fn translator(self, call: &Call, now: Timestamp) -> Option<Translator> {
        match (self.caller, self.target) {
            (Dialect::Messages, Dialect::ChatCompletions) => {
                // Four bytes of English are about a token.
                let estimate = call.body.len() as u64 / 4;
                Some(Translator::ToMessages(ChatToMessages::new(estimate)))
            }
            (Dialect::ChatCompletions, Dialect::Messages) => {
                let include_usage = !call.usage_is_ours && call.peek.asks_for_usage(&call.body);
                Some(Translator::ToChat(MessagesToChat::new(now.as_second(), include_usage)))
            }
            _ => None,
        }
    }
}

impl Translator {
    /// Takes the data of an event, and appends what is ready.
    pub(super) fn push(&mut self, data: &str, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        match self {
            Self::ToMessages(translator) => {
                translator.push(None, data, out)?;
                if data == "[DONE]" { translator.finish() } else { Ok(()) }
            }
            Self::ToChat(translator) => translator.push(None, data, out),
        }
    }
}
