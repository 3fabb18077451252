mod args;
mod push;
mod shown;

use clap::Subcommand;
use diogenes_api::control::{
    ComparisonBody, PromptBody, PromptList, PromptVersionBody, RenderedPrompt, UpdatePrompt,
};
use diogenes_core::prompts::{PromptRef, PromptStatus, Selector};
use diogenes_core::tenancy::ProjectId;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use self::args::{
    DeleteArgs, DiffArgs, HistoryArgs, LabelArgs, ListArgs, RenderArgs, ShowArgs, StatusArgs,
    UpdateArgs, Which,
};
use super::options::{Options, in_project};
use super::{confirmation, output};
use crate::client::{Client, decode};
use crate::exit::{Failure, Kind};

/// Keep prompts: versions that never change, and labels that say which one is in use.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes prompt push summarizer.yaml
  diogenes prompt render summarizer:latest --var text='Once upon a time …'
  diogenes prompt label summarizer production v2 --reason 'better on long texts'
  diogenes prompt diff summarizer:v1 summarizer:v2
  diogenes prompt list --tag support

A reference is SLUG, which means the version with the label `production`, SLUG:v2, SLUG:latest or
SLUG:LABEL. A request uses one with \"prompt\": {\"id\": \"SLUG\", \"version\": \"v2\", \"variables\": {…}}.

A file:
  slug: summarizer
  model: demo
  messages:
    - role: system
      content: Summarize the text in {{ sentences }} sentences.
    - role: user
      content: \"{{ text }}\"
  variables:
    - name: text
    - name: sentences
      type: number
      default_value: 3
  default_config:
    temperature: 0.2")]
pub(crate) struct PromptArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Push(push::PushArgs),
    List(ListArgs),
    Show(ShowArgs),
    History(HistoryArgs),
    Diff(DiffArgs),
    Label(LabelArgs),
    Render(RenderArgs),
    Update(UpdateArgs),
    /// Take a prompt out of use. Requests that name it are refused; it can be restored.
    Archive(StatusArgs),
    /// Bring an archived prompt back.
    Restore(StatusArgs),
    Delete(DeleteArgs),
}

const PATH: [&str; 3] = ["api", "v1", "prompts"];

fn path<'a>(slug: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&PATH[..], &[slug], rest].concat()
}

pub(super) async fn run(args: PromptArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Push(args) => push::run(&client, args, format).await,
        Action::List(args) => list(&client, &args, format).await,
        Action::Show(args) => show(&client, &args.reference, args.project.as_ref(), format).await,
        Action::History(HistoryArgs { prompt: Which { slug, project } }) => {
            let path = path(&slug, &["versions"]);
            let history = client.get_all(&path, &in_project(project.as_ref())).await?;
            output::result(format, &history, || shown::history(&history))
        }
        Action::Diff(args) => diff(&client, &args, format).await,
        Action::Label(args) => label(&client, &args, format).await,
        Action::Render(args) => render(&client, args, format).await,
        Action::Update(args) => {
            let UpdateArgs { prompt, name, description, tags, metadata, status, protected } = args;
            let update = UpdatePrompt {
                name,
                description,
                tags: (!tags.is_empty()).then(|| tags.into_iter().collect()),
                metadata: (!metadata.is_empty()).then(|| metadata.into_iter().collect()),
                status: status.map(Into::into),
                protected_labels: (!protected.is_empty())
                    .then(|| protected.into_iter().filter_map(|label| label.0).collect()),
            };
            change(&client, &prompt, &update, format).await
        }
        Action::Archive(StatusArgs { prompt }) => {
            let status = Some(PromptStatus::Archived);
            change(&client, &prompt, &UpdatePrompt { status, ..UpdatePrompt::default() }, format)
                .await
        }
        Action::Restore(StatusArgs { prompt }) => {
            let status = Some(PromptStatus::Active);
            change(&client, &prompt, &UpdatePrompt { status, ..UpdatePrompt::default() }, format)
                .await
        }
        Action::Delete(DeleteArgs { prompt: Which { slug, project }, yes }) => {
            let question = format!("delete prompt `{slug}` with all its versions, for good?");
            if !yes && !confirmation::ask(&format!("deleting `{slug}`"), &question)? {
                output::note("nothing was deleted");
                return Ok(());
            }
            let (path, query) = (path(&slug, &[]), in_project(project.as_ref()));
            let deleted = client.call_at(Method::DELETE, &path, &query, None::<&()>).await?;
            output::result(format, &deleted, || Ok(format!("deleted `{slug}`")))
        }
    }
}

