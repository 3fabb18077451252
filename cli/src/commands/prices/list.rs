use std::collections::BTreeSet;

use diogenes_api::control::{
    ModelBody, PriceListBody, PricesBody, ProviderBody, ProviderList, RateCardBody,
};
use diogenes_core::Timestamp;
use diogenes_core::gateway::prices::{
    Price, PriceBook, PriceEntry, PriceList, PriceOrigin, Rates, is_named,
};
use diogenes_core::money::Dollars;
use diogenes_core::name::{ModelName, nearest};
use serde::Serialize;
use serde_json::json;

use super::ListArgs;
use crate::client::{Client, decode, model_path};
use crate::commands::options::Options;
use crate::commands::output::{self, Format};
use crate::exit::{Failure, Kind};

/// How many patterns of an entry the table shows, and one more before it counts the others.
const SHOWN_PATTERNS: usize = 2;

/// A price as it is shown.
#[derive(Debug, Serialize)]
struct Row {
    /// The provider's name in the list.
    provider: String,
    models: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    except: Vec<String>,
    /// None if the models are not priced by tokens.
    price: Option<Price>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    later: Vec<Later>,
    origin: PriceOrigin,
    source: String,
    date: String,
}

#[derive(Debug, Serialize)]
struct Later {
    from: String,
    price: Price,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    provider: Option<&'a str>,
    model: Option<&'a str>,
}

pub(super) async fn run(options: &Options, args: &ListArgs) -> Result<(), Failure> {
    let client = options.client()?;
    let prices: PricesBody = decode(client.get(&["api", "v1", "prices"], &[]).await?)?;
    let providers: ProviderList = decode(client.get(&["api", "v1", "providers"], &[]).await?)?;
    let wanted = Wanted { provider: args.provider.as_deref(), model: args.model.as_deref() };
    let rows = rows(&prices, &providers.data, wanted, Timestamp::now())?;
    let mut cards: Vec<&RateCardBody> =
        prices.rate_cards.iter().filter(|card| wanted.has_card(card)).collect();
    let mut why = None;
    if rows.is_empty() && cards.is_empty() {
        let (text, owner) = nothing(&client, &providers.data, wanted).await?;
        why = Some(text);
        // It was asked for by an alias.
        cards.extend(prices.rate_cards.iter().filter(|card| Some(&card.model) == owner.as_ref()));
    }
    let value = json!({"data": rows, "rate_cards": cards});
    output::result(options.output, &value, || {
        if let Some(why) = why.as_deref().filter(|_| cards.is_empty()) {
            output::note(why);
            return Ok(String::new());
        }
        Ok(table(&rows, &cards))
    })?;
    if options.output == Format::Table && !(rows.is_empty() && cards.is_empty()) {
        let has_own = prices.lists.iter().any(|list| list.origin != PriceOrigin::Embedded);
        output::note("(dollars per million tokens)");
        if !has_own {
            output::note(
                "(prices of this release only; add newer ones or your own with `diogenes prices import`)",
            );
        }
    }
    Ok(())
}

impl<'a> Wanted<'a> {
    /// A model as callers name it: `openai/gpt-5-mini` is one of the provider `openai`.
    fn split(self, providers: &[ProviderBody]) -> Self {
        let named = self.model.filter(|_| self.provider.is_none());
        let Some((provider, model)) = named.and_then(|model| model.split_once('/')) else {
            return self;
        };
        if providers.iter().any(|known| known.name.as_str() == provider) {
            Self { provider: Some(provider), model: Some(model) }
        } else {
            self
        }
    }

    /// The model, unless it is a pattern.
    fn exact(self) -> Option<&'a str> {
        self.model.filter(|model| !model.contains('*'))
    }

    fn has_card(self, card: &RateCardBody) -> bool {
        let is_wanted = self.model.is_none_or(|model| is_named(model, card.model.as_str()));
        self.provider.is_none() && is_wanted
    }
}

/// Why there is no price, and the model of the server that was asked for, if it is one.
async fn nothing(
    client: &Client,
    providers: &[ProviderBody],
    wanted: Wanted<'_>,
) -> Result<(String, Option<ModelName>), Failure> {
    let Some(name) = wanted.exact() else {
        return Ok(("no price is known for any such model".into(), None));
    };
    let provider = wanted.split(providers).provider;
    if let Some(provider) = provider {
        return Ok((unpriced(name, provider), None));
    }
    match client.get(&model_path(name), &[]).await {
        Ok(model) => {
            let model = decode::<ModelBody>(model)?.name;
            let text = format!(
                "`{model}` has no rate card, so its requests cost nothing; set one with `diogenes prices set {model}`"
            );
            Ok((text, Some(model)))
        }
        Err(failure) if failure.kind == Kind::NotFound => Err(Kind::NotFound.because(format!(
            "`{name}` is neither a model of this server nor in the price lists; see `diogenes model list` and `diogenes prices list`"
        ))),
        Err(failure) => Err(failure),
    }
}

