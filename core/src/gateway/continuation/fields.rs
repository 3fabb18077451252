use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// An object of which the fields keep their order, and their values every byte.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, Box<RawValue>)>);

/// An object to look at, of which nothing is copied. Most events are read once and written.
#[derive(Debug)]
pub(super) struct View<'a>(Vec<(Name<'a>, &'a RawValue)>);

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Fields {
    /// Reads an object. A field that stands twice could be read in two ways.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let view = View::read(std::str::from_utf8(text).ok()?)?;
        Some(view.to_fields(&[]))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    pub(super) fn raw(&self, name: &str) -> Option<&RawValue> {
        self.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The value of a field, if it is there, is not null, and can be read as such.
    pub(super) fn get<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Option<T> {
        serde_json::from_str::<Option<T>>(self.raw(name)?.get()).ok()?
    }

    /// Whether a field is there and is not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|value| value.get() != "null")
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(field, _)| field != name);
    }

    /// Replaces a field where it stands, or adds it.
    pub(super) fn set(&mut self, name: &str, value: &impl Serialize) {
        // What is written here has text for keys, and no maps that fail.
        if let Ok(value) = to_raw_value(value) {
            match self.0.iter_mut().find(|(field, _)| field == name) {
                Some((_, old)) => *old = value,
                None => self.0.push((name.to_owned(), value)),
            }
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'a> View<'a> {
    /// Reads an object. A field that stands twice could be read in two ways.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(Name(name), value)| (&**name, *value))
    }

    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The value of a field, if it is there, is not null, and can be read as such.
    pub(super) fn get<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str::<Option<T>>(self.raw(name)?.get()).ok()?
    }

    /// Whether a field is there and is not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|value| value.get() != "null")
    }

    /// A copy to keep, without some fields.
    pub(super) fn to_fields(&self, without: &[&str]) -> Fields {
        let kept = self.iter().filter(|(name, _)| !without.contains(name));
        Fields(kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for View<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = View<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<View<'de>, A::Error> {
                // As many as a chunk has.
                let mut fields: Vec<(Name<'de>, &'de RawValue)> = Vec::with_capacity(8);
                while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    if fields.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom("a field appears twice"));
                    }
                    fields.push((name, value));
                }
                Ok(View(fields))
            }
        }
        from.deserialize_map(Reader)
    }
}
