mod args;
mod shown;
mod transfer;

use std::path::Path;

use clap::Subcommand;
use diogenes_api::control::{
    AddExamples, AddedExamples, CreateDataset, DatasetList, ExampleList, RemoveExamples,
    SnapshotComparison, SnapshotList, UpdateDataset,
};
use diogenes_core::datasets::{
    DatasetName, DatasetRef, DeclaredSchema, ExampleContent, SnapshotSelector,
};
use diogenes_core::tenancy::ProjectId;
use reqwest::Method;
use serde_json::{Value, json};

use self::args::{
    AddArgs, Beside, Content, CreateArgs, DeleteArgs, DiffArgs, ExamplesArgs, ExportArgs,
    ImportArgs, ListArgs, RemoveArgs, SetArgs, ShowArgs, SnapshotsArgs, UpdateArgs, Which,
};
use super::fields::{Fields, Origin};
use super::options::{Options, in_project};
use super::{confirmation, output};
use crate::client::{Client, decode};
use crate::exit::{Failure, Kind};

/// Keep datasets: examples, and snapshots of them that never change.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes dataset create golden --schema golden.schema.json
  diogenes dataset import golden examples.csv --map input=question --map expected=answer
  diogenes dataset examples golden --tag geography
  diogenes dataset diff golden@v1
  diogenes dataset export golden out.parquet

A reference is DATASET, which means its newest snapshot, DATASET@v2, or DATASET@DIGEST, which means the
same examples for good.")]
pub(crate) struct DatasetArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(CreateArgs),
    Import(ImportArgs),
    List(ListArgs),
    Show(ShowArgs),
    Update(UpdateArgs),
    Add(AddArgs),
    Set(SetArgs),
    Remove(RemoveArgs),
    Examples(ExamplesArgs),
    Export(ExportArgs),
    Snapshots(SnapshotsArgs),
    Diff(DiffArgs),
    Delete(DeleteArgs),
}

const PATH: [&str; 3] = ["api", "v1", "datasets"];

fn path<'a>(name: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&PATH[..], &[name], rest].concat()
}

pub(super) async fn run(args: DatasetArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Create(args) => create(&client, args, format).await,
        Action::Import(args) => transfer::import(&client, args, format).await,
        Action::List(args) => list(&client, &args, format).await,
        Action::Show(ShowArgs { reference, project }) => {
            show(&client, &reference, project.as_ref(), format).await
        }
        Action::Update(UpdateArgs { dataset: Which { name, project }, beside }) => {
            let body = update(beside);
            let (path, query) = (path(&name, &[]), in_project(project.as_ref()));
            let dataset = client.call_at(Method::PATCH, &path, &query, Some(&body)).await?;
            output::result(format, &dataset, || Ok(shown::dataset(&decode(dataset.clone())?)))
        }
        Action::Add(AddArgs { dataset: Which { name, project }, content, skip_duplicates }) => {
            let examples = vec![example(content)];
            let body = AddExamples { examples, skip_duplicates, after: None };
            let path = path(&name, &["examples"]);
            let added = client.post_to(&path, &in_project(project.as_ref()), &body).await?;
            output::result(format, &added, || {
                let told: AddedExamples = decode(added.clone())?;
                let version = told.dataset.version;
                Ok(match told.ids.first() {
                    Some(id) => format!("added {id}; `{name}` is {name}@v{version} now"),
                    None => format!("`{name}` has such an example already"),
                })
            })
        }
        Action::Set(SetArgs { dataset: Which { name, project }, id, content }) => {
            let id = id.to_string();
            let (path, query) = (path(&name, &["examples", &id]), in_project(project.as_ref()));
            let body = example(content);
            let dataset = client.call_at(Method::PUT, &path, &query, Some(&body)).await?;
            changed(&name, &dataset, format)
        }
        Action::Remove(RemoveArgs { dataset: Which { name, project }, ids }) => {
            let ids = ids.iter().map(ToString::to_string).collect();
            let body = RemoveExamples { ids, after: None };
            let path = path(&name, &["examples", "remove"]);
            let dataset = client.post_to(&path, &in_project(project.as_ref()), &body).await?;
            changed(&name, &dataset, format)
        }
        Action::Examples(args) => examples(&client, &args, format).await,
        Action::Export(args) => transfer::export(&client, args, format).await,
        Action::Snapshots(SnapshotsArgs { dataset: Which { name, project } }) => {
            let path = path(&name, &["snapshots"]);
            let list = client.get_all(&path, &in_project(project.as_ref())).await?;
            output::result(format, &list, || {
                Ok(shown::snapshots(&decode::<SnapshotList>(list.clone())?.data))
            })
        }
        Action::Diff(args) => diff(&client, &args, format).await,
        Action::Delete(DeleteArgs { dataset: Which { name, project }, yes }) => {
            let question = format!("delete dataset `{name}` with all its snapshots, for good?");
            if !yes && !confirmation::ask(&format!("deleting `{name}`"), &question)? {
                output::note("nothing was deleted");
                return Ok(());
            }
            let (path, query) = (path(&name, &[]), in_project(project.as_ref()));
            let deleted = client.call_at(Method::DELETE, &path, &query, None::<&()>).await?;
            output::result(format, &deleted, || Ok(format!("deleted `{name}`")))
        }
    }
}