fn unpriced(name: &str, provider: &str) -> String {
    format!(
        "no price is known for `{name}` of `{provider}`: its requests are reported without a cost, and a budget in money refuses them; add it with `diogenes prices import`"
    )
}

/// The prices that are asked for, those that decide first.
fn rows(
    prices: &PricesBody,
    providers: &[ProviderBody],
    wanted: Wanted<'_>,
    now: Timestamp,
) -> Result<Vec<Row>, Failure> {
    let wanted = wanted.split(providers);
    let lists = prices.lists.iter();
    let book = lists.fold(PriceBook::default(), |book, PriceListBody { origin, list }| {
        book.with(*origin, list.clone())
    });
    let configured = wanted
        .provider
        .and_then(|name| providers.iter().find(|provider| provider.name.as_str() == name));
    if let (Some(provider), Some(model)) = (configured, wanted.exact()) {
        let found = book.entry(&provider.name, &provider.spec, model, now);
        let row = found.map(|(origin, list, entry)| Row::of(list, origin, &entry));
        return Ok(row.into_iter().collect());
    }
    if let Some(name) = wanted.provider.filter(|_| configured.is_none()) {
        let known: BTreeSet<&str> = book.lists().flat_map(|(_, list)| list.providers()).collect();
        if !known.contains(name) {
            let near = nearest(name, known).map(|near| format!("; did you mean `{near}`?"));
            return Err(Kind::NotFound.because(format!(
                "there is no provider `{name}`, here or in the price lists{}",
                near.unwrap_or_default()
            )));
        }
    }
    let mut decided = BTreeSet::new();
    let mut rows = Vec::new();
    for (origin, list) in book.lists() {
        let section = match (configured, wanted.provider) {
            (Some(provider), _) => Some(list.section_of(&provider.name, &provider.spec)),
            (None, Some(name)) => Some(Some(name)),
            (None, None) => None,
        };
        for entry in list.entries(now) {
            let is_wanted = section.is_none_or(|section| section == Some(entry.provider))
                && wanted.model.is_none_or(|model| entry.is_for(model));
            // Of a single model the first entry is its price.
            if is_wanted && (wanted.exact().is_none() || decided.insert(entry.provider.to_owned()))
            {
                rows.push(Row::of(list, origin, &entry));
            }
        }
    }
    Ok(rows)
}

impl Row {
    fn of(list: &PriceList, origin: PriceOrigin, entry: &PriceEntry<'_>) -> Self {
        let later = entry.later.iter();
        let later =
            later.map(|(from, price)| Later { from: from.to_string(), price: (*price).clone() });
        Self {
            provider: entry.provider.to_owned(),
            models: entry.models().map(str::to_owned).collect(),
            except: entry.exceptions().map(str::to_owned).collect(),
            price: entry.price.cloned(),
            later: later.collect(),
            origin,
            source: list.source().to_owned(),
            date: list.date().to_string(),
        }
    }

    fn notes(&self) -> String {
        let mut notes: Vec<String> = Vec::new();
        match &self.price {
            Some(price) => notes.extend(notes_of(price)),
            None => notes.push("not priced by tokens".into()),
        }
        for Later { from, price } in &self.later {
            notes.push(format!("{} from {from}", both(price.base())));
        }
        notes.extend(self.except.iter().map(|pattern| format!("not {pattern}")));
        notes.join("; ")
    }
}

fn notes_of(price: &Price) -> Vec<String> {
    let above = price.above().iter();
    let above = above.map(|(tokens, rates)| format!("{} above {tokens} tokens", both(rates)));
    let services = price.services().iter();
    above.chain(services.map(|(name, percent)| format!("{name} {percent} %"))).collect()
}

/// `$2.50 / $15.00`.
fn both(rates: &Rates) -> String {
    format!("{} / {}", Dollars(rates.input), Dollars(rates.output))
}

/// The first patterns, and how many more there are.
fn shortened(patterns: &[String]) -> String {
    match patterns.split_at_checked(SHOWN_PATTERNS) {
        Some((shown, [_, rest @ ..])) if !rest.is_empty() => {
            format!("{},+{}", shown.join(","), rest.len() + 1)
        }
        Some(_) | None => patterns.join(","),
    }
}

