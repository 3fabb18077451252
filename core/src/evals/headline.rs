//! "Is it better, and how sure are we?", in two sentences.

use super::run::EvalRun;
use super::stats::{Comparison, Reason, Verdict};

/// An example of which the runs say different things.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Changed {
    pub position: u32,
    pub baseline: f64,
    pub candidate: f64,
}

/// The answer, and what it stands on. `worse` is an evaluator that got worse though all of them together did not.
pub(super) fn headline(
    (baseline, candidate): (&EvalRun, &EvalRun),
    verdict: Verdict,
    overall: &Comparison,
    worse: Option<&str>,
    changed: &[Changed],
) -> [String; 2] {
    let (old, new) = (name(baseline, candidate), name(candidate, baseline));
    let by = points(overall.difference.abs());
    let (lower, upper) = (overall.interval.lower(), overall.interval.upper());
    let confidence = overall.confidence.level() * 100.0;
    let range = format!("{confidence:.0} % interval {} to {}", signed(lower), signed(upper));
    let answer = match verdict {
        Verdict::Improved => format!("Yes: {new} is better than {old} by {by} points ({range})."),
        Verdict::Regressed => match worse {
            Some(evaluator) => format!(
                "No: {new} is worse than {old} by `{evaluator}`, though not overall ({} points; {range}).",
                signed(overall.difference)
            ),
            None => format!("No: {new} is worse than {old} by {by} points ({range})."),
        },
        Verdict::NoWorse => format!(
            "No worse: {new} loses nothing that matters against {old} ({} points; {range}).",
            signed(overall.difference)
        ),
        Verdict::Inconclusive(reason) => {
            let why = match reason {
                Reason::TooWide { examples_needed: Some(needed) } => format!(
                    "about {needed} examples would decide, and there are {}",
                    overall.examples
                ),
                Reason::TooWide { examples_needed: None } => {
                    "no difference is seen; give a margin to call that no worse".into()
                }
                Reason::Unmeasured => "more than 2 % of the results are unmeasured".into(),
                Reason::TooFew => {
                    format!("{} examples are too few for a verdict", overall.examples)
                }
                Reason::OneOfMany => {
                    "what looks worse may be chance, as one of many comparisons".into()
                }
            };
            format!(
                "Nobody can tell yet whether {new} is better than {old} ({} points; {range}): {why}.",
                signed(overall.difference)
            )
        }
    };
    let better = changed.iter().filter(|changed| changed.candidate > changed.baseline).count();
    let chance = match verdict {
        Verdict::Improved => {
            format!("chance explains this with p = {:.2}", two_sided(1.0 - overall.p_worse))
        }
        Verdict::Regressed if worse.is_none() => {
            format!("chance explains this with p = {:.2}", two_sided(overall.p_worse))
        }
        Verdict::Regressed | Verdict::NoWorse | Verdict::Inconclusive(_) => format!(
            "the means are {} and {}",
            percent(overall.baseline),
            percent(overall.candidate)
        ),
    };
    let unmeasured = overall.coverage.pairs.unmeasured;
    let missing =
        if unmeasured == 0 { String::new() } else { format!(", {unmeasured} unmeasured") };
    let evidence = format!(
        "{} examples on both sides{missing}; {better} got better, {} got worse; {chance}.",
        overall.examples,
        changed.len() - better
    );
    [answer, evidence.replace("p = 0.00", "p < 0.01")]
}

/// A run by its subject; by its model, too, where both have one subject.
fn name(run: &EvalRun, other: &EvalRun) -> String {
    let subject = run.config.subject.name();
    if subject != other.config.subject.name() {
        return format!("`{subject}`");
    }
    let model = |run: &EvalRun| run.config.subject.model().map(str::to_owned);
    if let Some(own) = model(run).filter(|own| Some(own) != model(other).as_ref()) {
        return format!("`{subject}` on `{own}`");
    }
    if run.name.is_empty() || run.name == other.name {
        format!("`{subject}` of {}", run.id)
    } else {
        format!("`{subject}` ({})", run.name)
    }
}

fn two_sided(p: f64) -> f64 {
    (2.0 * p).clamp(0.0, 1.0)
}

fn points(fraction: f64) -> String {
    format!("{:.1}", fraction * 100.0)
}

fn signed(fraction: f64) -> String {
    // Zero is added so that nothing is shown as -0.0.
    format!("{:+.1}", fraction * 100.0 + 0.0)
}

fn percent(fraction: f64) -> String {
    format!("{:.1} %", fraction * 100.0)
}
