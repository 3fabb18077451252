use std::path::{Path, PathBuf};

use clap::Subcommand;
use diogenes_api::control::{ProviderBody, ProviderCheck, ProviderList};
use diogenes_core::duration;
use diogenes_core::gateway::{ProviderKind, ProviderName, ProviderSpec};
use diogenes_core::secret::SecretRef;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::change::apply;
use super::fields::{Fields, Origin};
use super::options::Options;
use super::{confirmation, output, time};
use crate::client::{Client, decode};
use crate::exit::{Failure, Kind};

/// Add, change, list, check and delete providers: services that host models elsewhere.
///
/// Callers name a provider's model as `PROVIDER/MODEL`, such as `openai/gpt-5-mini`, with a key
/// that allows egress, or use a route that leads to it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes provider apply openai --base-url https://api.openai.com/v1 --api-key-env OPENAI_API_KEY
  diogenes provider apply anthropic --kind anthropic --base-url https://api.anthropic.com --api-key-file /run/secrets/anthropic
  diogenes provider check
  diogenes provider list")]
pub(crate) struct ProviderArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Action {
    Apply(ApplyArgs),
    List(ListArgs),
    Show(ShowArgs),
    Check(CheckArgs),
    Delete(DeleteArgs),
}

/// Add or change a provider. Its API key stays where it is; only the place is recorded.
///
/// The spec comes from a file or from the provider as it is, if it exists; flags win over both.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes provider apply openai --base-url https://api.openai.com/v1 --api-key-env OPENAI_API_KEY
  diogenes provider apply openai --base-url https://api.openai.com/v1 --api-key-ssm /diogenes/diogenes/providers/openai   # on AWS
  diogenes provider apply openai --file openai.toml   # timeouts, too

The fields of a file are those of `[providers.…]` in `diogenes.toml`.")]
struct ApplyArgs {
    /// Name of the provider: the part before the `/` of its models' names
    name: ProviderName,
    /// File with the spec, in TOML, JSON or YAML; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What it speaks [default: openai]
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Option<KindArg>,
    /// Where its API begins
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    #[command(flatten)]
    api_key: ApiKeyArgs,
}

/// Where the API key is kept.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct ApiKeyArgs {
    /// Its API key is in this variable of the server's environment
    #[arg(id = "api_key_env", long = "api-key-env", value_name = "NAME")]
    env: Option<String>,
    /// Its API key is in this file on the server's machine
    #[arg(id = "api_key_file", long = "api-key-file", value_name = "PATH")]
    file: Option<String>,
    /// Its API key is in this SSM parameter, on AWS
    #[arg(id = "api_key_ssm", long = "api-key-ssm", value_name = "PARAMETER")]
    ssm: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum KindArg {
    /// OpenAI's API, as many others speak it too
    Openai,
    /// Anthropic's Messages API
    Anthropic,
}

/// List the providers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes provider list
  diogenes provider list -o json | jq -r '.data[].name'")]
struct ListArgs {}

/// Show a provider.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes provider show openai
  diogenes provider show openai -o yaml > openai.yaml   # `provider apply --file` reads it")]
struct ShowArgs {
    /// The provider
    name: ProviderName,
}

/// Check whether a provider, or each of them, answers and accepts its key, by asking for its list
/// of models.
///
/// The server asks, from where requests leave. Exits with 8 if a check fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes provider check
  diogenes provider check openai")]
struct CheckArgs {
    /// The provider; without it, all of them
    name: Option<ProviderName>,
}

/// Delete a provider that no route leads to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  diogenes provider delete openai
  diogenes provider delete openai --yes")]
