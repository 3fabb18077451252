use std::path::PathBuf;
use std::time::Duration;

use diogenes_api::control::CreateEval;
use diogenes_core::money::parse_dollars;
use diogenes_core::tenancy::ProjectId;
use serde_json::Map;

use super::evaluator::{Given, evaluator};
use super::report::Form;
use crate::commands::job::{Argument, argument, set};
use crate::exit::Failure;

/// What is evaluated, on which examples, and by what.
#[derive(Debug, clap::Args)]
pub(super) struct Wanted {
    /// A version of a prompt: SLUG, SLUG:v2, SLUG:latest or SLUG:LABEL
    #[arg(long, value_name = "REFERENCE", required_unless_present_any = ["model", "column"])]
    prompt: Option<String>,
    /// A model or route; beside --prompt instead of the prompt's own
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Where in the examples answers stand that were recorded, such as `metadata.answer`
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["prompt", "model"])]
    column: Option<String>,
    /// The dataset: NAME, or a snapshot of it such as NAME@v3
    #[arg(long, value_name = "DATASET")]
    dataset: String,
    /// TYPE, TYPE:FILE with its parameters, or the whole as JSON; may be given several times. See
    /// `diogenes eval evaluators`
    #[arg(long = "evaluator", value_name = "EVALUATOR", required = true, value_parser = evaluator)]
    evaluators: Vec<Given>,
    /// What the run is called
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    name: String,
    /// A field of every request: NAME=TEXT, or NAME:=JSON for anything else, such as
    /// `temperature:=0`
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = argument)]
    params: Vec<Argument>,
    /// How many examples are under way at once at most [default: as many as the model has room for]
    #[arg(long, value_name = "NUMBER")]
    concurrency: Option<u32>,
    /// How long a request may take [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = diogenes_core::duration::parse)]
    timeout: Option<Duration>,
    /// How often a request is sent that fails by no fault of its own [default: 5]
    #[arg(long, value_name = "NUMBER")]
    attempts: Option<u32>,
    /// How often each example is asked [default: 1]
    #[arg(long, value_name = "NUMBER")]
    repeats: Option<u32>,
    /// How many examples are evaluated [default: all]
    #[arg(long, value_name = "NUMBER")]
    sample_size: Option<u32>,
    /// Draw these at random, instead of taking the first ones
    #[arg(long)]
    shuffle: bool,
    /// What is drawn depends on this number [default: 0]
    #[arg(long, value_name = "NUMBER", default_value_t, hide_default_value = true)]
    seed: u64,
    /// Where in an example the name of its cluster stands, such as `metadata.document`: examples
    /// that are alike tell less than independent ones
    #[arg(long, value_name = "PLACE")]
    cluster_by: Option<String>,
    /// The most that the run may cost, such as `$1` or `0.50`
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    max_cost: Option<String>,
    /// The share of the results that must pass, 0 to 1
    #[arg(long, value_name = "SHARE")]
    min_pass_rate: Option<f64>,
    /// The overall score that must be reached, 0 to 1
    #[arg(long, value_name = "SCORE")]
    min_score: Option<f64>,
}

fn dollars(text: &str) -> Result<String, String> {
    let text = text.trim().trim_start_matches('$');
    parse_dollars(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl Wanted {
    /// The same as the API takes it.
    pub(super) fn body(self) -> Result<CreateEval, Failure> {
        let mut parameters = Map::new();
        for Argument { path, value } in self.params {
            set(&mut parameters, &path, value)?;
        }
        let evaluators =
            self.evaluators.into_iter().map(Given::read).collect::<Result<Vec<_>, _>>()?;
        Ok(CreateEval {
            name: self.name,
            prompt: self.prompt,
            model: self.model,
            column: self.column,
            dataset: self.dataset,
            evaluators,
            parameters,
            concurrency: self.concurrency,
            timeout: self.timeout,
            attempts: self.attempts,
            repeats: self.repeats,
            sample_size: self.sample_size,
            shuffle: self.shuffle,
            seed: self.seed,
            cluster_by: self.cluster_by,
            max_cost_usd: self.max_cost,
            min_pass_rate: self.min_pass_rate,
            min_score: self.min_score,
        })
    }
}

/// Tell what a run would take, and which differences it could show. Nobody is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes eval plan --prompt summarizer:v2 --dataset golden --evaluator exact_match
  diogenes eval plan --model demo --dataset golden --evaluator exact_match --assumed 0.1")]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) wanted: Wanted,
    /// The share of examples on which two runs differ [default: 0.2]; with evaluators that grade,
    /// the standard deviation of the differences of scores [default: 0.3]
    #[arg(long, value_name = "SHARE")]
    pub(super) assumed: Option<f64>,
}

/// List the runs of a project, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes eval list
  diogenes eval list -o json | jq -r '.data[] | select(.status == \"running\").id'")]
pub(super) struct ListArgs {
    /// The project [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Show a run: how far it is, and what its results say so far.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes eval show eval_0123456789abcdef0123456789abcdef
  diogenes eval show eval_0123456789abcdef0123456789abcdef --wait")]
pub(super) struct ShowArgs {
    /// The run's id
    pub(super) id: String,
    /// Wait until it has ended, and exit as `run` does
    #[arg(short, long)]
    pub(super) wait: bool,
    /// The project of the run [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Ask for the end of a run. What was answered is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes eval cancel eval_0123456789abcdef0123456789abcdef --yes")]
pub(super) struct CancelArgs {
    /// The run's id
    pub(super) id: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(super) yes: bool,
    /// The project of the run [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Print what came of each example, also while the run is under way.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes eval results eval_0123456789abcdef0123456789abcdef
  diogenes eval results eval_0123456789abcdef0123456789abcdef --failed-only
  diogenes eval results eval_0123456789abcdef0123456789abcdef -o json
  diogenes eval results CANDIDATE --as html --to eval.html --against BASELINE")]
pub(super) struct ResultsArgs {
    /// The run's id
    pub(super) id: String,
    /// Only those that did not pass
    #[arg(long, conflicts_with = "form")]
    pub(super) failed_only: bool,
    /// Write a report of the whole run in this form
    #[arg(long = "as", value_enum, value_name = "FORM")]
    pub(super) form: Option<Form>,
    /// The file of the report [default: standard output]
    #[arg(long, value_name = "FILE", requires = "form")]
    pub(super) to: Option<PathBuf>,
    /// Put the run beside this one in the report
    #[arg(long, value_name = "RUN", requires = "form")]
    pub(super) against: Option<String>,
    /// The project of the run [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}
