//! What is different between two versions, in the terms of prompts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::content::{PromptContent, PromptMessage};
use super::words::{WordEdit, edits, similarity};

/// Two messages of one role are the same one, changed, when they are at least so alike.
const ALIKE: f64 = 0.3;

/// What is different between two versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub differences: Vec<Difference>,
    /// How alike the messages are, 0 to 1.
    pub similarity: f64,
    pub by: SimilarityBy,
}

/// What a similarity is measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimilarityBy {
    /// The words that both have.
    Words,
    /// The angle between embeddings by this model.
    Embeddings(String),
}

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Difference {
    /// Where, such as `messages[1].content`, `variables.tone` or `default_config.temperature`. The
    /// place of a message is that in the newer version, or, where it was removed, in the older one.
    pub field: String,
    #[serde(rename = "diff_type")]
    pub kind: DifferenceType,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub old_value: Option<Value>,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub new_value: Option<Value>,
    /// The pieces that make the newer text of the older one, where a message was changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<WordEdit>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DifferenceType {
    Added,
    Removed,
    /// A message that stands elsewhere; its values are the places.
    Moved,
    Modified,
}

impl Comparison {
    /// Compares an older version with a newer one.
    pub fn of(old: &PromptContent, new: &PromptContent) -> Self {
        let mut differences = of_messages(&old.messages, &new.messages);
        of_values("variables.", &variables(old), &variables(new), &mut differences);
        of_values("", &whole(old), &whole(new), &mut differences);
        of_values("default_config.", &config(old), &config(new), &mut differences);
        let similarity = similarity(&text(old), &text(new));
        Self { differences, similarity, by: SimilarityBy::Words }
    }
}

/// All that a version says, as one text.
fn text(content: &PromptContent) -> String {
    let parts = content
        .messages
        .iter()
        .flat_map(|message| [message.role.as_str(), ": ", message.content.as_str(), "\n"]);
    parts.collect()
}

fn variables(content: &PromptContent) -> BTreeMap<String, Value> {
    let named = content.variables.iter().map(|variable| {
        (variable.name.clone(), serde_json::to_value(variable).unwrap_or_default())
    });
    named.collect()
}

fn config(content: &PromptContent) -> BTreeMap<String, Value> {
    match serde_json::to_value(&content.default_config) {
        Ok(Value::Object(fields)) => fields.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

fn whole(content: &PromptContent) -> BTreeMap<String, Value> {
    let model = content.model.as_ref().map(|model| ("model".to_owned(), model.as_str().into()));
    let tools = content.tools.iter().enumerate().map(|(index, tool)| {
        let name = tool.pointer("/function/name").or_else(|| tool.get("name"));
        let name = name.and_then(Value::as_str).map_or_else(|| index.to_string(), str::to_owned);
        (format!("tools.{name}"), tool.clone())
    });
    model.into_iter().chain(tools).collect()
}

fn of_values(
    prefix: &str,
    old: &BTreeMap<String, Value>,
    new: &BTreeMap<String, Value>,
    into: &mut Vec<Difference>,
) {
    for (name, value) in old {
        match new.get(name) {
            Some(now) if now == value => {}
            now => into.push(difference(format!("{prefix}{name}"), Some(value), now)),
        }
    }
    for (name, value) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
        into.push(difference(format!("{prefix}{name}"), None, Some(value)));
    }
}

fn difference(field: String, old: Option<&Value>, new: Option<&Value>) -> Difference {
    let kind = match (old, new) {
        (None, _) => DifferenceType::Added,
        (_, None) => DifferenceType::Removed,
        (Some(_), Some(_)) => DifferenceType::Modified,
    };
    Difference { field, kind, old_value: old.cloned(), new_value: new.cloned(), words: Vec::new() }
}

/// A message that one side has where the other has none, with its place.
type Loose<'a> = Vec<(usize, &'a PromptMessage)>;

fn of_messages(old: &[PromptMessage], new: &[PromptMessage]) -> Vec<Difference> {
    let (mut gone, mut fresh): (Loose<'_>, Loose<'_>) = (Vec::new(), Vec::new());
    // Whatever stands in the same order on both sides is unchanged.
    let keys = |messages: &[PromptMessage]| -> Vec<(String, String)> {
        let key = |message: &PromptMessage| (message.role.as_str().into(), message.content.clone());
        messages.iter().map(key).collect()
    };
    for operation in capture_diff_slices(Algorithm::Myers, &keys(old), &keys(new)) {
        let (tag, before, after) = operation.as_tag_tuple();
        if tag != DiffTag::Equal {
            gone.extend(before.filter_map(|index| Some((index, old.get(index)?))));
            fresh.extend(after.filter_map(|index| Some((index, new.get(index)?))));
        }
    }
    let mut differences = Vec::new();
    pair(
        &mut gone,
        &mut fresh,
        |a, b| f64::from(u8::from(a == b)),
        |(from, _), (to, _)| {
            let mut moved =
                difference(format!("messages[{to}]"), Some(&from.into()), Some(&to.into()));
            moved.kind = DifferenceType::Moved;
            differences.push((to, moved));
        },
    );
    let alike = |a: &PromptMessage, b: &PromptMessage| {
        if a.role == b.role { similarity(&a.content, &b.content) } else { 0.0 }
    };
    pair(&mut gone, &mut fresh, alike, |(_, was), (to, is)| {
        let (before, after) = (was.content.as_str().into(), is.content.as_str().into());
        let mut modified =
            difference(format!("messages[{to}].content"), Some(&before), Some(&after));
        modified.words = edits(&was.content, &is.content);
        differences.push((to, modified));
    });
    let value = |message: &PromptMessage| serde_json::to_value(message).unwrap_or_default();
    differences.extend(gone.into_iter().map(|(index, message)| {
        (index, difference(format!("messages[{index}]"), Some(&value(message)), None))
    }));
    differences.extend(fresh.into_iter().map(|(index, message)| {
        (index, difference(format!("messages[{index}]"), None, Some(&value(message))))
    }));
    differences.sort_by_key(|(index, _)| *index);
    differences.into_iter().map(|(_, difference)| difference).collect()
}

