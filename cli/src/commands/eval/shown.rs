//! What people see of evals.

use diogenes_api::control::{
    CalibrationBody, ComparisonPart, EvalBody, EvalComparisonBody, EvalPlanBody, EvalResultBody,
    EvalResultPage,
};
use diogenes_core::Timestamp;
use diogenes_core::evals::evaluators::EvaluatorTypeInfo;
use diogenes_core::evals::{EvalStatus, Standing};
use serde_json::Value;

use crate::client::decode;
use crate::commands::{output, time};
use crate::exit::Failure;

/// How much of a text a column shows, in characters.
const SHOWN: usize = 60;

/// One run.
pub(super) fn run(value: &Value, format: output::Format) -> Result<(), Failure> {
    output::result(format, value, || Ok(details(&decode(value.clone())?)))
}

pub(super) fn details(run: &EvalBody) -> String {
    let summary = &run.summary;
    let mut rows = vec![
        ("id", run.id.clone()),
        ("status", status(run)),
        ("subject", subject(run)),
        (
            "dataset",
            format!(
                "{}@v{} ({} examples)",
                run.dataset.name, run.dataset.version, run.dataset.examples
            ),
        ),
        ("results", format!("{}/{}", run.completed_examples, run.total_examples)),
    ];
    if !run.name.is_empty() {
        rows.insert(1, ("name", run.name.clone()));
    }
    if run.completed_examples > 0 {
        rows.push(("passed", passed(run)));
        rows.push(("score", score(summary.overall_score)));
        rows.push((
            "latency",
            summary
                .avg_latency_ms
                .map_or_else(|| "-".into(), |ms| format!("{ms:.0} ms on average")),
        ));
        rows.push(("used", used(run)));
    }
    if let Some(problem) = &run.problem {
        rows.push(("problem", problem.clone()));
    }
    rows.push(("job", run.job_id.clone()));
    rows.push(("created", time::stamp(run.created_at)));
    rows.push(("ended", run.ended_at.map_or_else(|| "-".into(), time::stamp)));
    let mut text = output::details(rows);
    if run.completed_examples > 0 {
        text = format!("{text}\n\n{}", evaluators_of(run));
    }
    for warning in &run.warnings {
        text = format!("{text}\nwarning: {warning}");
    }
    text
}

fn status(run: &EvalBody) -> String {
    match (run.status, run.verdict.as_deref(), &run.verdict_reason) {
        (EvalStatus::Completed, Some("passed"), _) => "completed, passed".into(),
        (EvalStatus::Completed, Some(verdict), Some(why)) => {
            format!("completed, {}: {why}", verdict.replace('_', " "))
        }
        (status, ..) => status.to_string(),
    }
}

fn subject(run: &EvalBody) -> String {
    match (&run.subject.prompt, &run.subject.model) {
        (Some(_), Some(model)) => format!("{} on {model}", run.subject.name),
        _ => run.subject.name.clone(),
    }
}

fn passed(run: &EvalBody) -> String {
    let summary = &run.summary;
    let rate = summary.pass_rate.map_or_else(|| "-".into(), percent);
    let mut text = format!("{} ({rate}), {} failed", summary.passed_count, summary.failed_count);
    if summary.unmeasured_count > 0 {
        text = format!("{text}, {} unmeasured", summary.unmeasured_count);
    }
    if summary.error_count > 0 {
        text = format!("{text} ({} without an answer)", summary.error_count);
    }
    text
}

fn used(run: &EvalBody) -> String {
    let summary = &run.summary;
    let cost = summary.total_cost_usd.as_deref().map(output::dollars);
    let mut text = format!("{} tokens", summary.total_tokens);
    if let Some(cost) = cost {
        text = format!("{text}, {cost}");
    }
    if summary.judge_tokens > 0 {
        text = format!("{text} (judges: {} tokens", summary.judge_tokens);
        if let Some(cost) = summary.judge_cost_usd.as_deref().map(output::dollars) {
            text = format!("{text}, {cost}");
        }
        text.push(')');
    }
    text
}

fn evaluators_of(run: &EvalBody) -> String {
    let rows = run.evaluators.iter().map(|spec| {
        let summary = run.summary.scores_by_evaluator.get(spec.name());
        let of = |value: Option<f64>| value.map_or_else(|| "-".into(), percent);
        vec![
            spec.name().to_owned(),
            score(summary.and_then(|summary| summary.score)),
            of(summary.and_then(|summary| summary.pass_rate)),
            summary.map_or(0, |summary| summary.measured_count).to_string(),
            summary.map_or(0, |summary| summary.unmeasured_count).to_string(),
        ]
    });
    output::table(&["EVALUATOR", "SCORE", "PASSED", "MEASURED", "UNMEASURED"], rows)
}

