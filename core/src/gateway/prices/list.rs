use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::{Price, PriceVersion};
use crate::gateway::{ProviderName, ProviderSpec};

/// Prices of one day and one source, by provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PriceListDocument")]
pub struct PriceList {
    /// Where they are from.
    pub(super) source: String,
    /// The day that they are of.
    pub(super) date: Date,
    /// Both together.
    #[serde(skip)]
    pub(super) version: PriceVersion,
    pub(super) providers: BTreeMap<String, ProviderPrices>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceListDocument {
    source: String,
    date: Date,
    providers: BTreeMap<String, ProviderPrices>,
}

/// The prices of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderPrices {
    /// The hosts of its API. Without any, the section is for the provider of its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) hosts: Vec<Pattern>,
    /// Sections that are asked for the models that this one does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) fallback: Vec<String>,
    /// The first that matches decides.
    pub(super) models: Vec<ModelPrices>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelPrices {
    r#match: Vec<Pattern>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) not: Vec<Pattern>,
    /// None for one that is not priced by tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<Price>,
    /// What it will cost, by the day from which it does, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) later: Vec<LaterPrice>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LaterPrice {
    pub(super) from: Date,
    pub(super) price: Price,
}

/// A file that is not a list of prices. The text names the place: `providers.openai.models[3]`.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPriceList {
    #[error("`{place}`: {problem}")]
    At { place: String, problem: String },
    #[error("the list of prices is not valid JSON: {0}")]
    Json(String),
}

impl PriceList {
    /// Reads a list: `{"source": "our contract", "date": "2026-11-27", "providers": {"openai":
    /// {"hosts": ["api.openai.com"], "models": [{"match": ["gpt-5-mini", "gpt-5-mini-####-##-##"],
    /// "price": {"input": "0.25", "output": "2"}}]}}}`.
    ///
    /// In `match` and `hosts`, `*` is any text and `#` a digit. A model may have exceptions
    /// (`not`), prices of days to come (`later`), and no `price` if there is none. Prices are
    /// documented at [`Price`].
    pub fn parse(json: &[u8]) -> Result<Self, InvalidPriceList> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let list: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let (place, problem) = (error.path().to_string(), error.inner());
            match problem.classify() {
                serde_json::error::Category::Data => {
                    InvalidPriceList::At { place, problem: problem.to_string() }
                }
                _ => InvalidPriceList::Json(problem.to_string()),
            }
        })?;
        reader.end().map_err(|error| InvalidPriceList::Json(error.to_string()))?;
        list.check()?;
        Ok(list)
    }

    pub(super) fn new(
        source: String,
        date: Date,
        providers: BTreeMap<String, ProviderPrices>,
    ) -> Self {
        let version = format!("{source}, {date}").into();
        Self { source, date, version, providers }
    }

    /// A list without any price.
    pub fn empty(source: impl Into<String>, date: Date) -> Self {
        Self::new(source.into(), date, BTreeMap::new())
    }

    /// Where the prices are from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The day that they are of.
    pub fn date(&self) -> Date {
        self.date
    }

    /// The names of the providers.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// The same with the prices of some providers alone.
    #[must_use]
    pub fn of_providers(mut self, wanted: &[String]) -> Self {
        self.providers.retain(|name, _| wanted.contains(name));
        for section in self.providers.values_mut() {
            section.fallback.retain(|other| wanted.contains(other));
        }
        self
    }

    /// The name of the section that has the prices of a provider.
    pub fn section_of(&self, name: &ProviderName, spec: &ProviderSpec) -> Option<&str> {
        Some(self.section(name.as_str(), &spec.host())?.0)
    }

    fn check(&self) -> Result<(), InvalidPriceList> {
        let wrong = |place: String, problem: String| Err(InvalidPriceList::At { place, problem });
        if self.source.trim().is_empty() || self.source.chars().count() > 200 {
            return wrong("source".into(), "must say where the prices come from".into());
        }
        for (name, provider) in &self.providers {
            let unknown = provider.fallback.iter().find(|one| !self.providers.contains_key(*one));
            if let Some(unknown) = unknown {
                let problem = format!("`{unknown}` is not among the providers of the list");
                return wrong(format!("providers.{name}.fallback"), problem);
            }
            for (place, model) in provider.models.iter().enumerate() {
                let place = format!("providers.{name}.models[{place}]");
                if model.r#match.is_empty() {
                    return wrong(place + ".match", "has no pattern; add at least one".into());
                }
                if model.price.is_none() && !model.later.is_empty() {
                    return wrong(place, "has `later` without `price`; add today's price".into());
                }
                let days = model.later.iter().map(|later| later.from);
                if !days.clone().zip(days.skip(1)).all(|(one, next)| one < next) {
                    return wrong(place + ".later", "must have ascending days in `from`".into());
                }
            }
        }
        Ok(())
    }

    /// The entry of a model of the provider `name`, whose API is at `host`, and its section's name.
    pub(super) fn find(&self, name: &str, host: &str, model: &str) -> Option<(&str, &ModelPrices)> {
        let (section, prices) = self.section(name, host)?;
        let own = prices.find(model).map(|entry| (section, entry));
        own.or_else(|| {
            let others = prices.fallback.iter();
            let mut others = others.filter_map(|other| self.providers.get_key_value(other));
            others.find_map(|(other, prices)| Some((other.as_str(), prices.find(model)?)))
        })
    }

    /// A section for this very provider; else that of its host; else that of its name, as for a
    /// proxy before a known provider.
    fn section(&self, name: &str, host: &str) -> Option<(&str, &ProviderPrices)> {
        let named = self.providers.get_key_value(name);
        let serves = |prices: &ProviderPrices| prices.hosts.iter().any(|one| one.matches(host));
        let (section, prices) = named
            .filter(|(_, prices)| prices.hosts.is_empty())
            .or_else(|| self.providers.iter().find(|(_, prices)| serves(prices)))
            .or(named)?;
        Some((section.as_str(), prices))
    }
}