struct DeleteArgs {
    /// The provider
    name: ProviderName,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

const PATH: [&str; 3] = ["api", "v1", "providers"];

pub(super) async fn run(args: ProviderArgs) -> Result<(), Failure> {
    let client = args.options.client()?;
    let format = args.options.output;
    match args.action {
        Action::Apply(args) => {
            let path = path(&args.name);
            let provider = match &args.file {
                Some(file) => client.put(&path, &args.of_file(file)?).await?,
                None => apply(&client, &path, |standing| args.of_standing(standing)).await?,
            };
            output::result(format, &provider, || {
                let ProviderBody { name, spec, .. } = decode(provider.clone())?;
                let url = spec.base_url;
                Ok(format!("provider `{name}` is {url}; try `diogenes provider check {name}`"))
            })
        }
        Action::List(ListArgs {}) => {
            let list = client.get(&PATH, &[]).await?;
            output::result(format, &list, || {
                let providers = decode::<ProviderList>(list.clone())?.data;
                if providers.is_empty() {
                    output::note("no providers; add one with `diogenes provider apply`");
                    return Ok(String::new());
                }
                Ok(table(&providers))
            })
        }
        Action::Show(ShowArgs { name }) => {
            let provider = client.get(&path(&name), &[]).await?;
            output::result(format, &provider, || Ok(details(&decode(provider.clone())?)))
        }
        Action::Check(CheckArgs { name }) => check(&client, format, name).await,
        Action::Delete(DeleteArgs { name, yes }) => {
            let question = format!("delete provider `{name}`?");
            if !yes && !confirmation::ask(&format!("deleting `{name}`"), &question)? {
                output::note("nothing was deleted");
                return Ok(());
            }
            let deleted = client.delete(&path(&name)).await?;
            output::result(format, &deleted, || Ok(format!("provider `{name}` is deleted")))
        }
    }
}

fn path(name: &ProviderName) -> Vec<&str> {
    PATH.into_iter().chain([name.as_str()]).collect()
}

/// Checks a provider, or all of them.
async fn check(
    client: &Client,
    format: output::Format,
    name: Option<ProviderName>,
) -> Result<(), Failure> {
    let names = if let Some(name) = name {
        vec![name]
    } else {
        let list: ProviderList = decode(client.get(&PATH, &[]).await?)?;
        list.data.into_iter().map(|provider| provider.name).collect()
    };
    if names.is_empty() {
        output::note("no providers; add one with `diogenes provider apply`");
    }
    let only = names.len() == 1;
    let asked = names.into_iter().map(|name| async {
        let path: Vec<&str> = path(&name).into_iter().chain(["check"]).collect();
        let check = match client.get(&path, &[]).await {
            Ok(answer) => decode(answer)?,
            Err(failure) if only => return Err(failure),
            // One that was deleted meanwhile hides no other.
            Err(failure) => ProviderCheck {
                ok: false,
                status: None,
                latency_ms: None,
                models: None,
                problem: Some(failure.error.to_string()),
            },
        };
        Ok((name, check))
    });
    let checks = try_join_all(asked).await?;
    let told = checks.iter().map(|(name, check)| json!({ "name": name, "check": check }));
    let told: Vec<Value> = told.collect();
    output::result(format, &Value::from(told), || Ok(report(&checks)))?;
    match checks.iter().filter(|(_, check)| !check.ok).count() {
        0 => Ok(()),
        1 => Err(Kind::Unhealthy.because("1 provider failed")),
        failed => Err(Kind::Unhealthy.because(format!("{failed} providers failed"))),
    }
}

impl ApplyArgs {
    fn of_file(&self, file: &Path) -> Result<ProviderSpec, Failure> {
        let origin = Origin::File(file.display().to_string());
        self.spec(Fields::read(file)?, &origin)
    }

    /// The provider as it is, for flags to change; none if there is none.
    fn of_standing(&self, standing: Option<Value>) -> Result<ProviderSpec, Failure> {
        let fields = match standing {
            Some(provider) => Fields::of_value(provider)?,
            None if self.base_url.is_none() => {
                return Err(Kind::Config.because(format!(
                    "provider `{}` does not exist; say where it is with --base-url, or give a spec with --file",
                    self.name
                )));
            }
            None => {
                let mut fields = Fields::default();
                fields.set("kind", Some(ProviderKind::OpenAi));
                fields
            }
        };
        self.spec(fields, &Origin::Server)
    }

    fn spec(&self, base: Fields, origin: &Origin) -> Result<ProviderSpec, Failure> {
        base.overruled_by(self.flags()?).into_spec(origin, ProviderSpec::validate)
    }

