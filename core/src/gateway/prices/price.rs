use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rates::{PerMillion, Rates, TokenUsage};
use crate::ports::Amount;

/// Tokens that a rate is for, times percent.
const MILLION_PERCENT: u128 = 1_000_000 * 100;

/// What a model costs.
///
/// As JSON, dollars per million tokens as text: `{"input": "0.25", "cached_input": "0.025",
/// "output": "2"}`. `input` and `output` are needed; the others (`cached_input`, `cache_write`,
/// `cache_write_1h`, `audio_input`, `audio_output`) cost the same as those unless they are given.
/// `above` has other rates for longer prompts: `[{"tokens": 200000, "price": {…}}]` holds for the
/// whole of a request with more than 200,000 tokens in its prompt. `services` says what the
/// service tiers of a provider cost, in percent: `{"priority": 180}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PriceDocument", into = "PriceDocument")]
pub struct Price {
    base: Rates,
    /// The rates of prompts with more tokens than this, ascending.
    above: Vec<(u64, Rates)>,
    services: BTreeMap<String, u32>,
}

/// A price that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrice {
    #[error("`above` must have ascending `tokens`; {0} follows a larger or the same number")]
    Order(u64),
    #[error("a price in `above` has only rates; put `above` and `services` beside it")]
    Nested,
}

impl Price {
    /// A price without tiers.
    pub fn flat(rates: Rates) -> Self {
        Self { base: rates, above: Vec::new(), services: BTreeMap::new() }
    }

    /// A price with other rates for longer prompts, ascending, and service tiers in percent.
    pub(super) fn tiered(
        base: Rates,
        above: Vec<(u64, Rates)>,
        services: BTreeMap<String, u32>,
    ) -> Self {
        Self { base, above, services }
    }

    /// The rates of prompts that are not long.
    pub fn base(&self) -> &Rates {
        &self.base
    }

    /// The rates of prompts with more tokens than so many, ascending.
    pub fn above(&self) -> &[(u64, Rates)] {
        &self.above
    }

    /// What service tiers cost, in percent of the rates.
    pub fn services(&self) -> &BTreeMap<String, u32> {
        &self.services
    }

    /// What `usage` costs, rounded up to the nano-dollar once. `service` is the service tier that
    /// served it; one without a percentage costs the standard price. None if it is more than
    /// [`Amount::MAX`], which no sound usage is.
    pub fn cost(&self, usage: &TokenUsage, service: Option<&str>) -> Option<Amount> {
        self.rounded(self.rates(usage.prompt()).millionths(usage)?, service)
    }

    /// The most that a request can cost whose prompt has at most `input` tokens, and which asks for
    /// `choices` answers of at most `output` tokens each. The bytes of a prompt are such a bound
    /// for byte-level tokenizers, and every token is taken for the dearest of its kind.
    pub fn bound(
        &self,
        input: u64,
        output: u64,
        choices: u32,
        service: Option<&str>,
    ) -> Option<Amount> {
        let output = u128::from(output).checked_mul(choices.into())?;
        // A shorter prompt may be dearer in an odd price, so all that can be reached count.
        let reached = self.above.iter().filter(|(tokens, _)| *tokens < input);
        let most = reached
            .map(|(_, rates)| rates)
            .chain([&self.base])
            .map(|rates| rates.most_millionths(input, output))
            .try_fold(0, |most: u128, one| Some(most.max(one?)))?;
        self.rounded(most, service)
    }

    /// The rates of a prompt with so many tokens.
    fn rates(&self, prompt: u64) -> &Rates {
        let longer = self.above.iter().rev().find(|(tokens, _)| prompt > *tokens);
        longer.map_or(&self.base, |(_, rates)| rates)
    }

