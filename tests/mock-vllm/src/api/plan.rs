//! From a request to what will be said: vLLM's checks, and the text of each choice.

use serde::Serialize;

use super::error::ApiError;
use super::request::{Prompt, Said, Sampling};
use crate::engine::{Engine, Outcome, now_seconds};
use crate::text::{Text, mix};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Finish {
    Stop,
    Length,
}

#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) text: Text,
    pub(crate) finish: Finish,
    /// The stop string that was met.
    pub(crate) stop_reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: u32,
    pub(crate) total_tokens: u32,
    pub(crate) completion_tokens: u32,
    /// Always null: nothing is cached.
    pub(crate) prompt_tokens_details: Option<()>,
}

impl Usage {
    pub(crate) fn new(prompt_tokens: u32, completion_tokens: u32) -> Self {
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Self { prompt_tokens, total_tokens, completion_tokens, prompt_tokens_details: None }
    }
}

/// A checked request and its answer.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) prompt_tokens: u32,
    /// Those of the first prompt, if the ids of tokens are told.
    pub(crate) prompt_ids: Option<Vec<u32>>,
    pub(crate) choices: Vec<Choice>,
}

impl Plan {
    pub(crate) fn new(
        engine: &Engine,
        id: String,
        prompts: &[Prompt],
        sampling: Sampling,
    ) -> Result<Self, ApiError> {
        let model = served_model(engine, sampling.model)?;
        let n = at_least_one("n", sampling.n.unwrap_or(1))?;
        let limit = match sampling.max_tokens {
            Some((name, value)) => Some(at_least_one(name, value)?),
            None => None,
        };
        let mut choices = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            let room = room(engine.args.max_model_len, prompt.tokens, limit)?;
            let limit = limit.unwrap_or(room);
            let natural = if sampling.ignore_eos { limit } else { engine.args.tokens };
            let natural = natural.max(sampling.min_tokens.unwrap_or(0));
            for index in 0..n {
                let seed =
                    sampling.seed.unwrap_or(0).cast_unsigned().wrapping_add(u64::from(index));
                let seed = if seed == 0 { 0 } else { mix(seed) };
                let answer = |most: u32| {
                    let mut text = Text::answer(&prompt.question, seed, most as usize);
                    if sampling.ids || matches!(prompt.said, Said::Tokens(_)) {
                        text.refine();
                        text.keep(most as usize);
                    }
                    text
                };
                let said = match &prompt.said {
                    Said::Nothing => 0,
                    Said::Text(text) => {
                        let longest = u32::try_from(text.len()).unwrap_or(u32::MAX);
                        let most = if sampling.ignore_eos { natural.max(longest) } else { natural };
                        answer(most).tokens_of(text).unwrap_or(0)
                    }
                    Said::Tokens(count) => *count,
                };
                // A limit is of what is still to come; with what was said, the text is the same.
                let already = u32::try_from(said).unwrap_or(u32::MAX);
                let limit = limit.saturating_add(already);
                let natural =
                    if sampling.ignore_eos { natural.saturating_add(already) } else { natural };
                let mut text = answer(natural.min(limit.saturating_add(1)));
                let stop_reason = text.stop_at(&sampling.stop).map(str::to_owned);
                let over =
                    text.len() > limit as usize || (sampling.ignore_eos && stop_reason.is_none());
                text.keep(limit as usize);
                text.skip(said);
                let finish = if over { Finish::Length } else { Finish::Stop };
                choices.push(Choice { text, finish, stop_reason: stop_reason.filter(|_| !over) });
            }
        }
        let prompt_tokens =
            prompts.iter().fold(0, |sum: u32, prompt| sum.saturating_add(prompt.tokens));
        let prompt_ids = prompts.first().and_then(|prompt| prompt.ids.clone());
        let prompt_ids = prompt_ids.filter(|_| sampling.ids);
        Ok(Self { id, created: now_seconds(), model, prompt_tokens, prompt_ids, choices })
    }

    pub(crate) fn completion_tokens(&self) -> u32 {
        let sum = self.choices.iter().map(|choice| choice.text.len()).sum::<usize>();
        u32::try_from(sum).unwrap_or(u32::MAX)
    }

    /// Tokens of the longest choice: how many steps the engine takes.
    pub(crate) fn steps(&self) -> u32 {
        let longest = self.choices.iter().map(|choice| choice.text.len()).max().unwrap_or(0);
        u32::try_from(longest).unwrap_or(u32::MAX)
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::new(self.prompt_tokens, self.completion_tokens())
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self.choices.first().map(|choice| choice.finish) {
            Some(Finish::Length) => Outcome::AtLength,
            Some(Finish::Stop) | None => Outcome::Stopped,
        }
    }
}

