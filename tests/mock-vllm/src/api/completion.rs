//! `/v1/completions`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::plan::{Choice, Plan, Usage};
use super::reply::{Answer, Events, Pace, sse};
use super::request::{OneOrMany, Prompt, Said, Sampling, StreamOptions};
use crate::engine::Engine;
use crate::text::Text;
use crate::tokens;

/// The completion tokens of a request that sets no limit, as in OpenAI's API.
const DEFAULT_MAX_TOKENS: i64 = 16;

/// Null means no limit, as in vLLM.
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn default_max_tokens() -> Option<i64> {
    Some(DEFAULT_MAX_TOKENS)
}

#[derive(Debug, Deserialize)]
struct Request {
    prompt: Prompts,
    model: Option<String>,
    n: Option<i64>,
    #[serde(default = "default_max_tokens")]
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
    return_token_ids: Option<bool>,
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

/// Token ids are a conversation, or a text with what an answer to it begins with. Else they have no words here, and their
/// digits choose the answer.
fn of_tokens(ids: &[u32]) -> Prompt {
    let tokens = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let prompt = |question: String, said: &[u32]| Prompt {
        question,
        tokens,
        ids: Some(ids.to_vec()),
        said: if said.is_empty() { Said::Nothing } else { Said::Tokens(said.len()) },
    };
    if let Some((question, said)) = tokens::read_conversation(ids) {
        return prompt(question, said);
    }
    let begins = tokens::encode_word("Hello");
    for (at, _) in ids.windows(1).enumerate().filter(|(_, id)| *id == begins) {
        let (asked, said) = ids.split_at(at);
        for question in [tokens::decode(asked), digits(asked)] {
            // The last word of an answer is not always that of a longer one.
            let begun = said.get(..said.len().min(8)).unwrap_or_default();
            let mut answer = Text::answer(&question, 0, begun.len() + 1);
            answer.refine();
            if answer.ids().starts_with(begun) {
                return prompt(question, said);
            }
        }
    }
    prompt(digits(ids), &[])
}

fn digits(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

/// The answer to a completion request.
pub(crate) fn answer(
    engine: &Engine,
    client_id: Option<&str>,
    body: &[u8],
) -> Result<Answer, ApiError> {
    let request: Request = serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    let mut prompts = request.prompt.into_vec();
    let ids = request.return_token_ids.unwrap_or(false);
    for prompt in prompts.iter_mut().filter(|prompt| ids && prompt.ids.is_none()) {
        let ids = tokens::encode(&prompt.question);
        prompt.tokens = u32::try_from(ids.len()).unwrap_or(u32::MAX).max(1);
        prompt.ids = Some(ids);
    }
    let sampling = Sampling {
        model: request.model,
        n: request.n,
        max_tokens: request.max_tokens.map(|limit| ("max_tokens", limit)),
        min_tokens: request.min_tokens,
        ignore_eos: request.ignore_eos,
        stop: request.stop.map(OneOrMany::into_vec).unwrap_or_default(),
        seed: request.seed,
        ids,
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
        let mut choice = json!({
            "index": index, "text": format!("{echo}{}", token.text), "logprobs": null,
            "finish_reason": done.map(|choice| choice.finish),
            "stop_reason": done.and_then(|choice| choice.stop_reason.as_deref()),
        });
        if let (Some(ids), Some(fields)) = (&plan.prompt_ids, choice.as_object_mut()) {
            fields.insert("token_ids".into(), token.id.into_iter().collect());
            if nth == 1 {
                fields.insert("prompt_token_ids".into(), json!(ids));
            }
        }
        sse(&chunk(json!([choice]), continuous.then(|| Usage::new(plan.prompt_tokens, nth))))
    });
    if options.include_usage {
        events.push(Pace::Now, 0, &chunk(json!([]), Some(plan.usage())));
    }
    events.push_done();
    events
}
