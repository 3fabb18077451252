use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::list::ModelPrices;
use super::{InvalidPriceList, Price, PriceEntry, PriceList};
use crate::Timestamp;
use crate::gateway::{ProviderName, ProviderSpec};

/// The prices that this version was built with.
const SNAPSHOT: &[u8] = include_bytes!("snapshot.json");

/// The prices of an installation: at most one list of each origin. The first list that knows a model
/// decides.
#[derive(Clone, Debug, Default)]
pub struct PriceBook {
    /// In the order in which they decide.
    lists: BTreeMap<PriceOrigin, Arc<PriceList>>,
}

/// Where a list of prices comes from, what decides first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PriceOrigin {
    /// The `prices` file of the configuration.
    File,
    /// An import.
    Imported,
    /// The release of the server.
    Embedded,
}

/// A price, and what it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced<'a> {
    pub price: &'a Price,
    pub version: PriceVersion,
}

/// What a price is from, to be stored with what it priced: `genai-prices 0.2.3 (MIT), 2026-11-27`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct PriceVersion(Arc<str>);

/// What an operator charges for a model of the fleet: a share of an instance has no price of its
/// own when a request is admitted. It is frozen: another price is another version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RateCard {
    /// The operator's name for it, such as `2026-11`.
    pub version: String,
    /// Dollars per million tokens, as text.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub price: Price,
}

/// A rate card that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`version` must have 1 to {} characters, without control characters",
    RateCard::LONGEST_VERSION
)]
pub struct InvalidRateCard;

impl PriceBook {
    /// The embedded prices alone.
    pub fn embedded() -> Result<Self, InvalidPriceList> {
        Ok(Self::default().with(PriceOrigin::Embedded, PriceList::parse(SNAPSHOT)?))
    }

    /// The same with a list in the place of the one of this origin.
    #[must_use]
    pub fn with(mut self, origin: PriceOrigin, list: PriceList) -> Self {
        self.lists.insert(origin, Arc::new(list));
        self
    }

    /// The same without the list of this origin.
    #[must_use]
    pub fn without(mut self, origin: PriceOrigin) -> Self {
        self.lists.remove(&origin);
        self
    }

    /// The lists and where they come from, the first that decides first.
    pub fn lists(&self) -> impl DoubleEndedIterator<Item = (PriceOrigin, &PriceList)> {
        self.lists.iter().map(|(origin, list)| (*origin, &**list))
    }

    /// The entry that says what [`price`](Self::price) says, and the list that has it.
    pub fn entry(
        &self,
        name: &ProviderName,
        spec: &ProviderSpec,
        model: &str,
        now: Timestamp,
    ) -> Option<(PriceOrigin, &PriceList, PriceEntry<'_>)> {
        let (origin, list, section, entry) = self.find(name, spec, model)?;
        Some((origin, list, PriceEntry::of(section, entry, now)))
    }

    /// What `model`, as the provider calls it, costs at `now`. None if no list knows it, or if the
    /// one that does knows no price by tokens.
    ///
    /// A provider is found by its name in lists that have no hosts for it, else by the host of its
    /// `base_url`, else by its name.
    pub fn price(
        &self,
        name: &ProviderName,
        spec: &ProviderSpec,
        model: &str,
        now: Timestamp,
    ) -> Option<Priced<'_>> {
        let day = now.to_zoned(TimeZone::UTC).date();
        let (_, list, _, entry) = self.find(name, spec, model)?;
        Some(Priced { price: entry.on(day)?, version: list.version.clone() })
    }

    fn find(
        &self,
        name: &ProviderName,
        spec: &ProviderSpec,
        model: &str,
    ) -> Option<(PriceOrigin, &PriceList, &str, &ModelPrices)> {
        let (host, model) = (spec.host(), model.to_ascii_lowercase());
        let find = |model: &str| {
            self.lists().find_map(|(origin, list)| {
                let (section, entry) = list.find(name.as_str(), &host, model)?;
                Some((origin, list, section, entry))
            })
        };
        find(&model).or_else(|| find(&with_dashed_date(&model)?))
    }
}

impl RateCard {
    /// The longest `version`, in characters.
    pub const LONGEST_VERSION: usize = 64;

    /// Checks what serde cannot.
    pub fn validate(&self) -> Result<(), InvalidRateCard> {
        let has_length = (1..=Self::LONGEST_VERSION).contains(&self.version.chars().count());
        let is_printable = !self.version.chars().any(char::is_control);
        (has_length && is_printable).then_some(()).ok_or(InvalidRateCard)
    }

