/// Why a stream that was armed cannot be continued any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It has thought aloud.
    Reasoning,
    /// It has called a tool.
    ToolCalls,
    /// The replica does not tell the ids of its tokens.
    NoIds,
    /// It tells more or fewer of them than it has generated.
    Uneven,
    /// It has sent something that nobody knows.
    Unknown,
}

impl Lost {
    /// A word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reasoning => "reasoning",
            Self::ToolCalls => "tool_calls",
            Self::NoIds => "no_token_ids",
            Self::Uneven => "uneven_token_ids",
            Self::Unknown => "unknown_event",
        }
    }
}
