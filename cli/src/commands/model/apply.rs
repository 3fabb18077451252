use std::path::PathBuf;
use std::time::Duration;

use diogenes_core::fleet::ModelSpec;
use diogenes_core::name::ModelName;

use super::{models, output, spec};
use crate::client::{Client, model_path};
use crate::commands::fields::{Fields, Origin};
use crate::exit::{Failure, Kind};

/// Register or change a model. Changing its command or environment replaces its replicas.
///
/// The spec comes from a file, from the command after `--`, or both; flags win over the file.
/// Without a file and a command, the flags change the registered spec.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes model apply Qwen/Qwen3-8B -- vllm serve Qwen/Qwen3-8B --host {host} --port {port}
  diogenes model apply llama --alias gpt-4o --idle-timeout 5m -- llama-server -m llama.gguf --host {host} --port {port}
  diogenes model apply demo --file demo.toml --max-replicas 2
  diogenes model apply demo --idle-timeout 1h

The fields of a file are those of `[models.\"…\"]` in `diogenes.toml`.")]
pub(super) struct ApplyArgs {
    /// Name of the model
    #[arg(add = models())]
    name: ModelName,
    /// File with the spec, in TOML, JSON or YAML; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    fields: FieldArgs,
    /// The program and its arguments; `{port}` and `{host}` are filled in
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct FieldArgs {
    /// Replicas that run even without demand
    #[arg(long, value_name = "N", value_parser = crate::wording::number::<u32>)]
    min_replicas: Option<u32>,
    /// Maximum number of replicas
    #[arg(long, value_name = "N", value_parser = crate::wording::number::<u32>)]
    max_replicas: Option<u32>,
    /// Requests per replica above which another replica is started
    #[arg(long, value_name = "N", value_parser = crate::wording::number::<u32>)]
    target_concurrency: Option<u32>,
    /// The most requests that a replica gets at once; others wait for their turn
    #[arg(long, value_name = "N", value_parser = crate::wording::number::<u32>)]
    max_concurrency: Option<u32>,
    /// How long an unused replica runs before it is stopped
    #[arg(long, value_name = "DURATION", value_parser = diogenes_core::duration::parse)]
    idle_timeout: Option<Duration>,
    /// How long a replica may take to become ready
    #[arg(long, value_name = "DURATION", value_parser = diogenes_core::duration::parse)]
    boot_timeout: Option<Duration>,
    /// Model name that the inference server expects
    #[arg(long, value_name = "NAME")]
    upstream_model: Option<String>,
    /// Another name of the model; may be repeated
    #[arg(long = "alias", value_name = "NAME")]
    aliases: Vec<ModelName>,
    /// What happens to requests while no replica is ready
    #[arg(long, value_enum, value_name = "HOW")]
    cold_start: Option<spec::ColdStartArg>,
    /// Environment variable of the command; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = spec::variable)]
    env: Vec<(String, String)>,
    /// Directory to start the command in
    #[arg(long, value_name = "DIR")]
    working_dir: Option<String>,
    /// Path that returns 200 once the server is ready
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
    /// The port that the command listens on, for a program with a fixed one
    #[arg(long, value_name = "PORT", value_parser = crate::wording::number::<u16>)]
    port: Option<u16>,
}

pub(super) async fn run(
    args: ApplyArgs,
    client: &Client,
    format: output::Format,
) -> Result<(), Failure> {
    let path = model_path(args.name.as_str());
    let (base, origin) = match &args.file {
        Some(file) => (Fields::read(file)?, Origin::File(file.display().to_string())),
        None if args.command.is_empty() => {
            (standing(client, &path, &args.name).await?, Origin::Server)
        }
        None => (Fields::default(), Origin::Flags),
    };
    let spec: ModelSpec =
        base.overruled_by(args.flags()).into_spec(&origin, ModelSpec::validate)?;
    let model = client.put(&path, &spec).await?;
    output::result(format, &model, || Ok(format!("model `{}` is registered", args.name)))
}

impl ApplyArgs {
    fn flags(&self) -> Fields {
        let given = &self.fields;
        let mut fields = Fields::default();
        fields.set("min_replicas", given.min_replicas);
        fields.set("max_replicas", given.max_replicas);
        fields.set("target_concurrency", given.target_concurrency);
        fields.set("max_concurrency", given.max_concurrency);
        fields.set("idle_timeout", given.idle_timeout.map(diogenes_core::duration::format));
        fields.set("boot_timeout", given.boot_timeout.map(diogenes_core::duration::format));
        fields.set("upstream_model", given.upstream_model.as_deref());
        fields.set("aliases", (!given.aliases.is_empty()).then_some(&given.aliases));
        fields.set("cold_start", given.cold_start.map(spec::ColdStartArg::name));
        fields.set("working_dir", given.working_dir.as_deref());
        fields.set("health_path", given.health_path.as_deref());
        fields.set("port", given.port);
        fields.set("command", (!self.command.is_empty()).then_some(&self.command));
        fields.set_env(&given.env);
        fields
    }
}

/// The spec that is registered, for flags to change.
async fn standing(client: &Client, path: &[&str], name: &ModelName) -> Result<Fields, Failure> {
    match client.get(path, &[]).await {
        Ok(model) => Fields::of_value(model),
        Err(failure) if failure.kind == Kind::NotFound => Err(Kind::Config.because(format!(
            "model `{name}` is not registered; give its command after `--`, or a spec with --file"
        ))),
        Err(failure) => Err(failure),
    }
}