/// How a run does that is under way.
pub(super) fn so_far(run: &EvalBody) -> String {
    match run.summary.pass_rate {
        Some(rate) if run.completed_examples > 0 => {
            format!("{}, {} pass", run.status, percent(rate))
        }
        _ => run.status.to_string(),
    }
}

pub(super) fn table(runs: &[EvalBody], now: Timestamp) -> String {
    let rows = runs.iter().map(|run| {
        vec![
            run.id.clone(),
            run.verdict
                .clone()
                .map_or_else(|| run.status.to_string(), |verdict| verdict.replace('_', " ")),
            run.subject.name.clone(),
            format!("{}@v{}", run.dataset.name, run.dataset.version),
            format!("{}/{}", run.completed_examples, run.total_examples),
            run.summary.pass_rate.map_or_else(|| "-".into(), percent),
            score(run.summary.overall_score),
            time::rough(time::since(run.created_at, now)),
        ]
    });
    output::table(&["ID", "STATUS", "SUBJECT", "DATASET", "DONE", "PASSED", "SCORE", "AGE"], rows)
}

pub(super) fn results(value: &Value) -> Result<String, Failure> {
    let results = decode::<EvalResultPage>(value.clone())?.data;
    if results.is_empty() {
        output::note("no results");
        return Ok(String::new());
    }
    let rows = results.iter().map(|result| {
        let repeat =
            if result.repeat > 0 { format!(" #{}", result.repeat + 1) } else { String::new() };
        vec![
            format!("{}{repeat}", result.example_id),
            standing(result.standing).into(),
            short(&text(&result.input)),
            short(result.actual_output.as_deref().unwrap_or("-")),
            short(&why(result)),
        ]
    });
    Ok(output::table(&["EXAMPLE", "RESULT", "INPUT", "ANSWER", "WHY"], rows))
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Passed => "passed",
        Standing::Failed => "failed",
        Standing::Unmeasured => "unmeasured",
    }
}

/// What speaks against an answer.
pub(super) fn why(result: &EvalResultBody) -> String {
    if let Some(error) = &result.error {
        return error.clone();
    }
    let against = result.evaluator_results.iter().filter(|it| it.passed != Some(true));
    let told: Vec<_> = against.map(|it| format!("{}: {}", it.name, it.explanation)).collect();
    told.join("; ")
}

/// A value as people write it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn short(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= SHOWN {
        return line;
    }
    line.chars().take(SHOWN - 1).chain(['…']).collect()
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

pub(super) fn score(score: Option<f64>) -> String {
    score.map_or_else(|| "-".into(), |score| format!("{score:.3}"))
}

pub(super) fn plan(plan: &EvalPlanBody) -> String {
    let (what, spending) = (&plan.plan, &plan.spending);
    let detectable = match what.detectable {
        Some(difference) => format!("{:.1} points or more", difference * 100.0),
        None => "none: there are too few examples".into(),
    };
    let assumption = if what.is_graded {
        format!("if the differences of scores have a standard deviation of {}", what.assumed)
    } else {
        format!("if two runs differ on {} of the examples", percent(what.assumed))
    };
    let unknown =
        || "nobody knows: there is no earlier run of this subject and these judges".to_owned();
    let cost = match (&spending.cost_usd, spending.tokens) {
        (Some(cost), Some(tokens)) => format!("about {}, {tokens} tokens", output::dollars(cost)),
        (None, Some(tokens)) => format!("about {tokens} tokens; they have no price"),
        _ => unknown(),
    };
    let took = spending.seconds.map(|seconds| time::exact(seconds as f64));
    let mut rows = vec![
        ("subject", plan.subject.name.clone()),
        (
            "dataset",
            format!(
                "{}@v{} ({} examples)",
                plan.dataset.name, plan.dataset.version, plan.dataset.examples
            ),
        ),
        ("results", what.results.to_string()),
        ("requests", what.requests.to_string()),
        ("cost", cost),
    ];
    rows.extend(took.map(|took| ("takes", format!("about {took}"))));
    rows.push(("shows", format!("differences of {detectable}, {assumption}")));
    let needed = what.needed.iter().map(|needed| {
        vec![
            format!("{:.0} points", needed.difference * 100.0),
            needed.examples.to_string(),
            needed.missing.to_string(),
        ]
    });
    let needed = output::table(&["TO SHOW", "EXAMPLES", "MISSING"], needed);
    let mut text = format!("{}\n\n{needed}", output::details(rows));
    for warning in &plan.warnings {
        text = format!("{text}\nwarning: {warning}");
    }
    text
}