    pub fn priced(&self) -> Priced<'_> {
        Priced { price: &self.price, version: format!("rate card {}", self.version).into() }
    }
}

impl PriceVersion {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for PriceVersion {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<PriceVersion> for String {
    fn from(version: PriceVersion) -> Self {
        version.as_str().to_owned()
    }
}

impl fmt::Display for PriceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl ProviderSpec {
    /// The host of its API, in lower case.
    pub(super) fn host(&self) -> String {
        host(&self.base_url).to_ascii_lowercase()
    }
}

/// The host of a URL that [`ProviderSpec::validate`] has accepted, without its port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// `gpt-5.2-20251211` as `gpt-5.2-2025-12-11`, which other gateways shorten; none if there is no
/// such date at the end.
fn with_dashed_date(model: &str) -> Option<String> {
    let (begin, date) = model.rsplit_once('-')?;
    let is_date = date.len() == 8 && date.starts_with("20");
    let date: u32 = date.parse().ok().filter(|_| is_date)?;
    let part = |part: u32| i8::try_from(part).ok();
    let (year, month, day) = (date / 10_000, part(date / 100 % 100)?, part(date % 100)?);
    let date = Date::new(i16::try_from(year).ok()?, month, day).ok()?;
    Some(format!("{begin}-{date}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::TokenUsage;
    use super::*;

    fn provider(name: &str, base_url: &str) -> (ProviderName, ProviderSpec) {
        let spec = json!({"kind": "openai", "base_url": base_url});
        (name.parse().unwrap(), serde_json::from_value(spec).unwrap())
    }

    /// The costs of a million tokens of prompt and of answer in dollars, at the standard rate.
    fn dollars(book: &PriceBook, name: &str, url: &str, model: &str, day: &str) -> Option<String> {
        let (name, spec) = provider(name, url);
        let now = format!("{day}T12:00:00Z").parse().unwrap();
        let priced = book.price(&name, &spec, model, now)?;
        // A hundred thousand, to stay below the tiers.
        let cost = |input, output| {
            let usage = TokenUsage { input, output, ..TokenUsage::default() };
            let cost = priced.price.cost(&usage, None).unwrap();
            crate::money::Dollars((cost.get() * 10).try_into().unwrap()).to_string()
        };
        Some(format!("{} {}", cost(100_000, 0), cost(0, 100_000)))
    }

    #[test]
    fn embedded_prices_are_those_of_the_providers() {
        let book = PriceBook::embedded().unwrap();
        let (openai, anthropic) = ("https://api.openai.com/v1", "https://api.anthropic.com");
        let google = "https://generativelanguage.googleapis.com/v1beta/openai";
        for (url, model, price) in [
            (openai, "gpt-5-mini", "$0.25 $2.00"),
            (openai, "gpt-5-mini-2025-08-07", "$0.25 $2.00"),
            (openai, "GPT-5-mini-20250807", "$0.25 $2.00"),
            (openai, "gpt-5.6-sol-2026-08-21", "$4.00 $20.00"),
            (openai, "text-embedding-3-small", "$0.02 $0.00"),
            (anthropic, "claude-haiku-4-5", "$1.00 $5.00"),
            (anthropic, "claude-haiku-4-5-20251001", "$1.00 $5.00"),
            (anthropic, "claude-opus-5@20260101", "$5.00 $25.00"),
            (google, "gemini-2.5-pro", "$1.25 $10.00"),
            // By the fallback of Google's section.
            (google, "claude-haiku-4-5", "$1.00 $5.00"),
            // Half the price by night; the dearer counts.
            ("https://api.deepseek.com", "deepseek-chat", "$0.27 $1.10"),
        ] {
            let found = dollars(&book, "any", url, model, "2026-11-27");
            assert_eq!(found.as_deref(), Some(price), "{model}");
        }
        for (url, model) in [
            (openai, "whisper-1"),
            (openai, "gpt-image-1"),
            (openai, "no-such-model"),
            (openai, "claude-haiku-4-5"),
            ("http://127.0.0.1:8000", "gpt-5-mini"),
        ] {
            assert_eq!(dollars(&book, "any", url, model, "2026-11-27"), None, "{model}");
        }
        // A proxy before the provider of this name.
        let proxied = dollars(&book, "openai", "http://10.0.0.1:80/v1", "gpt-5-mini", "2026-11-27");
        assert!(proxied.is_some());
    }

    #[test]
    fn prices_of_days_to_come_hold_from_their_day_on() {
        let book = PriceBook::embedded().unwrap();
        let google = "https://generativelanguage.googleapis.com/v1beta/openai";
        let price = |day| dollars(&book, "g", google, "gemini-4-argon", day).unwrap();
        assert_eq!(price("2026-11-30"), "$2.00 $10.00");
        assert_eq!(price("2026-12-01"), "$4.00 $20.00");
    }

    #[test]
    fn operators_lists_go_first() {
        let list = PriceList::parse(
            br#"{"source": "our contract", "date": "2026-11-01", "providers": {
                "openai": {"models": [
                    {"match": ["gpt-5-mini"], "price": {"input": "0.1", "output": "1"}},
                    {"match": ["gpt-5-nano"]}]},
                "my-azure": {"models": [
                    {"match": ["prod-*"], "price": {"input": "3", "output": "4"}}]}}}"#,
        );
        let book = PriceBook::embedded().unwrap().with(PriceOrigin::File, list.unwrap());
        let (openai, day) = ("https://api.openai.com/v1", "2026-11-27");
        let price = |name, url, model| dollars(&book, name, url, model, day);
        assert_eq!(price("openai", openai, "gpt-5-mini").as_deref(), Some("$0.10 $1.00"));
        assert_eq!(price("openai", openai, "gpt-5-nano"), None, "the contract has none");
        assert_eq!(price("other", openai, "gpt-5-mini").as_deref(), Some("$0.25 $2.00"));
        assert!(price("openai", openai, "gpt-4o").is_some(), "the embedded one");
        let azure = "https://x.openai.azure.com/openai/v1";
        assert_eq!(price("my-azure", azure, "prod-1").as_deref(), Some("$3.00 $4.00"));
        let version = |model| {
            let (name, spec) = provider("openai", openai);
            let now = Timestamp::UNIX_EPOCH;
            book.price(&name, &spec, model, now).unwrap().version.to_string()
        };
        assert_eq!(version("gpt-5-mini"), "our contract, 2026-11-01");
        assert_eq!(version("gpt-4o"), "genai-prices 0.2.3 (MIT), 2026-11-27");
    }

    #[test]
    fn the_file_goes_before_an_import_and_that_before_the_release() {
        let list = |source: &str, model: &str| {
            let list = json!({"source": source, "date": "2026-11-01", "providers": {"openai": {
                "models": [{"match": [model], "price": {"input": "1", "output": "1"}}]}}});
            PriceList::parse(list.to_string().as_bytes()).unwrap()
        };
        let book = PriceBook::embedded()
            .unwrap()
            .with(PriceOrigin::Imported, list("old", "*"))
            .with(PriceOrigin::File, list("file", "gpt-5-mini"))
            .with(PriceOrigin::Imported, list("import", "gpt-5-*"));
        let origin = |book: &PriceBook, model| {
            let (name, spec) = provider("openai", "https://api.openai.com/v1");
            book.entry(&name, &spec, model, Timestamp::UNIX_EPOCH).map(|(origin, ..)| origin)
        };
        let models = ["gpt-5-mini", "gpt-5-nano", "gpt-4o"];
        assert_eq!(
            models.map(|model| origin(&book, model)),
            [PriceOrigin::File, PriceOrigin::Imported, PriceOrigin::Embedded].map(Some)
        );
        let book = book.without(PriceOrigin::Imported);
        assert_eq!(origin(&book, "gpt-5-nano"), Some(PriceOrigin::Embedded));
    }

    #[test]
    fn rate_cards_name_their_version() {
        let card = json!({"version": "2026-11", "price": {"input": "0.10", "output": "0.40"}});
        let card: RateCard = serde_json::from_value(card).unwrap();
        assert_eq!(card.priced().version.to_string(), "rate card 2026-11");
        let usage = TokenUsage { input: 1_000_000, output: 1_000_000, ..TokenUsage::default() };
        assert_eq!(card.priced().price.cost(&usage, None).unwrap().get(), 500_000_000);
    }

    #[test]
    fn hosts_have_no_ports() {
        for (url, expected) in [
            ("https://api.openai.com/v1", "api.openai.com"),
            ("https://api.openai.com:443", "api.openai.com"),
            ("http://[::1]:8000/v1", "[::1]"),
        ] {
            assert_eq!(host(url), expected);
        }
    }

    #[test]
    fn snapshot_is_small() {
        assert!(SNAPSHOT.len() <= 60 * 1024, "{} bytes", SNAPSHOT.len());
    }
}
