mod args;
mod create;
mod shown;
mod watch;

use clap::Subcommand;
use diogenes_api::control::{ApproveDeployment, DeploymentList, ReasonBody};
use diogenes_core::Timestamp;
use serde_json::{Value, json};

use self::args::{ApproveArgs, ListArgs, ReasonArgs, StatusArgs, Which};
use super::options::{Options, in_project};
use super::{confirmation, output};
use crate::client::{Client, decode};
use crate::exit::Failure;

/// Bring a new version of a prompt to its users, as fast as the evidence allows.
///
/// An environment is a label of the prompt. While a deployment is under way, a share of the users
/// meets the new version; what fails more often or takes longer loses its share again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes deploy create summarizer --to v5 --environment production --auto-rollback
  diogenes deploy approve deploy_0123456789abcdef0123456789abcdef --comment 'looks good'
  diogenes deploy status deploy_0123456789abcdef0123456789abcdef --watch
  diogenes deploy rollback deploy_0123456789abcdef0123456789abcdef --reason 'too wordy'
  diogenes deploy history summarizer

Requests are divided by `user` or by their session header, so that one user meets one version; a
request that names neither stands for itself.")]
pub(crate) struct DeployArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(create::CreateArgs),
    List(ListArgs),
    /// List the deployments of a prompt, newest first.
    History(args::HistoryArgs),
    /// Show a deployment.
    Get(Which),
    Status(StatusArgs),
    Approve(ApproveArgs),
    /// Give the new version all requests at once.
    Promote(Which),
    /// Stop the growth of the share. What is found to be worse is rolled back all the same.
    Pause(Which),
    /// Let the share grow again, after a whole interval.
    Resume(Which),
    /// End a deployment that is not completed. All requests meet the version before it.
    Cancel(ReasonArgs),
    /// Return all requests to the version before, also after the deployment was completed.
    Rollback(ReasonArgs),
}

const PATH: [&str; 3] = ["api", "v1", "deployments"];

fn path<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&PATH[..], rest].concat()
}

pub(super) async fn run(args: DeployArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Create(args) => create::run(&client, args, format).await,
        Action::List(args) => list(&client, &args, format).await,
        Action::History(args) => {
            let args = ListArgs {
                prompt: Some(args.prompt),
                project: args.project,
                environment: None,
                status: None,
            };
            list(&client, &args, format).await
        }
        Action::Get(Which { id, project }) => {
            let deployment = client.get(&path(&[&id]), &in_project(project.as_ref())).await?;
            shown::deployment(&deployment, format)
        }
        Action::Status(args) => watch::run(&client, &args, format).await,
        Action::Approve(ApproveArgs { deployment, comment }) => {
            let body = json!(ApproveDeployment { comment });
            order(&client, &deployment, "approve", &body, format).await
        }
        Action::Promote(which) => order(&client, &which, "promote", &json!({}), format).await,
        Action::Pause(which) => order(&client, &which, "pause", &json!({}), format).await,
        Action::Resume(which) => order(&client, &which, "resume", &json!({}), format).await,
        Action::Cancel(args) => end(&client, args, "cancel", format).await,
        Action::Rollback(args) => end(&client, args, "rollback", format).await,
    }
}

async fn order(
    client: &Client,
    which: &Which,
    what: &str,
    body: &Value,
    format: output::Format,
) -> Result<(), Failure> {
    let query = in_project(which.project.as_ref());
    let done = client.post_to(&path(&[&which.id, what]), &query, body).await?;
    shown::deployment(&done, format)
}

/// Ends a deployment, or takes it back.
async fn end(
    client: &Client,
    args: ReasonArgs,
    what: &str,
    format: output::Format,
) -> Result<(), Failure> {
    let ReasonArgs { deployment: Which { id, project }, reason, yes } = args;
    let doing = if what == "cancel" { "cancelling" } else { "rolling back" };
    let question = format!("{doing} deployment `{id}` returns all its requests; go on?");
    if !yes && !confirmation::ask(&format!("{doing} `{id}`"), &question)? {
        output::note("nothing was changed");
        return Ok(());
    }
    let (query, body) = (in_project(project.as_ref()), json!(ReasonBody { reason }));
    let done = client.post_to(&path(&[&id, what]), &query, &body).await?;
    match done.get("deployment") {
        Some(deployment) if format == output::Format::Table => {
            shown::deployment(deployment, format)
        }
        Some(_) => output::result(format, &done, || Ok(String::new())),
        None => shown::deployment(&done, format),
    }
}

async fn list(client: &Client, args: &ListArgs, format: output::Format) -> Result<(), Failure> {
    let mut query = in_project(args.project.as_ref());
    query.extend(args.prompt.as_deref().map(|prompt| ("prompt_id", prompt)));
    query.extend(args.environment.as_ref().map(|label| ("environment", label.as_str())));
    query.extend(args.status.map(|status| ("status", status.as_str())));
    let list = client.get_all(&PATH, &query).await?;
    output::result(format, &list, || {
        let deployments = decode::<DeploymentList>(list.clone())?.data;
        if deployments.is_empty() {
            output::note("no deployments; create one with `diogenes deploy create`");
            return Ok(String::new());
        }
        Ok(shown::table(&deployments, Timestamp::now()))
    })
}
