use std::path::PathBuf;

use diogenes_core::datasets::{DatasetRef, ExampleId};
use diogenes_core::prompts::PromptSlug;
use diogenes_core::tenancy::ProjectId;
use diogenes_formats::Format;
use serde_json::Value;

use crate::commands::job::pair;

/// A dataset by its name, and its project.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// The dataset's name or id
    #[arg(value_name = "DATASET")]
    pub(super) name: String,
    /// The project of the dataset [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Create a dataset without examples.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset create golden
  diogenes dataset create golden --schema golden.schema.json --prompt summarizer

A schema is a file such as
  {\"input\": {\"type\": \"object\", \"required\": [\"question\"]}, \"expected\": {\"type\": \"string\"}}
with a JSON Schema for every input and one for every expected answer. Without one, what examples look
like is told from them.")]
pub(super) struct CreateArgs {
    #[command(flatten)]
    pub(super) dataset: Which,
    /// File with the JSON Schemas of `input` and `expected`, in JSON, YAML or TOML
    #[arg(long, value_name = "FILE")]
    pub(super) schema: Option<PathBuf>,
    #[command(flatten)]
    pub(super) beside: Beside,
}

/// What stands beside the examples.
#[derive(Debug, clap::Args)]
pub(super) struct Beside {
    /// What it is about
    #[arg(long, value_name = "TEXT")]
    pub(super) description: Option<String>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// Something to remember; may be given several times
    #[arg(long = "metadata", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) metadata: Vec<(String, String)>,
    /// The slug of a prompt that it is for; may be given several times
    #[arg(long = "prompt", value_name = "SLUG")]
    pub(super) prompts: Vec<PromptSlug>,
    /// Keep only so many of the newest snapshots; 0 for all of them
    #[arg(long, value_name = "NUMBER")]
    pub(super) keep_snapshots: Option<u32>,
}

/// Change what stands beside the examples of a dataset.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset update golden --description 'what support is asked most'
  diogenes dataset update golden --keep-snapshots 100")]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    pub(super) dataset: Which,
    #[command(flatten)]
    pub(super) beside: Beside,
}

/// List datasets.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset list
  diogenes dataset list --search support --tag nightly
  diogenes dataset list --prompt summarizer -o json")]
