//! Examples into files.

use std::borrow::Cow;
use std::io::Write;

use diogenes_core::datasets::{DatasetSchema, Example};
use serde_json::{Value, json};

use crate::error::FormatError;
use crate::format::Format;

/// The most fields that get columns of their own.
const MOST_FIELDS: usize = 100;

/// Writes one example after the other.
pub struct ExampleWriter<W: Write + Send> {
    form: Form<W>,
}

enum Form<W: Write + Send> {
    Csv {
        to: W,
        columns: Vec<Column>,
        line: Vec<u8>,
    },
    Jsonl {
        to: W,
    },
    #[cfg(feature = "parquet")]
    Parquet(Box<crate::parquet::ParquetWriter<W>>),
}

impl<W: Write + Send> ExampleWriter<W> {
    /// Begins a file with examples of a dataset with this schema, which says what columns there are: a
    /// field of an object has one where it is known that there are no others.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(format: Format, mut to: W, schema: &DatasetSchema) -> Result<Self, FormatError> {
        let columns = columns(schema);
        let form = match format {
            Format::Jsonl => Form::Jsonl { to },
            Format::Csv => {
                let mut line = Vec::new();
                for column in &columns {
                    push_field(&mut line, &column.name());
                }
                end_line(&mut line);
                to.write_all(&line)?;
                Form::Csv { to, columns, line }
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => {
                Form::Parquet(Box::new(crate::parquet::ParquetWriter::new(to, columns)?))
            }
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => {
                let reason = "this program was built without Parquet; use CSV or JSON lines";
                return Err(FormatError::unusable(reason));
            }
        };
        Ok(Self { form })
    }

    /// Adds an example.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, example: &Example) -> Result<(), FormatError> {
        match &mut self.form {
            Form::Csv { to, columns, line } => {
                line.clear();
                for column in columns {
                    push_field(line, &column.text(example).unwrap_or_default());
                }
                end_line(line);
                to.write_all(line)?;
            }
            Form::Jsonl { to } => {
                serde_json::to_writer(&mut *to, example).map_err(std::io::Error::from)?;
                to.write_all(b"\n")?;
            }
            #[cfg(feature = "parquet")]
            Form::Parquet(writer) => writer.write(example)?,
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(self) -> Result<W, FormatError> {
        match self.form {
            Form::Csv { mut to, .. } | Form::Jsonl { mut to } => {
                to.flush()?;
                Ok(to)
            }
            #[cfg(feature = "parquet")]
            Form::Parquet(writer) => writer.finish(),
        }
    }
}

/// A column of a file that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) of: Part,
    pub(crate) kind: Kind,
}

/// What a column has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Id,
    Input(Option<String>),
    Expected(Option<String>),
    Tags,
    Split,
    Source,
    Metadata,
}

/// As what a column is written where types are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text, or JSON.
    Text,
    Integer,
    Number,
    Boolean,
}

fn columns(schema: &DatasetSchema) -> Vec<Column> {
    let text = |of| Column { of, kind: Kind::Text };
    let mut columns = vec![text(Part::Id)];
    let is_closed = |described: &Value| {
        !schema.is_declared() || described.get("additionalProperties") == Some(&json!(false))
    };
    for (described, part) in [
        (schema.input(), Part::Input as fn(Option<String>) -> Part),
        (schema.expected(), Part::Expected),
    ] {
        let fields = described.as_ref().and_then(|described| {
            let is_object = described.get("type")?.as_str()? == "object" && is_closed(described);
            let fields = described.get("properties")?.as_object()?;
            (is_object && (1..=MOST_FIELDS).contains(&fields.len())).then_some(fields)
        });
        match fields {
            Some(fields) => columns.extend(fields.iter().map(|(name, described)| Column {
                of: part(Some(name.clone())),
                kind: Kind::of(Some(described)),
            })),
            None => columns.push(Column { of: part(None), kind: Kind::of(described.as_ref()) }),
        }
    }
    columns.extend([Part::Tags, Part::Split, Part::Source, Part::Metadata].map(text));
    columns
}

impl Kind {
    fn of(described: Option<&Value>) -> Self {
        let types = match described.and_then(|described| described.get("type")) {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let known: Vec<_> = types.into_iter().filter(|one| *one != "null").collect();
        match known[..] {
            ["integer"] => Self::Integer,
            ["number"] => Self::Number,
            ["boolean"] => Self::Boolean,
            _ => Self::Text,
        }
    }
}

impl Column {
    pub(crate) fn name(&self) -> String {
        let within = |name: &str, field: &Option<String>| match field {
            Some(field) => format!("{name}.{field}"),
            None => name.to_owned(),
        };
        match &self.of {
            Part::Id => "id".into(),
            Part::Input(field) => within("input", field),
            Part::Expected(field) => within("expected", field),
            Part::Tags => "tags".into(),
            Part::Split => "split".into(),
            Part::Source => "source".into(),
            Part::Metadata => "metadata".into(),
        }
    }

