use diogenes_api::control::{ComparisonPart, EvalComparisonBody};
use diogenes_core::evals::Standing;

use super::Report;
use crate::commands::eval::shown::{percent, score, text, why};
use crate::commands::output;

/// How many failed results are shown.
const MOST_FAILED: usize = 20;
/// How much of a text is shown, in characters.
const SHOWN: usize = 200;

/// For a comment on a pull request.
pub(super) fn written(report: &Report) -> String {
    let run = &report.run;
    let mut lines = Vec::new();
    if let Some(compared) = &report.comparison {
        lines.extend(compared.headline.iter().map(|line| escaped(line)));
        lines.push(String::new());
    }
    let summary = &run.summary;
    let verdict =
        run.verdict.as_deref().map_or_else(|| run.status.to_string(), |it| it.replace('_', " "));
    lines.push(format!(
        "**{}** on `{}@v{}`: {verdict}. {} of {} results pass ({}), score {}.",
        escaped(&run.subject.name),
        run.dataset.name,
        run.dataset.version,
        summary.passed_count,
        run.completed_examples,
        summary.pass_rate.map_or_else(|| "-".into(), percent),
        score(summary.overall_score),
    ));
    if let Some(why) = &run.verdict_reason {
        lines.push(escaped(why));
    }
    lines.push(String::new());
    lines.push("| evaluator | score | passed | measured | unmeasured |".into());
    lines.push("| --- | ---: | ---: | ---: | ---: |".into());
    for spec in &run.evaluators {
        let of = summary.scores_by_evaluator.get(spec.name());
        lines.push(format!(
            "| {} | {} | {} | {} | {} |",
            cell(spec.name()),
            score(of.and_then(|it| it.score)),
            of.and_then(|it| it.pass_rate).map_or_else(|| "-".into(), percent),
            of.map_or(0, |it| it.measured_count),
            of.map_or(0, |it| it.unmeasured_count),
        ));
    }
    if let Some(compared) = &report.comparison {
        comparison(&mut lines, compared);
    }
    let failed: Vec<_> =
        report.results.iter().filter(|result| result.standing != Standing::Passed).collect();
    if !failed.is_empty() {
        lines.push(String::new());
        lines.push(format!("<details><summary>{} results did not pass</summary>", failed.len()));
        lines.push(String::new());
        lines.push("| example | input | answer | why |".into());
        lines.push("| --- | --- | --- | --- |".into());
        for result in failed.iter().take(MOST_FAILED) {
            lines.push(format!(
                "| {} | {} | {} | {} |",
                cell(&result.example_id),
                cell(&text(&result.input)),
                cell(result.actual_output.as_deref().unwrap_or("-")),
                cell(&why(result)),
            ));
        }
        if failed.len() > MOST_FAILED {
            lines.push(String::new());
            lines.push(format!("… and {} more", failed.len() - MOST_FAILED));
        }
        lines.push(String::new());
        lines.push("</details>".into());
    }
    let cost = summary.total_cost_usd.as_deref().map(output::dollars);
    let cost = cost.map(|cost| format!(", {cost}")).unwrap_or_default();
    lines.push(String::new());
    lines.push(format!("Run `{}`, {} tokens{cost}.", run.id, summary.total_tokens));
    lines.join("\n") + "\n"
}

fn comparison(lines: &mut Vec<String>, compared: &EvalComparisonBody) {
    lines.push(String::new());
    lines.push("| part | baseline | candidate | change | interval | verdict |".into());
    lines.push("| --- | ---: | ---: | ---: | --- | --- |".into());
    let worse = |part: &&ComparisonPart| part.verdict == "regressed";
    let parts = std::iter::once(&compared.overall)
        .chain(&compared.evaluators)
        .chain(compared.tags.iter().filter(worse))
        .chain(compared.clusters.iter().filter(worse));
    for part in parts {
        lines.push(format!(
            "| {} | {:.3} | {:.3} | {:+.3} | {:+.3} to {:+.3} | {} |",
            cell(&part.name),
            part.baseline,
            part.candidate,
            part.difference,
            part.lower,
            part.upper,
            part.verdict.replace('_', " "),
        ));
    }
}

/// A text in a cell of a table: models write it, and it must not become a table, a link or a mention.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().take(SHOWN).collect();
    if line.chars().count() > SHOWN {
        short.push('…');
    }
    escaped(&short)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' => escaped.push_str("&#64;"),
            '|' | '*' | '_' | '[' | ']' | '\\' | '!' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}
