use std::time::Duration;

use diogenes_api::control::EvalBody;
use diogenes_core::evals::EvalStatus;
use indicatif::ProgressBar;
use serde_json::Value;

use super::args::Wanted;
use super::{compare, path, report, shown};
use crate::client::{Client, decode};
use crate::commands::{job, output, progress};
use crate::exit::{Failure, Kind};

/// How often a run is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Evaluate, and wait for what comes of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes eval run --prompt summarizer:v2 --dataset golden --evaluator exact_match
  diogenes eval run --prompt summarizer:v2 --dataset golden --evaluator exact_match \\
      --evaluator llm_judge:judge.yaml --max-cost '$1' --min-pass-rate 0.9
  diogenes eval run --model demo --dataset golden@v3 --evaluator '{\"type\":\"regex\",\"params\":{\"pattern\":\"^\\\\d+$\"}}'
  diogenes eval run --prompt summarizer:latest --dataset golden --evaluator exact_match \\
      --baseline eval_0123456789abcdef0123456789abcdef

A judge.yaml:
  model: judge
  rubric: |
    The summary says nothing that is not in the text, and leaves out nothing that matters.
  scale: {min: 1, max: 5}

Exit codes: 0 if it passes, 100 if it is below a threshold or worse than --baseline, 101 if nobody can
tell, 1 if it failed or was cancelled.")]
pub(super) struct RunArgs {
    #[command(flatten)]
    wanted: Wanted,
    /// Do not wait for its end
    #[arg(long, conflicts_with = "baseline")]
    detach: bool,
    /// Compare it with this run, and exit as `compare` does unless a threshold is missed
    #[arg(long, value_name = "RUN")]
    baseline: Option<String>,
    /// The loss against --baseline that does not matter, 0 to 1 [default: 0]
    #[arg(long, value_name = "SHARE", requires = "baseline")]
    margin: Option<f64>,
    /// Write a report when it has ended: FORM=FILE, with json, csv, junit, markdown or html; may be
    /// given several times
    #[arg(long = "report", value_name = "FORM=FILE", value_parser = report::wanted, conflicts_with = "detach")]
    reports: Vec<report::Wanted>,
}

pub(super) async fn run(
    client: &Client,
    args: RunArgs,
    format: output::Format,
) -> Result<(), Failure> {
    let value = client.post(&path(&[]), &args.wanted.body()?).await?;
    let run: EvalBody = decode(value.clone())?;
    for warning in &run.warnings {
        output::note(&format!("warning: {warning}"));
    }
    if args.detach {
        return shown::run(&value, format);
    }
    let run = follow(client, value, &[], format).await?;
    let comparison = match &args.baseline {
        Some(baseline) => {
            Some(compare::compared(client, baseline, &run.id, &[], args.margin).await?)
        }
        None => None,
    };
    if !args.reports.is_empty() {
        let report = super::report(client, &run.id, comparison.as_ref(), &[]).await?;
        report.write_all(&args.reports)?;
    }
    judge(&run)?;
    match comparison {
        Some(comparison) => compare::judge(&comparison, format),
        None => Ok(()),
    }
}

/// Waits until a run has ended, and shows it.
pub(super) async fn follow(
    client: &Client,
    mut value: Value,
    query: &[(&str, &str)],
    format: output::Format,
) -> Result<EvalBody, Failure> {
    let mut bar: Option<ProgressBar> = None;
    let mut told = None;
    let run = loop {
        let run: EvalBody = decode(value.clone())?;
        if run.status.is_final() {
            break run;
        }
        if bar.is_none() && run.completed_examples > 0 {
            let length = run.total_examples.into();
            bar = progress::bar(length, "{spinner} {msg} {bar:30} {pos}/{len}, {eta} to go");
        }
        let waits_for = job::waits_for(client, &run.job_id, query).await;
        let state = (run.status, waits_for.clone());
        let message = waits_for.unwrap_or_else(|| shown::so_far(&run));
        match &bar {
            Some(bar) => {
                bar.set_position(run.completed_examples.into());
                bar.set_message(message);
            }
            // Without a terminal a line per state and reason to wait, not per example.
            None if told.as_ref() != Some(&state) => {
                output::note(&format!("{}: {message}", run.id));
                told = Some(state);
            }
            None => {}
        }
        tokio::time::sleep(LOOK_EVERY).await;
        value = client.get(&path(&[&run.id]), query).await?;
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    shown::run(&value, format)?;
    Ok(run)
}

/// Fails unless a run that has ended passes.
pub(super) fn judge(run: &EvalBody) -> Result<(), Failure> {
    let why = run.verdict_reason.clone().unwrap_or_default();
    match (run.status, run.verdict.as_deref()) {
        (EvalStatus::Completed, Some("passed")) => Ok(()),
        (EvalStatus::Completed, Some("below_threshold")) => {
            Err(Kind::BelowThreshold.because(format!("the run does not pass: {why}")))
        }
        (EvalStatus::Completed, _) => {
            Err(Kind::Inconclusive.because(format!("nobody can tell whether it passes: {why}")))
        }
        (status, _) => {
            let why = run.problem.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            Err(Kind::Other.because(format!("run `{}` is {status}{why}", run.id)))
        }
    }
}
