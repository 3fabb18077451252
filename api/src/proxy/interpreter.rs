use bytes::Bytes;
use diogenes_core::Timestamp;
use diogenes_core::gateway::translation::{
    BadAnswer, BadEvent, ChatTarget, ChatToMessages, ChatToResponses, ErrorObject, MessagesToChat,
    ResponsesEcho, Untranslatable, chat_status, chat_to_messages, completion_to_message,
    completion_to_response, message_to_completion, messages_to_chat, responses_to_chat,
};
use diogenes_core::ports::Clock;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::call::Call;
use super::destination::Destination;
use super::dialect::Dialect;
use crate::sse::Reader;

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

/// Why an answer cannot be translated.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unclear {
    #[error(transparent)]
    Answer(#[from] BadAnswer),
    #[error(transparent)]
    Request(#[from] Untranslatable),
}

/// Translates the events of a stream, one by one.
pub(super) enum Translator {
    ToMessages(ChatToMessages),
    ToChat(MessagesToChat),
    ToResponses(Box<ChatToResponses>),
    /// By way of chunks of chat completions.
    MessagesToResponses {
        chunks: MessagesToChat,
        reader: Reader,
        responses: Box<ChatToResponses>,
    },
}

impl Interpreter {
    /// Who stands between a caller and a target, if anybody can.
    pub(super) fn between(caller: Dialect, at: &Destination) -> Option<Self> {
        Some(Self { caller, target: at.asked_in(caller) }).filter(|interpreter| interpreter.can())
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
    fn can(self) -> bool {
        use Dialect::{ChatCompletions, Messages, Responses};
        let is_chat = |dialect| matches!(dialect, ChatCompletions | Messages | Responses);
        let counts = (self.caller, self.target) == (Dialect::CountTokens, Dialect::Tokenize);
        let talks = is_chat(self.caller) && matches!(self.target, ChatCompletions | Messages);
        self.is_idle() || counts || talks
    }

    /// The body of a request.
    pub(super) fn request(self, body: Bytes, by: Understands) -> Result<Bytes, Untranslatable> {
        use Dialect::{ChatCompletions, Messages, Responses};
        match (self.caller, self.target) {
            (Messages, ChatCompletions) => messages_to_chat(&body, by.chat),
            (ChatCompletions, Messages) => chat_to_messages(&body, by.max_tokens),
            (Responses, ChatCompletions) => responses_to_chat(&body, by.chat),
            (Responses, Messages) => {
                let chat = responses_to_chat(&body, by.chat)?;
                chat_to_messages(chat.as_bytes(), by.max_tokens)
            }
            (Dialect::CountTokens, Dialect::Tokenize) => {
                messages_to_chat(&with_max_tokens(&body), by.chat)
            }
            _ => return Ok(body),
        }
        .map(Bytes::from)
    }

    /// A whole answer.
    pub(super) fn answer(
        self,
        body: Bytes,
        call: &Call,
        clock: &dyn Clock,
    ) -> Result<Bytes, Unclear> {
        use Dialect::{ChatCompletions, Messages, Responses};
        if self.is_idle() {
            return Ok(body);
        }
        let now = clock.now().as_second();
        let to_response = |completion: &[u8]| {
            let echo = ResponsesEcho::read(&call.body)?;
            Ok::<_, Unclear>(completion_to_response(completion, &echo, id_of(call), now)?)
        };
        let answer = match (self.caller, self.target) {
            (Messages, ChatCompletions) => completion_to_message(&body)?,
            (ChatCompletions, Messages) => message_to_completion(&body, now)?,
            (Responses, ChatCompletions) => to_response(&body)?,
            (Responses, Messages) => to_response(message_to_completion(&body, now)?.as_bytes())?,
            (Dialect::CountTokens, Dialect::Tokenize) => {
                let tokens: Tokens = serde_json::from_slice(&body).map_err(|source| {
                    BadAnswer::Malformed { expected: "count of tokens", source }
                })?;
                serde_json::json!({ "input_tokens": tokens.count }).to_string()
            }
            _ => return Ok(body),
        };
        Ok(answer.into())
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
            Dialect::Messages | Dialect::CountTokens => error.to_messages(id.to_str().ok()),
            _ => error.to_chat(),
        }
    }

    /// What translates the events of a stream; none where bytes pass as they are.
    pub(super) fn translator(self, call: &Call, now: Timestamp) -> Option<Translator> {
        use Dialect::{ChatCompletions, Messages, Responses};
        let now = now.as_second();
        let to_responses = || {
            // What has been translated once can be read.
            let echo = ResponsesEcho::read(&call.body).ok()?;
            Some(Box::new(ChatToResponses::new(echo, id_of(call), now)))
        };
        Some(match (self.caller, self.target) {
            (Messages, ChatCompletions) => {
                Translator::ToMessages(ChatToMessages::new(call.prompt_guess()))
            }
            (ChatCompletions, Messages) => {
                let include_usage = !call.usage_is_ours && call.peek.asks_for_usage(&call.body);
                Translator::ToChat(MessagesToChat::new(now, include_usage))
            }
            (Responses, ChatCompletions) => Translator::ToResponses(to_responses()?),
            (Responses, Messages) => Translator::MessagesToResponses {
                chunks: MessagesToChat::new(now, true),
                reader: Reader::default(),
                responses: to_responses()?,
            },
            _ => return None,
        })
    }
}

/// vLLM's answer to `/tokenize`.
#[derive(Deserialize)]
struct Tokens {
    count: u64,
}

/// A request to count tokens as one for a message, which has to say how long the answer may be.
fn with_max_tokens(body: &[u8]) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_slice(body) else {
        return body.to_vec();
    };
    fields.entry("max_tokens").or_insert(1.into());
    serde_json::Value::from(fields).to_string().into_bytes()
}

fn id_of(call: &Call) -> &str {
    call.id.to_str().unwrap_or_default()
}

impl Translator {
    /// Takes the data of an event, and appends what is ready.
    pub(super) fn push(&mut self, data: &str, out: &mut Vec<u8>) -> Result<(), BadEvent> {
        let is_end = data == "[DONE]";
        match self {
            Self::ToMessages(translator) => {
                translator.push(None, data, out)?;
                if is_end { translator.finish() } else { Ok(()) }
            }
            Self::ToChat(translator) => translator.push(None, data, out),
            Self::ToResponses(translator) => {
                translator.push(None, data, out)?;
                if is_end { translator.finish() } else { Ok(()) }
            }
            Self::MessagesToResponses { chunks, reader, responses } => {
                let mut between = Vec::new();
                let pushed = chunks.push(None, data, &mut between);
                reader.push(&between);
                while let Some(frame) = reader.next_frame() {
                    if let Some(data) = frame.data() {
                        responses.push(None, &data, out)?;
                    }
                }
                pushed
            }
        }
    }

    /// Ends the stream with an error, if the caller's API has an end of its own for that.
    pub(super) fn fail(&mut self, error: &ErrorObject) -> Option<Vec<u8>> {
        let (Self::ToResponses(responses) | Self::MessagesToResponses { responses, .. }) = self
        else {
            return None;
        };
        let mut out = Vec::new();
        responses.fail(error, &mut out).ok()?;
        Some(out)
    }
}