async fn create(client: &Client, args: CreateArgs, format: output::Format) -> Result<(), Failure> {
    let Which { name, project } = args.dataset;
    name.parse::<DatasetName>().map_err(|error| Kind::Config.because(format!("{error}")))?;
    let UpdateDataset { description, tags, metadata, prompts, keep_snapshots } =
        update(args.beside);
    let schema = args.schema.as_deref().map(schema).transpose()?;
    let body = CreateDataset { name, description, tags, metadata, prompts, schema, keep_snapshots };
    let dataset = client.post_to(&PATH, &in_project(project.as_ref()), &body).await?;
    output::result(format, &dataset, || Ok(shown::dataset(&decode(dataset.clone())?)))
}

/// The schemas of a file: those of `input` and `expected`, or a schema of objects with these two.
fn schema(file: &Path) -> Result<DeclaredSchema, Failure> {
    let mut fields = Fields::read(file)?;
    if fields.has("properties") && !fields.has("input") {
        let mut properties = fields.take("properties").unwrap_or_default();
        let mut part = |name: &str| properties.get_mut(name).map(Value::take);
        let (input, expected) = (part("input"), part("expected"));
        if input.is_none() && expected.is_none() {
            let text = format!(
                "{} describes neither `input` nor `expected`; write {{\"input\": SCHEMA, \"expected\": SCHEMA}}",
                file.display()
            );
            return Err(Kind::Config.because(text));
        }
        return Ok(DeclaredSchema { input, expected });
    }
    let origin = Origin::File(file.display().to_string());
    fields.into_spec(&origin, |_: &DeclaredSchema| Ok::<_, String>(()))
}

fn update(beside: Beside) -> UpdateDataset {
    let Beside { description, tags, metadata, prompts, keep_snapshots } = beside;
    UpdateDataset {
        description,
        tags: (!tags.is_empty()).then(|| tags.into_iter().collect()),
        metadata: (!metadata.is_empty()).then(|| metadata.into_iter().collect()),
        prompts: (!prompts.is_empty()).then(|| prompts.into_iter().collect()),
        keep_snapshots,
    }
}

fn example(content: Content) -> ExampleContent {
    let Content { input, input_json, expected, expected_json, metadata, tags, split, source } =
        content;
    let metadata = metadata.into_iter().map(|(name, value)| (name, Value::String(value)));
    ExampleContent {
        input: input_json.or(input.map(Value::String)).unwrap_or_default(),
        expected: expected_json.or(expected.map(Value::String)),
        metadata: metadata.collect(),
        tags: tags.into_iter().collect(),
        split,
        source,
    }
}

fn changed(name: &str, dataset: &Value, format: output::Format) -> Result<(), Failure> {
    output::result(format, dataset, || {
        let version = dataset.get("version").and_then(Value::as_u64).unwrap_or_default();
        Ok(format!("`{name}` is {name}@v{version} now"))
    })
}

async fn list(client: &Client, args: &ListArgs, format: output::Format) -> Result<(), Failure> {
    let mut query = in_project(args.project.as_ref());
    let tags = args.tags.join(",");
    query.extend(args.search.as_deref().map(|search| ("search", search)));
    query.extend((!tags.is_empty()).then_some(("tags", tags.as_str())));
    query.extend(args.prompt.as_ref().map(|prompt| ("prompt", prompt.as_str())));
    let list = client.get_all(&PATH, &query).await?;
    output::result(format, &list, || {
        let datasets = decode::<DatasetList>(list.clone())?.data;
        if datasets.is_empty() {
            output::note("no datasets; create one with `diogenes dataset create NAME`");
            return Ok(String::new());
        }
        Ok(shown::table(&datasets))
    })
}