impl From<PriceListDocument> for PriceList {
    fn from(document: PriceListDocument) -> Self {
        Self::new(document.source, document.date, document.providers)
    }
}

impl ProviderPrices {
    pub(super) fn new(hosts: Vec<Pattern>, models: Vec<ModelPrices>) -> Self {
        Self { hosts, fallback: Vec::new(), models }
    }

    fn find(&self, model: &str) -> Option<&ModelPrices> {
        self.models.iter().find(|entry| entry.matches(model))
    }
}

impl ModelPrices {
    /// The price of the models of one name.
    pub(super) fn of(model: Pattern, price: Price) -> Self {
        Self { r#match: vec![model], not: Vec::new(), price: Some(price), later: Vec::new() }
    }

    pub(super) fn patterns(&self) -> impl Iterator<Item = &str> + use<'_> {
        self.r#match.iter().map(Pattern::as_str)
    }

    /// Whether another entry has the same patterns.
    pub(super) fn is_for_the_same(&self, other: &Self) -> bool {
        self.r#match == other.r#match && self.not == other.not
    }

    pub(super) fn matches(&self, model: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(model));
        any(&self.r#match) && !any(&self.not)
    }

    /// What it costs on a day.
    pub(super) fn on(&self, day: Date) -> Option<&Price> {
        let later = self.later.iter().rev().find(|later| later.from <= day);
        later.map(|later| &later.price).or(self.price.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(providers: &str) -> String {
        let list =
            format!(r#"{{"source": "test", "date": "2026-11-27", "providers": {providers}}}"#);
        PriceList::parse(list.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn bad_lists_name_the_place() {
        for (providers, text) in [
            (
                r#"{"openai": {"models": [{"match": ["x"], "price": {"input": "-1", "output": "1"}}]}}"#,
                "`providers.openai.models[0].price.input`: `-1` is not a number of dollars; write \
                 digits and at most one point, such as `0.25`",
            ),
            (
                r#"{"a": {"models": [{"match": ["x"], "price": {"input": 1, "output": "1"}}]}}"#,
                "`providers.a.models[0].price.input`: invalid type: integer `1`, expected a string",
            ),
            (
                r#"{"a": {"models": [{"match": []}]}}"#,
                "`providers.a.models[0].match`: has no pattern",
            ),
            (r#"{"a": {"models": [{"match": [""]}]}}"#, "a pattern has 1 to 200 characters"),
            (r#"{"a": {"model": []}}"#, "`providers.a.model`: unknown field `model`"),
            (r#"{"a": {"fallback": ["b"], "models": []}}"#, "`providers.a.fallback`: `b` is not"),
            (
                r#"{"a": {"models": [{"match": ["x"], "later": [
                    {"from": "2027-01-01", "price": {"input": "1", "output": "1"}}]}]}}"#,
                "`providers.a.models[0]`: has `later` without `price`",
            ),
            (
                r#"{"a": {"models": [{"match": ["x"], "price": {"input": "1", "output": "1"}, "later": [
                    {"from": "2027-01-01", "price": {"input": "1", "output": "1"}},
                    {"from": "2027-01-01", "price": {"input": "1", "output": "1"}}]}]}}"#,
                "`providers.a.models[0].later`: must have ascending days",
            ),
            ("{", "is not valid JSON"),
        ] {
            let error = error(providers);
            assert!(error.contains(text), "{error}");
        }
        for bad in [
            r#"{"date": "2026-11-27", "providers": {}}"#,
            r#"{"source": "", "date": "2026-11-27", "providers": {}}"#,
            r#"{"source": "x", "date": "27.11.2026", "providers": {}}"#,
        ] {
            assert!(PriceList::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let twice = r#"{"source": "x", "date": "2026-11-27", "providers": {}} {}"#;
        assert!(PriceList::parse(twice.as_bytes()).is_err());
    }
}
