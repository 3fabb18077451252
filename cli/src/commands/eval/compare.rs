use diogenes_api::control::EvalComparisonBody;
use diogenes_core::tenancy::ProjectId;
use serde_json::Value;

use super::{path, shown};
use crate::client::{Client, decode};
use crate::commands::options::in_project;
use crate::commands::output;
use crate::exit::{Failure, Kind};

/// Compare two runs on one snapshot, example by example.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes eval compare eval_0123456789abcdef0123456789abcdef eval_00112233445566778899aabbccddeeff
  diogenes eval compare BASELINE CANDIDATE --margin 0.02
  diogenes eval compare BASELINE CANDIDATE --changed 100 -o json

Exit codes: 0 if the candidate is better or no worse, 100 if it is worse, 101 if nobody can tell.")]
pub(super) struct CompareArgs {
    /// The run that is there already
    #[arg(value_name = "RUN_A")]
    baseline: String,
    /// The one that may be better
    #[arg(value_name = "RUN_B")]
    candidate: String,
    /// A loss that does not matter, 0 to 1: 0.02 is two points of the pass rate [default: 0]
    #[arg(long, value_name = "SHARE")]
    margin: Option<f64>,
    /// How sure the verdict has to be [default: 0.95]
    #[arg(long, value_name = "SHARE")]
    confidence: Option<f64>,
    /// How many changed examples to show, the worst first, at most 100 [default: 20]
    #[arg(long, value_name = "NUMBER")]
    changed: Option<usize>,
    /// The project of the runs [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
}

pub(super) async fn run(
    client: &Client,
    args: &CompareArgs,
    format: output::Format,
) -> Result<(), Failure> {
    let confidence = args.confidence.map(|confidence| confidence.to_string());
    let changed = args.changed.map(|changed| changed.to_string());
    let mut query = in_project(args.project.as_ref());
    query.extend(confidence.as_deref().map(|confidence| ("confidence", confidence)));
    query.extend(changed.as_deref().map(|changed| ("changed", changed)));
    let compared = compared(client, &args.baseline, &args.candidate, &query, args.margin).await?;
    judge(&compared, format)
}

/// Two runs beside each other, as the API tells it.
pub(super) async fn compared(
    client: &Client,
    baseline: &str,
    candidate: &str,
    query: &[(&str, &str)],
    margin: Option<f64>,
) -> Result<Value, Failure> {
    let margin = margin.map(|margin| margin.to_string());
    let mut query = [query, &[("baseline", baseline)]].concat();
    query.extend(margin.as_deref().map(|margin| ("margin", margin)));
    client.get(&path(&[candidate, "compare"]), &query).await
}

/// Shows a comparison, and fails unless the candidate is better or no worse.
pub(super) fn judge(value: &Value, format: output::Format) -> Result<(), Failure> {
    let compared: EvalComparisonBody = decode(value.clone())?;
    output::result(format, value, || Ok(shown::comparison(&compared)))?;
    match compared.verdict.as_str() {
        "improved" | "no_worse" => Ok(()),
        "regressed" => Err(Kind::BelowThreshold.because("the candidate is worse")),
        _ => Err(Kind::Inconclusive.because("nobody can tell whether the candidate is better")),
    }
}
