mod keeper;
#[cfg(feature = "aws")]
mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Subcommand;
use diogenes_api::control::{CreateKey, CreatedKey, KeyBody, KeyPage, RotateKey};
use diogenes_core::keys::{Scope, Weight};
use diogenes_core::name::ModelName;
use diogenes_core::ports::Limits;
use diogenes_core::tenancy::ProjectId;
use serde_json::Value;

use super::options::Options;
use super::{output, time};
use crate::aws::DeploymentArgs;
use crate::client::decode;
use crate::exit::Failure;

use keeper::Keeper;

/// Create, list, revoke and rotate API keys.
///
/// They use the server's API, which needs an admin key; with --table or --stack they write straight
/// to the table of a deployment on AWS, for which AWS credentials are enough.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes key create --email ada@example.com
  diogenes key list --email ada@example.com
  diogenes key revoke 3kTMd9XbQ2LpVw7z
  diogenes key create --stack diogenes --email you@example.com --scope admin --scope inference")]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    deployment: DeploymentArgs,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Create(CreateArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
    Rotate(RotateArgs),
}

/// Create an API key (shown once).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes key create --email ada@example.com --name laptop
  diogenes key create --email ci@example.com --expires-in 30d --model demo --rpm 60
  diogenes key create --email ops@example.com --scope inference --scope admin
  diogenes key create --email lead@example.com --project search --scope project_admin
  export OPENAI_API_KEY=$(diogenes key create -q --email ada@example.com)")]
struct CreateArgs {
    /// The project it acts in [default: that of your own key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
    /// Email address of its owner
    #[arg(long)]
    email: String,
    /// What it is for
    #[arg(long, default_value = "")]
    name: String,
    /// What it may do: `inference`, `admin`, `project_admin`, `keys`, `models`, `cluster`, `read` or
    /// `jobs:work`; may be repeated [default: inference]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// A model that it may use; may be repeated [default: all]
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<ModelName>,
    /// How long it works, such as `720h` or `30d` [default: no expiry]
    #[arg(long, value_name = "DURATION", value_parser = diogenes_core::duration::parse)]
    expires_in: Option<Duration>,
    /// Requests per minute
    #[arg(long, value_name = "N", value_parser = crate::wording::number::<u32>)]
    rpm: Option<u32>,
    /// Tokens per minute
    #[arg(long, value_name = "N", value_parser = crate::wording::number::<u32>)]
    tpm: Option<u32>,
    /// Requests at once
    #[arg(long, value_name = "N", value_parser = crate::wording::number::<u32>)]
    concurrency: Option<u32>,
    /// Let its requests leave for providers such as OpenAI
    #[arg(long)]
    egress: bool,
    /// Its share of a busy model relative to other keys, 1 to 100 [default: 1]
    #[arg(long, value_name = "N")]
    weight: Option<Weight>,
    /// Print nothing but the key
    #[arg(short, long)]
    quiet: bool,
}

/// List the keys of a project, or those of one email address in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes key list
  diogenes key list --email ada@example.com
  diogenes key list --project search
  diogenes key list -o json | jq -r '.data[] | select(.status == \"active\").id'")]
struct ListArgs {
    /// The project [default: that of your own key]
    #[arg(long, value_name = "PROJECT")]
    project: Option<ProjectId>,
    /// Only keys of this address
    #[arg(long)]
    email: Option<String>,
}

/// Revoke a key; it stops working at once, on AWS within five minutes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes key revoke 3kTMd9XbQ2LpVw7z
  diogenes key list --email ada@example.com   # shows the ids")]
struct RevokeArgs {
    /// The key's id
    id: String,
}

/// Issue a key with the same rights and retire the old one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes key rotate 3kTMd9XbQ2LpVw7z
  diogenes key rotate 3kTMd9XbQ2LpVw7z --grace 1h   # the old one works for another hour")]
struct RotateArgs {
    /// The old key's id
    id: String,
    /// How long the old key keeps working [default: not at all]
    #[arg(long, value_name = "DURATION", value_parser = diogenes_core::duration::parse)]
    grace: Option<Duration>,
    /// Print nothing but the new key
    #[arg(short, long)]
    quiet: bool,
}

