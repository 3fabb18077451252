//! `/v1/completions`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::plan::{Choice, Plan, Usage};
use super::reply::{Answer, Events, Pace, sse};
use super::request::{OneOrMany, Prompt, Sampling, StreamOptions};
use crate::engine::Engine;

/// The completion tokens of a request that sets no limit, as in OpenAI's API.
const DEFAULT_MAX_TOKENS: i64 = 16;

#[derive(Debug, Deserialize)]
struct Request {
    prompt: Prompts,
    model: Option<String>,
    n: Option<i64>,
    max_tokens: Option<i64>,
    min_tokens: Option<u32>,
    #[serde(default)]
    ignore_eos: bool,
    #[serde(default)]
    echo: bool,
    stop: Option<OneOrMany>,
    seed: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

/// Text or token ids, one prompt or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Prompts {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

impl Prompts {
    pub(crate) fn into_vec(self) -> Vec<Prompt> {
        match self {
            Self::Text(text) => vec![Prompt::text(text)],
            Self::Texts(texts) => texts.into_iter().map(Prompt::text).collect(),
            Self::Tokens(tokens) => vec![of_tokens(&tokens)],
            Self::TokenLists(lists) => lists.iter().map(|tokens| of_tokens(tokens)).collect(),
        }
    }
}

/// Token ids have no words here; their digits choose the answer.
fn of_tokens(tokens: &[u32]) -> Prompt {
    let ids: Vec<_> = tokens.iter().map(u32::to_string).collect();
    Prompt { question: ids.join(" "), tokens: u32::try_from(tokens.len()).unwrap_or(u32::MAX) }
}

/// The answer to a completion request.
pub(crate) fn answer(
    engine: &Engine,
    client_id: Option<&str>,
    body: &[u8],
) -> Result<Answer, ApiError> {
    let request: Request = serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    let prompts = request.prompt.into_vec();
    let sampling = Sampling {
        model: request.model,
        n: request.n,
        max_tokens: Some(("max_tokens", request.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS))),
        min_tokens: request.min_tokens,
        ignore_eos: request.ignore_eos,
        stop: request.stop.map(OneOrMany::into_vec).unwrap_or_default(),
        seed: request.seed,
    };
    let plan = Plan::new(engine, engine.request_id("cmpl-", client_id), &prompts, sampling)?;
    let n = plan.choices.len().checked_div(prompts.len()).unwrap_or(1);
    let echoed = |index: usize| {
        let prompt = index.checked_div(n).and_then(|prompt| prompts.get(prompt));
        prompt.filter(|_| request.echo).map_or("", |prompt| prompt.question.as_str())
    };
    if request.stream.unwrap_or(false) {
        let events = events(&plan, &request.stream_options.unwrap_or_default(), echoed);
        return Ok(Answer::stream(&plan, events));
    }
    let choices: Vec<Value> = plan.choices.iter().enumerate().map(|(index, choice)| json!({
        "index": index, "text": format!("{}{}", echoed(index), choice.text.as_str()), "logprobs": null,
        "finish_reason": choice.finish, "stop_reason": choice.stop_reason, "prompt_logprobs": null,
    })).collect();
    let completion = json!({
        "id": plan.id, "object": "text_completion", "created": plan.created, "model": plan.model, "choices": choices,
        "service_tier": null, "system_fingerprint": null, "usage": plan.usage(), "kv_transfer_params": null,
    });
    Ok(Answer::whole(&plan, &completion))
}

/// One event for each token, then the usage if asked for.
fn events<'a>(plan: &Plan, options: &StreamOptions, echoed: impl Fn(usize) -> &'a str) -> Events {
    let continuous = options.include_usage && options.continuous_usage_stats;
    let chunk = |choices: Value, usage: Option<Usage>| {
        json!({
            "id": plan.id, "object": "text_completion", "created": plan.created, "model": plan.model,
            "choices": choices, "usage": usage,
        })
    };
    let mut events = Events::default();
    events.push_tokens(plan, |index, token, nth, done: Option<&Choice>| {
        let echo = if nth == 1 { echoed(index) } else { "" };
        let choice = json!([{
            "index": index, "text": format!("{echo}{token}"), "logprobs": null,
            "finish_reason": done.map(|choice| choice.finish),
            "stop_reason": done.and_then(|choice| choice.stop_reason.as_deref()),
        }]);
        sse(&chunk(choice, continuous.then(|| Usage::new(plan.prompt_tokens, nth))))
    });
    if options.include_usage {
        events.push(Pace::Now, 0, &chunk(json!([]), Some(plan.usage())));
    }
    events.push_done();
    events
}
