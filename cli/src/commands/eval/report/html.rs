//! One page with everything in it: it fetches nothing, and runs nothing.

use std::fmt::{Arguments, Write as _};

use diogenes_api::control::{ComparisonPart, EvalComparisonBody, EvalResultBody};
use diogenes_core::evals::Standing;

use super::{Report, plots};
use crate::commands::eval::shown::{percent, score, text, why};
use crate::commands::{output, time};

/// How many results are in the page, those that did not pass first.
const MOST_RESULTS: usize = 500;
/// How much of a text is shown, in characters.
const SHOWN: usize = 4_000;

const STYLE: &str = "
:root{color-scheme:light dark;--pass:#2a9d60;--fail:#d1495b;--none:#9a9a9a;--bar:#4a7fb5}
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #8884}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;font:13px/1.4 ui-monospace,monospace;max-height:16rem;overflow:auto}
svg{max-width:42rem;width:100%;font:13px system-ui,sans-serif}svg text{fill:currentColor}
.pass{fill:var(--pass)}.fail{fill:var(--fail)}.none{fill:var(--none)}.bar{fill:var(--bar)}
.axis{stroke:#888;stroke-dasharray:3 3}g line{stroke:var(--none);stroke-width:3}g circle{fill:var(--none)}
.improved line,.no_worse line{stroke:var(--pass)}.improved circle,.no_worse circle{fill:var(--pass)}
.regressed line{stroke:var(--fail)}.regressed circle{fill:var(--fail)}
.headline{font-size:1.15rem;margin:.2rem 0}.sub{color:#888}
";

pub(super) fn written(report: &Report) -> String {
    let run = &report.run;
    let title = format!("{} on {}@v{}", run.subject.name, run.dataset.name, run.dataset.version);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{0}</title><style>{STYLE}</style></head><body><h1>{0}</h1>\n",
        escaped(&title)
    );
    if let Some(compared) = &report.comparison {
        for line in &compared.headline {
            push(&mut page, format_args!("<p class=\"headline\">{}</p>\n", escaped(line)));
        }
    }
    page += &summary(report);
    push(
        &mut page,
        format_args!("<h2>Evaluators</h2>\n{}\n{}", plots::shares(run), evaluators(report)),
    );
    if let Some(compared) = &report.comparison {
        page += &comparison(compared);
    }
    for (index, spec) in run.evaluators.iter().enumerate() {
        if spec.kind.is_graded() {
            push(&mut page, format_args!("<h2>Scores by {}</h2>\n", escaped(spec.name())));
            page += &plots::scores(&report.results, index);
        }
    }
    push(&mut page, format_args!("<h2>Latency</h2>\n{}\n", plots::latencies(&report.results)));
    page += &results(report);
    page + "</body></html>\n"
}

fn summary(report: &Report) -> String {
    let run = &report.run;
    let of = &run.summary;
    let verdict = match (&run.verdict, &run.verdict_reason) {
        (Some(verdict), Some(why)) => format!("{}: {why}", verdict.replace('_', " ")),
        (Some(verdict), None) => verdict.replace('_', " "),
        (None, _) => run.status.to_string(),
    };
    let cost = of.total_cost_usd.as_deref().map_or_else(|| "-".into(), output::dollars);
    let rows = [
        ("Verdict", verdict),
        (
            "Passed",
            format!(
                "{} of {} ({})",
                of.passed_count,
                run.completed_examples,
                of.pass_rate.map_or_else(|| "-".into(), percent)
            ),
        ),
        ("Failed, unmeasured", format!("{}, {}", of.failed_count, of.unmeasured_count)),
        ("Overall score", score(of.overall_score)),
        ("Model", run.subject.model.clone().unwrap_or_else(|| "-".into())),
        ("Cost, tokens", format!("{cost}, {}", of.total_tokens)),
        ("Snapshot", format!("{} ({} examples)", run.dataset.digest, run.dataset.examples)),
        ("Run", format!("{}, {}", run.id, time::stamp(run.created_at))),
    ];
    let mut table = String::from("<table>");
    for (name, value) in rows {
        push(&mut table, format_args!("<tr><th>{name}</th><td>{}</td></tr>", escaped(&value)));
    }
    for warning in &run.warnings {
        push(&mut table, format_args!("<tr><th>Warning</th><td>{}</td></tr>", escaped(warning)));
    }
    table + "</table>\n"
}

fn evaluators(report: &Report) -> String {
    let mut table = String::from(
        "<table><tr><th>Evaluator</th><th class=\"n\">Score</th><th class=\"n\">Passed</th><th class=\"n\">Measured</th><th class=\"n\">Unmeasured</th></tr>",
    );
    for spec in &report.run.evaluators {
        let of = report.run.summary.scores_by_evaluator.get(spec.name());
        push(
            &mut table,
            format_args!(
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                escaped(spec.name()),
                score(of.and_then(|it| it.score)),
                of.and_then(|it| it.pass_rate).map_or_else(|| "-".into(), percent),
                of.map_or(0, |it| it.measured_count),
                of.map_or(0, |it| it.unmeasured_count),
            ),
        );
    }
    table + "</table>\n"
}

fn comparison(compared: &EvalComparisonBody) -> String {
    let baseline = &compared.baseline;
    let mut page = format!(
        "<h2>Beside {}</h2>\n",
        escaped(&format!("{} ({})", baseline.subject.name, baseline.id))
    );
    let parts: Vec<&ComparisonPart> =
        std::iter::once(&compared.overall).chain(&compared.evaluators).collect();
    page += &plots::differences(&parts);
    page += &table_of(&parts);
    for (title, parts) in [("Tags", &compared.tags), ("Clusters", &compared.clusters)] {
        if !parts.is_empty() {
            let parts: Vec<&ComparisonPart> = parts.iter().collect();
            push(
                &mut page,
                format_args!("<h2>{title}, the worst first</h2>\n{}", plots::differences(&parts)),
            );
            page += &table_of(&parts);
        }
    }
    if !compared.changed.is_empty() {
        push(
            &mut page,
            format_args!(
                "<h2>Changed examples, the worst first</h2>\n<p class=\"sub\">{} got worse, {} got better</p>\n<table><tr><th>Example</th><th class=\"n\">Change</th><th>Input</th><th>Baseline</th><th>Candidate</th></tr>",
                compared.worse_count, compared.better_count
            ),
        );
        for changed in &compared.changed {
            let side = |answer: &Option<String>| pre(answer.as_deref().unwrap_or("-"));
            push(
                &mut page,
                format_args!(
                    "<tr><td>{}</td><td class=\"n\">{:+.2}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    escaped(&changed.example_id),
                    changed.difference,
                    pre(&text(&changed.input)),
                    side(&changed.baseline.answer),
                    side(&changed.candidate.answer),
                ),
            );
        }
        page += "</table>\n";
    }
    page
}

fn table_of(parts: &[&ComparisonPart]) -> String {
    let mut table = String::from(
        "<table><tr><th></th><th class=\"n\">Baseline</th><th class=\"n\">Candidate</th><th class=\"n\">Change</th><th>Interval</th><th class=\"n\">Examples</th><th>Verdict</th></tr>",
    );
    for part in parts {
        push(
            &mut table,
            format_args!(
                "<tr><td>{}</td><td class=\"n\">{:.3}</td><td class=\"n\">{:.3}</td><td class=\"n\">{:+.3}</td><td>{:+.3} to {:+.3}</td><td class=\"n\">{}</td><td>{}</td></tr>",
                escaped(&part.name),
                part.baseline,
                part.candidate,
                part.difference,
                part.lower,
                part.upper,
                part.examples,
                escaped(&part.verdict.replace('_', " ")),
            ),
        );
    }
    table + "</table>\n"
}

fn results(report: &Report) -> String {
    let is_bad = |result: &&EvalResultBody| result.standing != Standing::Passed;
    let bad = report.results.iter().filter(is_bad);
    let good = report.results.iter().filter(|result| !is_bad(result));
    let mut page = String::from(
        "<h2>Results</h2>\n<table><tr><th>Example</th><th>Result</th><th>Input</th><th>Expected</th><th>Answer</th><th>Why</th></tr>",
    );
    for result in bad.chain(good).take(MOST_RESULTS) {
        let standing = match result.standing {
            Standing::Passed => "passed",
            Standing::Failed => "failed",
            Standing::Unmeasured => "unmeasured",
        };
        push(
            &mut page,
            format_args!(
                "<tr><td>{}</td><td>{standing}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(&result.example_id),
                pre(&text(&result.input)),
                pre(&result.expected_output.as_ref().map(text).unwrap_or_default()),
                pre(result.actual_output.as_deref().unwrap_or("-")),
                escaped(&why(result)),
            ),
        );
    }
    page += "</table>\n";
    if report.results.len() > MOST_RESULTS {
        let more = report.results.len() - MOST_RESULTS;
        push(
            &mut page,
            format_args!(
                "<p class=\"sub\">{more} more results are in the JSON and CSV reports</p>\n"
            ),
        );
    }
    page
}

fn pre(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN).collect();
    if text.chars().count() > SHOWN {
        short.push('…');
    }
    format!("<pre>{}</pre>", escaped(&short))
}

/// Adds to a page.
pub(super) fn push(page: &mut String, what: Arguments<'_>) {
    // A text takes whatever is written to it.
    let _ = page.write_fmt(what);
}

/// A text in a page: models write it.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
