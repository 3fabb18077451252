//! Plots as SVG within a page.

use diogenes_api::control::{ComparisonPart, EvalBody, EvalResultBody};

use super::html::{escaped, push};

const WIDTH: f64 = 640.0;
const BAR: f64 = 22.0;
const ROW: f64 = 34.0;
const LEFT: f64 = 180.0;
/// Bars of a histogram.
const BINS: usize = 20;

/// How many results each evaluator passes, fails and cannot measure.
pub(super) fn shares(run: &EvalBody) -> String {
    let mut drawn = String::new();
    let width = WIDTH - LEFT - 60.0;
    for (row, spec) in run.evaluators.iter().enumerate() {
        let Some(of) = run.summary.scores_by_evaluator.get(spec.name()) else { continue };
        let top = row as f64 * ROW + 6.0;
        let all = f64::from((of.measured_count + of.unmeasured_count).max(1));
        let passed = of.pass_rate.unwrap_or_default() * f64::from(of.measured_count);
        let parts = [
            ("pass", passed),
            ("fail", f64::from(of.measured_count) - passed),
            ("none", f64::from(of.unmeasured_count)),
        ];
        drawn += &label(spec.name(), top);
        let mut left = LEFT;
        for (class, count) in parts {
            let part = width * count / all;
            push(
                &mut drawn,
                format_args!(
                    r#"<rect class="{class}" x="{left:.1}" y="{top:.1}" width="{part:.1}" height="{BAR}"><title>{count:.0} of {all:.0}</title></rect>"#
                ),
            );
            left += part;
        }
    }
    svg(run.evaluators.len() as f64 * ROW + 8.0, &drawn)
}

/// How many results have which latency.
pub(super) fn latencies(results: &[EvalResultBody]) -> String {
    let times: Vec<f64> = results
        .iter()
        .filter(|result| result.error.is_none())
        .map(|result| result.latency_ms as f64)
        .collect();
    histogram(&times, "ms")
}

/// How many results have which score by an evaluator that grades.
pub(super) fn scores(results: &[EvalResultBody], evaluator: usize) -> String {
    let scores: Vec<f64> = results
        .iter()
        .filter_map(|result| result.evaluator_results.get(evaluator)?.score)
        .collect();
    histogram(&scores, "")
}

fn histogram(values: &[f64], unit: &str) -> String {
    let most = values.iter().copied().fold(0.0_f64, f64::max);
    if values.is_empty() || most <= 0.0 {
        return "<p>nothing to show</p>".into();
    }
    let mut counts = [0_u32; BINS];
    for value in values {
        let place = (1..BINS).take_while(|bin| *value >= most * *bin as f64 / BINS as f64).count();
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
    let tallest = f64::from(counts.iter().copied().max().unwrap_or(1).max(1));
    let (height, wide) = (120.0, (WIDTH - 20.0) / BINS as f64);
    let mut drawn = String::new();
    for (bin, count) in counts.iter().enumerate() {
        let tall = height * f64::from(*count) / tallest;
        let (left, top) = (10.0 + bin as f64 * wide, 10.0 + height - tall);
        let from = most * bin as f64 / BINS as f64;
        push(
            &mut drawn,
            format_args!(
                r#"<rect class="bar" x="{left:.1}" y="{top:.1}" width="{:.1}" height="{tall:.1}"><title>{count} from {from:.2} {unit}</title></rect>"#,
                wide - 2.0
            ),
        );
    }
    let below = height + 28.0;
    push(&mut drawn, format_args!(r#"<text x="10" y="{below}">0</text>"#));
    push(
        &mut drawn,
        format_args!(
            r#"<text x="{}" y="{below}" text-anchor="end">{most:.2} {unit}</text>"#,
            WIDTH - 10.0
        ),
    );
    svg(height + 36.0, &drawn)
}

/// Differences with their intervals, one below the other.
pub(super) fn differences(parts: &[&ComparisonPart]) -> String {
    let reach =
        parts.iter().flat_map(|part| [part.lower.abs(), part.upper.abs()]).fold(0.05_f64, f64::max);
    let width = WIDTH - LEFT - 20.0;
    let at = |difference: f64| LEFT + width * (difference / reach + 1.0) / 2.0;
    let mut drawn = format!(
        r#"<line class="axis" x1="{0:.1}" y1="0" x2="{0:.1}" y2="{1:.1}"/>"#,
        at(0.0),
        parts.len() as f64 * ROW + 4.0
    );
    for (row, part) in parts.iter().enumerate() {
        let top = row as f64 * ROW + 6.0;
        let middle = top + BAR / 2.0;
        drawn += &label(&part.name, top);
        push(
            &mut drawn,
            format_args!(
                r#"<g class="{}"><title>{:+.3} ({:+.3} to {:+.3})</title><line x1="{:.1}" y1="{middle:.1}" x2="{:.1}" y2="{middle:.1}"/><circle cx="{:.1}" cy="{middle:.1}" r="5"/></g>"#,
                escaped(&part.verdict),
                part.difference,
                part.lower,
                part.upper,
                at(part.lower),
                at(part.upper),
                at(part.difference),
            ),
        );
    }
    svg(parts.len() as f64 * ROW + 8.0, &drawn)
}

fn label(name: &str, top: f64) -> String {
    let short: String = name.chars().take(24).collect();
    format!(r#"<text x="0" y="{:.1}">{}</text>"#, top + 16.0, escaped(&short))
}

fn svg(height: f64, drawn: &str) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img">{drawn}</svg>"#)
}
