mod apply;
mod spec;

use clap::Subcommand;
use diogenes_api::control::{ModelBody, ModelPage};
use diogenes_core::duration;
use diogenes_core::fleet::{ModelSpec, ResponsesApi};

use super::completions::models;
use super::options::Options;
use super::{confirmation, output, time};
use crate::client::{decode, model_path};
use crate::exit::Failure;

/// Register, change, list and delete models.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes model apply Qwen/Qwen3-8B -- vllm serve Qwen/Qwen3-8B --host {host} --port {port}
  diogenes model apply demo --file demo.toml --idle-timeout 5m
  diogenes model list
  diogenes model delete demo")]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Apply(Box<apply::ApplyArgs>),
    List(ListArgs),
    Show(ShowArgs),
    Delete(DeleteArgs),
}

/// List the models.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes model list
  diogenes model list -o json | jq -r '.data[].name'")]
struct ListArgs {}

/// Show a model.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes model show demo
  diogenes model show demo -o yaml > demo.yaml   # `model apply --file` reads it")]
struct ShowArgs {
    /// The model
    #[arg(add = models())]
    name: String,
}

/// Delete a model; its replicas are drained and stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes model delete demo
  diogenes model delete demo --yes")]
struct DeleteArgs {
    /// The model
    #[arg(add = models())]
    name: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(args: ModelArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Apply(args) => apply::run(*args, &client, format).await,
        Action::List(ListArgs {}) => {
            let page = client.get_all(&["api", "v1", "models"], &[]).await?;
            output::result(format, &page, || {
                let models = decode::<ModelPage>(page.clone())?.data;
                if models.is_empty() {
                    output::note("no models; add one with `diogenes model apply`");
                    return Ok(String::new());
                }
                Ok(table(&models))
            })
        }
        Action::Show(ShowArgs { name }) => {
            let model = client.get(&model_path(&name), &[]).await?;
            output::result(format, &model, || Ok(details(&decode(model.clone())?)))
        }
        Action::Delete(DeleteArgs { name, yes }) => {
            let question = format!("delete model `{name}` and stop its replicas?");
            if !yes && !confirmation::ask(&format!("deleting `{name}`"), &question)? {
                output::note("nothing was deleted");
                return Ok(());
            }
            let deleted = client.delete(&model_path(&name)).await?;
            output::result(format, &deleted, || Ok(format!("model `{name}` is deleted")))
        }
    }
}

fn table(models: &[ModelBody]) -> String {
    output::table(
        &["NAME", "SOURCE", "REPLICAS", "IDLE", "ALIASES", "UPDATED", "COMMAND"],
        models.iter().map(|model| {
            let spec = &model.spec;
            vec![
                model.name.to_string(),
                model.source.as_str().into(),
                format!("{}..{}", spec.min_replicas, spec.max_replicas),
                duration::format(spec.idle_timeout).replace(' ', ""),
                aliases(model),
                time::stamp(model.updated_at),
                shorten(&command(model), 60),
            ]
        }),
    )
}

fn details(model: &ModelBody) -> String {
    let spec = &model.spec;
    let mut rows = vec![
        ("name", model.name.to_string()),
        ("source", model.source.as_str().into()),
        ("created", time::stamp(model.created_at)),
        ("updated", time::stamp(model.updated_at)),
        ("command", command(model)),
        ("aliases", aliases(model)),
        ("replicas", format!("{} to {}", spec.min_replicas, spec.max_replicas)),
        ("per replica", per_replica(spec)),
        ("cold start", spec::name_of(spec.cold_start).into()),
        ("held at most", held_at_most(spec)),
        ("idle timeout", duration::format(spec.idle_timeout)),
        ("boot timeout", duration::format(spec.boot_timeout)),
        ("drain timeout", duration::format(spec.drain_timeout)),
        ("stall timeout", duration::format(spec.stall_timeout)),
        ("answer timeout", duration::format(spec.answer_timeout)),
        ("lifetime", spec.max_lifetime.map_or_else(|| "no limit".into(), duration::format)),
        ("health path", spec.health_path.clone()),
    ];
    rows.extend(spec.port.map(|port| ("port", port.to_string())));
    rows.extend(spec.upstream_model.clone().map(|name| ("upstream model", name)));
    if spec.responses == ResponsesApi::Translated {
        rows.push(("/v1/responses", "translated to chat completions".into()));
    }
    rows.extend(spec.working_dir.clone().map(|path| ("directory", path)));
    // Values may be secrets.
    let names: Vec<&str> = spec.env.keys().map(String::as_str).collect();
    if !names.is_empty() {
        rows.push(("environment", names.join(", ")));
    }
    output::details(rows)
}

/// `15m, 256 requests, 8 of a key`.
fn held_at_most(spec: &ModelSpec) -> String {
    let of_key = spec.max_held_per_key.map(|most| format!(", {most} of a key"));
    let (time, most) = (duration::format(spec.hold_timeout), spec.max_held);
    format!("{time}, {most} requests{}", of_key.unwrap_or_default())
}

fn per_replica(spec: &ModelSpec) -> String {
    let most = spec.max_concurrency.map(|most| format!(", {most} at once at most"));
    format!("{} requests{}", spec.target_concurrency, most.unwrap_or_default())
}

fn aliases(model: &ModelBody) -> String {
    let names: Vec<&str> = model.spec.aliases.iter().map(AsRef::as_ref).collect();
    if names.is_empty() { "-".into() } else { names.join(",") }
}

fn command(model: &ModelBody) -> String {
    shell_words::join(&model.spec.command)
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", head.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> ModelBody {
        serde_json::from_value(serde_json::json!({
            "name": "Qwen/Qwen3-8B", "source": "api",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
            "spec": {
                "command": ["vllm", "serve", "Qwen/Qwen3-8B", "--port", "{port}", "--served-model-name", "a name"],
                "aliases": ["qwen"], "idle_timeout": "1h 30m", "env": {"HF_TOKEN": "secret"},
            },
        }))
        .expect("a model")
    }

    #[test]
    fn models_are_shown_one_a_line() {
        insta::assert_snapshot!(table(&[model()]));
    }

    #[test]
    fn a_models_details_tell_no_value_of_its_environment() {
        insta::assert_snapshot!(details(&model()));
    }
}
