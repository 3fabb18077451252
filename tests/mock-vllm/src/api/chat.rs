//! `/v1/chat/completions`.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::plan::{Finish, Plan, Usage};
use super::reply::{Answer, Events, Pace, sse};
use super::request::{Message, OneOrMany, Prompt, Sampling, StreamOptions, Template};
use crate::engine::Engine;

#[derive(Debug, Deserialize)]
struct Request {
    messages: Vec<Message>,
    model: Option<String>,
    n: Option<i64>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    min_tokens: Option<u32>,
    #[serde(default)]
    ignore_eos: bool,
    stop: Option<OneOrMany>,
    seed: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    return_token_ids: Option<bool>,
    add_generation_prompt: Option<bool>,
    continue_final_message: Option<bool>,
}

/// `null` in the answer, for fields of vLLM's that mean nothing here.
type Null = Option<()>;

#[derive(Serialize)]
struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    service_tier: Null,
    system_fingerprint: Null,
    usage: Usage,
    prompt_logprobs: Null,
    kv_transfer_params: Null,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: usize,
    message: Said<'a>,
    logprobs: Null,
    finish_reason: Finish,
    stop_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Null,
    annotations: Null,
    audio: Null,
    function_call: Null,
    tool_calls: [(); 0],
    reasoning: Null,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [ChunkChoice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_ids: Option<&'a [u32]>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    delta: Delta<'a>,
    logprobs: Null,
    finish_reason: Option<Finish>,
    stop_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_ids: Option<&'a [u32]>,
}

#[derive(Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    content: &'a str,
}

/// The answer to a chat request.
pub(crate) fn answer(
    engine: &Engine,
    client_id: Option<&str>,
    body: &[u8],
) -> Result<Answer, ApiError> {
    let request: Request = serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    let stream = request.stream.unwrap_or(false);
    if request.stream_options.is_some() && !stream {
        let message = "Stream options can only be defined when `stream=True`.";
        return Err(ApiError::invalid("stream_options", "…", message));
    }
    let ids = request.return_token_ids.unwrap_or(false);
    let (asks, continues) = (request.add_generation_prompt, request.continue_final_message);
    let template = Template::new(asks, continues, ids)?;
    let prompt = Prompt::conversation(request.messages, template);
    let named = request.max_completion_tokens.map(|limit| ("max_completion_tokens", limit));
    let sampling = Sampling {
        model: request.model,
        n: request.n,
        max_tokens: named.or(request.max_tokens.map(|limit| ("max_tokens", limit))),
        min_tokens: request.min_tokens,
        ignore_eos: request.ignore_eos,
        stop: request.stop.map(OneOrMany::into_vec).unwrap_or_default(),
        seed: request.seed,
        ids,
    };
    let plan = Plan::new(engine, engine.request_id("chatcmpl-", client_id), &[prompt], sampling)?;
    if stream {
        let events = events(&plan, &request.stream_options.unwrap_or_default());
        return Ok(Answer::stream(&plan, events));
    }
    let choices = plan.choices.iter().enumerate().map(|(index, choice)| Choice {
        index,
        message: Said {
            role: "assistant",
            content: choice.text.as_str(),
            refusal: None,
            annotations: None,
            audio: None,
            function_call: None,
            tool_calls: [],
            reasoning: None,
        },
        logprobs: None,
        finish_reason: choice.finish,
        stop_reason: choice.stop_reason.as_deref(),
    });
    let completion = Completion {
        id: &plan.id,
        object: "chat.completion",
        created: plan.created,
        model: &plan.model,
        choices: choices.collect(),
        service_tier: None,
        system_fingerprint: None,
        usage: plan.usage(),
        prompt_logprobs: None,
        kv_transfer_params: None,
    };
    Ok(Answer::whole(&plan, &completion))
}

/// One event with the role for each choice, one for each token, then the usage if asked for.
fn events(plan: &Plan, options: &StreamOptions) -> Events {
    let continuous = options.include_usage && options.continuous_usage_stats;
    let mut events = Events::default();
    for index in 0..plan.choices.len() {
        let delta = Delta { role: Some("assistant"), content: "" };
        let choice = ChunkChoice {
            index,
            delta,
            logprobs: None,
            finish_reason: None,
            stop_reason: None,
            token_ids: None,
        };
        let choices = [choice];
        let usage = continuous.then(|| Usage::new(plan.prompt_tokens, 0));
        let chunk = chunk(plan, &choices, usage);
        let prompt_token_ids = plan.prompt_ids.as_deref();
        events.push(Pace::First, 0, &Chunk { prompt_token_ids, ..chunk });
    }
    events.push_tokens(plan, |index, token, nth, done| {
        let choice = ChunkChoice {
            index,
            delta: Delta { role: None, content: token.text },
            logprobs: None,
            finish_reason: done.map(|choice| choice.finish),
            stop_reason: done.and_then(|choice| choice.stop_reason.as_deref()),
            token_ids: token.id.as_ref().map(std::slice::from_ref),
        };
        let usage = continuous.then(|| Usage::new(plan.prompt_tokens, nth));
        sse(&chunk(plan, &[choice], usage))
    });
    if options.include_usage {
        events.push(Pace::Now, 0, &chunk(plan, &[], Some(plan.usage())));
    }
    events.push_done();
    events
}

fn chunk<'a>(plan: &'a Plan, choices: &'a [ChunkChoice<'a>], usage: Option<Usage>) -> Chunk<'a> {
    let Plan { id, created, model, .. } = plan;
    let (object, created) = ("chat.completion.chunk", *created);
    Chunk { id, object, created, model, choices, usage, prompt_token_ids: None }
}