    fn flags(&self) -> Result<Fields, Failure> {
        let mut fields = Fields::default();
        fields.set("kind", self.kind.map(ProviderKind::from));
        fields.set("base_url", self.base_url.as_deref());
        fields.set("api_key", self.api_key.reference()?);
        Ok(fields)
    }
}

impl ApiKeyArgs {
    fn reference(&self) -> Result<Option<SecretRef>, Failure> {
        let kinds = [("env", &self.env), ("file", &self.file), ("ssm", &self.ssm)];
        let given = kinds.into_iter().find_map(|(kind, name)| Some((kind, name.clone()?)));
        let reference = given.map(|(kind, name)| {
            SecretRef::new(kind, name)
                .map_err(|error| Kind::Config.because(format!("--api-key-{kind}: {error}")))
        });
        reference.transpose()
    }
}

impl From<KindArg> for ProviderKind {
    fn from(arg: KindArg) -> Self {
        match arg {
            KindArg::Openai => Self::OpenAi,
            KindArg::Anthropic => Self::Anthropic,
        }
    }
}

fn key(spec: &ProviderSpec) -> String {
    spec.api_key.as_ref().map_or_else(|| "none".into(), ToString::to_string)
}

fn table(providers: &[ProviderBody]) -> String {
    output::table(
        &["NAME", "KIND", "SOURCE", "UPDATED", "BASE URL", "API KEY"],
        providers.iter().map(|provider| {
            vec![
                provider.name.to_string(),
                provider.spec.kind.as_str().into(),
                provider.source.as_str().into(),
                time::stamp(provider.updated_at),
                provider.spec.base_url.clone(),
                key(&provider.spec),
            ]
        }),
    )
}

fn details(provider: &ProviderBody) -> String {
    let ProviderBody { name, source, created_at, updated_at, spec } = provider;
    let responses = if spec.has_responses() { "its own" } else { "translated" };
    output::details([
        ("name", name.to_string()),
        ("source", source.as_str().into()),
        ("created", time::stamp(*created_at)),
        ("updated", time::stamp(*updated_at)),
        ("kind", spec.kind.as_str().into()),
        ("base URL", spec.base_url.clone()),
        ("API key", key(spec)),
        ("/v1/responses", responses.into()),
        ("connect timeout", duration::format(spec.connect_timeout)),
        ("first byte timeout", duration::format(spec.first_byte_timeout)),
        ("stall timeout", duration::format(spec.stall_timeout)),
        ("timeout", duration::format(spec.timeout)),
        ("default max tokens", spec.default_max_tokens.to_string()),
    ])
}

fn report(checks: &[(ProviderName, ProviderCheck)]) -> String {
    output::table(
        &["NAME", "OK", "STATUS", "LATENCY", "MODELS", "PROBLEM"],
        checks.iter().map(|(name, check)| {
            let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
            vec![
                name.to_string(),
                if check.ok { "yes" } else { "no" }.into(),
                or_dash(check.status.map(|status| status.to_string())),
                or_dash(check.latency_ms.map(|millis| format!("{millis}ms"))),
                or_dash(check.models.map(|models| models.to_string())),
                or_dash(check.problem.clone()),
            ]
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> ProviderBody {
        serde_json::from_value(json!({
            "name": "openai", "source": "config",
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T00:00:00Z",
            "spec": {
                "kind": "openai", "base_url": "https://api.openai.com/v1",
                "api_key": {"env": "OPENAI_API_KEY"},
            },
        }))
        .expect("a provider")
    }

    #[test]
    fn providers_are_shown_one_a_line() {
        insta::assert_snapshot!(table(&[provider()]));
    }

    #[test]
    fn a_providers_details_tell_where_its_key_is() {
        insta::assert_snapshot!(details(&provider()));
    }

    #[test]
    fn a_check_tells_what_is_wrong() {
        let good = json!({"ok": true, "status": 200, "latency_ms": 87, "models": 61});
        let bad = json!({"ok": false, "problem": "its API key cannot be used: the environment variable `KEY` is not set"});
        let checks = [("openai", good), ("azure", bad)].map(|(name, check)| {
            (name.parse().expect("a name"), serde_json::from_value(check).expect("a check"))
        });
        insta::assert_snapshot!(report(&checks));
    }
}
