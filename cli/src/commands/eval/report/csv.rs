use diogenes_core::evals::Standing;

use super::Report;
use crate::commands::eval::shown::text;

/// A row per result, and columns per evaluator.
pub(super) fn written(report: &Report) -> String {
    let mut header: Vec<String> = [
        "example_id",
        "repeat",
        "standing",
        "input",
        "expected_output",
        "actual_output",
        "error",
        "latency_ms",
        "tokens_used",
        "cost_usd",
        "tags",
        "cluster",
    ]
    .map(str::to_owned)
    .into();
    for spec in &report.run.evaluators {
        for column in ["score", "passed", "explanation"] {
            header.push(format!("{}.{column}", spec.name()));
        }
    }
    let mut written = line(&header);
    for result in &report.results {
        let standing = match result.standing {
            Standing::Passed => "passed",
            Standing::Failed => "failed",
            Standing::Unmeasured => "unmeasured",
        };
        let mut cells = vec![
            result.example_id.clone(),
            result.repeat.to_string(),
            standing.to_owned(),
            text(&result.input),
            result.expected_output.as_ref().map(text).unwrap_or_default(),
            result.actual_output.clone().unwrap_or_default(),
            result.error.clone().unwrap_or_default(),
            result.latency_ms.to_string(),
            result.tokens_used.to_string(),
            result.cost_usd.clone().unwrap_or_default(),
            result.tags.join(" "),
            result.cluster.clone().unwrap_or_default(),
        ];
        for it in &result.evaluator_results {
            cells.push(it.score.map(|score| score.to_string()).unwrap_or_default());
            cells.push(it.passed.map(|passed| passed.to_string()).unwrap_or_default());
            cells.push(it.explanation.clone());
        }
        written += &line(&cells);
    }
    written
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    cells.join(",") + "\r\n"
}

/// A cell as RFC 4180 has it. What a spreadsheet would take for a formula begins with an apostrophe: models write
/// these texts.
fn cell(text: &str) -> String {
    let is_number = text.parse::<f64>().is_ok();
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number;
    let safe = if is_formula { format!("'{text}") } else { text.to_owned() };
    if safe.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", safe.replace('"', "\"\""))
    } else {
        safe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        for (text, written) in [
            ("a", "a"),
            ("a,b", "\"a,b\""),
            ("say \"a\"\n", "\"say \"\"a\"\"\n\""),
            ("=1+1", "'=1+1"),
            ("-1.5", "-1.5"),
            ("@sum(a,b)", "\"'@sum(a,b)\""),
        ] {
            assert_eq!(cell(text), written);
        }
    }
}
