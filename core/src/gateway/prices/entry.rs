use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Price;
use super::list::{ModelPrices, PriceList};
use super::pattern::Pattern;
use crate::Timestamp;

/// What a list says of some models of a provider, on a day.
#[derive(Clone, Debug)]
pub struct PriceEntry<'a> {
    /// The name of the section that it stands in.
    pub provider: &'a str,
    entry: &'a ModelPrices,
    /// None if they are not priced by tokens.
    pub price: Option<&'a Price>,
    /// What they will cost, by the day from which they do, ascending.
    pub later: Vec<(Date, &'a Price)>,
}

impl<'a> PriceEntry<'a> {
    pub(super) fn of(provider: &'a str, entry: &'a ModelPrices, now: Timestamp) -> Self {
        let day = now.to_zoned(TimeZone::UTC).date();
        let later = entry.later.iter().filter(|later| later.from > day);
        let later = later.map(|later| (later.from, &later.price)).collect();
        Self { provider, entry, price: entry.on(day), later }
    }

    /// The patterns of the models' names.
    pub fn models(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.entry.patterns()
    }

    /// The patterns of the names that are excepted.
    pub fn exceptions(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.entry.not.iter().map(Pattern::as_str)
    }

    /// Whether it is for a model of this name; or, if `name` has stars, whether one of its patterns
    /// looks so.
    pub fn is_for(&self, name: &str) -> bool {
        if name.contains('*') {
            self.models().any(|pattern| is_named(name, pattern))
        } else {
            self.entry.matches(&name.to_ascii_lowercase())
        }
    }
}

/// Whether a name is `wanted`, in which `*` is any text and `#` a digit, in whatever case.
pub fn is_named(wanted: &str, name: &str) -> bool {
    let wanted = Pattern::try_from(wanted.to_owned());
    wanted.is_ok_and(|wanted| wanted.matches(&name.to_ascii_lowercase()))
}

impl PriceList {
    /// Everything that it says, as of now. Of entries for one model of a provider the first counts.
    pub fn entries(&self, now: Timestamp) -> impl Iterator<Item = PriceEntry<'_>> {
        self.providers.iter().flat_map(move |(provider, section)| {
            section.models.iter().map(move |entry| PriceEntry::of(provider, entry, now))
        })
    }
}