/// The name to answer with: the one asked for if it is served, the first if none was asked for.
pub(crate) fn served_model(engine: &Engine, asked: Option<String>) -> Result<String, ApiError> {
    match asked {
        Some(name) if name.is_empty() => Ok(engine.names.first().cloned().unwrap_or_default()),
        Some(name) if engine.names.contains(&name) => Ok(name),
        Some(name) => Err(ApiError::unknown_model(&name)),
        None => Ok(engine.names.first().cloned().unwrap_or_default()),
    }
}

fn at_least_one(name: &'static str, value: i64) -> Result<u32, ApiError> {
    if value < 1 {
        return Err(ApiError::invalid(
            name,
            value,
            format_args!("{name} must be at least 1, got {value}."),
        ));
    }
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}

/// How many tokens the answer may have; an error if the prompt and `limit` do not fit into the context.
fn room(context: u32, prompt: u32, limit: Option<u32>) -> Result<u32, ApiError> {
    let room = context.saturating_sub(prompt);
    let wanted = limit.unwrap_or(1);
    if wanted <= room {
        return Ok(room);
    }
    let message = format_args!(
        "This model's maximum context length is {context} tokens. However, you requested {wanted} output tokens and \
         your prompt contains at least {prompt} input tokens, for a total of at least {} tokens. Please reduce the \
         length of the input prompt or the number of requested output tokens.",
        u64::from(prompt) + u64::from(wanted)
    )
    .to_string();
    Err(ApiError::invalid("input_tokens", prompt, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Args;

    fn plan(sampling: Sampling) -> Result<Plan, ApiError> {
        let engine = Engine::new(Args { tokens: 12, max_model_len: 100, ..Args::default() });
        Plan::new(&engine, "id".to_owned(), &[Prompt::text("tell me".to_owned())], sampling)
    }

    #[test]
    fn answer_ends_by_itself_or_at_the_limit() {
        let choice = |limit| {
            let max_tokens = Some(("max_tokens", limit));
            let choice =
                plan(Sampling { max_tokens, ..Sampling::default() }).unwrap().choices.remove(0);
            (choice.text.len(), choice.finish)
        };
        assert_eq!(choice(20), (12, Finish::Stop));
        assert_eq!(choice(12), (12, Finish::Stop));
        assert_eq!(choice(11), (11, Finish::Length));
    }

    #[test]
    fn ignoring_the_end_fills_up_to_the_limit() {
        let max_tokens = Some(("max_tokens", 40));
        let plan = plan(Sampling { max_tokens, ignore_eos: true, ..Sampling::default() }).unwrap();
        assert_eq!((plan.completion_tokens(), plan.outcome()), (40, Outcome::AtLength));
    }

    #[test]
    fn choices_differ() {
        let plan =
            plan(Sampling { n: Some(2), min_tokens: Some(60), ..Sampling::default() }).unwrap();
        assert_eq!(plan.choices.len(), 2);
        assert_ne!(plan.choices[0].text.as_str(), plan.choices[1].text.as_str());
    }

    #[test]
    fn limits_outside_the_context_are_refused() {
        for (limit, param) in [(0, "max_tokens"), (-1, "max_tokens"), (99, "input_tokens")] {
            let max_tokens = Some(("max_tokens", limit));
            let error = plan(Sampling { max_tokens, ..Sampling::default() }).unwrap_err();
            assert_eq!((error.status.as_u16(), error.param), (400, Some(param)), "{limit}");
        }
        let max_tokens = Some(("max_tokens", 98));
        plan(Sampling { max_tokens, ..Sampling::default() }).unwrap();
    }

    #[test]
    fn only_served_models_are_found() {
        let error =
            plan(Sampling { model: Some("other".to_owned()), ..Sampling::default() }).unwrap_err();
        assert_eq!(error.message, "The model `other` does not exist.");
    }
}