/// The dataset itself for a name, and a snapshot for anything else.
async fn show(
    client: &Client,
    reference: &DatasetRef,
    project: Option<&ProjectId>,
    format: output::Format,
) -> Result<(), Failure> {
    let (name, query) = (reference.dataset.as_str(), in_project(project));
    let snapshot = reference.snapshot.to_string();
    let snapshot = client.get(&path(name, &["snapshots", &snapshot]), &query).await?;
    if reference.snapshot != SnapshotSelector::Latest {
        return output::result(format, &snapshot, || {
            Ok(shown::snapshot(&decode(snapshot.clone())?))
        });
    }
    let mut dataset = client.get(&path(name, &[]), &query).await?;
    let text = shown::dataset(&decode(dataset.clone())?);
    let schema = snapshot.get("schema").cloned().unwrap_or_default();
    if let Value::Object(fields) = &mut dataset {
        fields.insert("schema".into(), schema);
    }
    output::result(format, &dataset, || {
        let of_snapshot = shown::snapshot(&decode(snapshot.clone())?);
        // What stands before the schemas is told already.
        let schemas = of_snapshot.split_once("\n\n").map(|(_, schemas)| format!("\n\n{schemas}"));
        Ok(text + &schemas.unwrap_or_default())
    })
}

async fn examples(
    client: &Client,
    args: &ExamplesArgs,
    format: output::Format,
) -> Result<(), Failure> {
    /// The most rows of a page.
    const PAGE: usize = 500;
    let name = args.reference.dataset.as_str();
    let (snapshot, tags) = (args.reference.snapshot.to_string(), args.tags.join(","));
    let (sample, seed) = (args.sample.map(|n| n.to_string()), args.seed.map(|n| n.to_string()));
    let mut query = in_project(args.project.as_ref());
    query.push(("snapshot", &snapshot));
    query.extend((!tags.is_empty()).then_some(("tags", tags.as_str())));
    query.extend(args.split.as_deref().map(|split| ("split", split)));
    query.extend(args.search.as_deref().map(|search| ("search", search)));
    query.extend(sample.as_deref().map(|sample| ("sample", sample)));
    query.extend(args.shuffle.then_some(("shuffle", "true")));
    query.extend(seed.as_deref().map(|seed| ("seed", seed)));
    let path = path(name, &["examples"]);
    let (mut data, mut cursor, mut last): (Vec<Value>, Option<String>, Value);
    (data, cursor) = (Vec::new(), None);
    loop {
        let rows = (args.limit - data.len().min(args.limit)).clamp(1, PAGE).to_string();
        let mut query = query.clone();
        if args.sample.is_none() {
            query.push(("limit", &rows));
        }
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        last = client.get(&path, &query).await?;
        if let Some(Value::Array(page)) = last.get_mut("data").map(Value::take) {
            data.extend(page);
        }
        cursor = last.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() || data.len() >= args.limit {
            break;
        }
    }
    let is_more = cursor.is_some();
    let all = json!({
        "data": data,
        "version": last.get("version"),
        "digest": last.get("digest"),
        "next_cursor": cursor,
    });
    output::result(format, &all, || {
        let found: ExampleList = decode(all.clone())?;
        if found.data.is_empty() {
            output::note(&format!("no such examples in {name}@v{}", found.version));
            return Ok(String::new());
        }
        if is_more {
            output::note("there are more; --limit shows them");
        }
        Ok(shown::examples(&found.data))
    })
}

async fn diff(client: &Client, args: &DiffArgs, format: output::Format) -> Result<(), Failure> {
    let to = match args.to.as_deref() {
        None => SnapshotSelector::Latest,
        Some(text) => {
            let text = text.rsplit_once('@').map_or(text, |(_, snapshot)| snapshot);
            text.parse().map_err(|error| Kind::Config.because(format!("{error}")))?
        }
    };
    let (from, to, limit) =
        (args.from.snapshot.to_string(), to.to_string(), args.limit.to_string());
    let mut query = in_project(args.project.as_ref());
    query.extend([("from", from.as_str()), ("to", to.as_str()), ("limit", limit.as_str())]);
    let diff = client.get(&path(&args.from.dataset, &["compare"]), &query).await?;
    output::result(format, &diff, || {
        Ok(shown::comparison(&decode::<SnapshotComparison>(diff.clone())?))
    })
}
