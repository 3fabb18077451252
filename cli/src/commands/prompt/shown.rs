//! Prompts as people read them.

use std::fmt::Write as _;

use diogenes_api::control::{
    ComparisonBody, PromptBody, PromptHistory, PromptVersionBody, PushedPrompt,
};
use diogenes_core::prompts::{Difference, DifferenceType, PromptMessage, WordChange};
use serde_json::Value;

use crate::client::decode;
use crate::commands::{output, time};
use crate::exit::Failure;

pub(super) fn table(prompts: &[PromptBody]) -> String {
    output::table(
        &["SLUG", "NEWEST", "LABELS", "STATUS", "TAGS", "UPDATED"],
        prompts.iter().map(|prompt| {
            vec![
                prompt.slug.clone(),
                format!("v{}", prompt.version),
                dash(labels(prompt)),
                prompt.status.to_string(),
                dash(prompt.tags.iter().cloned().collect::<Vec<_>>().join(",")),
                time::stamp(prompt.updated_at),
            ]
        }),
    )
}

fn labels(prompt: &PromptBody) -> String {
    let labels = prompt.labels.iter().map(|(label, state)| format!("{label}=v{}", state.version));
    labels.collect::<Vec<_>>().join(",")
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

pub(super) fn prompt(prompt: &PromptBody) -> String {
    let metadata = prompt.metadata.iter().map(|(name, value)| format!("{name}={value}"));
    let protected = prompt.protected_labels.iter().map(ToString::to_string);
    let mut text = output::details([
        ("slug", prompt.slug.clone()),
        ("id", prompt.id.clone()),
        ("name", prompt.name.clone()),
        ("description", dash(prompt.description.clone())),
        ("status", prompt.status.to_string()),
        ("newest", format!("v{}", prompt.version)),
        ("tags", dash(prompt.tags.iter().cloned().collect::<Vec<_>>().join(", "))),
        ("metadata", dash(metadata.collect::<Vec<_>>().join(", "))),
        ("protected", dash(protected.collect::<Vec<_>>().join(", "))),
        ("project", prompt.project.to_string()),
        ("created", format!("{} by {}", time::stamp(prompt.created_at), prompt.created_by)),
        ("updated", format!("{} by {}", time::stamp(prompt.updated_at), prompt.updated_by)),
    ]);
    if !prompt.labels.is_empty() {
        let rows = prompt.labels.iter().map(|(label, state)| {
            vec![
                label.clone(),
                format!("v{}", state.version),
                time::stamp(state.at),
                state.by.clone(),
                dash(state.reason.clone()),
            ]
        });
        text.push_str("\n\n");
        text.push_str(&output::table(&["LABEL", "VERSION", "MOVED", "BY", "WHY"], rows));
    }
    text
}

pub(super) fn history(history: &Value) -> Result<String, Failure> {
    let versions = decode::<PromptHistory>(history.clone())?.data;
    let rows = versions.into_iter().map(|version| {
        vec![
            format!("v{}", version.version),
            dash(version.labels.join(",")),
            time::stamp(version.created_at),
            version.created_by,
            dash(version.change_description),
        ]
    });
    Ok(output::table(&["VERSION", "LABELS", "CREATED", "BY", "CHANGE"], rows))
}

pub(super) fn version(version: &PromptVersionBody) -> String {
    let config = serde_json::to_value(&version.default_config).unwrap_or_default();
    let variables = version.variables.iter().map(|variable| {
        let mut text = format!("{} ({}", variable.name, variable.kind.as_str());
        if let Some(value) = &variable.default_value {
            // Writing to a text does not fail.
            let _ = write!(text, ", {value} unless given");
        } else if !variable.is_required() {
            text.push_str(", optional");
        }
        text + ")"
    });
    let mut rows = vec![
        ("version", format!("{}:v{}", version.slug, version.version)),
        ("labels", dash(version.labels.join(", "))),
        ("model", dash(version.model.clone().unwrap_or_default())),
        ("variables", dash(variables.collect::<Vec<_>>().join(", "))),
        ("parameters", config.to_string()),
    ];
    if !version.tools.is_empty() {
        rows.push(("tools", version.tools.len().to_string()));
    }
    rows.push(("change", dash(version.change_description.clone())));
    let created = time::stamp(version.created_at);
    rows.push(("created", format!("{created} by {}", version.created_by)));
    format!("{}\n\n{}", output::details(rows), messages(&version.messages))
}

pub(super) fn messages(messages: &[PromptMessage]) -> String {
    let texts = messages
        .iter()
        .map(|message| format!("--- {}\n{}", message.role.as_str(), message.content.trim_end()));
    texts.collect::<Vec<_>>().join("\n")
}

pub(super) fn pushed(pushed: &PushedPrompt) -> String {
    let reference = format!("{}:v{}", pushed.version.slug, pushed.version.version);
    if !pushed.is_new {
        return format!("{reference} says the same; no new version was made");
    }
    match pushed.semantic_similarity {
        None => format!("pushed {reference}"),
        Some(_) if pushed.diffs.is_empty() => format!("pushed {reference}"),
        Some(_) => format!("pushed {reference}\n{}", differences(&pushed.diffs)),
    }
}

pub(super) fn comparison(comparison: &ComparisonBody) -> String {
    let by = match &comparison.embedding_model {
        Some(model) => format!("embeddings of {model}"),
        None => "words that both have".into(),
    };
    let alike = format!("similarity {:.2} (by {by})", comparison.semantic_similarity);
    if comparison.diffs.is_empty() {
        return format!("no differences\n{alike}");
    }
    format!("{}\n{alike}", differences(&comparison.diffs))
}

fn differences(diffs: &[Difference]) -> String {
    diffs.iter().map(difference).collect::<Vec<_>>().join("\n")
}

/// Changed words are told as `git diff --word-diff` tells them.
fn difference(found: &Difference) -> String {
    let field = &found.field;
    let plain = |value: &Option<Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(message) if message.get("content").is_some() => {
            let part = |name| message.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{}: {}", part("role"), part("content"))
        }
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let (old, new) = (plain(&found.old_value), plain(&found.new_value));
    match found.kind {
        DifferenceType::Added => format!("+ {field}: {new}"),
        DifferenceType::Removed => format!("- {field}: {old}"),
        DifferenceType::Moved => format!("> {field}: was messages[{old}]"),
        DifferenceType::Modified if found.words.is_empty() => format!("~ {field}: {old} -> {new}"),
        DifferenceType::Modified => {
            let words = found.words.iter().map(|edit| match edit.change {
                WordChange::Equal => edit.text.clone(),
                WordChange::Insert => format!("{{+{}+}}", edit.text),
                WordChange::Delete => format!("[-{}-]", edit.text),
            });
            format!("~ {field}: {}", words.collect::<String>())
        }
    }
}