pub(super) async fn run(args: KeyArgs) -> Result<(), Failure> {
    let keeper = Keeper::of(&args.deployment, &args.options).await?;
    let format = args.options.output;
    match args.action {
        Action::Create(args) => {
            let quiet = args.quiet;
            let created = keeper.create(args.request()).await?;
            show_created(&created, quiet, format)
        }
        Action::List(args) => {
            let whole = keeper.list(args.project.as_ref(), args.email.as_deref()).await?;
            output::result(format, &whole, || {
                let keys = decode::<KeyPage>(whole.clone())?.data;
                if keys.is_empty() {
                    output::note("no keys; create one with `diogenes key create --email …`");
                    return Ok(String::new());
                }
                Ok(table(&keys))
            })
        }
        Action::Revoke(RevokeArgs { id }) => {
            let revoked = keeper.revoke(&id).await?;
            output::result(format, &revoked, || Ok(format!("key `{id}` is revoked")))
        }
        Action::Rotate(RotateArgs { id, grace, quiet }) => {
            let request = RotateKey { grace: grace.unwrap_or_default() };
            let created = keeper.rotate(&id, request).await?;
            show_created(&created, quiet, format)
        }
    }
}

impl CreateArgs {
    fn request(self) -> CreateKey {
        let mut scopes: BTreeSet<Scope> = self.scopes.into_iter().collect();
        if scopes.is_empty() {
            scopes.insert(Scope::Inference);
        }
        CreateKey {
            project: self.project,
            email: self.email,
            name: self.name,
            scopes,
            models: (!self.models.is_empty()).then(|| self.models.into_iter().collect()),
            expires_at: None,
            expires_in: self.expires_in,
            limits: Limits {
                requests_per_minute: self.rpm,
                tokens_per_minute: self.tpm,
                concurrency: self.concurrency,
            },
            egress: self.egress,
            weight: self.weight.unwrap_or_default(),
        }
    }
}

fn show_created(created: &Value, quiet: bool, format: output::Format) -> Result<(), Failure> {
    let CreatedKey { key, record } = decode(created.clone())?;
    if quiet {
        return output::line(&key);
    }
    output::result(format, created, || {
        Ok(output::details([
            ("key", key),
            ("id", record.id.to_string()),
            ("project", record.project.to_string()),
            ("email", record.email),
            ("name", dash(record.name)),
            ("scopes", scopes(&record.scopes)),
            ("models", models(record.models.as_ref())),
            ("limits", limits(&record.limits)),
            ("egress", if record.egress { "yes" } else { "no" }.into()),
            ("weight", record.weight.to_string()),
            ("expires", expiry(record.expires_at)),
        ]))
    })?;
    output::note("Save the key now; it will not be shown again.");
    Ok(())
}

fn table(keys: &[KeyBody]) -> String {
    output::table(
        &["ID", "EMAIL", "NAME", "STATUS", "SCOPES", "MODELS", "LIMITS", "CREATED", "EXPIRES"],
        keys.iter().map(|key| {
            vec![
                key.id.to_string(),
                key.email.clone(),
                dash(key.name.clone()),
                key.status.clone(),
                scopes(&key.scopes),
                models(key.models.as_ref()),
                limits(&key.limits),
                time::stamp(key.created_at),
                expiry(key.expires_at),
            ]
        }),
    )
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

fn scopes(scopes: &BTreeSet<Scope>) -> String {
    scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn models(models: Option<&BTreeSet<ModelName>>) -> String {
    models.map_or_else(
        || "all".into(),
        |models| models.iter().map(ModelName::as_str).collect::<Vec<_>>().join(","),
    )
}

fn limits(limits: &Limits) -> String {
    let parts = [
        ("rpm", limits.requests_per_minute),
        ("tpm", limits.tokens_per_minute),
        ("concurrency", limits.concurrency),
    ];
    let set = parts.into_iter().filter_map(|(name, limit)| Some(format!("{name}={}", limit?)));
    dash(set.collect::<Vec<_>>().join(","))
}

fn expiry(at: Option<diogenes_core::Timestamp>) -> String {
    at.map_or_else(|| "never".into(), time::stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_one_a_line() {
        let key: KeyBody = serde_json::from_value(serde_json::json!({
            "id": "3kTMd9XbQ2LpVw7z", "email": "ada@example.com", "name": "", "status": "active",
            "scopes": ["inference", "admin"], "models": ["demo"], "created_at": "2026-01-01T00:00:00Z",
            "limits": {"requests_per_minute": 60, "concurrency": 2},
            "expires_at": null, "revoked_at": null, "rotated_to": null,
        }))
        .expect("a key");
        insta::assert_snapshot!(table(&[key]));
    }
}