pub(super) fn comparison(compared: &EvalComparisonBody) -> String {
    let mut text = compared.headline.join("\n");
    let parts = std::iter::once(&compared.overall).chain(&compared.evaluators);
    text = format!("{text}\n\n{}", parts_of("EVALUATOR", parts));
    for (title, parts) in [("TAG", &compared.tags), ("CLUSTER", &compared.clusters)] {
        if !parts.is_empty() {
            text = format!("{text}\n\n{}", parts_of(title, parts.iter().take(10)));
        }
    }
    if !compared.changed.is_empty() {
        let rows = compared.changed.iter().map(|changed| {
            let side = |answer: &Option<String>| short(answer.as_deref().unwrap_or("-"));
            vec![
                changed.example_id.clone(),
                format!("{:+.2}", changed.difference),
                short(&text_of(&changed.input)),
                side(&changed.baseline.answer),
                side(&changed.candidate.answer),
            ]
        });
        let header = ["EXAMPLE", "CHANGE", "INPUT", "BASELINE", "CANDIDATE"];
        let title = format!(
            "Changed examples, the worst first ({} got worse, {} got better):",
            compared.worse_count, compared.better_count
        );
        text = format!("{text}\n\n{title}\n{}", output::table(&header, rows));
    }
    for warning in &compared.warnings {
        text = format!("{text}\nwarning: {warning}");
    }
    text
}

fn text_of(value: &Value) -> String {
    text(value)
}

fn parts_of<'a>(title: &str, parts: impl Iterator<Item = &'a ComparisonPart>) -> String {
    let rows = parts.map(|part| {
        let needed = part.examples_needed.map(|needed| format!(" (needs {needed})"));
        vec![
            part.name.clone(),
            score(Some(part.baseline)),
            score(Some(part.candidate)),
            format!("{:+.3}", part.difference),
            format!("{:+.3} to {:+.3}", part.lower, part.upper),
            part.examples.to_string(),
            format!("{}{}", part.verdict.replace('_', " "), needed.unwrap_or_default()),
        ]
    });
    output::table(
        &[title, "BASELINE", "CANDIDATE", "CHANGE", "INTERVAL", "EXAMPLES", "VERDICT"],
        rows,
    )
}

pub(super) fn evaluators(types: &[EvaluatorTypeInfo]) -> String {
    let mut text = String::new();
    for info in types {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text = format!("{text}{}: {}", info.kind, info.description);
        for param in &info.params {
            let required = if param.required { ", required" } else { "" };
            text = format!(
                "{text}\n  {} ({}{required}): {}",
                param.name, param.kind, param.description
            );
        }
    }
    text
}

pub(super) fn calibration(body: &CalibrationBody) -> String {
    let between = |value: Option<f64>, ends: (Option<f64>, Option<f64>)| match (value, ends) {
        (Some(value), (Some(lower), Some(upper))) => {
            format!("{value:.3} (95 % interval {lower:.3} to {upper:.3})")
        }
        (Some(value), _) => format!("{value:.3}"),
        (None, _) => "-".into(),
    };
    let use_of = match body.uses_evaluator {
        Some(true) => "from the labels and the verdicts of all other answers",
        Some(false) => "from the labels alone: the evaluator agrees too little to help",
        None => "takes three labels",
    };
    let usefulness = if body.agreement > body.base_rate {
        "more often right than one that always says the same"
    } else {
        "no more often right than one that always says the same: of no use"
    };
    let mut rows = vec![
        ("labels", body.labelled_count.to_string()),
        (
            "agreement",
            format!("{} ({usefulness}: {})", percent(body.agreement), percent(body.base_rate)),
        ),
        ("kappa", between(body.kappa, (body.kappa_lower, body.kappa_upper))),
        (
            "pass rate",
            format!(
                "{}, {use_of}",
                between(body.corrected_pass_rate, (body.corrected_lower, body.corrected_upper))
            ),
        ),
    ];
    if body.unmeasured_count > 0 {
        rows.push(("unmeasured", format!("{} of the labelled answers", body.unmeasured_count)));
    }
    if !body.unmatched.is_empty() {
        rows.push(("unmatched", body.unmatched.join(", ")));
    }
    let table = output::table(
        &["HUMAN", "EVALUATOR PASSES", "EVALUATOR FAILS"],
        [
            vec!["passes".into(), body.both_pass.to_string(), body.only_human_passes.to_string()],
            vec![
                "fails".into(),
                body.only_evaluator_passes.to_string(),
                body.both_fail.to_string(),
            ],
        ],
    );
    format!("{}\n\n{table}", output::details(rows))
}
