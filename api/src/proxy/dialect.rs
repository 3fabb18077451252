use diogenes_core::gateway::translation::{ErrorObject, ErrorType};
use serde_json::json;

use crate::error::ApiError;

/// One of the endpoints that take a model: OpenAI's, and Anthropic's Messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/v1/chat/completions`.
    ChatCompletions,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
    /// `/v1/responses`.
    Responses,
    /// `/v1/messages`, Anthropic's.
    Messages,
    /// `/v1/messages/count_tokens`, Anthropic's. It wakes nobody.
    CountTokens,
    /// `/v1/tokenize`, vLLM's.
    Tokenize,
    /// `/v1/detokenize`, vLLM's.
    Detokenize,
    /// `/v1/rerank`, Jina's and Cohere's, as vLLM has it.
    Rerank,
    /// `/v1/score`, vLLM's.
    Score,
    /// `/v1/audio/transcriptions`: what is said in a file of sound.
    Transcriptions,
    /// `/v1/audio/translations`: the same in English.
    Translations,
    /// `/v1/images/generations`.
    ImageGenerations,
    /// `/v1/images/edits`.
    ImageEdits,
}

/// How a whole stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// With `data: [DONE]`.
    Done,
    /// With `response.completed`, `response.failed` or `response.incomplete`.
    FinalResponse,
    /// With `message_stop`.
    MessageStop,
    /// With `transcript.text.done`, as OpenAI has it, or with `data: [DONE]`, as vLLM has.
    Transcript,
}

impl Dialect {
    /// Every one.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 14] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Messages,
        Self::CountTokens,
        Self::Tokenize,
        Self::Detokenize,
        Self::Rerank,
        Self::Score,
        Self::Transcriptions,
        Self::Translations,
        Self::ImageGenerations,
        Self::ImageEdits,
    ];

    /// Its path here.
    pub fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::CountTokens => "/v1/messages/count_tokens",
            Self::Tokenize => "/v1/tokenize",
            Self::Detokenize => "/v1/detokenize",
            Self::Rerank => "/v1/rerank",
            Self::Score => "/v1/score",
            Self::Transcriptions => "/v1/audio/transcriptions",
            Self::Translations => "/v1/audio/translations",
            Self::ImageGenerations => "/v1/images/generations",
            Self::ImageEdits => "/v1/images/edits",
        }
    }

    /// Its path at targets.
    pub(super) fn target_path(self) -> &'static str {
        match self {
            Self::Tokenize => "/tokenize",
            Self::Detokenize => "/detokenize",
            same => same.path(),
        }
    }

    /// Whether answers are generated: they have tokens of their own, and can be streamed. What
    /// generates nothing ignores `"stream": true`.
    pub(super) fn generates(self) -> bool {
        match self {
            Self::ChatCompletions
            | Self::Completions
            | Self::Responses
            | Self::Messages
            | Self::Transcriptions
            | Self::Translations
            | Self::ImageGenerations
            | Self::ImageEdits => true,
            Self::Embeddings
            | Self::CountTokens
            | Self::Tokenize
            | Self::Detokenize
            | Self::Rerank
            | Self::Score => false,
        }
    }

    /// Whether a request is a form with files, and not JSON.
    pub(super) fn takes_form(self) -> bool {
        matches!(self, Self::Transcriptions | Self::Translations | Self::ImageEdits)
    }

    /// Whether the answer is images, which are not streamed.
    pub(super) fn is_of_images(self) -> bool {
        matches!(self, Self::ImageGenerations | Self::ImageEdits)
    }

    /// What makes a request one whose tokens nothing bounds: a short file may have hours of silence
    /// in it, and what an image takes is its model's to say. Such a request need not have tokens
    /// at all, and its usage may be told in seconds.
    pub(super) fn unbounded(self) -> Option<&'static str> {
        match self {
            Self::Transcriptions | Self::Translations => Some("file"),
            Self::ImageGenerations | Self::ImageEdits => Some("prompt"),
            _ => None,
        }
    }

    /// Whether a request may name a prompt of ours.
    pub(super) fn takes_prompts(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Responses)
    }

    /// Whether a request uses no tokens of a model.
    pub(super) fn is_free(self) -> bool {
        matches!(self, Self::CountTokens | Self::Tokenize | Self::Detokenize)
    }

    /// Whether a request starts a model that sleeps.
    pub(super) fn wakes(self) -> bool {
        self != Self::CountTokens
    }

    /// Whether its errors have Anthropic's shape.
    pub(super) fn is_anthropic(self) -> bool {
        matches!(self, Self::Messages | Self::CountTokens)
    }

    /// How a stream of a target that is asked in it ends.
    pub(super) fn stream_end(self) -> StreamEnd {
        match self {
            Self::Responses => StreamEnd::FinalResponse,
            Self::Messages => StreamEnd::MessageStop,
            Self::Transcriptions | Self::Translations => StreamEnd::Transcript,
            _ => StreamEnd::Done,
        }
    }

    /// An error as an event of a stream that has begun, with a blank line behind it.
    pub(super) fn error_event(self, error: &ApiError, id: &str) -> String {
        match self {
            Self::Messages | Self::CountTokens => {
                self.event("error", &error_object(error).to_messages(Some(id)))
            }
            // Its clients tell events apart by their type.
            Self::Responses => {
                let mut event = json!({
                    "type": "error", "code": error.kind.http().1, "message": error.message,
                    "param": error.param, "sequence_number": 0,
                });
                if let (Some(event), Some(body)) = (event.as_object_mut(), error.json().as_object())
                {
                    event.extend(body.clone());
                }
                self.event("error", &event.to_string())
            }
            _ => error.event(),
        }
    }

    /// An event with these data, named where events have names.
    pub(super) fn event(self, name: &str, data: &str) -> String {
        match self {
            Self::Messages | Self::Responses => format!("event: {name}\ndata: {data}\n\n"),
            _ => format!("data: {data}\n\n"),
        }
    }

    /// Whether usage is told only to those who ask by `stream_options.include_usage`.
    pub(super) fn has_stream_options(self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Completions)
    }

    /// An event that says nothing, for clients whose patience counts events and not comments.
    /// `id` is the request's; `created` is in seconds since the epoch. The Responses API has no
    /// such event.
    pub(super) fn empty_event(self, id: &str, model: &str, created: i64) -> Option<String> {
        let chunk = match self {
            Self::ChatCompletions => json!({
                "id": format!("chatcmpl-{id}"),
                "object": "chat.completion.chunk",
                "created": created,
                "model": model,
                "choices": [{"index": 0, "delta": {}, "logprobs": null, "finish_reason": null}],
            }),
            Self::Completions => json!({
                "id": format!("cmpl-{id}"),
                "object": "text_completion",
                "created": created,
                "model": model,
                "choices": [{"index": 0, "text": "", "logprobs": null, "finish_reason": null}],
            }),
            Self::Messages => return Some("event: ping\ndata: {\"type\":\"ping\"}\n\n".into()),
            _ => return None,
        };
        Some(format!("data: {chunk}\n\n"))
    }
}

/// One of our errors, for whoever puts it into the words of another API.
pub(crate) fn error_object(error: &ApiError) -> ErrorObject {
    ErrorObject {
        kind: ErrorType::of_status(error.status().as_u16()),
        message: error.message.clone(),
        param: error.param.clone(),
        code: Some(error.kind.http().1.into()),
    }
}
