use super::BadAnswer;

/// Why an answer stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Stop {
    End,
    Sequence(Option<String>),
    Limit,
    Tools,
    Refusal,
}

impl Stop {
    /// Reads a `finish_reason`. `sequence` is the stop sequence, which vLLM tells beside it.
    pub(in super::super) fn of_chat(
        reason: &str,
        sequence: Option<String>,
    ) -> Result<Self, BadAnswer> {
        match reason {
            "stop" => Ok(sequence.map_or(Self::End, |text| Self::Sequence(Some(text)))),
            "length" => Ok(Self::Limit),
            "tool_calls" => Ok(Self::Tools),
            "content_filter" => Ok(Self::Refusal),
            _ => Err(BadAnswer::UnknownStop(reason.to_owned())),
        }
    }

    /// Reads a `stop_reason`.
    pub(in super::super) fn of_messages(
        reason: &str,
        sequence: Option<String>,
    ) -> Result<Self, BadAnswer> {
        match reason {
            "end_turn" => Ok(Self::End),
            "stop_sequence" => Ok(Self::Sequence(sequence)),
            "max_tokens" | "model_context_window_exceeded" => Ok(Self::Limit),
            "tool_use" => Ok(Self::Tools),
            "refusal" => Ok(Self::Refusal),
            "pause_turn" => Err(BadAnswer::Paused),
            _ => Err(BadAnswer::UnknownStop(reason.to_owned())),
        }
    }

    /// What a client has to see: with calls in it, an answer waits for their results. Servers of
    /// Chat Completions say `stop` where the request named the tool.
    pub(in super::super) fn with_calls(self, has_calls: bool) -> Self {
        match self {
            Self::End if has_calls => Self::Tools,
            Self::End | Self::Sequence(_) | Self::Limit | Self::Tools | Self::Refusal => self,
        }
    }

    /// The same where the model said that it refuses.
    pub(in super::super) fn with_refusal(self, refuses: bool) -> Self {
        match self {
            Self::End if refuses => Self::Refusal,
            Self::End | Self::Sequence(_) | Self::Limit | Self::Tools | Self::Refusal => self,
        }
    }

    pub(in super::super) fn finish_reason(&self) -> &'static str {
        match self {
            Self::End | Self::Sequence(_) => "stop",
            Self::Limit => "length",
            Self::Tools => "tool_calls",
            Self::Refusal => "content_filter",
        }
    }

    /// `stop_reason` and `stop_sequence`.
    pub(in super::super) fn stop_reason(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::End => ("end_turn", None),
            Self::Sequence(text) => ("stop_sequence", text.as_deref()),
            Self::Limit => ("max_tokens", None),
            Self::Tools => ("tool_use", None),
            Self::Refusal => ("refusal", None),
        }
    }
}