/// Takes out the pairs that are alike, the most alike first.
fn pair<'a>(
    gone: &mut Loose<'a>,
    fresh: &mut Loose<'a>,
    alike: impl Fn(&PromptMessage, &PromptMessage) -> f64,
    mut found: impl FnMut((usize, &'a PromptMessage), (usize, &'a PromptMessage)),
) {
    let mut candidates = Vec::new();
    for (from, was) in gone.iter() {
        for (to, is) in fresh.iter() {
            let alike = alike(was, is);
            if alike >= ALIKE {
                candidates.push((alike, *from, *to));
            }
        }
    }
    // Of equals those that stand at the same place.
    candidates.sort_by(|a, b| {
        b.0.total_cmp(&a.0).then_with(|| a.1.abs_diff(a.2).cmp(&b.1.abs_diff(b.2)))
    });
    for (_, from, to) in candidates {
        let was = gone.iter().position(|(index, _)| *index == from);
        let is = fresh.iter().position(|(index, _)| *index == to);
        if let (Some(was), Some(is)) = (was, is) {
            found(gone.remove(was), fresh.remove(is));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::words::WordChange;
    use super::DifferenceType::{Added, Modified, Removed};
    use super::*;

    fn content(value: Value) -> PromptContent {
        serde_json::from_value(value).unwrap()
    }

    fn told(old: Value, new: Value) -> Vec<(String, DifferenceType)> {
        let comparison = Comparison::of(&content(old), &content(new));
        comparison.differences.into_iter().map(|found| (found.field, found.kind)).collect()
    }

    fn messages(texts: &[&str]) -> Value {
        let message = |text: &&str| {
            let (role, text) = text.split_once(' ').unwrap();
            json!({"role": role, "content": text})
        };
        json!({"messages": texts.iter().map(message).collect::<Vec<_>>()})
    }

    #[test]
    fn a_message_that_is_put_before_the_others_moves_none_of_them() {
        let old = messages(&["user a b c", "assistant d e f"]);
        let new = messages(&["system x y z", "user a b c", "assistant d e f"]);
        assert_eq!(told(old.clone(), new.clone()), [("messages[0]".into(), DifferenceType::Added)]);
        assert_eq!(told(new, old), [("messages[0]".into(), DifferenceType::Removed)]);
    }

    #[test]
    fn a_message_that_stands_elsewhere_was_moved() {
        let old = messages(&["system s", "user a", "assistant b", "user c"]);
        let new = messages(&["user a", "assistant b", "user c", "system s"]);
        let comparison = Comparison::of(&content(old), &content(new));
        let [moved] = &comparison.differences[..] else { panic!("{comparison:?}") };
        assert_eq!((moved.kind, moved.field.as_str()), (DifferenceType::Moved, "messages[3]"));
        assert_eq!((&moved.old_value, &moved.new_value), (&Some(0.into()), &Some(3.into())));
    }

    #[test]
    fn a_changed_message_is_told_word_by_word() {
        let old = messages(&["system Summarize the text in three sentences."]);
        let new = messages(&["system Summarize the text in two sentences."]);
        let comparison = Comparison::of(&content(old), &content(new));
        let [modified] = &comparison.differences[..] else { panic!("{comparison:?}") };
        assert_eq!(modified.field, "messages[0].content");
        let changed = modified.words.iter().filter(|edit| edit.change != WordChange::Equal);
        let changed: Vec<_> = changed.map(|edit| edit.text.as_str()).collect();
        assert_eq!(changed, ["three", "two"]);
        assert!((0.7..1.0).contains(&comparison.similarity), "{}", comparison.similarity);
    }

    #[test]
    fn variables_parameters_and_tools_are_compared_by_name() {
        let old = json!({
            "messages": [{"role": "user", "content": "x"}], "model": "a",
            "variables": [{"name": "gone"}, {"name": "kept"}],
            "default_config": {"temperature": 0.1, "max_tokens": 5},
        });
        let new = json!({
            "messages": [{"role": "user", "content": "x"}], "model": "b",
            "variables": [{"name": "kept", "type": "number"}, {"name": "new"}],
            "default_config": {"temperature": 0.2, "stop": ["."]},
            "tools": [{"type": "function", "function": {"name": "look"}}],
        });
        assert_eq!(
            told(old, new),
            [
                ("variables.gone".into(), Removed),
                ("variables.kept".into(), Modified),
                ("variables.new".into(), Added),
                ("model".into(), Modified),
                ("tools.look".into(), Added),
                ("default_config.max_tokens".into(), Removed),
                ("default_config.temperature".into(), Modified),
                ("default_config.stop".into(), Added),
            ]
        );
    }

    #[test]
    fn the_same_has_no_differences() {
        let same = messages(&["system a", "user b"]);
        let comparison = Comparison::of(&content(same.clone()), &content(same));
        assert_eq!(comparison.differences, []);
        assert!((comparison.similarity - 1.0).abs() < f64::EPSILON);
    }
}