pub(super) struct ListArgs {
    /// Only those with this text in name or description
    #[arg(long, value_name = "TEXT")]
    pub(super) search: Option<String>,
    /// Only those with this tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// Only those that are for this prompt
    #[arg(long, value_name = "SLUG")]
    pub(super) prompt: Option<PromptSlug>,
    /// The project [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Show a dataset, or one of its snapshots, and what its examples look like.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset show golden
  diogenes dataset show golden@v2
  diogenes dataset show golden@3f786850e387")]
pub(super) struct ShowArgs {
    /// DATASET, DATASET@v2 or DATASET@DIGEST
    #[arg(value_name = "REFERENCE")]
    pub(super) reference: DatasetRef,
    /// The project of the dataset [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Add an example.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset add golden --input 'What is the capital of France?' --expected Paris --tag geography
  diogenes dataset add golden --input-json '{\"question\": \"6 × 7?\"}' --expected-json 42 --split test

Many at once are imported from a file: `diogenes dataset import`.")]
pub(super) struct AddArgs {
    #[command(flatten)]
    pub(super) dataset: Which,
    #[command(flatten)]
    pub(super) content: Content,
    /// Add nothing if an example with this input and expected answer is there already
    #[arg(long)]
    pub(super) skip_duplicates: bool,
}

/// Give an example another content. It keeps its id and its place.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset set golden ex_42 --input 'What is the capital of France?' --expected Paris")]
pub(super) struct SetArgs {
    #[command(flatten)]
    pub(super) dataset: Which,
    /// The example's id
    #[arg(value_name = "ID")]
    pub(super) id: ExampleId,
    #[command(flatten)]
    pub(super) content: Content,
}

/// What an example says.
#[derive(Debug, clap::Args)]
pub(super) struct Content {
    /// What a model is asked, as a text
    #[arg(long, value_name = "TEXT", required_unless_present = "input_json")]
    pub(super) input: Option<String>,
    /// The same as JSON, such as an object with the values of a prompt's variables
    #[arg(long, value_name = "JSON", value_parser = json, conflicts_with = "input")]
    pub(super) input_json: Option<Value>,
    /// What it should answer, as a text
    #[arg(long, value_name = "TEXT")]
    pub(super) expected: Option<String>,
    /// The same as JSON
    #[arg(long, value_name = "JSON", value_parser = json, conflicts_with = "expected")]
    pub(super) expected_json: Option<Value>,
    /// Something to remember; may be given several times
    #[arg(long = "metadata", value_name = "NAME=VALUE", value_parser = pair)]
    pub(super) metadata: Vec<(String, String)>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// The part of the dataset that it belongs to, such as `test`
    #[arg(long, value_name = "NAME")]
    pub(super) split: Option<String>,
    /// Where it is from
    #[arg(long, value_name = "TEXT")]
    pub(super) source: Option<String>,
}

/// Remove examples: all of them or, where one does not exist, none. Older snapshots keep them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset remove golden ex_42 ex_43")]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    pub(super) dataset: Which,
    /// The ids of the examples
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<ExampleId>,
}

/// List the examples of a dataset, or some of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset examples golden
  diogenes dataset examples golden@v2 --tag geography --split test --search France
  diogenes dataset examples golden --sample 20 --seed 7 -o json")]
pub(super) struct ExamplesArgs {
    /// DATASET, DATASET@v2 or DATASET@DIGEST
    #[arg(value_name = "REFERENCE")]
    pub(super) reference: DatasetRef,
    /// Only those with this tag; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// Only those of this split
    #[arg(long, value_name = "NAME")]
    pub(super) split: Option<String>,
    /// Only those with this text in input, expected answer or metadata
    #[arg(long, value_name = "TEXT")]
    pub(super) search: Option<String>,
    /// So many of them at most [default: 50]
    #[arg(long, value_name = "NUMBER", default_value_t = 50, hide_default_value = true)]
    pub(super) limit: usize,
    /// So many of them, drawn at random; 1 to 500
    #[arg(long, value_name = "NUMBER", conflicts_with = "limit")]
    pub(super) sample: Option<usize>,
    /// In random order
    #[arg(long)]
    pub(super) shuffle: bool,
    /// The same seed draws and shuffles the same [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,
    /// The project of the dataset [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Import examples from a file: CSV, JSON lines or Parquet.
///
/// All of it appears at once, or nothing. Waits until it is done, and fails with exit code 9 if it
/// cannot be.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset import golden examples.csv --map input=question --map expected=answer
  diogenes dataset import golden mmlu.parquet --map input.question=question --map input.choices=choices \\
    --map expected=answer --map split=split
  diogenes dataset import golden alt.csv --encoding latin1 --on-error skip --reject-file rejected.jsonl

Without --map, columns go where they are called like a part of an example: `input`, `expected`,
`input.NAME`, `expected.NAME`, `metadata`, `metadata.NAME`, `tags`, `split` and `source`. Fields of CSV
are texts, unless the schema of the dataset says otherwise.")]
pub(super) struct ImportArgs {
    #[command(flatten)]
    pub(super) dataset: Which,
    /// The file
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Which column goes where; may be given several times
    #[arg(long = "map", value_name = "PART=COLUMN")]
    pub(super) map: Vec<String>,
    /// `csv`, `jsonl` or `parquet` [default: what the file's name tells]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
    /// The encoding of the characters, such as `latin1` or `utf-16le` [default: told from the file]
    #[arg(long, value_name = "NAME")]
    pub(super) encoding: Option<String>,
    /// What stands between the fields of CSV [default: told from the first line]
    #[arg(long, value_name = "CHARACTER")]
    pub(super) delimiter: Option<String>,
    /// What to do about rows that are not examples: `fail` imports nothing, `skip` leaves them out
    #[arg(long, value_name = "HOW", default_value = "fail", value_parser = ["fail", "skip"])]
    pub(super) on_error: String,
    /// Where rows that were left out are written, with the reasons [default: FILE.rejected.jsonl]
    #[arg(long, value_name = "FILE")]
    pub(super) reject_file: Option<PathBuf>,
    /// Leave out examples whose input and expected answer are there already
    #[arg(long)]
    pub(super) skip_duplicates: bool,
    /// Do not wait; follow it with `diogenes job`
    #[arg(long)]
    pub(super) no_wait: bool,
}

/// Export a snapshot of a dataset to a file: CSV, JSON lines or Parquet.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset export golden out.parquet
  diogenes dataset export golden@v2 out.csv
  diogenes dataset export golden - --format jsonl | head")]
pub(super) struct ExportArgs {
    /// DATASET, DATASET@v2 or DATASET@DIGEST
    #[arg(value_name = "REFERENCE")]
    pub(super) reference: DatasetRef,
    /// The file; `-` is standard output
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// `csv`, `jsonl` or `parquet` [default: what the file's name tells]
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
    /// The project of the dataset [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// List the snapshots of a dataset, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset snapshots golden")]
pub(super) struct SnapshotsArgs {
    #[command(flatten)]
    pub(super) dataset: Which,
}

/// Show what is different between two snapshots of a dataset.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset diff golden@v1
  diogenes dataset diff golden@v1 v2 --limit 500")]
pub(super) struct DiffArgs {
    /// The one snapshot
    #[arg(value_name = "REFERENCE")]
    pub(super) from: DatasetRef,
    /// The other one, such as `v2` [default: latest]
    #[arg(value_name = "SNAPSHOT")]
    pub(super) to: Option<String>,
    /// How many differences are shown, 1 to 500
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    pub(super) limit: usize,
    /// The project of the dataset [default: that of the key]
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<ProjectId>,
}

/// Delete a dataset with all its snapshots, for good.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset delete golden --yes")]
pub(super) struct DeleteArgs {
    #[command(flatten)]
    pub(super) dataset: Which,
    /// Do not ask for confirmation
    #[arg(short, long)]
    pub(super) yes: bool,
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))
}
