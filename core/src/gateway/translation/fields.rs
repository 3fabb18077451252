//! A strict reader of JSON: every field is either taken or refused by its path.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A request with something in it that the other API cannot express, or that is not a request of
/// its own API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {problem}")]
pub struct Untranslatable {
    /// The path of the field, such as `messages[2].content[0]`.
    pub field: String,
    /// What is wrong with it, to be read behind the field's name.
    pub problem: String,
}

/// Where a value stands. It is only written out for an error.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'p> {
    Body,
    Field(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => f.write_str("body"),
            Self::Field(Self::Body, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    pub(super) fn refuse(&self, problem: impl Into<String>) -> Untranslatable {
        Untranslatable { field: self.to_string(), problem: problem.into() }
    }
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'p, 'a> {
    pub(super) path: Path<'p>,
    pub(super) raw: &'a RawValue,
}

impl<'p, 'a> Node<'p, 'a> {
    pub(super) fn refuse(&self, problem: impl Into<String>) -> Untranslatable {
        self.path.refuse(problem)
    }

    fn read<T: Deserialize<'a>>(&self, expected: &str) -> Result<T, Untranslatable> {
        serde_json::from_str(self.raw.get()).map_err(|_| self.refuse(expected))
    }

    fn begins_with(&self, first: impl Fn(char) -> bool) -> bool {
        self.raw.get().starts_with(first)
    }

    pub(super) fn is_string(&self) -> bool {
        self.begins_with(|first| first == '"')
    }

    pub(super) fn string(&self) -> Result<String, Untranslatable> {
        self.read("must be a string")
    }

    pub(super) fn boolean(&self) -> Result<bool, Untranslatable> {
        self.read("must be a boolean")
    }

    pub(super) fn whole_number(&self) -> Result<u64, Untranslatable> {
        self.read("must be a whole number, zero or more")
    }

    /// A number as it is written: reading and writing it could change its last digit.
    pub(super) fn number(&self) -> Result<&'a RawValue, Untranslatable> {
        if self.begins_with(|first| first == '-' || first.is_ascii_digit()) {
            Ok(self.raw)
        } else {
            Err(self.refuse("must be a number"))
        }
    }

    /// An object as it is written: the order of its fields can mean something to a model.
    pub(super) fn raw_object(&self) -> Result<&'a RawValue, Untranslatable> {
        if self.begins_with(|first| first == '{') {
            Ok(self.raw)
        } else {
            Err(self.refuse("must be an object"))
        }
    }

    pub(super) fn list(&'p self) -> Result<impl Iterator<Item = Node<'p, 'a>>, Untranslatable> {
        let items: Vec<&'a RawValue> = self.read("must be a list")?;
        let item = |(index, raw)| Node { path: Path::Item(&self.path, index), raw };
        Ok(items.into_iter().enumerate().map(item))
    }

    pub(super) fn object(&'p self) -> Result<Object<'p, 'a>, Untranslatable> {
        self.raw_object()?;
        let Fields(fields) = serde_json::from_str(self.raw.get())
            .map_err(|_| self.refuse("must not repeat a field"))?;
        Ok(Object { path: &self.path, fields })
    }
}

/// What is yet to be taken of an object.
#[derive(Debug)]
pub(super) struct Object<'p, 'a> {
    path: &'p Path<'p>,
    fields: Vec<(String, &'a RawValue)>,
}

impl<'p, 'a> Object<'p, 'a> {
    /// A field; a null counts as none.
    pub(super) fn take(&mut self, name: &'p str) -> Option<Node<'p, 'a>> {
        let place = self.fields.iter().position(|(field, _)| field == name)?;
        let (_, raw) = self.fields.remove(place);
        (raw.get() != "null").then_some(Node { path: Path::Field(self.path, name), raw })
    }

    pub(super) fn require(&mut self, name: &'p str) -> Result<Node<'p, 'a>, Untranslatable> {
        self.take(name).ok_or_else(|| Path::Field(self.path, name).refuse("is required"))
    }

    pub(super) fn string(&mut self, name: &'p str) -> Result<Option<String>, Untranslatable> {
        self.take(name).map(|node| node.string()).transpose()
    }

    pub(super) fn boolean(&mut self, name: &'p str) -> Result<Option<bool>, Untranslatable> {
        self.take(name).map(|node| node.boolean()).transpose()
    }

    pub(super) fn whole_number(&mut self, name: &'p str) -> Result<Option<u64>, Untranslatable> {
        self.take(name).map(|node| node.whole_number()).transpose()
    }

    pub(super) fn number(&mut self, name: &'p str) -> Result<Option<&'a RawValue>, Untranslatable> {
        self.take(name).map(|node| node.number()).transpose()
    }

    /// Leaves fields out of the translation, whatever is in them.
    pub(super) fn leave_out(&mut self, names: &[&str]) {
        self.fields.retain(|(field, _)| !names.contains(&field.as_str()));
    }

    /// Leaves fields out whose value asks for nothing; any other value of them is refused.
    pub(super) fn leave_out_if(&mut self, neutral: &[(&str, &[&str])]) {
        self.fields.retain(|(field, raw)| {
            !neutral.iter().any(|(name, values)| name == field && values.contains(&raw.get()))
        });
    }

    /// Refuses the first field that nobody took.
    pub(super) fn finish(&self, problem: &str) -> Result<(), Untranslatable> {
        match self.fields.iter().find(|(_, raw)| raw.get() != "null") {
            Some((name, _)) => Err(Path::Field(self.path, name).refuse(problem)),
            None => Ok(()),
        }
    }
}

/// The fields of an object in their order, each once.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Self::Value = Vec::new();
                while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
                    if fields.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom("a field appears twice"));
                    }
                    fields.push((name, raw));
                }
                Ok(fields)
            }
        }
        from.deserialize_map(Reader).map(Fields)
    }
}
