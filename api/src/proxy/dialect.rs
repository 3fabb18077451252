use serde_json::json;

/// One of OpenAI's endpoints that take a model.
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
}

/// How a whole stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// With `data: [DONE]`.
    Done,
    /// With `response.completed`, `response.failed` or `response.incomplete`.
    FinalResponse,
}

impl Dialect {
    /// Its path, at replicas as here.
    pub fn path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
        }
    }

    /// Whether `"stream": true` means something to it. OpenAI has no streamed embeddings, and
    /// servers ignore the field.
    pub(super) fn streams(self) -> bool {
        self != Self::Embeddings
    }

    pub(super) fn stream_end(self) -> StreamEnd {
        match self {
            Self::ChatCompletions | Self::Completions | Self::Embeddings => StreamEnd::Done,
            Self::Responses => StreamEnd::FinalResponse,
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
            Self::Embeddings | Self::Responses => return None,
        };
        Some(format!("data: {chunk}\n\n"))
    }
}
