//! LiteLLM's `model_prices_and_context_window.json` as a list of prices.
//!
//! Its prices are dollars per token, its names those of <https://docs.litellm.ai/docs/providers>.
//! Read of it are the models that are priced by tokens of text and audio alone and that one can
//! ask for here; prices of batches are left out.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::list::{InvalidPriceList, ModelPrices, PriceList, ProviderPrices};
use super::pattern::Pattern;
use super::{Price, Rates};
use crate::Timestamp;
use crate::ports::Amount;

/// Nano-dollars per million tokens in a dollar per token.
const NANO_PER_MILLION: f64 = 1e15;
/// More dollars than a token costs anywhere: a larger number is the price of a million.
const TOO_MUCH: f64 = 0.01;
/// What a model may be for, so that requests of Diogenes reach it.
const MODES: [&str; 5] = ["chat", "completion", "responses", "embedding", "rerank"];

/// What is read of such a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    pub list: PriceList,
    /// The models that are priced by something else than tokens, or that nobody can ask for here.
    pub skipped: usize,
}

/// What a field of a model is the price of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rate {
    Input,
    CachedInput,
    CacheWrite,
    CacheWrite1h,
    AudioInput,
    Output,
    Reasoning,
    AudioOutput,
}

/// The fields without a suffix. A name that another one begins with stands behind it.
const RATES: [(&str, Rate); 8] = [
    ("input_cost_per_token", Rate::Input),
    ("cache_read_input_token_cost", Rate::CachedInput),
    ("cache_creation_input_token_cost_above_1hr", Rate::CacheWrite1h),
    ("cache_creation_input_token_cost", Rate::CacheWrite),
    ("input_cost_per_audio_token", Rate::AudioInput),
    ("output_cost_per_token", Rate::Output),
    ("output_cost_per_reasoning_token", Rate::Reasoning),
    ("output_cost_per_audio_token", Rate::AudioOutput),
];

/// Prices of prompts with more tokens than this, by a service tier; the standard one has no name.
type Tier<'a> = (u64, &'a str);

/// The prices of a model, as they stand in the file.
type Fields<'a> = BTreeMap<Tier<'a>, BTreeMap<Rate, Amount>>;