fn table(rows: &[Row], cards: &[&RateCardBody]) -> String {
    let rates = |price: Option<&Price>| match price.map(Price::base) {
        Some(rates) => {
            [rates.input, rates.cached_input, rates.output].map(|rate| Dollars(rate).to_string())
        }
        None => ["-"; 3].map(str::to_owned),
    };
    let line = |provider: &str, models: String, price: Option<&Price>, notes, source| {
        let [input, cached, output] = rates(price);
        vec![provider.to_owned(), models, input, cached, output, source, notes]
    };
    let cards = cards.iter().map(|card| {
        let (notes, source) = (notes_of(&card.price), format!("rate card {}", card.version));
        line("-", card.model.to_string(), Some(&card.price), notes.join("; "), source)
    });
    let rows = rows.iter().map(|row| {
        let source = format!("{}, {}", row.source, row.date);
        line(&row.provider, shortened(&row.models), row.price.as_ref(), row.notes(), source)
    });
    output::table(
        &["PROVIDER", "MODELS", "INPUT", "CACHED", "OUTPUT", "SOURCE", "NOTES"],
        cards.chain(rows),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn model(pattern: &str, input: &str) -> Value {
        json!({"match": [pattern], "price": {"input": input, "output": "8"}})
    }

    fn prices() -> PricesBody {
        let list = |source: &str, providers: Value| json!({"source": source, "date": "2026-11-01", "providers": providers});
        let openai = |models: Value| json!({"hosts": ["api.openai.com"], "models": models});
        let file = list("contract", json!({"openai": openai(json!([model("gpt-x*", "1")]))}));
        let more = json!({"match": ["gpt-y"], "not": ["*-tts"], "price": {
            "input": "2", "cached_input": "0.5", "output": "8", "services": {"flex": 50},
            "above": [{"tokens": 200_000, "price": {"input": "4", "output": "16"}}]},
            "later": [{"from": "2027-01-01", "price": {"input": "3", "output": "9"}}]});
        let images = json!({"match": ["gpt-image"]});
        let embedded = list(
            "release",
            json!({
                "openai": openai(json!([model("gpt-x", "5"), more, images])),
                "groq": {"models": [model("gpt-x", "0.1")]},
            }),
        );
        let card = json!({"model": "Qwen/Qwen3-8B", "source": "api", "version": "2026-11",
            "created_at": "2026-11-27T10:00:00Z", "updated_at": "2026-11-27T10:00:00Z",
            "price": {"input": "0.10", "output": "0.40"}});
        let body = json!({"rate_cards": [card], "lists": [
            {"origin": "file", "list": file}, {"origin": "embedded", "list": embedded}]});
        serde_json::from_value(body).expect("prices")
    }

    fn providers() -> Vec<ProviderBody> {
        let provider = json!({
            "name": "mine", "source": "config", "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "spec": {"kind": "openai", "base_url": "https://api.openai.com/v1"},
        });
        vec![serde_json::from_value(provider).expect("a provider")]
    }

    fn found(provider: Option<&str>, model: Option<&str>) -> Result<Vec<String>, Failure> {
        let now = "2026-11-27T12:00:00Z".parse().expect("a time");
        let rows = rows(&prices(), &providers(), Wanted { provider, model }, now)?;
        let told = |row: &Row| format!("{} {} {}", row.source, row.provider, row.models.join(","));
        Ok(rows.iter().map(told).collect())
    }

    #[test]
    fn prices_are_found_by_provider_and_model() {
        let found = |provider, model| found(provider, model).expect("rows");
        assert_eq!(found(None, None).len(), 5);
        assert_eq!(found(None, Some("gpt-x")), ["contract openai gpt-x*", "release groq gpt-x"]);
        assert_eq!(found(Some("groq"), Some("gpt-x")), ["release groq gpt-x"]);
        assert_eq!(found(None, Some("*image*")), ["release openai gpt-image"]);
        // By the host of a provider, under whatever name.
        for (provider, model) in [(Some("mine"), "gpt-x-1"), (None, "mine/gpt-x-1")] {
            assert_eq!(found(provider, Some(model)), ["contract openai gpt-x*"]);
        }
        assert_eq!(found(Some("mine"), Some("gpt-y")), ["release openai gpt-y"]);
        assert_eq!(found(Some("mine"), None).len(), 4);
        assert!(found(Some("mine"), Some("gpt-z")).is_empty());
    }

    #[test]
    fn an_unknown_provider_is_told() {
        let failure = found(Some("opanai"), None).expect_err("unknown");
        assert_eq!(failure.kind, Kind::NotFound);
        assert!(failure.error.to_string().contains("did you mean `openai`?"), "{}", failure.error);
    }

    #[test]
    fn many_patterns_are_counted() {
        let patterns = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(shortened(&patterns), "a,b,+2");
        assert_eq!(shortened(&patterns[..3]), "a,b,c");
        assert_eq!(shortened(&patterns[..1]), "a");
    }

    #[test]
    fn prices_are_shown_one_a_line() {
        let (prices, now) = (prices(), "2026-11-27T12:00:00Z".parse().expect("a time"));
        let wanted = Wanted { provider: None, model: None };
        let rows = rows(&prices, &providers(), wanted, now).expect("rows");
        let cards: Vec<_> = prices.rate_cards.iter().collect();
        insta::assert_snapshot!(table(&rows, &cards));
    }
}