async fn list(client: &Client, args: &ListArgs, format: output::Format) -> Result<(), Failure> {
    let mut query = in_project(args.project.as_ref());
    let tags = args.tags.join(",");
    query.extend(args.search.as_deref().map(|search| ("search", search)));
    query.extend((!tags.is_empty()).then_some(("tags", tags.as_str())));
    let status = args.status.map(PromptStatus::from);
    query.extend(status.map(|status| ("status", status.as_str())));
    query.extend(args.order_by.as_deref().map(|order| ("order_by", order)));
    query.extend(args.descending.then_some(("descending", "true")));
    let list = client.get_all(&PATH, &query).await?;
    output::result(format, &list, || {
        let prompts = decode::<PromptList>(list.clone())?.data;
        if prompts.is_empty() {
            output::note("no prompts; push one with `diogenes prompt push FILE`");
            return Ok(String::new());
        }
        Ok(shown::table(&prompts))
    })
}

/// The prompt itself for a slug, and a version for anything else.
async fn show(
    client: &Client,
    reference: &PromptRef,
    project: Option<&ProjectId>,
    format: output::Format,
) -> Result<(), Failure> {
    let slug = reference.slug.as_str();
    if reference.version == Selector::Default {
        let prompt = client.get(&path(slug, &[]), &in_project(project)).await?;
        return output::result(format, &prompt, || Ok(shown::prompt(&decode(prompt.clone())?)));
    }
    let version = reference.version.to_string();
    let version = client.get(&path(slug, &["versions", &version]), &in_project(project)).await?;
    output::result(format, &version, || {
        Ok(shown::version(&decode::<PromptVersionBody>(version.clone())?))
    })
}

async fn diff(client: &Client, args: &DiffArgs, format: output::Format) -> Result<(), Failure> {
    let to: PromptRef = match args.to.parse() {
        Ok(reference) if args.to.contains(':') || args.to == args.from.slug.as_str() => reference,
        // The other version of the same prompt.
        _ => PromptRef {
            slug: args.from.slug.clone(),
            version: args.to.parse().map_err(|error| Kind::Config.because(format!("{error}")))?,
        },
    };
    if to.slug != args.from.slug {
        return Err(Kind::Config.because(format!(
            "`{}` and `{to}` are two prompts; name two versions of one",
            args.from
        )));
    }
    let (from, to) = (args.from.version.to_string(), to.version.to_string());
    let mut query = in_project(args.project.as_ref());
    query.extend([("from", from.as_str()), ("to", to.as_str())]);
    query.extend(args.embedding_model.as_deref().map(|model| ("embedding_model", model)));
    let comparison = client.get(&path(args.from.slug.as_str(), &["compare"]), &query).await?;
    output::result(format, &comparison, || {
        Ok(shown::comparison(&decode::<ComparisonBody>(comparison.clone())?))
    })
}

async fn label(client: &Client, args: &LabelArgs, format: output::Format) -> Result<(), Failure> {
    let LabelArgs { prompt: slug, label, version, remove, reason, from, project } = args;
    let path = path(slug, &["labels", label.as_str()]);
    let mut query = in_project(project.as_ref());
    let prompt = match version {
        Some(version) if !remove => {
            let from = from.as_ref().map(|from| match from {
                Selector::Number(number) => Ok(*number),
                _ => Err(Kind::Config.because("--from takes a version such as `v1`")),
            });
            let mut body = json!({"version": version, "reason": reason});
            if let (Value::Object(body), Some(from)) = (&mut body, from.transpose()?) {
                body.insert("from".into(), from.into());
            }
            client.call_at(Method::PUT, &path, &query, Some(&body)).await?
        }
        _ => {
            query.push(("reason", reason));
            client.call_at(Method::DELETE, &path, &query, None::<&()>).await?
        }
    };
    output::result(format, &prompt, || {
        let prompt: PromptBody = decode(prompt.clone())?;
        Ok(match prompt.labels.get(label.as_str()) {
            Some(state) => format!("{slug}:{label} is {slug}:v{} now", state.version),
            None => format!("{slug} has no label `{label}` any more"),
        })
    })
}

async fn render(client: &Client, args: RenderArgs, format: output::Format) -> Result<(), Failure> {
    let version = args.reference.version.to_string();
    let path = path(args.reference.slug.as_str(), &["versions", &version, "render"]);
    let body = json!({"variables": args.values()?});
    let rendered = client.post_to(&path, &in_project(args.project.as_ref()), &body).await?;
    output::result(format, &rendered, || {
        Ok(shown::messages(&decode::<RenderedPrompt>(rendered.clone())?.messages))
    })
}

async fn change(
    client: &Client,
    which: &Which,
    update: &impl Serialize,
    format: output::Format,
) -> Result<(), Failure> {
    let (path, query) = (path(&which.slug, &[]), in_project(which.project.as_ref()));
    let prompt = client.call_at(Method::PATCH, &path, &query, Some(update)).await?;
    output::result(format, &prompt, || Ok(shown::prompt(&decode(prompt.clone())?)))
}