impl Imported {
    /// Reads a file, whose prices are those of today. `known` has the hosts of providers.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_litellm(
        file: &Map<String, Value>,
        now: Timestamp,
        known: &PriceList,
    ) -> Result<Self, Vec<InvalidPriceList>> {
        let (mut models, mut problems, mut skipped) = (Sections::default(), Vec::new(), 0);
        for (name, entry) in file.iter().filter(|(name, _)| *name != "sample_spec") {
            let before = problems.len();
            match read(name, entry, &mut problems) {
                Some((provider, model, price)) => models.add(provider, model, price),
                None if problems.len() == before => skipped += 1,
                None => {}
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let section = |(name, models): (String, BTreeMap<Pattern, Price>)| {
            let hosts = known.providers.get(&name).map(|known| known.hosts.clone());
            let models = models.into_iter().map(|(model, price)| ModelPrices::of(model, price));
            let section = ProviderPrices::new(hosts.unwrap_or_default(), models.collect());
            (name, section)
        };
        let source = "LiteLLM's model_prices_and_context_window.json".to_owned();
        let date = now.to_zoned(TimeZone::UTC).date();
        let providers = models.0.into_iter().map(section).collect();
        Ok(Self { list: PriceList::new(source, date, providers), skipped })
    }

    /// Whether a file looks like one of LiteLLM's.
    pub fn is_litellm(file: &Map<String, Value>) -> bool {
        file.values().any(|entry| entry.get("litellm_provider").is_some())
    }
}

/// The models by the provider's name.
#[derive(Default)]
struct Sections(BTreeMap<String, BTreeMap<Pattern, Price>>);

impl Sections {
    /// Adds a model. Of two with one name, as in two regions, the dearer counts.
    fn add(&mut self, provider: String, model: Pattern, price: Price) {
        let models = self.0.entry(provider).or_default();
        let cost = |price: &Price| (price.base().input, price.base().output);
        if models.get(&model).is_none_or(|standing| cost(standing) < cost(&price)) {
            models.insert(model, price);
        }
    }
}

/// Provider, model and price of an entry; none for what is not priced by tokens or is wrong.
fn read(
    name: &str,
    entry: &Value,
    problems: &mut Vec<InvalidPriceList>,
) -> Option<(String, Pattern, Price)> {
    let mut wrong = |field: &str, problem: &str| {
        let place = if field.is_empty() { name.to_owned() } else { format!("{name}.{field}") };
        problems.push(InvalidPriceList::At { place, problem: problem.into() });
    };
    let Some(entry) = entry.as_object() else {
        wrong("", "must be an object with the prices of a model");
        return None;
    };
    let mut fields = Fields::new();
    let mut is_well = true;
    for (field, value) in entry {
        let Some((rate, tier)) = rate_of(field) else { continue };
        match amount(value) {
            Ok(None) => {}
            Ok(Some(amount)) => {
                fields.entry(tier).or_default().insert(rate, amount);
            }
            Err(problem) => {
                is_well = false;
                wrong(field, problem);
            }
        }
    }
    let mode = match entry.get("mode") {
        None | Some(Value::Null) => "chat",
        Some(Value::String(mode)) => mode.as_str(),
        Some(_) => {
            wrong("mode", "must be text, such as `chat`");
            return None;
        }
    };
    let provider = match entry.get("litellm_provider") {
        None | Some(Value::Null) => return None,
        Some(Value::String(provider)) => provider.as_str(),
        Some(_) => {
            wrong("litellm_provider", "must be the name of a provider");
            return None;
        }
    };
    let model = name.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    let model = match Pattern::try_from(model.to_owned()) {
        Ok(model) => model,
        Err(problem) => {
            wrong("", problem);
            return None;
        }
    };
    if !is_well || !MODES.contains(&mode) {
        return None;
    }
    let has_answer = !matches!(mode, "embedding" | "rerank");
    Some((section_of(provider), model, price_of(&fields, has_answer)?))
}

/// The provider's name here: that of the embedded prices, or one that `diogenes.toml` may have.
fn section_of(provider: &str) -> String {
    match provider {
        "gemini" => "google".into(),
        "xai" => "x-ai".into(),
        "together_ai" => "together".into(),
        "fireworks_ai" | "fireworks_ai-embedding-models" => "fireworks".into(),
        "moonshot" => "moonshotai".into(),
        "cohere_chat" => "cohere".into(),
        "text-completion-openai" => "openai".into(),
        other => other.to_ascii_lowercase().replace('_', "-"),
    }
}

/// What a field is the price of, if it is one: `input_cost_per_token_above_200k_tokens_flex`.
fn rate_of(field: &str) -> Option<(Rate, Tier<'_>)> {
    let (rest, rate) =
        RATES.iter().find_map(|(name, rate)| Some((field.strip_prefix(name)?, *rate)))?;
    let (tokens, rest) = match rest.strip_prefix("_above_") {
        Some(longer) => {
            let (thousands, rest) = longer.split_once("k_tokens")?;
            (thousands.parse::<u64>().ok()?.checked_mul(1000)?, rest)
        }
        None => (0, rest),
    };
    let service = match rest.strip_prefix('_') {
        Some(service) => service,
        None if rest.is_empty() => "",
        None => return None,
    };
    let is_word = service.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_standard = rest.is_empty();
    // Batches cannot be asked for here, and a cache of twelve hours is not a service tier.
    ((is_word && (is_standard || !service.is_empty())) && service != "batches")
        .then_some((rate, (tokens, service)))
}

/// A price of a token as one of a million; none for null.
fn amount(value: &Value) -> Result<Option<Amount>, &'static str> {
    if value.is_null() {
        return Ok(None);
    }
    let dollars = value.as_f64().ok_or("must be a number of dollars per token")?;
    if dollars < 0.0 {
        return Err("is negative");
    }
    if dollars > TOO_MUCH {
        return Err(
            "is more than a cent per token; LiteLLM's prices are per token, not per million",
        );
    }
    // Below ten trillions, which are exact.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it was checked to be neither negative nor large"
    )]
    let nano = (dollars * NANO_PER_MILLION).round() as u64;
    Ok(Amount::try_from(nano).ok())
}

/// The price that the fields make; none if something else than tokens is paid for.
fn price_of(fields: &Fields<'_>, has_answer: bool) -> Option<Price> {
    let standard = fields.get(&(0, ""))?;
    let base = rates_of(standard, has_answer)?;
    let longer = fields.iter().filter(|((tokens, service), _)| *tokens > 0 && service.is_empty());
    let above = longer.filter_map(|((tokens, _), rates)| {
        // What it does not name costs the same as for shorter prompts.
        let mut all = standard.clone();
        all.extend(rates);
        Some((*tokens, rates_of(&all, has_answer)?))
    });
    let mut services: BTreeMap<String, u32> = BTreeMap::new();
    for ((tokens, service), rates) in fields.iter().filter(|((_, service), _)| !service.is_empty())
    {
        let Some(usual) = fields.get(&(*tokens, "")) else { continue };
        let percents =
            rates.iter().filter_map(|(rate, amount)| percent(*amount, *usual.get(rate)?));
        if let Some(dearest) = percents.max() {
            let standing = services.entry((*service).to_owned()).or_insert(dearest);
            *standing = dearest.max(*standing);
        }
    }
    services.retain(|_, percent| *percent != 100);
    Some(Price::tiered(base, above.collect(), services))
}

/// What `amount` is in percent of `usual`, rounded up; none if that is nothing.
fn percent(amount: Amount, usual: Amount) -> Option<u32> {
    let usual = Some(u128::from(usual.get())).filter(|usual| *usual > 0)?;
    u32::try_from((u128::from(amount.get()) * 100).div_ceil(usual)).ok()
}

