use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::echo::{OrDefault, ResponsesEcho};
use super::item::Output;
use super::status::{Failure, IncompleteDetails, Status};
use crate::gateway::translation::answer::Usage;

/// A `response` object, with whatever output there is yet.
pub(super) struct Response<'a> {
    /// Without its prefix.
    pub(super) id: &'a str,
    /// In seconds since the epoch.
    pub(super) created: i64,
    pub(super) model: &'a str,
    pub(super) status: Status<'a>,
    pub(super) output: &'a Output,
    pub(super) usage: Usage,
    pub(super) echo: &'a ResponsesEcho,
}

impl Serialize for Response<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { id, created, model, status, output, usage, echo } = self;
        WrittenResponse {
            id: format_args!("resp_{id}"),
            object: "response",
            created_at: *created,
            completed_at: None,
            status: status.name(),
            background: false,
            error: status.error(),
            incomplete_details: status.incomplete_details(),
            instructions: echo.instructions.as_deref(),
            max_output_tokens: echo.max_output_tokens.as_deref(),
            max_tool_calls: None,
            metadata: OrDefault(echo.metadata.as_deref(), Empty {}),
            model,
            output,
            parallel_tool_calls: echo.parallel_tool_calls,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            previous_response_id: None,
            prompt_cache_key: echo.prompt_cache_key.as_deref(),
            reasoning: Reasoning { effort: echo.effort.as_deref(), summary: None },
            safety_identifier: echo.safety_identifier.as_deref(),
            service_tier: "default",
            store: false,
            temperature: OrDefault(echo.temperature.as_deref(), 1.0),
            text: Text {
                format: OrDefault(echo.text_format.as_deref(), Format { r#type: "text" }),
                verbosity: OrDefault(echo.text_verbosity.as_deref(), "medium"),
            },
            tool_choice: OrDefault(echo.tool_choice.as_deref(), "auto"),
            tools: OrDefault(echo.tools.as_deref(), []),
            top_logprobs: 0,
            top_p: OrDefault(echo.top_p.as_deref(), 1.0),
            truncation: "disabled",
            usage: ResponseTokens::of(usage),
            user: echo.user.as_deref(),
        }
        .serialize(to)
    }
}

/// All fields that OpenAI's clients or the Open Responses specification require.
#[derive(Serialize)]
struct WrittenResponse<'a> {
    id: std::fmt::Arguments<'a>,
    object: &'static str,
    created_at: i64,
    completed_at: Option<i64>,
    status: &'static str,
    background: bool,
    error: Option<Failure<'a>>,
    incomplete_details: Option<IncompleteDetails>,
    instructions: Option<&'a RawValue>,
    max_output_tokens: Option<&'a RawValue>,
    max_tool_calls: Option<u64>,
    metadata: OrDefault<'a, Empty>,
    model: &'a str,
    output: &'a Output,
    parallel_tool_calls: bool,
    frequency_penalty: f64,
    presence_penalty: f64,
    previous_response_id: Option<&'a str>,
    prompt_cache_key: Option<&'a RawValue>,
    reasoning: Reasoning<'a>,
    safety_identifier: Option<&'a RawValue>,
    service_tier: &'static str,
    store: bool,
    temperature: OrDefault<'a, f64>,
    text: Text<'a>,
    tool_choice: OrDefault<'a, &'static str>,
    tools: OrDefault<'a, [(); 0]>,
    top_logprobs: u64,
    top_p: OrDefault<'a, f64>,
    truncation: &'static str,
    usage: Option<ResponseTokens>,
    user: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Reasoning<'a> {
    effort: Option<&'a RawValue>,
    summary: Option<()>,
}

#[derive(Serialize)]
struct Text<'a> {
    format: OrDefault<'a, Format>,
    verbosity: OrDefault<'a, &'static str>,
}

#[derive(Serialize)]
struct Format {
    r#type: &'static str,
}

/// `usage` of a response.
#[derive(Serialize)]
struct ResponseTokens {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl ResponseTokens {
    /// None unless both sides are known: half of it would be read as a count of 0.
    fn of(usage: &Usage) -> Option<Self> {
        let (input_tokens, output_tokens) = usage.prompt().zip(usage.output)?;
        Some(Self {
            input_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cache_read.unwrap_or(0),
                cache_write_tokens: usage.cache_write.unwrap_or(0),
            },
            output_tokens,
            output_tokens_details: OutputDetails { reasoning_tokens: usage.thinking.unwrap_or(0) },
            total_tokens: input_tokens.saturating_add(output_tokens),
        })
    }
}
