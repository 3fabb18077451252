use serde_json::{Map, Value};

use super::TemplateError;
use super::intrinsics::Resolver;

/// A map of a template, with its place.
#[derive(Debug)]
pub(super) struct Section<'a> {
    map: Map<String, Value>,
    place: String,
    resolver: &'a Resolver<'a>,
}

impl<'a> Section<'a> {
    /// A map that may have these fields; `ignored` ones mean nothing to the emulation.
    pub(super) fn new(
        value: Option<&Value>,
        place: impl Into<String>,
        resolver: &'a Resolver<'a>,
        known: &[&str],
        ignored: &[&str],
    ) -> Result<Self, TemplateError> {
        let section = Self::open(value, place, resolver)?;
        let stranger = section
            .map
            .keys()
            .find(|key| !known.contains(&key.as_str()) && !ignored.contains(&key.as_str()));
        match stranger {
            None => Ok(section),
            Some(key) => Err(TemplateError::new(
                section.at(key),
                "this property is not known; teach it to tests/e2e/src/aws/lambda/template",
            )),
        }
    }

    /// A map whose fields have any names.
    pub(super) fn open(
        value: Option<&Value>,
        place: impl Into<String>,
        resolver: &'a Resolver<'a>,
    ) -> Result<Self, TemplateError> {
        let place = place.into();
        match value {
            None => Ok(Self { map: Map::new(), place, resolver }),
            Some(Value::Object(map)) => Ok(Self { map: map.clone(), place, resolver }),
            Some(other) => Err(TemplateError::new(place, format!("`{other}` is not a map"))),
        }
    }

    /// The place of a field.
    pub(super) fn at(&self, field: &str) -> String {
        format!("{}.{field}", self.place)
    }

    /// A field as it stands.
    pub(super) fn raw(&self, field: &str) -> Option<&Value> {
        self.map.get(field)
    }

    /// The names of its fields.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.map.keys()
    }

    /// A field with its intrinsic functions worked out.
    pub(super) fn value(&self, field: &str) -> Result<Option<Value>, TemplateError> {
        match self.map.get(field) {
            Some(value) => self.resolver.resolve(value, &self.at(field)),
            None => Ok(None),
        }
    }

    /// A text, or a number or a truth value as text.
    pub(super) fn text(&self, field: &str) -> Result<Option<String>, TemplateError> {
        let Some(value) = self.value(field)? else { return Ok(None) };
        match value {
            Value::String(text) => Ok(Some(text)),
            Value::Number(number) => Ok(Some(number.to_string())),
            Value::Bool(truth) => Ok(Some(truth.to_string())),
            other => Err(TemplateError::new(self.at(field), format!("`{other}` is not text"))),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&self, field: &str) -> Result<String, TemplateError> {
        self.text(field)?.ok_or_else(|| TemplateError::new(self.at(field), "it is missing"))
    }

    /// A number, or a text that is one.
    pub(super) fn number(&self, field: &str) -> Result<Option<u32>, TemplateError> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let number = text.parse();
        number.map(Some).map_err(|_| {
            TemplateError::new(self.at(field), format!("`{text}` is not a whole number below 2³²"))
        })
    }

    /// One of these texts.
    pub(super) fn one_of(
        &self,
        field: &str,
        known: &[&'static str],
    ) -> Result<Option<&'static str>, TemplateError> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match known.iter().find(|known| **known == text) {
            Some(known) => Ok(Some(known)),
            None => Err(TemplateError::new(self.at(field), format!("`{text}` is not known"))),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, field: &str) -> Result<Vec<String>, TemplateError> {
        let Some(value) = self.value(field)? else { return Ok(Vec::new()) };
        let texts = value.as_array().and_then(|texts| {
            texts.iter().map(|text| text.as_str().map(str::to_owned)).collect::<Option<_>>()
        });
        texts.ok_or_else(|| TemplateError::new(self.at(field), "this is not a list of texts"))
    }
}