    fn rounded(&self, millionths: u128, service: Option<&str>) -> Option<Amount> {
        let percent = service.and_then(|name| self.services.get(name)).copied().unwrap_or(100);
        let cost = millionths.checked_mul(percent.into())?.div_ceil(MILLION_PERCENT);
        Amount::try_from(u64::try_from(cost).ok()?).ok()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceDocument {
    input: PerMillion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cached_input: Option<PerMillion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_write: Option<PerMillion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_write_1h: Option<PerMillion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audio_input: Option<PerMillion>,
    output: PerMillion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audio_output: Option<PerMillion>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    above: Vec<AboveDocument>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<String, u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AboveDocument {
    tokens: u64,
    price: PriceDocument,
}

impl PriceDocument {
    fn rates(&self) -> Rates {
        let input = self.input.0;
        let or = |given: Option<PerMillion>, usual| given.map_or(usual, |given| given.0);
        let cache_write = or(self.cache_write, input);
        Rates {
            input,
            cached_input: or(self.cached_input, input),
            cache_write,
            cache_write_1h: or(self.cache_write_1h, cache_write),
            audio_input: or(self.audio_input, input),
            output: self.output.0,
            audio_output: or(self.audio_output, self.output.0),
        }
    }
}

impl From<Rates> for PriceDocument {
    fn from(rates: Rates) -> Self {
        let unless = |rate, usual| (rate != usual).then_some(PerMillion(rate));
        Self {
            input: PerMillion(rates.input),
            cached_input: unless(rates.cached_input, rates.input),
            cache_write: unless(rates.cache_write, rates.input),
            cache_write_1h: unless(rates.cache_write_1h, rates.cache_write),
            audio_input: unless(rates.audio_input, rates.input),
            output: PerMillion(rates.output),
            audio_output: unless(rates.audio_output, rates.output),
            above: Vec::new(),
            services: BTreeMap::new(),
        }
    }
}

impl TryFrom<PriceDocument> for Price {
    type Error = InvalidPrice;

    fn try_from(document: PriceDocument) -> Result<Self, InvalidPrice> {
        let mut above: Vec<(u64, Rates)> = Vec::new();
        for AboveDocument { tokens, price } in &document.above {
            if !price.above.is_empty() || !price.services.is_empty() {
                return Err(InvalidPrice::Nested);
            }
            if above.last().is_some_and(|(last, _)| last >= tokens) {
                return Err(InvalidPrice::Order(*tokens));
            }
            above.push((*tokens, price.rates()));
        }
        Ok(Self { base: document.rates(), above, services: document.services })
    }
}

impl From<Price> for PriceDocument {
    fn from(price: Price) -> Self {
        let above = price.above.into_iter();
        let above =
            above.map(|(tokens, rates)| AboveDocument { tokens, price: rates.into() }).collect();
        Self { above, services: price.services, ..price.base.into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn price(document: serde_json::Value) -> Price {
        serde_json::from_value(document).unwrap()
    }

    fn tiered() -> Price {
        price(json!({
            "input": "1.25", "cached_input": "0.125", "cache_write": "2", "output": "10",
            "above": [{"tokens": 200_000, "price": {"input": "2.5", "output": "15"}}],
            "services": {"priority": 180, "flex": 50},
        }))
    }

    #[test]
    fn cost_is_rounded_up_once() {
        let price = price(json!({"input": "0.14", "output": "0.000000001"}));
        let cost = |input, output| {
            let usage = TokenUsage { input, output, ..TokenUsage::default() };
            price.cost(&usage, None).unwrap().get()
        };
        // $0.14 per million is 140 nano-dollars a token; the output a millionth of one.
        assert_eq!((cost(1, 0), cost(1, 1), cost(3, 2), cost(0, 0)), (140, 141, 421, 0));
        assert_eq!(cost(0, 1_000_001), 2);
    }

    #[test]
    fn each_kind_of_token_has_its_rate() {
        let usage = TokenUsage {
            input: 1000,
            cached_input: 100,
            cache_write: 10,
            cache_write_1h: 10,
            audio_input: 10,
            output: 100,
            audio_output: 10,
        };
        // 870 at 1.25, 100 at 0.125, 20 at 2, 10 at 1.25, and 100 at 10, in micro-dollars.
        let micro = 870.0 * 1.25 + 100.0 * 0.125 + 20.0 * 2.0 + 10.0 * 1.25 + 1000.0;
        let cost = tiered().cost(&usage, None).unwrap().get();
        assert_eq!(cost.to_string(), format!("{:.0}", micro * 1000.0));
        // Details that contradict the sum are charged all the same.
        let odd = TokenUsage { input: 5, cached_input: 8, ..TokenUsage::default() };
        assert_eq!(tiered().cost(&odd, None).unwrap().get(), 1000);
    }

    #[test]
    fn long_prompts_cost_their_tier_and_bounds_the_dearest_that_they_reach() {
        let price = tiered();
        let cost = |input| {
            let usage = TokenUsage { input, ..TokenUsage::default() };
            price.cost(&usage, None).unwrap().get()
        };
        assert_eq!((cost(200_000), cost(200_001)), (250_000_000, 500_002_500));
        let bound = |input| price.bound(input, 0, 1, None).unwrap().get();
        // What is written to the cache is dearer than the rest of a short prompt.
        assert_eq!((bound(200_000), bound(200_001)), (400_000_000, 500_002_500));
        assert_eq!(price.bound(0, 1000, 3, None).unwrap().get(), 30_000_000);
    }

    #[test]
    fn service_tiers_cost_their_share() {
        let usage = TokenUsage { input: 100, ..TokenUsage::default() };
        let cost = |service| tiered().cost(&usage, service).unwrap().get();
        assert_eq!(cost(None), 125_000);
        assert_eq!(cost(Some("priority")), 225_000);
        assert_eq!(cost(Some("flex")), 62_500);
        assert_eq!(cost(Some("default")), 125_000);
    }

    #[test]
    fn what_cannot_be_counted_is_no_amount() {
        let dear = price(json!({"input": "9223372036.854775807", "output": "1"}));
        let usage = TokenUsage { input: u64::MAX, output: u64::MAX, ..TokenUsage::default() };
        assert_eq!(dear.cost(&usage, None), None);
        assert_eq!(dear.bound(u64::MAX, u64::MAX, u32::MAX, None), None);
        let million = TokenUsage { input: 1_000_000, ..TokenUsage::default() };
        assert_eq!(dear.cost(&million, None), Some(Amount::MAX));
        for bad in [json!({"input": -1}), json!({"input": 1.5}), json!({"prompt": 1})] {
            assert!(serde_json::from_value::<TokenUsage>(bad).is_err());
        }
    }

    #[test]
    fn bad_prices_say_what_is_wrong() {
        for (bad, part) in [
            (json!({"input": "1"}), "missing field `output`"),
            (json!({"input": "-1", "output": "1"}), "`-1` is not a number of dollars"),
            (json!({"input": "NaN", "output": "1"}), "`NaN` is not a number of dollars"),
            (json!({"input": "1e3", "output": "1"}), "`1e3` is not a number of dollars"),
            (json!({"input": 0.25, "output": "1"}), "expected a string"),
            (json!({"input": "0.0000000001", "output": "1"}), "at most 9 decimals"),
            (json!({"input": "99999999999", "output": "1"}), "is too much"),
            (json!({"input": "1", "outptu": "1"}), "unknown field `outptu`"),
            (
                json!({"input": "1", "output": "1", "above": [
                    {"tokens": 5, "price": {"input": "1", "output": "1"}},
                    {"tokens": 5, "price": {"input": "1", "output": "1"}}]}),
                "ascending `tokens`; 5 follows",
            ),
            (
                json!({"input": "1", "output": "1", "above": [
                    {"tokens": 5, "price": {"input": "1", "output": "1", "services": {"x": 1}}}]}),
                "has only rates",
            ),
            (json!({"input": "1", "output": "1", "services": {"x": -5}}), "expected u32"),
        ] {
            let error = serde_json::from_value::<Price>(bad.clone()).unwrap_err().to_string();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn prices_are_written_as_they_are_read() {
        let document = serde_json::to_value(tiered()).unwrap();
        assert_eq!(document["input"], "1.25");
        assert_eq!(price(document), tiered());
    }

    proptest! {
        #[test]
        fn no_cost_is_above_its_bound(
            input in 0_u64..500_000, parts in prop::array::uniform4(0_u64..200_000),
            output in 0_u64..100_000, spoken in 0_u64..100_000,
            service in prop::option::of("priority|flex|default"),
        ) {
            let [cached_input, cache_write, cache_write_1h, audio_input] = parts;
            let audio_output = spoken.min(output);
            let usage = TokenUsage {
                input, cached_input, cache_write, cache_write_1h, audio_input, output, audio_output,
            };
            let price = tiered();
            let service = service.as_deref();
            let bound = price.bound(usage.prompt(), output, 1, service).unwrap();
            prop_assert!(price.cost(&usage, service).unwrap() <= bound);
        }
    }
}
