//! Datasets as people read them.

use std::fmt::Write as _;

use diogenes_api::control::{DatasetBody, ExampleChangeBody, SnapshotBody, SnapshotComparison};
use diogenes_core::datasets::Example;
use indicatif::{BinaryBytes, HumanCount};
use serde_json::Value;

use crate::commands::{output, time};

/// The longest text of a cell, in characters.
const MOST_CELL: usize = 60;

fn dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

pub(super) fn table(datasets: &[DatasetBody]) -> String {
    output::table(
        &["NAME", "EXAMPLES", "NEWEST", "DIGEST", "TAGS", "UPDATED"],
        datasets.iter().map(|dataset| {
            vec![
                dataset.name.clone(),
                count(dataset.examples),
                format!("v{}", dataset.version),
                short(&dataset.digest).to_owned(),
                dash(dataset.tags.iter().cloned().collect::<Vec<_>>().join(",")),
                time::stamp(dataset.updated_at),
            ]
        }),
    )
}

pub(super) fn dataset(dataset: &DatasetBody) -> String {
    let metadata = dataset.metadata.iter().map(|(name, value)| format!("{name}={value}"));
    let prompts = dataset.prompts.iter().map(ToString::to_string);
    let kept = dataset.keep_snapshots.map_or_else(|| "all".into(), |count| count.to_string());
    output::details([
        ("name", dataset.name.clone()),
        ("id", dataset.id.clone()),
        ("description", dash(dataset.description.clone())),
        ("examples", count(dataset.examples)),
        ("size", BinaryBytes(dataset.bytes).to_string()),
        ("newest", format!("v{}, {}", dataset.version, short(&dataset.digest))),
        ("kept", format!("{kept} snapshots")),
        ("prompts", dash(prompts.collect::<Vec<_>>().join(", "))),
        ("tags", dash(dataset.tags.iter().cloned().collect::<Vec<_>>().join(", "))),
        ("metadata", dash(metadata.collect::<Vec<_>>().join(", "))),
        ("project", dataset.project.to_string()),
        ("created", format!("{} by {}", time::stamp(dataset.created_at), dataset.created_by)),
        ("updated", format!("{} by {}", time::stamp(dataset.updated_at), dataset.updated_by)),
    ])
}

pub(super) fn snapshot(snapshot: &SnapshotBody) -> String {
    let mut text = output::details([
        ("dataset", snapshot.dataset.clone()),
        ("snapshot", format!("v{}", snapshot.version)),
        ("digest", snapshot.digest.clone()),
        ("examples", count(snapshot.examples)),
        ("size", BinaryBytes(snapshot.bytes).to_string()),
        ("change", snapshot.change.clone()),
        ("created", format!("{} by {}", time::stamp(snapshot.created_at), snapshot.created_by)),
    ]);
    if let Some(schema) = &snapshot.schema {
        let origin = if schema.is_declared { "declared" } else { "told from the examples" };
        for (name, schema) in [("input", &schema.input), ("expected", &schema.expected)] {
            if let Some(schema) = schema {
                let pretty = serde_json::to_string_pretty(schema).unwrap_or_default();
                // A text takes everything.
                let _ = write!(text, "\n\nschema of {name}, {origin}:\n{pretty}");
            }
        }
    }
    text
}

pub(super) fn snapshots(snapshots: &[SnapshotBody]) -> String {
    output::table(
        &["SNAPSHOT", "DIGEST", "EXAMPLES", "CREATED", "BY", "CHANGE"],
        snapshots.iter().map(|snapshot| {
            vec![
                format!("v{}", snapshot.version),
                short(&snapshot.digest).to_owned(),
                count(snapshot.examples),
                time::stamp(snapshot.created_at),
                snapshot.created_by.clone(),
                snapshot.change.clone(),
            ]
        }),
    )
}

pub(super) fn examples(examples: &[Example]) -> String {
    output::table(
        &["ID", "INPUT", "EXPECTED", "TAGS", "SPLIT"],
        examples.iter().map(|example| {
            let content = &example.content;
            vec![
                example.id.to_string(),
                cell(&content.input),
                content.expected.as_ref().map_or_else(|| "-".into(), cell),
                dash(content.tags.iter().cloned().collect::<Vec<_>>().join(",")),
                content.split.clone().unwrap_or_else(|| "-".into()),
            ]
        }),
    )
}

/// A value in one line that is not too long.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > MOST_CELL {
        line = line.chars().take(MOST_CELL - 1).collect::<String>() + "…";
    }
    line
}

pub(super) fn comparison(diff: &SnapshotComparison) -> String {
    let mut lines = vec![format!(
        "v{} to v{}: {} added, {} removed, {} changed",
        diff.from.version,
        diff.to.version,
        count(diff.added),
        count(diff.removed),
        count(diff.changed)
    )];
    for ExampleChangeBody { id, before, after } in &diff.changes {
        let line = |sign: char, example: &Example| {
            let content = &example.content;
            let expected = content.expected.as_ref().map(|value| format!(" → {}", cell(value)));
            format!("{sign} {id}  {}{}", cell(&content.input), expected.unwrap_or_default())
        };
        lines.extend(before.as_ref().map(|example| line('-', example)));
        lines.extend(after.as_ref().map(|example| line('+', example)));
    }
    let all = diff.added + diff.removed + diff.changed;
    let shown = diff.changes.len() as u64;
    if shown < all {
        lines.push(format!("and {} more; --limit shows up to 500", count(all - shown)));
    }
    lines.join("\n")
}