/// The rates of a tier.
fn rates_of(given: &BTreeMap<Rate, Amount>, has_answer: bool) -> Option<Rates> {
    let get = |rate: Rate| given.get(&rate).copied();
    let input = get(Rate::Input)?;
    let output = match get(Rate::Output) {
        // Thoughts are part of the answer, and which tokens are thoughts is not always told.
        Some(output) => output.max(get(Rate::Reasoning).unwrap_or(output)),
        None if has_answer => return None,
        None => Amount::ZERO,
    };
    let cache_write = get(Rate::CacheWrite).unwrap_or(input);
    Some(Rates {
        input,
        cached_input: get(Rate::CachedInput).unwrap_or(input),
        cache_write,
        cache_write_1h: get(Rate::CacheWrite1h).unwrap_or(cache_write),
        audio_input: get(Rate::AudioInput).unwrap_or(input),
        output,
        audio_output: get(Rate::AudioOutput).unwrap_or(output),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::PriceBook;
    use super::*;

    fn import(file: Value) -> Result<Imported, Vec<String>> {
        let Value::Object(file) = file else { panic!("an object") };
        assert!(Imported::is_litellm(&file) || file.len() < 2);
        let book = PriceBook::embedded().unwrap();
        let (_, known) = book.lists().last().unwrap();
        Imported::from_litellm(&file, "2026-11-27T12:00:00Z".parse().unwrap(), known)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn prices_of_a_token_become_those_of_a_million() {
        let imported = import(json!({
            "sample_spec": {"litellm_provider": "one of …", "input_cost_per_token": 0.0},
            "gpt-x": {
                "litellm_provider": "openai", "mode": "chat", "max_tokens": 128_000,
                "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05,
                "cache_read_input_token_cost": 1.25e-06, "output_cost_per_reasoning_token": 1.2e-05,
                "input_cost_per_token_above_200k_tokens": 5e-06,
                "input_cost_per_token_flex": 1.25e-06, "output_cost_per_token_flex": 5.01e-06,
                "input_cost_per_token_batches": 1e-09, "input_cost_per_token_cache_hit": 1e-09,
                "search_context_cost_per_query": {"search_context_size_low": 0.03},
            },
            "gemini/gemini-x": {
                "litellm_provider": "gemini", "input_cost_per_token": 0.1e-7 + 1.4e-7,
                "output_cost_per_token": 6e-07,
            },
            "my_cloud/e": {"litellm_provider": "my_cloud", "mode": "embedding", "input_cost_per_token": 2e-8},
            "whisper": {"litellm_provider": "openai", "mode": "audio_transcription", "input_cost_per_second": 0.0001},
            "half": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-6},
        }))
        .unwrap();
        assert_eq!(imported.skipped, 2);
        assert_eq!(
            serde_json::to_value(&imported.list).unwrap(),
            json!({
                "source": "LiteLLM's model_prices_and_context_window.json", "date": "2026-11-27",
                "providers": {
                    "google": {"hosts": ["*.googleapis.com"], "models": [
                        {"match": ["gemini-x"], "price": {"input": "0.15", "output": "0.60"}}]},
                    "my-cloud": {"models": [
                        {"match": ["e"], "price": {"input": "0.02", "output": "0.00"}}]},
                    "openai": {"hosts": ["api.openai.com"], "models": [{"match": ["gpt-x"], "price": {
                        "input": "2.50", "cached_input": "1.25", "output": "12.00",
                        "above": [{"tokens": 200_000, "price":
                            {"input": "5.00", "cached_input": "1.25", "output": "12.00"}}],
                        "services": {"flex": 51},
                    }}]},
                },
            })
        );
    }

    #[test]
    fn every_bad_value_is_named() {
        let problems = import(json!({
            "a": {"litellm_provider": "x", "input_cost_per_token": "1e-6", "output_cost_per_token": -1e-6},
            "b": {"litellm_provider": 5, "input_cost_per_token": 2.5},
            "c": [],
            "d": {"litellm_provider": "x", "mode": 1},
        }));
        assert_eq!(
            problems.unwrap_err(),
            [
                "`a.input_cost_per_token`: must be a number of dollars per token",
                "`a.output_cost_per_token`: is negative",
                "`b.input_cost_per_token`: is more than a cent per token; LiteLLM's prices are per \
                 token, not per million",
                "`b.litellm_provider`: must be the name of a provider",
                "`c`: must be an object with the prices of a model",
                "`d.mode`: must be text, such as `chat`",
            ]
        );
    }

    #[test]
    fn the_dearer_of_two_prices_of_one_model_counts() {
        let entry = |input| json!({"litellm_provider": "x", "input_cost_per_token": input, "output_cost_per_token": 0});
        let list = import(json!({"m": entry(2e-6), "x/m": entry(1e-6)})).unwrap().list;
        assert_eq!(
            serde_json::to_value(&list).unwrap()["providers"]["x"]["models"],
            json!([{"match": ["m"], "price": {"input": "2.00", "output": "0.00"}}])
        );
    }
}
