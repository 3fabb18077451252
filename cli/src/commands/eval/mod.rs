mod args;
mod calibrate;
mod compare;
mod evaluator;
mod report;
mod run;
mod shown;

use clap::Subcommand;
use diogenes_api::control::{EvalList, EvalPlanBody, EvalResultPage, EvaluatorList};
use diogenes_core::Timestamp;
use serde_json::{Value, json};

use self::args::{CancelArgs, ListArgs, PlanArgs, ResultsArgs, ShowArgs};
use super::options::{Options, in_project};
use super::{confirmation, output};
use crate::client::{Client, decode};
use crate::exit::Failure;

/// Measure prompts and models on datasets, and tell which one is better.
///
/// A run asks a subject for an answer to each example of a dataset, and holds the answers against
/// evaluators. It goes on after a restart of the server, and asks nothing twice that is answered.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes eval run --prompt summarizer:v2 --dataset golden --evaluator exact_match
  diogenes eval run --prompt summarizer:v2 --dataset golden --evaluator llm_judge:judge.yaml --max-cost '$1'
  diogenes eval plan --prompt summarizer:v2 --dataset golden --evaluator exact_match
  diogenes eval results eval_0123456789abcdef0123456789abcdef --failed-only
  diogenes eval compare BASELINE CANDIDATE

Exit codes of `run`, `show --wait` and `compare`, beside those of every command:
  100  the run is below a threshold, or the candidate is worse
  101  nobody can tell: too much is unmeasured, or there are too few examples")]
pub(crate) struct EvalArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Run(run::RunArgs),
    Plan(PlanArgs),
    List(ListArgs),
    Show(ShowArgs),
    Cancel(CancelArgs),
    Results(ResultsArgs),
    Compare(compare::CompareArgs),
    Calibrate(calibrate::CalibrateArgs),
    /// List the types of evaluators, and what they take.
    Evaluators,
}

const PATH: [&str; 3] = ["api", "v1", "evals"];

fn path<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&PATH[..], rest].concat()
}

pub(super) async fn run(args: EvalArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Run(args) => run::run(&client, args, format).await,
        Action::Plan(args) => plan(&client, args, format).await,
        Action::List(args) => list(&client, &args, format).await,
        Action::Show(args) => {
            let query = in_project(args.project.as_ref());
            let run = client.get(&path(&[&args.id]), &query).await?;
            if args.wait {
                return run::follow(&client, run, &query, format)
                    .await
                    .and_then(|run| run::judge(&run));
            }
            shown::run(&run, format)
        }
        Action::Cancel(args) => {
            let question = format!("cancel run `{}`? What was answered is kept", args.id);
            if !args.yes && !confirmation::ask(&format!("cancelling `{}`", args.id), &question)? {
                output::note("nothing was cancelled");
                return Ok(());
            }
            let query = in_project(args.project.as_ref());
            let run = client.post_to(&path(&[&args.id, "cancel"]), &query, &json!({})).await?;
            shown::run(&run, format)
        }
        Action::Results(args) => results(&client, &args, format).await,
        Action::Compare(args) => compare::run(&client, &args, format).await,
        Action::Calibrate(args) => calibrate::run(&client, &args, format).await,
        Action::Evaluators => {
            let list = client.get(&path(&["evaluators"]), &[]).await?;
            output::result(format, &list, || {
                Ok(shown::evaluators(&decode::<EvaluatorList>(list.clone())?.data))
            })
        }
    }
}

async fn plan(client: &Client, args: PlanArgs, format: output::Format) -> Result<(), Failure> {
    let assumed = args.assumed.map(|assumed| assumed.to_string());
    let query: Vec<_> = assumed.iter().map(|assumed| ("assumed", assumed.as_str())).collect();
    let plan = client.post_to(&path(&["plan"]), &query, &args.wanted.body()?).await?;
    output::result(format, &plan, || Ok(shown::plan(&decode::<EvalPlanBody>(plan.clone())?)))
}

async fn list(client: &Client, args: &ListArgs, format: output::Format) -> Result<(), Failure> {
    let list = client.get_all(&PATH, &in_project(args.project.as_ref())).await?;
    output::result(format, &list, || {
        let runs = decode::<EvalList>(list.clone())?.data;
        if runs.is_empty() {
            output::note("no eval runs; make one with `diogenes eval run`");
            return Ok(String::new());
        }
        Ok(shown::table(&runs, Timestamp::now()))
    })
}

/// Everything that there is of a run, beside a comparison with another one where there is one.
async fn report(
    client: &Client,
    id: &str,
    comparison: Option<&Value>,
    query: &[(&str, &str)],
) -> Result<report::Report, Failure> {
    let run = decode(client.get(&path(&[id]), query).await?)?;
    let results = client.get_all(&path(&[id, "results"]), query).await?;
    let results = decode::<EvalResultPage>(results)?.data;
    let comparison = comparison.cloned().map(decode).transpose()?;
    Ok(report::Report { run, results, comparison })
}

async fn results(
    client: &Client,
    args: &ResultsArgs,
    format: output::Format,
) -> Result<(), Failure> {
    let mut query = in_project(args.project.as_ref());
    if args.form.is_some() || args.against.is_some() {
        let comparison = match &args.against {
            Some(baseline) => {
                Some(compare::compared(client, baseline, &args.id, &query, None).await?)
            }
            None => None,
        };
        let report = report(client, &args.id, comparison.as_ref(), &query).await?;
        let form = args.form.unwrap_or(report::Form::Markdown);
        return match &args.to {
            Some(file) => report.write(form, file),
            None => output::piece(&report.written(form)?),
        };
    }
    query.extend(args.failed_only.then_some(("failed_only", "true")));
    let results = client.get_all(&path(&[&args.id, "results"]), &query).await?;
    output::result(format, &results, || shown::results(&results))
}
