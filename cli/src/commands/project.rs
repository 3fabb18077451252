use clap::Subcommand;
use diogenes_api::control::{CreateProject, ProjectBody, ProjectPage};
use diogenes_core::tenancy::ProjectId;
use serde_json::Value;

use super::options::Options;
use super::{confirmation, output, time};
use crate::client::decode;
use crate::exit::Failure;

/// Create, list and archive projects.
///
/// A project owns API keys and everything that is made with them. Keys that were created without
/// one belong to the project `default`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes project create search --description \"the search team\"
  diogenes key create --project search --email ada@example.com --scope project_admin
  diogenes project list
  diogenes project archive search")]
pub(crate) struct ProjectArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Archive(ArchiveArgs),
}

/// Create a project.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes project create search
  diogenes project create search --description \"the search team\"")]
struct CreateArgs {
    /// Lower-case letters, digits and hyphens; it cannot be changed
    id: ProjectId,
    /// What it is for
    #[arg(long, default_value = "")]
    description: String,
}

/// List the projects: all of them, or your own with a project's key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes project list
  diogenes project list -o json | jq -r '.data[] | select(.status == \"active\").id'")]
struct ListArgs {}

/// Show a project.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes project show search
  diogenes project show search -o yaml")]
struct ShowArgs {
    /// The project's id
    id: ProjectId,
}

/// Archive a project: its keys are refused, and it takes no new ones.
///
/// It cannot be undone. What the project owns is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes key list --project search   # the keys that will stop working
  diogenes project archive search
  diogenes project archive search --yes")]
struct ArchiveArgs {
    /// The project's id
    id: ProjectId,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(args: ProjectArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    let path = ["api", "v1", "projects"];
    match args.action {
        Action::Create(CreateArgs { id, description }) => {
            let created = client.post(&path, &CreateProject { id, description }).await?;
            show(&created, format)
        }
        Action::List(ListArgs {}) => {
            let page = client.get_all(&path, &[]).await?;
            output::result(format, &page, || Ok(table(&decode::<ProjectPage>(page.clone())?.data)))
        }
        Action::Show(ShowArgs { id }) => {
            let project = client.get(&[&path[..], &[id.as_str()]].concat(), &[]).await?;
            show(&project, format)
        }
        Action::Archive(ArchiveArgs { id, yes }) => {
            let question = format!("archive project `{id}` for good? All of its keys stop working");
            if !yes && !confirmation::ask(&format!("archiving `{id}`"), &question)? {
                output::note("nothing was archived");
                return Ok(());
            }
            let path = [&path[..], &[id.as_str(), "archive"]].concat();
            let archived = client.post(&path, &serde_json::json!({})).await?;
            output::result(format, &archived, || Ok(format!("project `{id}` is archived")))
        }
    }
}

fn show(project: &Value, format: output::Format) -> Result<(), Failure> {
    output::result(format, project, || {
        let project: ProjectBody = decode(project.clone())?;
        Ok(output::details([
            ("id", project.id.to_string()),
            ("description", dash(&project.description)),
            ("status", project.status),
            ("created", project.created_at.map_or_else(|| "-".into(), time::stamp)),
            ("archived", project.archived_at.map_or_else(|| "-".into(), time::stamp)),
        ]))
    })
}

fn table(projects: &[ProjectBody]) -> String {
    output::table(
        &["ID", "STATUS", "CREATED", "DESCRIPTION"],
        projects.iter().map(|project| {
            vec![
                project.id.to_string(),
                project.status.clone(),
                project.created_at.map_or_else(|| "-".into(), time::stamp),
                dash(&project.description),
            ]
        }),
    )
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_are_shown_one_a_line() {
        let projects: Vec<ProjectBody> = serde_json::from_value(serde_json::json!([
            {"id": "default", "description": "", "status": "active", "created_at": null,
             "archived_at": null},
            {"id": "search", "description": "the search team", "status": "archived",
             "created_at": "2026-01-01T00:00:00Z", "archived_at": "2026-02-01T00:00:00Z"},
        ]))
        .expect("projects");
        assert_eq!(
            table(&projects),
            "ID       STATUS    CREATED               DESCRIPTION\n\
             default  active    -                     -\n\
             search   archived  2026-01-01T00:00:00Z  the search team"
        );
    }
}