    /// The value of an input or an expected answer, or of a field of one.
    pub(crate) fn value<'a>(&self, example: &'a Example) -> Option<&'a Value> {
        let (value, field) = match &self.of {
            Part::Input(field) => (&example.content.input, field),
            Part::Expected(field) => (example.content.expected.as_ref()?, field),
            Part::Id | Part::Tags | Part::Split | Part::Source | Part::Metadata => return None,
        };
        match field {
            Some(field) => value.get(field),
            None => Some(value),
        }
    }

    /// What stands in the column: a text as it is, anything else as JSON.
    pub(crate) fn text<'a>(&self, example: &'a Example) -> Option<Cow<'a, str>> {
        let content = &example.content;
        match &self.of {
            Part::Id => Some(example.id.to_string().into()),
            Part::Input(_) | Part::Expected(_) => match self.value(example)? {
                Value::Null => None,
                Value::String(text) => Some(text.into()),
                value => Some(value.to_string().into()),
            },
            Part::Tags if content.tags.is_empty() => None,
            Part::Tags if content.tags.iter().any(|tag| tag.contains([',', '[', ' '])) => {
                Some(json!(content.tags).to_string().into())
            }
            Part::Tags => {
                let tags: Vec<_> = content.tags.iter().map(String::as_str).collect();
                Some(tags.join(",").into())
            }
            Part::Split => content.split.as_deref().map(Cow::from),
            Part::Source => content.source.as_deref().map(Cow::from),
            Part::Metadata if content.metadata.is_empty() => None,
            Part::Metadata => Some(json!(content.metadata).to_string().into()),
        }
    }
}

fn push_field(line: &mut Vec<u8>, field: &str) {
    let is_plain = !field.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if is_plain {
        line.extend_from_slice(field.as_bytes());
    } else {
        line.push(b'"');
        line.extend_from_slice(field.replace('"', "\"\"").as_bytes());
        line.push(b'"');
    }
    line.push(b',');
}

/// Puts the end of the line in the place of the last comma.
fn end_line(line: &mut Vec<u8>) {
    line.pop();
    line.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use diogenes_core::datasets::{ExampleContent, ExampleId};

    use super::*;
    use crate::mapping::{Mapper, Mapping};
    use crate::rows::open;

    fn examples() -> (DatasetSchema, Vec<Example>) {
        let mut schema = DatasetSchema::default();
        let contents: Vec<ExampleContent> = [
            json!({"input": {"q": "a \"b\",\nc", "n": 1}, "expected": "ä", "tags": ["x", "y"]}),
            json!({"input": {"q": "", "n": -7, "deep": {"x": [1.5, null]}}, "split": "test"}),
            json!({"input": {"q": "é", "n": 3}, "expected": "z", "tags": ["a, b"],
                "metadata": {"m": {"k": true}}, "source": "f:1"}),
        ]
        .map(|value| serde_json::from_value(value).unwrap())
        .into();
        for content in &contents {
            schema.widen(content);
        }
        let numbered = contents.into_iter().zip(1..);
        let examples =
            numbered.map(|(content, number)| Example { id: ExampleId::numbered(number), content });
        (schema, examples.collect())
    }

    fn written(format: Format, schema: &DatasetSchema, examples: &[Example]) -> Vec<u8> {
        let mut writer = ExampleWriter::new(format, Vec::new(), schema).unwrap();
        for example in examples {
            writer.write(example).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(format: Format, schema: &DatasetSchema, bytes: Vec<u8>) -> Vec<ExampleContent> {
        let mut rows = open(Box::new(Cursor::new(bytes)), format, None, None).unwrap().rows;
        let mapper = Mapper::new(&Mapping::default(), rows.columns(), schema).unwrap();
        let mut contents = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            contents.push(mapper.example(row.unwrap()).unwrap());
        }
        contents
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (schema, examples) = examples();
        let contents: Vec<_> = examples.iter().map(|example| example.content.clone()).collect();
        #[cfg(feature = "parquet")]
        let formats = [Format::Csv, Format::Jsonl, Format::Parquet];
        #[cfg(not(feature = "parquet"))]
        let formats = [Format::Csv, Format::Jsonl];
        for format in formats {
            let mut back = read(format, &schema, written(format, &schema, &examples));
            for content in &mut back {
                // A field that is not there and null are the same in a table.
                if let Some(fields) = content.input.as_object_mut() {
                    fields.retain(|_, value| !value.is_null());
                }
                if let Some(Value::String(text)) = content.input.get("deep").cloned() {
                    content.input["deep"] = serde_json::from_str(&text).unwrap();
                }
            }
            assert_eq!(back, contents, "{format}");
        }
    }

    #[test]
    fn columns_are_those_of_the_schema() {
        let (schema, examples) = examples();
        let text = String::from_utf8(written(Format::Csv, &schema, &examples)).unwrap();
        let header = "id,input.deep,input.n,input.q,expected,tags,split,source,metadata\n";
        assert!(text.starts_with(header), "{text}");
        let text = written(Format::Csv, &DatasetSchema::default(), &[]);
        assert_eq!(text, b"id,input,expected,tags,split,source,metadata\n");
    }
}
